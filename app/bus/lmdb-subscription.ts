/**
 * Deliveries: which messages reach the handler when, and what its answers mean.
 *
 * Policy
 * - One batch at a time. Datasets take turns, so that a flood in one does not hold up another; so do fresh messages and
 *   those that come again, so that bad data does not hold up good. Leases live in memory: a restart delivers everything
 *   unsettled again.
 * - What the warehouse lost comes before everything else and in settle order, for as long as it does not fail.
 * - **The handler throws, the batch has several messages.** One of them may be poison: the batch comes again at once in
 *   halves, each half alone. Bisecting is the same attempt in smaller parts, so it neither waits nor counts.
 * - **The handler throws on a single message, or leaves one unsettled.** That message failed: the failure is written
 *   down, the message waits (exponential, jitter) while others flow, and at `attemptsMax` it becomes a dead letter with
 *   code MESSAGE_FAILED and the error's class and code. Never the error's message: it may quote a payload.
 * - **The error is an AppError that says retryable** (the warehouse is away): nothing counts and nothing dies, however
 *   long it lasts. The whole subscription pauses, longer each time; a success ends that. The batch still comes again in
 *   halves and a single message also waits for itself, so that a message which takes the warehouse down by itself ends
 *   up delaying nobody for long.
 * - Acknowledgements are written in order but not awaited: a lost one is a harmless redelivery, squared by the ledger.
 *   A dead letter is settled only when its transaction is durable. A settlement that cannot be written is told
 *   (`onSettleFailure`), and its messages come again: after a wait, or after the restart if the bus has failed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Delivery, Handler, Settlement, SubscribeOptions, Subscription } from './bus.ts';
import { FreshMessages } from './lmdb-fresh.ts';
import { type BacklogEntry, readMessage, readReopened } from './lmdb-reader.ts';
import type { LmdbStore, Place } from './lmdb-store.ts';

export interface SettleFailure {
  readonly error: unknown;
  readonly messages: number;
}

interface SubscriptionSettings extends SubscribeOptions {
  readonly store: LmdbStore;
  readonly handler: Handler;
  readonly now: () => number;
  /** Monotonic, for waits within this process; `now` is the wall clock, for what is written down. */
  readonly elapsedMs: () => number;
  readonly random: () => number;
  readonly attemptsMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly onSettleFailure: (failure: SettleFailure) => void;
}

/** A message on its way to the handler, or waiting to go there again. */
interface Lease extends Place {
  /** Single-message failures, as written down. */
  readonly failures: number;
  /** Deliveries in this process, whole batches included. */
  readonly deliveries: number;
}

const LEFT_UNSETTLED = 'the handler left it unsettled';

export class LmdbSubscription implements Subscription {
  readonly #settings: SubscriptionSettings;
  readonly #fresh: FreshMessages;
  /** Parts of failed batches, single messages whose wait is over, and replayed ones; each list is a batch of its own. */
  readonly #ready: Lease[][] = [];
  #freshInTurn = false;
  /** The last settle order taken of what the warehouse lost; undefined when there is no more of it. */
  #reopenedUpTo: number | undefined = 0;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #settling = new Set<Promise<void>>();
  #pauses = 0;
  #pausedUntilMs = 0;
  #stopping = false;
  #wake: () => void = () => undefined;
  readonly #loop: Promise<void>;

  constructor(settings: SubscriptionSettings) {
    this.#settings = settings;
    this.#fresh = new FreshMessages(settings);
    this.#loop = this.#run().catch((error: unknown) => settings.store.queue.fail(error));
  }

  get stopped(): boolean {
    return this.#stopping;
  }

  /** New messages of a dataset are durable. */
  published(messages: readonly { readonly dataset: string; readonly data: Buffer }[]): void {
    this.#fresh.published(messages);
    this.#wake();
  }

  /** Dead letters came back; they lie before the cursors. In full batches: one that fails again is found by halves. */
  replayed(messages: readonly (Place & { readonly bytes: number })[]): void {
    const { batchMessagesMax, batchBytesMax } = this.#settings;
    let batch: Lease[] = [];
    let batchBytes = 0;
    for (const { dataset, sequence, bytes } of messages) {
      if (batch.length === 0 || batch.length === batchMessagesMax || batchBytes + bytes > batchBytesMax) {
        batch = [];
        batchBytes = 0;
        this.#ready.push(batch);
      }
      batch.push({ dataset, sequence, failures: 0, deliveries: 0 });
      batchBytes += bytes;
    }
    this.#wake();
  }

