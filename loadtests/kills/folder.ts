/**
 * A data folder that several kills go through, and the account of what was promised for it.
 *
 * A process on the folder first sends again what its predecessors left unanswered, then new operations, until it is
 * dead. So retries meet kills too, and what one kill leaves is what the next one starts on.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../seeded-random.ts';
import { type ServiceProcess, ServiceEnded, startService } from '../service-process.ts';
import { readNumbers, settledEquation } from '../stored-records.ts';
import type { Dying } from './dying.ts';
import { type Dataset, makeOperation, type Operation } from './numbered.ts';

const SENDERS = 4;
/** A named point is passed within a second or so; when it is not, the process is killed after this. */
const POINT_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 10_000;
const UNAVAILABLE = 503;
const ENV = {
  NODE_ENV: 'test',
  // A machine that has other work must not make the service shed what is sent here.
  QUEUE_TIME_TARGET_MS: '10000',
  SEAL_INTERVAL_MS: '150',
  BATCH_WAIT_MS: '10',
  BACKOFF_MIN_MS: '50',
  OTEL_SDK_DISABLED: 'true',
};

export interface Tally {
  sent: number;
  stored: number;
  lost: number;
  duplicated: number;
}

export interface Death {
  /** It died where it was told to, and not of the time limit. */
  readonly asPlanned: boolean;
  readonly unanswered: number;
}

interface FolderOptions {
  readonly nextNumber: () => number;
  readonly tally: Tally;
}

export class KillFolder {
  readonly #dataDir: string;
  readonly #options: FolderOptions;
  /** Numbers answered 202, ever. */
  readonly #acknowledged = new Map<Dataset, Set<number>>([
    ['flights', new Set()],
    ['trips', new Set()],
  ]);
  #unanswered: Operation[] = [];

  static async make(options: FolderOptions): Promise<KillFolder> {
    return new KillFolder(await mkdtemp(join(tmpdir(), 'vigia-kills-')), options);
  }

  private constructor(dataDir: string, options: FolderOptions) {
    this.#dataDir = dataDir;
    this.#options = options;
  }

  /** Starts a process, sends until it is dead. Throws when it ends in any other way than by the kill. */
  async die({ dying, seed }: { readonly dying: Dying; readonly seed: number }): Promise<Death> {
    const faultPoint = dying.kind === 'point' ? `${dying.name}:${dying.passing}` : '';
    let service: ServiceProcess;
    try {
      service = await startService({ dataDir: this.#dataDir, env: { ...ENV, FAULT_POINT: faultPoint } });
    } catch (error) {
      // Deliveries and sealing begin before the port is open, so a point may be passed before any request.
      if (error instanceof ServiceEnded && error.signal === 'SIGKILL' && dying.kind === 'point')
        return { asPlanned: true, unanswered: this.#unanswered.length };
      throw error;
    }
    const killed = { byTimer: false };
    const afterMs = dying.kind === 'moment' ? dying.afterMs : POINT_TIMEOUT_MS;
    const timer = setTimeout(() => {
      killed.byTimer = true;
      service.kill('SIGKILL');
    }, afterMs);
    try {
      await this.#sendUntilDead(service, seed);
    } finally {
      clearTimeout(timer);
      service.kill('SIGKILL');
    }
    const { signal, code } = await service.ended;
    if (signal !== 'SIGKILL') throw new Error(`the service ended by itself (${signal ?? code}):\n${service.output()}`);
    return { asPlanned: killed.byTimer === (dying.kind === 'moment'), unanswered: this.#unanswered.length };
  }

  /**
   * Sends what is left, waits until nothing is in flight and holds what is stored against what was promised; then
   * throws the warehouse's file away and does it again on what bronze and bus alone can bring back.
   */
  async settle(): Promise<void> {
    await this.#check(async (service) => {
      for (const operation of this.#unanswered.splice(0)) {
        if (!(await this.#send(service, operation)))
          throw new Error(`no answer after the restart:\n${service.output()}`);
      }
    });
    const { tally } = this.#options;
    for (const numbers of this.#acknowledged.values()) tally.stored += numbers.size;
    tally.stored -= tally.lost;
    if (tally.lost + tally.duplicated > 0) throw new Error('the promise is broken: see the last line');
    for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
      await rm(join(this.#dataDir, name), { force: true });
    await this.#check(async () => undefined);
  }

  async remove(): Promise<void> {
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  async #sendUntilDead(service: ServiceProcess, seed: number): Promise<void> {
    let alive = true;
    void service.ended.then(() => {
      alive = false;
    });
    const again = this.#unanswered.splice(0);
    const sender = async (_: unknown, index: number): Promise<void> => {
      const random = seededRandom(seed * SENDERS + index);
      while (alive) {
        const operation = again.shift() ?? this.#operation(random);
        if (!(await this.#send(service, operation))) this.#unanswered.push(operation);
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, sender));
    this.#unanswered.push(...again);
  }

  #operation(random: () => number): Operation {
    const operation = makeOperation({ random, nextNumber: this.#options.nextNumber });
    this.#options.tally.sent += operation.numbers.length;
    return operation;
  }

  /** True for 202; false when the connection broke or 503 said to come again. Anything else fails the test. */
  async #send(service: ServiceProcess, operation: Operation): Promise<boolean> {
    const headers: Record<string, string> = { 'Content-Type': operation.contentType };
    if (operation.idempotencyKey !== undefined) headers['Idempotency-Key'] = operation.idempotencyKey;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${service.url}/v1/datasets/${operation.dataset}/records`, {
        method: 'POST',
        headers,
        body: operation.body,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      // The status line is the promise, whatever becomes of the body behind it.
      if (response.status === 202) this.#promise(operation);
      text = await response.text();
    } catch {
      return false;
    }
    if (response.status === UNAVAILABLE) return false;
    if (response.status !== 202) throw new Error(`POST answered ${response.status} ${text}:\n${service.output()}`);
    return true;
  }

  #promise({ dataset, numbers }: Operation): void {
    for (const number of numbers) this.#acknowledged.get(dataset)?.add(number);
  }

  async #check(first: (service: ServiceProcess) => Promise<void>): Promise<void> {
    const service = await startService({ dataDir: this.#dataDir, env: ENV });
    try {
      await first(service);
      const equation = await settledEquation(service);
      for (const [dataset, numbers] of this.#acknowledged) await this.#compare(service, dataset, numbers);
      if (equation.difference !== 0 || equation.deadLettered !== 0 || equation.quarantined !== 0)
        throw new Error(`the equation does not hold: ${JSON.stringify(equation)}`);
    } finally {
      service.kill('SIGTERM');
    }
    const { code } = await service.ended;
    if (code !== 0) throw new Error(`the stop ended with ${code}:\n${service.output()}`);
  }

  async #compare(service: ServiceProcess, dataset: Dataset, promised: ReadonlySet<number>): Promise<void> {
    const { tally } = this.#options;
    const seen = await readNumbers(service, dataset);
    for (const number of promised) {
      const times = seen.get(number) ?? 0;
      if (times === 0) tally.lost += 1;
      tally.duplicated += Math.max(0, times - 1);
      seen.delete(number);
    }
    if (seen.size > 0) throw new Error(`${seen.size} records of ${dataset} came from nowhere`);
  }
}
