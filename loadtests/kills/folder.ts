/**
 * A data folder that several kills go through.
 *
 * Beside a process on the folder records are sent, files are dropped, and sometimes records are erased or a backup is
 * asked for, until it is dead; what it left unanswered is sent to the next one first. So retries meet kills too, and
 * what one kill leaves is what the next one starts on.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '../seeded-random.ts';
import { type ServiceProcess, ServiceEnded, startService } from '../service-process.ts';
import { type LandingEntry, requireAddedUp, settledEquation, settledLanding, type Terms } from '../stored-records.ts';
import { Account, type Tally } from './account.ts';
import { backUp } from './backing-up.ts';
import { Canaries } from './canaries.ts';
import { DroppedFiles } from './dropped-files.ts';
import type { Beside, Dying } from './dying.ts';
import { Senders } from './senders.ts';

/** A named point is passed within a second or three, or ten where others keep the machine busy; then it is killed. */
const POINT_TIMEOUT_MS = 30_000;
/** More would only wait: files are taken one after another. */
const WAITING_FILES_MAX = 3;
const DROP_LOOK_MS = 20;
/**
 * Between an answer and the next request. An erasure waits several times for what was accepted before, and under all the
 * load there is it would take half a minute; other work lasts longer than a kill at once does, and would pile up rows.
 */
const PACE_MS: Readonly<Record<Beside, number>> = {
  nothing: 0,
  backup: 50,
  'bronze compaction': 50,
  erasure: 250,
  migration: 0,
  'store compaction': 50,
};
const RANGE_ROWS = 150;
/** One more than are left alone (COMPACTION_FILES_MAX in app/warehouse/bronze-compaction.ts). */
const SMALL_FILES = 17;
const SMALL_FILE_BYTES = 64 * 1024;
const ENV = {
  NODE_ENV: 'test',
  // A machine that has other work must not make the service shed what is sent here.
  QUEUE_TIME_TARGET_MS: '10000',
  SEAL_INTERVAL_MS: '150',
  BATCH_WAIT_MS: '10',
  BACKOFF_MIN_MS: '50',
  LANDING_LOOK_MS: '20',
  LANDING_SETTLE_MS: '0',
  LANDING_RANGE_ROWS_MAX: String(RANGE_ROWS),
  OTEL_SDK_DISABLED: 'true',
};

export interface Death {
  /** It died where it was told to, and not of the time limit. */
  readonly asPlanned: boolean;
  readonly unanswered: number;
}

interface Seen {
  readonly files: readonly LandingEntry[];
  readonly equation: Terms;
}

interface FolderOptions {
  readonly nextNumber: () => number;
  readonly tally: Tally;
}

export class KillFolder {
  readonly #dataDir: string;
  readonly #nextNumber: () => number;
  readonly #account: Account;
  readonly #senders: Senders;
  readonly #files: DroppedFiles;
  readonly #canaries: Canaries;

  static async make(options: FolderOptions): Promise<KillFolder> {
    return new KillFolder(await mkdtemp(join(tmpdir(), 'vigia-kills-')), options);
  }

  private constructor(dataDir: string, { nextNumber, tally }: FolderOptions) {
    this.#dataDir = dataDir;
    this.#nextNumber = nextNumber;
    this.#account = new Account(tally);
    this.#senders = new Senders({ account: this.#account, nextNumber });
    this.#files = new DroppedFiles(dataDir);
    this.#canaries = new Canaries({ account: this.#account, files: this.#files, nextNumber });
  }