  async drain(options: { readonly timeoutMs: number }): Promise<void> {
    this.stop();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, options.timeoutMs);
    });
    await Promise.race([this.#loop.then(() => this.#settled()), timeout]);
    clearTimeout(timer);
  }

  stop(): void {
    this.#stopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#wake();
  }

  async #settled(): Promise<void> {
    await Promise.allSettled(this.#settling);
  }

  async #run(): Promise<void> {
    while (!this.#stopping && !this.#settings.store.queue.failure) {
      const leases = this.#take();
      if (leases.length > 0) await this.#deliver(leases);
      else await this.#sleep();
      // A handler that answers without waiting for anything must not keep publishers and timers out.
      await nextTurn();
    }
  }

  /** What to deliver now; nothing means wait. */
  #take(): readonly Lease[] {
    if (this.#settings.elapsedMs() < this.#pausedUntilMs) return [];
    if (this.#reopenedUpTo !== undefined) {
      const lost = this.#ready.shift() ?? this.#takeReopened();
      if (lost.length > 0) return lost;
    }
    if ((this.#freshInTurn || this.#ready.length === 0) && this.#fresh.fillWaitMs() <= 0) {
      this.#freshInTurn = false;
      const fresh = this.#leasesOf(this.#fresh.take());
      if (fresh.length > 0) return fresh;
    }
    this.#freshInTurn = true;
    return this.#ready.shift() ?? [];
  }

  #takeReopened(): Lease[] {
    const { store, batchMessagesMax, batchBytesMax } = this.#settings;
    const leases: Lease[] = [];
    let bytes = 0;
    while (this.#reopenedUpTo !== undefined && leases.length === 0) {
      const page = readReopened(store.tables, { after: this.#reopenedUpTo, limit: batchMessagesMax });
      if (page.length === 0) this.#reopenedUpTo = undefined;
      for (const candidate of page) {
        if (leases.length > 0 && bytes + candidate.entry.bytes > batchBytesMax) return leases;
        this.#reopenedUpTo = candidate.order;
        const lease = this.#leaseOf(candidate);
        if (!lease) continue;
        leases.push(lease);
        bytes += candidate.entry.bytes;
      }
    }
    return leases;
  }

  #sleep(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const pauseMs = this.#pausedUntilMs - this.#settings.elapsedMs();
    // A pause may have ended since the look that found nothing: what is ready then would wait for ever.
    const overlooked = this.#ready.length > 0 || this.#reopenedUpTo !== undefined;
    const waitMs = pauseMs > 0 ? pauseMs : overlooked ? 0 : this.#fresh.fillWaitMs();
    const timer = Number.isFinite(waitMs) ? setTimeout(resolve, Math.max(0, Math.ceil(waitMs))) : undefined;
    this.#wake = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  #leasesOf(candidates: readonly BacklogEntry[]): Lease[] {
    return candidates.map((candidate) => this.#leaseOf(candidate)).filter((lease) => lease !== undefined);
  }

  /** Set aside: what still waits out a failure of an earlier process, or is being settled for an earlier subscriber. */
  #leaseOf({ dataset, sequence, entry }: BacklogEntry): Lease | undefined {
    const { store, now, backoffMinMs, backoffMaxMs } = this.#settings;
    const lease = { dataset, sequence, failures: entry.failures, deliveries: entry.failures };
    const waitMs = store.isMoving(sequence) ? backoffMinMs : Math.min(entry.notBeforeMs - now(), backoffMaxMs);
    if (waitMs <= 0) return lease;
    this.#later([lease], waitMs);
    return undefined;
  }

  async #deliver(leases: readonly Lease[]): Promise<void> {
    const delivered = leases.flatMap((lease) => this.#deliveryOf(lease));
    if (delivered.length === 0) return;
    let settlements: readonly (Settlement | undefined)[];
    try {
      settlements = await this.#settings.handler(delivered.map(({ delivery }) => delivery));
    } catch (error) {
      this.#refused(
        delivered.map(({ lease }) => ({ ...lease, deliveries: lease.deliveries + 1 })),
        error,
      );
      return;
    }
    this.#pauses = 0;
    this.#settle(
      delivered.map(({ lease }) => lease),
      settlements,
    );
  }

  #deliveryOf(lease: Lease): { readonly lease: Lease; readonly delivery: Delivery }[] {
    const { tables } = this.#settings.store;
    const header = tables.header.get(lease.sequence);
    const message = readMessage(tables, lease.sequence, header);
    // Settled meanwhile, by a handler that outlived its subscription.
    if (!header || !message || !tables.unsettled.doesExist([lease.dataset, lease.sequence])) return [];
    const { publishedAtMs, foreign } = header;
    return [
      { lease, delivery: { message, sequence: lease.sequence, publishedAtMs, attempt: lease.deliveries + 1, foreign } },
    ];
  }

  #settle(leases: readonly Lease[], settlements: readonly (Settlement | undefined)[]): void {
    const { store } = this.#settings;
    const acknowledged: Lease[] = [];
    for (const [at, lease] of leases.entries()) {
      const settlement = settlements[at];
      switch (settlement?.kind) {
        case 'ack':
          acknowledged.push(lease);
          break;
        case 'dead_letter': {
          const { code, reason } = settlement;
          this.#bury(lease, { code, reason, attempts: lease.deliveries + 1 });
          break;
        }
        case undefined:
          this.#failed({ ...lease, deliveries: lease.deliveries + 1 }, LEFT_UNSETTLED);
      }
    }
    this.#track(store.acknowledge(acknowledged), acknowledged);
  }

  #refused(leases: readonly Lease[], error: unknown): void {
    const infrastructure = error instanceof AppError && error.retryable;
    if (infrastructure) this.#pause();
    const [only] = leases;
    if (leases.length > 1) {
      const middle = Math.ceil(leases.length / 2);
      this.#ready.unshift(leases.slice(0, middle), leases.slice(middle));
    } else if (only && infrastructure) {
      this.#later([only], this.#backoffMs(only.deliveries));
    } else if (only) {
      this.#failed(only, `every attempt failed, the last with ${classAndCode(error)}`);
    }
  }

  #failed(lease: Lease, reason: string): void {
    const { store, attemptsMax, now } = this.#settings;
    const failures = lease.failures + 1;
    if (failures >= attemptsMax) {
      this.#bury(lease, { code: 'MESSAGE_FAILED', reason, attempts: lease.deliveries });
      return;
    }
    const waitMs = this.#backoffMs(failures);
    const written = store.recordFailure(lease, { failures, notBeforeMs: now() + waitMs });
    this.#track(
      written.then(() => this.#later([{ ...lease, failures }], waitMs)),
      [{ ...lease, failures }],
    );
  }

  #bury(lease: Lease, death: { readonly code: string; readonly reason: string; readonly attempts: number }): void {
    const { store, onDeadLetter } = this.#settings;
    const header = store.tables.header.get(lease.sequence);
    const { code, attempts } = death;
    const buried = store.bury(lease, death).then(() => {
      if (header === undefined) return;
      const { messageId, dataset, requestId, rowCount } = header;
      onDeadLetter?.({ messageId, dataset, requestId, rowCount, code, attempts });
    });
    this.#track(buried, [lease]);
  }

  #pause(): void {
    this.#pauses += 1;
    this.#pausedUntilMs = this.#settings.elapsedMs() + this.#backoffMs(this.#pauses);
  }

  #later(leases: Lease[], waitMs: number): void {
    if (this.#stopping) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#ready.push(leases);
      this.#wake();
    }, Math.ceil(waitMs));
    this.#timers.add(timer);
  }

  /** Doubles with each failure; between half and all of it, so that messages which failed together part. */
  #backoffMs(failures: number): number {
    const { backoffMinMs, backoffMaxMs, random } = this.#settings;
    const fullMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(failures - 1, 30));
    return fullMs * (0.5 + random() / 2);
  }

  /** A settlement that could not be written (the disk is full) leaves its messages where they were: again later. */
  #track(settling: Promise<void>, leases: readonly Lease[]): void {
    const tracked = settling
      .catch((error: unknown) => {
        this.#settings.onSettleFailure({ error, messages: leases.length });
        for (const lease of leases) this.#later([lease], this.#backoffMs(lease.deliveries + 1));
      })
      .finally(() => this.#settling.delete(tracked));
    this.#settling.add(tracked);
  }
}

function classAndCode(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code =
    'code' in error && typeof error.code === 'string' && /^[A-Z0-9_]{1,64}$/.test(error.code) ? ` ${error.code}` : '';
  return `${error.name}${code}`;
}
