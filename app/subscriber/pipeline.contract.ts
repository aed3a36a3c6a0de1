/** Real bus, warehouse, subscriber and sealer on one folder, for the suites that prove what they do together. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus, BusMessage, Subscription } from '../bus/bus.ts';
import { openLmdbBus } from '../bus/lmdb-bus.ts';
import { readConfig } from '../config.ts';
import { type Equation, takeEquation } from '../equation.ts';
import { compileValidator } from '../record/validate.ts';
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import { openDuckdbWarehouse } from '../warehouse/duckdb-warehouse.ts';
import type { StoreOutcome, Warehouse } from '../warehouse/warehouse.ts';
import { CONTRACTS, message, type MessageOptions, order } from '../warehouse/warehouse-data.contract.ts';
import { type Sealer, startSealer } from './sealer.ts';
import { startSubscriber } from './subscriber.ts';

/** Longer than any test: only `sealAll` seals. */
const NEVER_MS = '3600000';
const VALIDATORS = new Map([...CONTRACTS].map(([name, contract]) => [name, compileValidator(contract)]));
const DRAIN = { timeoutMs: 5_000 };
const CONFIG = readConfig({
  BATCH_WAIT_MS: '0',
  BATCH_MESSAGES_MAX: '256',
  BACKOFF_MIN_MS: '1',
  BACKOFF_MAX_MS: '4',
  DELIVERY_ATTEMPTS_MAX: '3',
  SEAL_INTERVAL_MS: NEVER_MS,
});

interface PipelineOptions {
  readonly dir?: string;
  readonly onBusFailure?: () => void;
}

export class Pipeline {
  readonly dir: string;
  readonly outcomes: StoreOutcome[] = [];
  bus!: Bus;
  /** Added to the bus's clock. */
  aheadMs = 0;
  /** Called at every named point; a throw there fails the delivery, as a fault would. */
  atPoint: (name: string) => void = () => undefined;
  /** Called with every outcome; a throw there is the failure of someone who is only told. */
  atCommit: () => void = () => undefined;
  #warehouse!: Warehouse;
  #subscription: Subscription | undefined;
  readonly telemetry: Telemetry;
  readonly #onBusFailure: () => void;
  #asked = 0;
  #waiting: { readonly satisfied: () => boolean; readonly resolve: () => void }[] = [];

  /** On a new folder, or on what another process left in `dir`. */
  static async open(options: PipelineOptions = {}): Promise<Pipeline> {
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'vigia-pipeline-')));
    const pipeline = new Pipeline({ ...options, dir });
    await pipeline.openStores();
    return pipeline;
  }

  private constructor({ dir, onBusFailure = () => undefined }: PipelineOptions & { readonly dir: string }) {
    this.dir = dir;
    this.#onBusFailure = onBusFailure;
    this.telemetry = createTelemetry({
      version: '0',
      logLevel: 'silent',
      logFile: '',
      logFileBytesMax: CONFIG.LOG_FILE_BYTES_MAX,
      logFilesMax: CONFIG.LOG_FILES_MAX,
      datasets: [...CONTRACTS.keys()],
      codes: [],
      now: Date.now,
    });
  }

  get warehouse(): Warehouse {
    return this.#warehouse;
  }

  async openStores(): Promise<void> {
    this.bus = await openLmdbBus({
      dir: join(this.dir, 'bus'),
      now: () => Date.now() + this.aheadMs,
      diskFullPercent: 100,
      mapBytesMax: 256 * 1024 * 1024,
      attemptsMax: CONFIG.DELIVERY_ATTEMPTS_MAX,
      backoffMinMs: CONFIG.BACKOFF_MIN_MS,
      backoffMaxMs: CONFIG.BACKOFF_MAX_MS,
      onFailure: this.#onBusFailure,
    });
    await this.openWarehouse();
  }

  /** Gives a sealer to `use`, and stops it after. */
  async sealing(use: (sealer: Sealer) => Promise<void>, intervalMs = CONFIG.SEAL_INTERVAL_MS): Promise<void> {
    const { bus, warehouse } = this;
    const config = { ...CONFIG, SEAL_INTERVAL_MS: intervalMs };
    const books = { contracts: CONTRACTS, validators: VALIDATORS };
    const sealer = startSealer({ config, bus, warehouse, telemetry: this.telemetry, now: Date.now, ...books });
    try {
      await use(sealer);
    } finally {
      await sealer.stop();
    }
  }

  async openWarehouse(): Promise<void> {
    this.#warehouse = await openDuckdbWarehouse({
      dir: this.dir,
      contracts: CONTRACTS,
      memoryMib: 256,
      threads: 1,
      readers: 1,
      readQueueMax: 8,
      percentileRowsMax: 1_000,
      now: Date.now,
      onBroken: (error) => {
        throw new Error('the file broke', { cause: error });
      },
      faultPoint: (name) => this.atPoint(name),
    });
  }

  subscribe(): void {
    const pipeline = this;
    this.#subscription = startSubscriber({
      config: CONFIG,
      bus: this.bus,
      get warehouse() {
        pipeline.#asked += 1;
        pipeline.#tell();
        return pipeline.#warehouse;
      },
      contracts: CONTRACTS,
      validators: VALIDATORS,
      telemetry: this.telemetry,
      now: Date.now,
      onCommit: (outcome) => {
        this.outcomes.push(outcome);
        this.#tell();
        this.atCommit();
      },
      faultPoint: (name) => this.atPoint(name),
    });
  }

  async drain(): Promise<void> {
    await this.#subscription?.drain(DRAIN);
  }

  /** Delivers until as many messages as told are committed, then drains. */
  async consume(commits: number): Promise<void> {
    this.subscribe();
    await this.until(() => this.outcomes.length >= commits);
    await this.drain();
  }

  /** Resolves as soon as it is true at a question to the warehouse or a commit. `asked`: how often it was to store. */
  until(satisfied: (asked: number) => boolean): Promise<void> {
    if (satisfied(this.#asked)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ satisfied: () => satisfied(this.#asked), resolve }));
  }

  /** The value of one series as Prometheus would scrape it. */
  async metric(series: string): Promise<number> {
    const line = (await this.telemetry.render()).split('\n').find((one) => one.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1));
  }

  equation(): Promise<Equation> {
    const { bus, warehouse } = this;
    return takeEquation({ bus, warehouse, datasets: [...CONTRACTS.keys()], overdueMs: 60_000 });
  }

  async closeStores(): Promise<void> {
    await this.drain();
    this.#subscription = undefined;
    await this.warehouse.close();
    await this.bus.close();
  }

  async dispose(): Promise<void> {
    await this.closeStores();
    await rm(this.dir, { recursive: true });
  }

  #tell(): void {
    const done = this.#waiting.filter(({ satisfied }) => satisfied());
    this.#waiting = this.#waiting.filter((one) => !done.includes(one));
    for (const { resolve } of done) resolve();
  }
}

/** A message as the api publishes it. */
export function published(options: MessageOptions): BusMessage {
  const { envelope, data } = message(options);
  const { messageId, dataset, requestId, rowCount } = envelope;
  return { messageId, dataset, requestId, rowCount, data, attributes: {} };
}

/** What another publisher sends: no request, NDJSON. */
export function foreign(given: Partial<BusMessage>): BusMessage {
  return {
    messageId: randomBytes(16).toString('hex'),
    dataset: 'orders',
    requestId: '',
    rowCount: 1,
    data: Buffer.from('{}'),
    attributes: {},
    ...given,
  };
}

export function orders(...ids: readonly string[]): BusMessage {
  return published({ rows: ids.map((id) => order(id)) });
}