  /** Starts a process and works it until it is dead. Throws when it ends in any other way than by the kill. */
  async die({ dying, seed }: { readonly dying: Dying; readonly seed: number }): Promise<Death> {
    await this.#prepare(dying.beside);
    const faultPoint = dying.kind === 'point' ? `${dying.name}:${dying.passing}` : '';
    let service: ServiceProcess;
    try {
      service = await startService({ dataDir: this.#dataDir, env: { ...ENV, FAULT_POINT: faultPoint } });
    } catch (error) {
      // Migration, deliveries, files and sealing begin before the port is open, so a point may be passed before that.
      if (error instanceof ServiceEnded && error.signal === 'SIGKILL' && dying.kind === 'point')
        return this.#death(true);
      throw error;
    }
    const killed = { byTimer: false };
    const afterMs = dying.kind === 'moment' ? dying.afterMs : POINT_TIMEOUT_MS;
    const timer = setTimeout(() => {
      killed.byTimer = true;
      service.kill('SIGKILL');
    }, afterMs);
    try {
      await this.#workUntilDead(service, { beside: dying.beside, seed });
    } finally {
      clearTimeout(timer);
      service.kill('SIGKILL');
    }
    const { signal, code } = await service.ended;
    if (signal !== 'SIGKILL') throw new Error(`the service ended by itself (${signal ?? code}):\n${service.output()}`);
    return this.#death(killed.byTimer === (dying.kind === 'moment'));
  }

  /**
   * Sends what is left, waits until nothing is in flight and every file is archived, and holds what is stored against
   * what was promised; then throws the warehouse's file away and does it again on what bronze and bus can bring back.
   */
  async settle(): Promise<void> {
    const seen = await this.#look((service) => this.#senders.sendRest(service));
    await this.#judge(seen);
    for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
      await rm(join(this.#dataDir, name), { force: true });
    await this.#judge(await this.#look(async () => undefined));
    this.#account.settle();
  }

  async remove(): Promise<void> {
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  async #death(asPlanned: boolean): Promise<Death> {
    await this.#files.requireEach();
    return { asPlanned, unanswered: this.#senders.unanswered };
  }

  async #workUntilDead(
    service: ServiceProcess,
    { beside, seed }: { readonly beside: Beside; readonly seed: number },
  ): Promise<void> {
    let living = true;
    void service.ended.then(() => {
      living = false;
    });
    const alive = (): boolean => living;
    const paceMs = PACE_MS[beside];
    await Promise.all([
      this.#senders.sendWhile(alive, { service, seed, paceMs }),
      this.#dropWhile(alive, { seed, paceMs: Math.max(paceMs, DROP_LOOK_MS) }),
      this.#besides(alive, { service, beside }),
    ]);
  }

  async #dropWhile(
    alive: () => boolean,
    { seed, paceMs }: { readonly seed: number; readonly paceMs: number },
  ): Promise<void> {
    const random = seededRandom(seed);
    while (alive()) {
      if ((await this.#files.waiting()).length < WAITING_FILES_MAX) {
        const knownFlights = this.#account.flights;
        const { dataset, numbers } = await this.#files.drop({ random, nextNumber: this.#nextNumber, knownFlights });
        this.#account.promiseFile(dataset, numbers);
      }
      await pause(paceMs);
    }
  }

  async #besides(
    alive: () => boolean,
    { service, beside }: { readonly service: ServiceProcess; readonly beside: Beside },
  ): Promise<void> {
    switch (beside) {
      case 'nothing':
      case 'bronze compaction':
      case 'migration':
      case 'store compaction':
        return;
      case 'backup':
        while (alive()) await backUp(this.#dataDir);
        return;
      case 'erasure':
        return this.#canaries.eraseWhile(alive, service);
      default:
        throw new Error(`unreachable ${beside satisfies never}`);
    }
  }

  async #prepare(beside: Beside): Promise<void> {
    switch (beside) {
      case 'nothing':
      case 'backup':
      case 'erasure':
        return;
      case 'bronze compaction':
        return this.#makeSmallFiles();
      case 'migration':
        return this.#makeOld();
      case 'store compaction':
        return this.#run((service) => this.#canaries.eraseOne(service));
      default:
        throw new Error(`unreachable ${beside satisfies never}`);
    }
  }

  /** Each range of a file leaves one, and the next start knows them as some to put together. */
  async #makeSmallFiles(): Promise<void> {
    const files = await mostSmallFiles(join(this.#dataDir, 'bronze', 'flights'));
    const numbers = Array.from({ length: Math.max(0, SMALL_FILES - files) * RANGE_ROWS }, this.#nextNumber);
    if (numbers.length === 0) return;
    await this.#files.put({ dataset: 'flights', format: 'csv', gzip: false, once: false, numbers });
    this.#account.promiseFile('flights', numbers);
    await this.#run(async (service) => void (await settledLanding(service)));
  }

  /** As a version before format numbers left it: that format has all that is here but the number. */
  async #makeOld(): Promise<void> {
    const format = join(this.#dataDir, 'format.json');
    if (!existsSync(format)) await this.#run(async () => undefined);
    await rm(format);
  }

  async #look(first: (service: ServiceProcess) => Promise<void>): Promise<Seen> {
    return this.#run(async (service) => {
      await first(service);
      const files = await settledLanding(service);
      await this.#canaries.eraseRest(service);
      const equation = await settledEquation(service);
      await this.#account.compare(service);
      return { files, equation };
    });
  }

  async #judge({ files, equation }: Seen): Promise<void> {
    if (this.#account.broken) {
      this.#account.settle();
      throw new Error('the promise is broken: see the last line');
    }
    if (equation.difference !== 0 || equation.deadLettered !== 0 || equation.quarantined !== 0)
      throw new Error(`the equation does not hold: ${JSON.stringify(equation)}`);
    requireAddedUp(files);
    await this.#files.requireArchived();
  }

  /** A process that is stopped as an operator would. */
  async #run<T>(act: (service: ServiceProcess) => Promise<T>): Promise<T> {
    const service = await startService({ dataDir: this.#dataDir, env: ENV });
    try {
      return await act(service);
    } finally {
      await stopped(service);
    }
  }
}

async function stopped(service: ServiceProcess): Promise<void> {
  service.kill('SIGTERM');
  const { code } = await service.ended;
  if (code !== 0) throw new Error(`the stop ended with ${code}:\n${service.output()}`);
}

/** Of a dataset's folders, one a day, the most small files that one has. */
async function mostSmallFiles(dataset: string): Promise<number> {
  // Making it would make the folder one that was used before.
  if (!existsSync(dataset)) return 0;
  const counts = [0];
  for (const day of await readdir(dataset)) {
    const sizes = await Promise.all((await readdir(join(dataset, day))).map((name) => stat(join(dataset, day, name))));
    counts.push(sizes.filter(({ size }) => size < SMALL_FILE_BYTES).length);
  }
  return Math.max(...counts);
}
