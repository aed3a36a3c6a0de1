/**
 * Every move of a message between the tables, each one transaction, and what is counted in memory about them.
 *
 * Memory for each message held: two index entries, 32 bytes; bodies and headers are read when needed. A move claims
 * its message until it is durable, so that settling or releasing the same message twice changes nothing.
 */
import type { AppError } from '../errors.ts';
import type { BusMessage, DeadLetterRest, RemovalReason } from './bus.ts';
import { CommitQueue } from './commit-queue.ts';
import { draftOf, type TailDraft, writeRemoved, writeRest } from './lmdb-removal.ts';
import {
  type Dead,
  footprintBytes,
  freshUnsettled,
  type Header,
  openTables,
  type Tables,
  type Tail,
  TAIL_AT_FIRST,
  type Unsettled,
} from './lmdb-tables.ts';
import { SequenceIndex } from './sequence-index.ts';

/** Where a message of the backlog is. */
export interface Place {
  readonly dataset: string;
  readonly sequence: number;
}

interface Totals {
  messages: number;
  rows: number;
  bytes: number;
}

interface StoreOptions {
  readonly dir: string;
  readonly bytesMax: number;
  readonly noSync: boolean;
  readonly now: () => number;
  readonly onFailure: (error: AppError) => void;
}

interface Move {
  readonly sequence: number;
  readonly write: () => void;
  readonly apply: () => void;
}

/** A small entry rewritten or removed, with its share of tree pages. */
const ENTRY_BYTES = 512;

export class LmdbStore {
  readonly tables: Tables;
  readonly queue: CommitQueue;
  readonly byMessage = new SequenceIndex();
  readonly byRequest = new SequenceIndex();
  readonly #now: () => number;
  readonly #backlog = new Map<string, Totals>();
  readonly #settled: Totals = { messages: 0, rows: 0, bytes: 0 };
  readonly #moving = new Set<number>();
  #heldBytes = 0;
  #durable: Tail;
  #draft: TailDraft;

