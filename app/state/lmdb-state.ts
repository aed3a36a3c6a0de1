/**
 * State on LMDB, shared by processes: the key command writes while the service runs.
 *
 * - Every write is one transaction that reads, judges and writes under LMDB's writer lock, which holds across
 *   processes; it resolves after the transaction's fdatasync (no overlapping sync: visible is durable).
 * - Every read takes a new read transaction, so that another process's commit is seen at once.
 * - A live idempotency lease is in memory, so that it ends whatever the disk does. The entry names the instance that
 *   took it last: one service runs on one data folder (lock.ts), so what another instance took, its process is gone.
 * - A failed commit rejects with STATE_UNAVAILABLE. After an I/O error nothing is written any more and `check`
 *   rejects: a later sync that succeeds would prove nothing (the kernel reports a failed one once). `onFailure` is
 *   called, so that the process ends and starts again from what the disk really holds.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type Database, open, type RootDatabase } from 'lmdb';
import { AppError } from '../errors.ts';
import { CommitHung, commitInTime, isOutOfSpace, syncNames } from '../lmdb-durability.ts';
import type { LandingFile, LandingPlan } from './landing-file.ts';
import { forgetVerdictsOf, type IdempotencyEntry, removeExpired } from './lmdb-answers.ts';
import { LmdbLandingFiles } from './lmdb-landing-files.ts';
import { REPLACED } from './lmdb-replaced.ts';
import type { ApiKey, IdempotencyClaim, IdempotencyScope, IdempotentAnswer, State } from './state.ts';

export interface LmdbStateOptions {
  readonly dir: string;
  readonly now: () => number;
  readonly idempotencyHours: number;
  /** Of this process; with a random part it names this instance and no later one with the same pid. */
  readonly processId: number;
  /** Called once when nothing can be made durable any more; the process has to start again. */
  readonly onFailure?: (error: AppError) => void;
}

interface Ticket {
  readonly apiKeyId: string;
  readonly expiresAtMs: number;
}

interface Write {
  /** Judges and writes inside the transaction; returns what to do once it is durable. */
  readonly run: () => () => void;
  readonly reject: (error: AppError) => void;
}

type Fact = { readonly value: unknown };

/** Keys, answers of a day and tickets; address space, not disk. */
const MAP_BYTES = 16 * 1024 * 1024 * 1024;
const HOUR_MS = 3_600_000;
/** Writes of one transaction; each is small. */
const GROUP_MAX = 1_000;
/** A sweep gives way after this many entries, so that writers and the event loop are not held up. */
const SWEEP_PAGE = 1_000;
const SIGNING_KEY_BYTES = 32;
const KEY_EVER_MADE = 'api-key-ever-made';
const SIGNING_KEY = 'signing-key';

export async function openLmdbState(options: LmdbStateOptions): Promise<State> {
  const state = new LmdbState(options);
  await syncNames(options.dir);
  return state;
}

