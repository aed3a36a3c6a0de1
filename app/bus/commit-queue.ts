/**
 * Group commit: changes that wait together become durable together, in one LMDB transaction.
 *
 * - A change resolves only after the transaction's fdatasync and the write of its meta page returned. The environment
 *   is opened without overlapping sync, so that what is visible is durable, and a failed sync aborts the transaction
 *   and rejects. (With overlapping sync a failed fdatasync leaves `flushed` pending for ever, and data is visible first.)
 * - One transaction at a time. LMDB cannot begin a transaction after it failed to write a meta page, and the waiting
 *   one would never settle; with one at a time nothing is queued behind a failure, and a watchdog ends the wait.
 * - A full map or disk rejects the changes of that transaction and nothing else: it was aborted whole.
 * - Any other failure (EIO above all) ends this queue for good. The kernel reports a failed sync once and then takes
 *   its pages for clean, so a later success would prove nothing. The process has to start again and read what is there.
 */
import type { RootDatabase } from 'lmdb';
import { AppError } from '../errors.ts';
import { CommitHung, commitInTime, isOutOfSpace } from '../lmdb-durability.ts';

/** Dirty pages stay below LMDB's list limit (2^17 pages of 4 KiB), and nobody waits long behind a neighbour. */
const COMMIT_BYTES_MAX = 16 * 1024 * 1024;
const COMMIT_CHANGES_MAX = 4_096;
/** Twice what all request bodies together may hold by default. */
const WAITING_BYTES_MAX = 512 * 1024 * 1024;

export interface Change {
  /** Roughly what it writes. */
  readonly bytes: number;
  /** Puts and removes. Everything that can fail (encoding, key length) was judged before. */
  readonly write: () => void;
  /** What follows in memory once the change is durable. */
  readonly apply: () => void;
}

interface Waiting {
  readonly change: Change;
  readonly resolve: () => void;
  readonly reject: (error: AppError) => void;
}

interface CommitQueueOptions {
  readonly root: RootDatabase;
  /** Called inside the transaction before its first and after its last change. */
  readonly begin: () => void;
  readonly end: () => void;
  /** Called once the transaction is durable, before any `apply`. */
  readonly committed: () => void;
  readonly onFailure: (error: AppError) => void;
}

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #running = false;
  #closed = false;
  #failure: AppError | undefined;
  #hung = false;
  #idle: (() => void)[] = [];

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** Why nothing can be committed any more, if so. */
  get failure(): AppError | undefined {
    return this.#failure ?? (this.#closed ? unavailable('the bus is closed') : undefined);
  }

  /** A commit never answered: lmdb still holds its writer, and closing the environment would wait for it. */
  get hung(): boolean {
    return this.#hung;
  }

  /** Ends the queue for a reason found elsewhere. */
  fail(error: unknown): void {
    if (this.failure) return;
    this.#failure = unavailable(`the bus failed (${String(error)}); the process has to start again`, error);
    this.#options.onFailure(this.#failure);
  }

  commit(change: Change): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.#waitingBytes > WAITING_BYTES_MAX) {
      return Promise.reject(
        unavailable(`${this.#waitingBytes} bytes wait to be written, limit is ${WAITING_BYTES_MAX}`),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ change, resolve, reject });
    this.#waitingBytes += change.bytes;
    if (!this.#running) this.#start();
    return promise;
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
  }

  #start(): void {
    this.#running = true;
    // After the poll phase: every request that arrived in this turn shares the commit.
    setImmediate(() => {
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#failure) {
      await this.#commitGroup(this.#takeGroup());
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure ?? unavailable('the bus failed'));
    this.#waitingBytes = 0;
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { change } of this.#waiting) {
      if (count > 0 && (bytes + change.bytes > COMMIT_BYTES_MAX || count === COMMIT_CHANGES_MAX)) break;
      bytes += change.bytes;
      count += 1;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#transact(group);
    } catch (error) {
      const refusal = this.#judge(error);
      for (const waiting of group) waiting.reject(refusal);
      return;
    }
    this.#options.committed();
    for (const { change } of group) change.apply();
    for (const waiting of group) waiting.resolve();
  }

  async #transact(group: readonly Waiting[]): Promise<void> {
    const commit = this.#options.root.batch(() => {
      this.#options.begin();
      for (const { change } of group) change.write();
      this.#options.end();
    });
    await commitInTime(commit);
  }

  #judge(error: unknown): AppError {
    if (error instanceof CommitHung) this.#hung = true;
    if (isOutOfSpace(error) && this.#isUsable()) {
      return new AppError({
        code: 'DISK_FULL',
        publicMessage: 'DISK_FULL: there is no space left to make the records durable. Retry when space is free.',
        detail: `commit aborted: ${String(error)}`,
        retryAfterSeconds: 30,
        cause: error,
      });
    }
    this.fail(error);
    return this.failure ?? unavailable('a commit failed', error);
  }

  /** A failed meta page makes the environment refuse every transaction; a read says so without blocking a writer. */
  #isUsable(): boolean {
    try {
      this.#options.root.resetReadTxn();
      this.#options.root.get('probe');
      return true;
    } catch {
      return false;
    }
  }
}

function unavailable(detail: string, cause?: unknown): AppError {
  return new AppError({
    code: 'BUS_UNAVAILABLE',
    publicMessage: 'BUS_UNAVAILABLE: the bus cannot make records durable now. Retry with the same Idempotency-Key.',
    detail,
    cause,
  });
}
