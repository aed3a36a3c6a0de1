/**
 * The part of the backlog that was never taken in this process: how far each dataset was read, and how long a batch
 * may still fill. Datasets take turns, so that a flood in one does not hold up another.
 */
import type { SubscribeOptions } from './bus.ts';
import { type BacklogEntry, readBacklog } from './lmdb-reader.ts';
import type { LmdbStore } from './lmdb-store.ts';

interface FreshOptions extends SubscribeOptions {
  readonly store: LmdbStore;
  /** Monotonic. */
  readonly elapsedMs: () => number;
}

/** On the monotonic clock: what lay there already has waited long enough for its batch to fill. */
const LONG_AGO_MS = Number.MIN_SAFE_INTEGER;

export class FreshMessages {
  readonly #options: FreshOptions;
  /** How far each dataset's backlog was taken. */
  readonly #cursors = new Map<string, number>();
  /** Messages beyond the cursors. */
  readonly #waiting = new Map<string, { messages: number; bytes: number }>();
  #sinceMs: number | undefined;
  #firstDataset = 0;

  constructor(options: FreshOptions) {
    this.#options = options;
    for (const [dataset, totals] of options.store.backlog) {
      if (totals.messages > 0) this.#waiting.set(dataset, { messages: totals.messages, bytes: totals.bytes });
    }
    if (this.#waiting.size > 0) this.#sinceMs = LONG_AGO_MS;
  }

  published(messages: readonly { readonly dataset: string; readonly data: Buffer }[]): void {
    for (const { dataset, data } of messages) {
      const waiting = this.#waiting.get(dataset) ?? { messages: 0, bytes: 0 };
      this.#waiting.set(dataset, { messages: waiting.messages + 1, bytes: waiting.bytes + data.length });
    }
    this.#sinceMs ??= this.#options.elapsedMs();
  }

  /** How long the batch may still fill; Infinity when there is nothing. */
  fillWaitMs(): number {
    if (this.#sinceMs === undefined) return Number.POSITIVE_INFINITY;
    const { batchMessagesMax, batchBytesMax, batchWaitMs, elapsedMs } = this.#options;
    let messages = 0;
    let bytes = 0;
    for (const waiting of this.#waiting.values()) {
      messages += waiting.messages;
      bytes += waiting.bytes;
    }
    if (messages >= batchMessagesMax || bytes >= batchBytesMax) return 0;
    return this.#sinceMs + batchWaitMs - elapsedMs();
  }

  /** A batch's worth of entries, passed for good: the caller has each of them now. */
  take(): readonly BacklogEntry[] {
    const taken: BacklogEntry[] = [];
    const datasets = [...this.#waiting.keys()];
    const room = { messages: this.#options.batchMessagesMax, bytes: this.#options.batchBytesMax };
    this.#firstDataset = (this.#firstDataset + 1) % Math.max(1, datasets.length);
    const inTurn = [...datasets.slice(this.#firstDataset), ...datasets.slice(0, this.#firstDataset)];
    for (const [at, dataset] of inTurn.entries()) {
      const share = Math.ceil(room.messages / (inTurn.length - at));
      taken.push(...this.#takeOf(dataset, share, room));
    }
    this.#sinceMs = this.#waiting.size > 0 ? LONG_AGO_MS : undefined;
    return taken;
  }

  #takeOf(dataset: string, limit: number, room: { messages: number; bytes: number }): BacklogEntry[] {
    const { store, batchMessagesMax } = this.#options;
    const taken: BacklogEntry[] = [];
    const cursor = { dataset, sequence: this.#cursors.get(dataset) ?? 0 };
    const entries = limit > 0 ? readBacklog(store.tables, cursor, limit) : [];
    for (const candidate of entries) {
      const first = room.messages === batchMessagesMax;
      if (!first && candidate.entry.bytes > room.bytes) return taken;
      this.#pass(candidate);
      // What the warehouse lost is taken elsewhere, in settle order.
      if (candidate.entry.reopenedFrom !== undefined) continue;
      taken.push(candidate);
      room.messages -= 1;
      room.bytes -= candidate.entry.bytes;
    }
    // The table has no more of it, whatever was counted: an acknowledgement may have overtaken the cursor.
    if (entries.length < limit) this.#waiting.delete(dataset);
    return taken;
  }

  #pass({ dataset, sequence, entry }: BacklogEntry): void {
    this.#cursors.set(dataset, sequence);
    const waiting = this.#waiting.get(dataset);
    if (!waiting) return;
    waiting.messages -= 1;
    waiting.bytes -= entry.bytes;
    if (waiting.messages <= 0) this.#waiting.delete(dataset);
  }
}