  constructor(options: StoreOptions) {
    this.#now = options.now;
    this.tables = openTables(options);
    this.#durable = this.tables.tail.get('tail') ?? TAIL_AT_FIRST;
    this.#draft = draftOf(this.#durable);
    this.#count();
    this.queue = new CommitQueue({
      root: this.tables.root,
      begin: () => {
        this.#draft = draftOf(this.#durable);
      },
      end: () => void this.tables.tail.put('tail', this.#draft),
      committed: () => {
        this.#durable = this.#draft;
      },
      onFailure: options.onFailure,
    });
  }

  /** What publishing is measured against. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get backlog(): ReadonlyMap<string, Readonly<Totals>> {
    return this.#backlog;
  }

  get settled(): Readonly<Totals> {
    return this.#settled;
  }

  /** True while the message is being settled, replayed or released. */
  isMoving(sequence: number): boolean {
    return this.#moving.has(sequence);
  }

  publish(messages: readonly BusMessage[]): Promise<void> {
    const written: { readonly sequence: number; readonly header: Header }[] = [];
    return this.queue.commit({
      bytes: messages.reduce((sum, message) => sum + footprintBytes(message.data.length), 0),
      write: () => {
        for (const message of messages) written.push(this.#write(message));
      },
      apply: () => {
        for (const { sequence, header } of written) {
          this.#hold(sequence, header);
          add(this.#backlogOf(header.dataset), header, 1);
        }
      },
    });
  }

  /** Unsettled → settled. */
  async acknowledge(places: readonly Place[]): Promise<void> {
    await this.#move(
      places.map((place) =>
        this.#leaveBacklog(
          place,
          () => {
            this.#draft.settleOrder += 1;
            void this.tables.settled.put(this.#draft.settleOrder, {
              sequence: place.sequence,
              settledAtMs: this.#now(),
            });
          },
          (entry) => add(this.#settled, entry, 1),
        ),
      ),
    );
  }

  /** Unsettled → dead: never in both, never in neither. */
  async bury(place: Place, reason: Omit<Dead, 'deadAtMs'>): Promise<void> {
    await this.#move([
      this.#leaveBacklog(place, () => {
        void this.tables.dead.put(place.sequence, { ...reason, deadAtMs: this.#now() });
      }),
    ]);
  }

  /** Dead → unsettled, failures from zero. */
  async revive(sequences: readonly number[]): Promise<void> {
    await this.#move(
      sequences.map((sequence) => {
        const header = this.tables.dead.doesExist(sequence) ? this.tables.header.get(sequence) : undefined;
        const write = () => void this.tables.dead.remove(sequence);
        return header && this.#enterBacklog({ sequence, header, entry: freshUnsettled(header) }, { write });
      }),
    );
  }

  /** Settled → unsettled, to be delivered first and in this order, also after a restart. */
  async reopen(orders: readonly number[]): Promise<void> {
    await this.#move(
      orders.map((order) => {
        const settled = this.#settledAt(order);
        if (!settled) return undefined;
        const { sequence, header } = settled;
        return this.#enterBacklog(
          { sequence, header, entry: { ...freshUnsettled(header), reopenedFrom: order } },
          {
            write: () => {
              void this.tables.settled.remove(order);
              void this.tables.reopened.put(order, { dataset: header.dataset, sequence });
            },
            apply: () => add(this.#settled, header, -1),
          },
        );
      }),
    );
  }

  /** Settled → gone. */
  async release(orders: readonly number[]): Promise<void> {
    await this.#move(
      orders.map((order) => {
        const settled = this.#settledAt(order);
        return (
          settled && {
            sequence: settled.sequence,
            write: () => {
              void this.tables.settled.remove(order);
              void this.tables.header.remove(settled.sequence);
              void this.tables.body.remove(settled.sequence);
            },
            apply: () => {
              add(this.#settled, settled.header, -1);
              this.#forget(settled.sequence, settled.header);
            },
          }
        );
      }),
    );
  }

  /** Dead → less of it, or gone. What was put back meanwhile is left as it is; answers how many were done. */
  removeFromDead(rests: readonly DeadLetterRest[], reason: RemovalReason): Promise<number> {
    return this.#move(
      rests.map(({ sequence, rest, removedRows }) => {
        const header = this.tables.dead.doesExist(sequence) ? this.tables.header.get(sequence) : undefined;
        return (
          header && {
            sequence,
            write: () => {
              writeRest(this.tables, { sequence, header, rest });
              writeRemoved(this.tables, this.#draft, { sequence, header, reason, rows: removedRows });
            },
            apply: () => this.#shrink(sequence, header, rest),
          }
        );
      }),
    );
  }

  /** Remembers over a restart how often a message failed alone, and how long it has to wait. */
  async recordFailure(place: Place, failure: Pick<Unsettled, 'failures' | 'notBeforeMs'>): Promise<void> {
    const entry = this.tables.unsettled.get([place.dataset, place.sequence]);
    await this.#move([
      entry && {
        sequence: place.sequence,
        write: () => void this.tables.unsettled.put([place.dataset, place.sequence], { ...entry, ...failure }),
        apply: () => undefined,
      },
    ]);
  }

  async close(): Promise<void> {
    await this.queue.close();
    // After a failure lmdb may wait for ever for the commit that never answered; the process is about to end anyway.
    if (!this.queue.hung) await this.tables.root.close();
  }

  #write(message: BusMessage): { readonly sequence: number; readonly header: Header } {
    const { messageId, dataset, requestId, rowCount, attributes, data } = message;
    this.#draft.sequence += 1;
    const sequence = this.#draft.sequence;
    const foreign = requestId === '';
    const header = {
      messageId,
      dataset,
      requestId,
      rowCount,
      bytes: data.length,
      publishedAtMs: this.#now(),
      foreign,
      attributes,
    };
    // A foreign message is accepted when it is first delivered; the ledger counts it then.
    this.#draft.acceptedRows[dataset] = (this.#draft.acceptedRows[dataset] ?? 0) + (foreign ? 0 : rowCount);
    void this.tables.header.put(sequence, header);
    void this.tables.body.put(sequence, data);
    void this.tables.unsettled.put([dataset, sequence], freshUnsettled(header));
    return { sequence, header };
  }

  /** A message that is gone is still found by its request, for the rows that were removed from it. */
  #shrink(sequence: number, header: Header, rest: DeadLetterRest['rest']): void {
    this.#heldBytes -= footprintBytes(header.bytes);
    if (rest === undefined) this.byMessage.remove(header.messageId, sequence);
    else this.#heldBytes += footprintBytes(rest.data.length);
  }

  /** Absent moves (already gone, already moving) are left out; claims end when the commit did or failed. Answers how many. */
  async #move(moves: readonly (Move | undefined)[]): Promise<number> {
    const claimed = moves.filter((move) => move !== undefined).filter(({ sequence }) => this.#claim(sequence));
    if (claimed.length === 0) return 0;
    try {
      await this.queue.commit({
        bytes: claimed.length * ENTRY_BYTES,
        write: () => {
          for (const move of claimed) move.write();
        },
        apply: () => {
          for (const move of claimed) move.apply();
        },
      });
    } finally {
      for (const { sequence } of claimed) this.#moving.delete(sequence);
    }
    return claimed.length;
  }

  #claim(sequence: number): boolean {
    if (this.#moving.has(sequence)) return false;
    this.#moving.add(sequence);
    return true;
  }

  #leaveBacklog(
    place: Place,
    write: () => void,
    apply: (entry: Unsettled) => void = () => undefined,
  ): Move | undefined {
    const entry = this.tables.unsettled.get([place.dataset, place.sequence]);
    return (
      entry && {
        sequence: place.sequence,
        write: () => {
          void this.tables.unsettled.remove([place.dataset, place.sequence]);
          if (entry.reopenedFrom !== undefined) void this.tables.reopened.remove(entry.reopenedFrom);
          write();
        },
        apply: () => {
          add(this.#backlogOf(place.dataset), entry, -1);
          apply(entry);
        },
      }
    );
  }

  #enterBacklog(
    { sequence, header, entry }: { readonly sequence: number; readonly header: Header; readonly entry: Unsettled },
    { write, apply }: { readonly write: () => void; readonly apply?: () => void },
  ): Move {
    return {
      sequence,
      write: () => {
        void this.tables.unsettled.put([header.dataset, sequence], entry);
        write();
      },
      apply: () => {
        add(this.#backlogOf(header.dataset), header, 1);
        apply?.();
      },
    };
  }

  #settledAt(order: number): { readonly sequence: number; readonly header: Header } | undefined {
    const sequence = this.tables.settled.get(order)?.sequence;
    const header = sequence === undefined ? undefined : this.tables.header.get(sequence);
    return sequence !== undefined && header ? { sequence, header } : undefined;
  }

  #hold(sequence: number, header: Header): void {
    this.byMessage.add(header.messageId, sequence);
    // Foreign messages have none; one key for all of them would make every probe a scan.
    if (header.requestId !== '') this.byRequest.add(header.requestId, sequence);
    this.#heldBytes += footprintBytes(header.bytes);
  }

  #forget(sequence: number, header: Header): void {
    this.byMessage.remove(header.messageId, sequence);
    // What was removed from it is still found by its request.
    const isLeft = this.tables.removed.doesExist(sequence);
    if (header.requestId !== '' && !isLeft) this.byRequest.remove(header.requestId, sequence);
    this.#heldBytes -= footprintBytes(header.bytes);
  }

  #backlogOf(dataset: string): Totals {
    const known = this.#backlog.get(dataset);
    if (known) return known;
    const totals = { messages: 0, rows: 0, bytes: 0 };
    this.#backlog.set(dataset, totals);
    return totals;
  }

  /** Once, at start: a million messages take some seconds. */
  #count(): void {
    for (const dataset of Object.keys(this.#durable.acceptedRows)) this.#backlogOf(dataset);
    for (const { key, value } of this.tables.header.getRange()) this.#hold(key, value);
    for (const { key, value } of this.tables.removed.getRange()) {
      const isHeld = this.tables.header.doesExist(key);
      if (!isHeld && value.requestId !== '') this.byRequest.add(value.requestId, key);
    }
    for (const { key, value } of this.tables.unsettled.getRange()) add(this.#backlogOf(key[0]), value, 1);
    for (const { value } of this.tables.settled.getRange()) {
      const header = this.tables.header.get(value.sequence);
      if (header) add(this.#settled, header, 1);
    }
  }
}

function add(totals: Totals, message: { readonly rowCount: number; readonly bytes: number }, sign: 1 | -1): void {
  totals.messages += sign;
  totals.rows += sign * message.rowCount;
  totals.bytes += sign * message.bytes;
}