class LmdbState implements State {
  readonly name = 'embedded';
  readonly #root: RootDatabase;
  readonly #apiKeys: Database<ApiKey, string>;
  readonly #idempotency: Database<IdempotencyEntry, string>;
  readonly #tickets: Database<Ticket, string>;
  readonly #facts: Database<Fact, string>;
  readonly #landing: LmdbLandingFiles;
  /** The service's own: not mixed with the composition's facts. */
  readonly #internal: Database<string, string>;
  readonly #now: () => number;
  readonly #keptMs: number;
  readonly #instance: string;
  readonly #onFailure: (error: AppError) => void;
  /** Keys of the scopes that are being worked on. */
  readonly #leases = new Set<string>();
  /** Why nothing is taken any more: broken or closed. */
  #failure: AppError | undefined;
  /** Why nothing can be written any more. */
  #broken: AppError | undefined;
  #hung = false;
  readonly #waiting: Write[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: LmdbStateOptions) {
    this.#now = options.now;
    this.#keptMs = options.idempotencyHours * HOUR_MS;
    this.#instance = `${options.processId}-${randomBytes(8).toString('hex')}`;
    this.#onFailure = options.onFailure ?? (() => undefined);
    // noSubdir: otherwise a dot in the folder's name makes lmdb take it for a file.
    this.#root = open({ path: options.dir, noSubdir: false, mapSize: MAP_BYTES, maxDbs: 8, overlappingSync: false });
    this.#apiKeys = this.#root.openDB({ name: 'api-keys', encoding: 'json' });
    this.#idempotency = this.#root.openDB({ name: 'idempotency', encoding: 'json' });
    this.#tickets = this.#root.openDB({ name: 'tickets', encoding: 'json' });
    this.#facts = this.#root.openDB({ name: 'facts', encoding: 'json' });
    this.#landing = new LmdbLandingFiles(this.#root);
    this.#internal = this.#root.openDB({ name: 'internal', encoding: 'json' });
  }

  async apiKey(id: string): Promise<ApiKey | undefined> {
    return this.#read(() => this.#apiKeys.get(keyOf(id)));
  }

  async apiKeys(): Promise<readonly ApiKey[]> {
    return this.#read(() => Array.from(this.#apiKeys.getRange(), ({ value }) => value).sort(byAge));
  }

  async keyEverMade(): Promise<boolean> {
    return this.#read(() => this.#internal.get(KEY_EVER_MADE) !== undefined);
  }

  addApiKey(key: ApiKey): Promise<void> {
    return this.#write(() => {
      void this.#apiKeys.put(keyOf(key.id), key);
      void this.#internal.put(KEY_EVER_MADE, 'yes');
    });
  }

  revokeApiKey(...[id, { atMs, by }]: Parameters<State['revokeApiKey']>): Promise<boolean> {
    return this.#write(() => {
      const key = this.#apiKeys.get(keyOf(id));
      if (!key) return false;
      if (key.revokedAtMs === undefined) {
        void this.#apiKeys.put(keyOf(id), { ...key, revokedAtMs: atMs, revokedBy: by });
      }
      return true;
    });
  }

  async claimIdempotency(...[scope, claim]: Parameters<State['claimIdempotency']>): Promise<IdempotencyClaim> {
    const key = scopeKey(scope);
    let leased = false;
    const lease = (): void => {
      this.#leases.add(key);
      leased = true;
    };
    try {
      return await this.#write(() => this.#judgeClaim(key, claim, lease));
    } catch (error) {
      if (leased) this.#leases.delete(key);
      throw error;
    }
  }

  /** Whether or not the answer can be written, the lease is over: the next request with this key has to be served. */
  async answerIdempotency(scope: IdempotencyScope, answer: IdempotentAnswer): Promise<void> {
    const key = scopeKey(scope);
    try {
      await this.#write(() => {
        const entry = this.#idempotency.get(key);
        // Swept, or taken over by a later instance: not ours to answer.
        if (!entry || entry.lease !== this.#instance) return;
        const { lease: _ended, ...rest } = entry;
        void this.#idempotency.put(key, { ...rest, answer, expiresAtMs: this.#now() + this.#keptMs });
      });
    } finally {
      this.#leases.delete(key);
    }
  }

  /** Nothing to write: the entry keeps the request id. */
  async releaseIdempotency(scope: IdempotencyScope): Promise<void> {
    this.#leases.delete(scopeKey(scope));
  }

  async forgetVerdicts(requestIds: ReadonlySet<string>): Promise<number> {
    let changed = 0;
    for (const page of this.#pages(this.#idempotency)) {
      const keys = page.filter(({ value }) => requestIds.has(value.requestId)).map(({ key }) => key);
      if (keys.length > 0) changed += await this.#write(() => forgetVerdictsOf(this.#idempotency, keys));
    }
    return changed;
  }

  async signingKey(): Promise<Buffer> {
    const known = this.#read(() => this.#internal.get(SIGNING_KEY));
    if (known !== undefined) return Buffer.from(known, 'hex');
    return this.#write(() => {
      const made = this.#internal.get(SIGNING_KEY) ?? randomBytes(SIGNING_KEY_BYTES).toString('hex');
      void this.#internal.put(SIGNING_KEY, made);
      return Buffer.from(made, 'hex');
    });
  }

  addTicket(ticketHash: string, ticket: Ticket): Promise<void> {
    return this.#write(() => void this.#tickets.put(keyOf(ticketHash), ticket));
  }

  takeTicket(ticketHash: string, nowMs: number): Promise<string | undefined> {
    return this.#write(() => {
      const ticket = this.#tickets.get(keyOf(ticketHash));
      if (!ticket) return undefined;
      void this.#tickets.remove(keyOf(ticketHash));
      return ticket.expiresAtMs > nowMs ? ticket.apiKeyId : undefined;
    });
  }

  async fact(name: string): Promise<unknown> {
    return this.#read(() => this.#facts.get(keyOf(name))?.value);
  }

  setFact(name: string, value: unknown): Promise<void> {
    return this.#write(() => void this.#facts.put(keyOf(name), { value }));
  }

  changeFact<T>(name: string, change: (before: unknown) => T): Promise<T> {
    return this.#write(() => {
      const value = change(this.#facts.get(keyOf(name))?.value);
      void this.#facts.put(keyOf(name), { value });
      return value;
    });
  }

  async landingFiles(): Promise<readonly LandingFile[]> {
    return this.#read(() => this.#landing.list());
  }

  putLandingFile(file: LandingFile, plan?: LandingPlan): Promise<void> {
    return this.#write(() => this.#landing.put(file, plan));
  }

  async landingPlan(id: string): Promise<LandingPlan | undefined> {
    return this.#read(() => this.#landing.plan(id));
  }

  removeLandingFiles(ids: readonly string[]): Promise<void> {
    return this.#write(() => this.#landing.remove(ids));
  }

  async sweep(nowMs: number): Promise<number> {
    return (await this.#sweepTable(this.#idempotency, nowMs)) + (await this.#sweepTable(this.#tickets, nowMs));
  }

  async check(): Promise<void> {
    if (this.#failure) throw this.#failure;
  }

  async close(): Promise<void> {
    this.#failure ??= unavailable('the state store is closed');
    // After a commit that never answered, lmdb would wait for it for ever; the process is about to end anyway.
    await this.#writing;
    if (!this.#hung) await this.#root.close();
  }

  #judgeClaim(
    key: string,
    { bodyHash, requestId, nowMs }: Parameters<State['claimIdempotency']>[1],
    lease: () => void,
  ): IdempotencyClaim {
    const entry = this.#idempotency.get(key);
    if (!entry || entry.expiresAtMs <= nowMs) {
      const expiresAtMs = nowMs + this.#keptMs;
      void this.#idempotency.put(key, { bodyHash, requestId, expiresAtMs, lease: this.#instance });
      lease();
      return { kind: 'claimed', requestId };
    }
    if (entry.bodyHash !== bodyHash) return { kind: 'other_body' };
    if (entry.answer) return { kind: 'answered', answer: entry.answer };
    const ours = entry.lease === this.#instance;
    if (ours && this.#leases.has(key)) return { kind: 'running' };
    if (!ours) void this.#idempotency.put(key, { ...entry, lease: this.#instance });
    lease();
    return { kind: 'claimed', requestId: entry.requestId };
  }

  async #sweepTable(table: Database<{ readonly expiresAtMs: number }, string>, nowMs: number): Promise<number> {
    let swept = 0;
    for (const page of this.#pages(table)) {
      const expired = page.filter(({ value }) => value.expiresAtMs <= nowMs).map(({ key }) => key);
      if (expired.length > 0) swept += await this.#write(() => removeExpired(table, expired, nowMs));
    }
    return swept;
  }

  *#pages<V>(table: Database<V, string>): Iterable<readonly { readonly key: string; readonly value: V }[]> {
    for (let after: string | undefined; ; ) {
      const range = after === undefined ? {} : { start: after, exclusiveStart: true };
      const page = this.#read(() => Array.from(table.getRange({ ...range, limit: SWEEP_PAGE })));
      yield page;
      after = page.at(-1)?.key;
      if (page.length < SWEEP_PAGE) return;
    }
  }

  #read<T>(read: () => T): T {
    if (this.#failure) throw this.#failure;
    // lmdb keeps a read transaction for a millisecond or so; another process may have committed meanwhile.
    this.#root.resetReadTxn();
    return read();
  }

  /** Runs alone among all processes' writers; what it returns is durable when this resolves. */
  #write<T>(judge: () => T): Promise<T> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        run: () => {
          const outcome = outcomeOf(judge);
          // A mistake of the caller's (a value without JSON form) is no reason to distrust the store.
          return () => (outcome.ok ? resolve(outcome.value) : reject(outcome.error));
        },
        reject,
      });
      this.#writing ??= this.#drainWaiting();
    });
  }

  /**
   * One transaction at a time, each with all that waits: behind a failed one nothing is queued in lmdb, where it would
   * wait for ever.
   */
  async #drainWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, GROUP_MAX);
      const answers = await this.#transact(group).catch((error: unknown) => this.#judge(error));
      for (const [at, write] of group.entries()) {
        if (answers instanceof AppError) write.reject(answers);
        else answers[at]?.();
      }
    }
    this.#writing = undefined;
  }

  async #transact(group: readonly Write[]): Promise<readonly (() => void)[]> {
    if (this.#broken) throw this.#broken;
    const run = (): readonly (() => void)[] => {
      if (this.#internal.get(REPLACED) !== undefined) throw new Error('it is being compacted; try again');
      return group.map((write) => write.run());
    };
    return commitInTime(this.#root.transaction(run));
  }

  #judge(error: unknown): AppError {
    if (error === this.#broken && error instanceof AppError) return error;
    if (error instanceof CommitHung) this.#hung = true;
    const refusal = unavailable(`commit failed: ${String(error)}`, error);
    if (!isOutOfSpace(error) || !this.#isUsable()) {
      this.#broken = refusal;
      this.#failure ??= refusal;
      this.#onFailure(refusal);
    }
    return refusal;
  }

  /** A failed meta page makes the environment refuse every transaction; a read says so without blocking a writer. */
  #isUsable(): boolean {
    try {
      this.#root.resetReadTxn();
      this.#internal.get(SIGNING_KEY);
      return true;
    } catch {
      return false;
    }
  }
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

function outcomeOf<T>(judge: () => T): Outcome<T> {
  try {
    return { ok: true, value: judge() };
  } catch (error) {
    return { ok: false, error };
  }
}

function byAge(one: ApiKey, other: ApiKey): number {
  return one.createdAtMs - other.createdAtMs;
}

/** LMDB keys end at 1978 bytes and these texts come from outside; a digest is short and cannot collide by design. */
function keyOf(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function scopeKey({ apiKeyId, dataset, key }: IdempotencyScope): string {
  return keyOf(apiKeyId, dataset, key);
}

function unavailable(detail: string, cause?: unknown): AppError {
  return new AppError({
    code: 'STATE_UNAVAILABLE',
    publicMessage: 'STATE_UNAVAILABLE: the state store cannot answer now. Retry.',
    detail,
    cause,
  });
}
