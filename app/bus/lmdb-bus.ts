/**
 * The embedded bus: durable publish, leased deliveries and dead letters in one LMDB environment, in this process.
 *
 * - `publish` answers after the fdatasync of the transaction that holds all of its messages (commit-queue.ts); what is
 *   delivered is durable, because nothing else is visible.
 * - What a failed delivery means, what pauses, what dies: lmdb-subscription.ts.
 * - After an I/O error the bus has failed for good: every publish gets BUS_UNAVAILABLE, deliveries stop, `check`
 *   rejects and `onFailure` is called, so that the process ends and starts again from what the disk really holds.
 */
import { AppError } from '../errors.ts';
import { syncNames } from '../lmdb-durability.ts';
import type { Bus, BusBacklog, BusMessage, DeadLetter, DeadLetterFilter } from './bus.ts';
import { DiskGauge } from './disk-gauge.ts';
import {
  deadLetterOf,
  findByRequest,
  findMessage,
  readBacklog,
  readDead,
  readMessage,
  readSettled,
  readSettledIds,
  readSnapshot,
} from './lmdb-reader.ts';
import { LmdbStore } from './lmdb-store.ts';
import { LmdbSubscription, type SettleFailure } from './lmdb-subscription.ts';
import { footprintBytes } from './lmdb-tables.ts';

export interface LmdbBusOptions {
  readonly dir: string;
  readonly now: () => number;
  /** Publishing stops when the disk is this full. */
  readonly diskFullPercent: number;
  /** Publishing stops when the messages held take this much. */
  readonly mapBytesMax: number;
  /** Failures of a message alone, then it is dead. */
  readonly attemptsMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Monotonic, for waits within this process. */
  readonly elapsedMs?: () => number;
  /** 0 ≤ random() < 1, for the jitter. */
  readonly random?: () => number;
  /** Only so that a durability test can prove that it would notice. */
  readonly noSync?: boolean;
  /** Tests kill the process here: 'after-publish' is durable and not yet answered. */
  readonly faultPoint?: (name: 'after-publish') => void;
  /** Called once when nothing can be made durable any more; the process has to start again. */
  readonly onFailure?: (error: AppError) => void;
  /** Called when settlements could not be written (the disk is full): their messages are delivered again. */
  readonly onSettleFailure?: (failure: SettleFailure) => void;
}

/** How many message ids are asked of the ledger at once. */
const RECONCILE_PAGE = 1_000;
const MESSAGE_ID = /^[0-9a-f]{32}$/;
/** LMDB keys end at 1978 bytes; a dataset's name is one. */
const NAME_LENGTH_MAX = 256;

export async function openLmdbBus(options: LmdbBusOptions): Promise<Bus> {
  const bus = new LmdbBus(options);
  await syncNames(options.dir);
  return bus;
}

class LmdbBus implements Bus {
  readonly name = 'embedded';
  readonly #options: LmdbBusOptions;
  readonly #store: LmdbStore;
  readonly #disk: DiskGauge;
  readonly #reading = new Set<Promise<unknown>>();
  #subscription: LmdbSubscription | undefined;

  constructor(options: LmdbBusOptions) {
    this.#options = options;
    this.#store = new LmdbStore({
      dir: options.dir,
      bytesMax: options.mapBytesMax,
      noSync: options.noSync ?? false,
      now: options.now,
      onFailure: options.onFailure ?? (() => undefined),
    });
    this.#disk = new DiskGauge({ dir: options.dir, fullPercent: options.diskFullPercent });
  }

  async publish(messages: readonly BusMessage[]): Promise<void> {
    if (messages.length === 0) return;
    let bytes = 0;
    for (const message of messages) {
      refuseUnusable(message);
      bytes += footprintBytes(message.data.length);
    }
    await this.#refuseWhenUnable(bytes);
    await this.#store.publish(messages);
    this.#options.faultPoint?.('after-publish');
    this.#subscription?.published(messages);
  }

  subscribe(...[handler, options]: Parameters<Bus['subscribe']>): LmdbSubscription {
    if (this.#subscription && !this.#subscription.stopped)
      throw new Error('The embedded bus takes one subscriber at a time.');
    const { now, attemptsMax, backoffMinMs, backoffMaxMs, random = Math.random } = this.#options;
    const { onSettleFailure = () => undefined, elapsedMs = () => performance.now() } = this.#options;
    this.#subscription = new LmdbSubscription({
      ...options,
      handler,
      store: this.#store,
      now,
      elapsedMs,
      random,
      attemptsMax,
      backoffMinMs,
      backoffMaxMs,
      onSettleFailure,
    });
    return this.#subscription;
  }

  backlog(): readonly BusBacklog[] {
    return Array.from(this.#store.backlog, ([dataset, { messages, rows }]) => {
      const [oldest] = messages > 0 ? readBacklog(this.#store.tables, { dataset, sequence: 0 }, 1) : [];
      return { dataset, messages, rows, oldestAtMs: oldest?.entry.publishedAtMs };
    });
  }

  async snapshot(): ReturnType<Bus['snapshot']> {
    this.#refuseWhenClosed();
    return this.#reads(readSnapshot(this.#store.tables, this.#options.now()));
  }

  async findByRequest(requestId: string): ReturnType<Bus['findByRequest']> {
    this.#refuseWhenClosed();
    return findByRequest(this.#store, requestId);
  }

  async read(messageId: string): Promise<BusMessage | undefined> {
    this.#refuseWhenClosed();
    const found = findMessage(this.#store, messageId);
    return found && readMessage(this.#store.tables, found.sequence, found.header);
  }

  async deadLetters(page: {
    readonly filter: DeadLetterFilter;
    readonly limit: number;
    readonly after?: string;
  }): Promise<readonly DeadLetter[]> {
    this.#refuseWhenClosed();
    const { filter, limit, after } = page;
    const before = after === undefined ? undefined : this.#sequenceOf(after);
    const entries = await this.#reads(
      readDead(this.#store.tables, { filter, limit, ...(before === undefined ? {} : { before }) }),
    );
    this.#refuseWhenClosed();
    return entries.map((entry) => deadLetterOf(this.#store.tables, entry)).filter((letter) => letter !== undefined);
  }

  async replay(...[{ filter, limit, dryRun }]: Parameters<Bus['replay']>): ReturnType<Bus['replay']> {
    this.#refuseWhenClosed();
    const entries = await this.#reads(readDead(this.#store.tables, { filter, limit }));
    this.#refuseWhenClosed();
    const matching = { messages: entries.length, rows: entries.reduce((sum, { header }) => sum + header.rowCount, 0) };
    if (dryRun || entries.length === 0) return matching;
    await this.#store.revive(entries.map(({ sequence }) => sequence));
    this.#subscription?.replayed(
      entries.map(({ sequence, header: { dataset, bytes } }) => ({ sequence, dataset, bytes })),
    );
    return matching;
  }

  async removeFromDead(...[rests, reason]: Parameters<Bus['removeFromDead']>): Promise<number> {
    this.#refuseWhenClosed();
    return this.#store.removeFromDead(rests, reason);
  }

  async settled(options: { readonly limit: number; readonly bytesMax: number }): ReturnType<Bus['settled']> {
    this.#refuseWhenClosed();
    return this.#reads(readSettled(this.#store.tables, options));
  }

  settledCount(): ReturnType<Bus['settledCount']> {
    const { messages, bytes } = this.#store.settled;
    const [oldest] = messages > 0 ? this.#store.tables.settled.getRange({ limit: 1 }) : [];
    return { messages, bytes, oldestAtMs: oldest?.value.settledAtMs };
  }

  async release(settleOrders: readonly number[]): Promise<void> {
    await this.#store.release(settleOrders);
  }

  async reconcile(ledgerHolds: Parameters<Bus['reconcile']>[0]): ReturnType<Bus['reconcile']> {
    if (this.#subscription)
      throw new Error('Reconcile before subscribing: deliveries under way would be settled twice.');
    // Settled first: what is acknowledged below need not be asked about again.
    const redelivered = await this.#reopenUnknown(ledgerHolds);
    let acknowledged = 0;
    for (const dataset of this.#store.backlog.keys())
      acknowledged += await this.#acknowledgeKnown(dataset, ledgerHolds);
    return { acknowledged, redelivered };
  }

  async check(): Promise<void> {
    await this.#refuseWhenUnable(0);
  }

  async close(): Promise<void> {
    this.#subscription?.stop();
    await Promise.allSettled(this.#reading);
    await this.#store.close();
  }

  async #reopenUnknown(ledgerHolds: Parameters<Bus['reconcile']>[0]): Promise<number> {
    let reopened = 0;
    for (let after = 0; ; ) {
      const page = readSettledIds(this.#store.tables, { after, limit: RECONCILE_PAGE });
      const last = page.at(-1);
      if (!last) return reopened;
      const held = await ledgerHolds(page.map(({ messageId }) => messageId));
      const lost = page.filter(({ messageId }) => !held.has(messageId));
      await this.#store.reopen(lost.map(({ order }) => order));
      reopened += lost.length;
      after = last.order;
    }
  }

  async #acknowledgeKnown(dataset: string, ledgerHolds: Parameters<Bus['reconcile']>[0]): Promise<number> {
    let acknowledged = 0;
    for (let sequence = 0; ; ) {
      const page = readBacklog(this.#store.tables, { dataset, sequence }, RECONCILE_PAGE);
      const last = page.at(-1);
      if (!last) return acknowledged;
      const held = await ledgerHolds(page.map(({ entry }) => entry.messageId));
      const known = page.filter(({ entry }) => held.has(entry.messageId));
      await this.#store.acknowledge(known);
      acknowledged += known.length;
      sequence = last.sequence;
    }
  }

  #sequenceOf(messageId: string): number {
    const found = findMessage(this.#store, messageId);
    if (found) return found.sequence;
    throw new AppError({
      code: 'CURSOR_GONE',
      publicMessage: `CURSOR_GONE: the bus no longer holds message ${messageId}, where the page was to start. Start again without cursor.`,
    });
  }

  async #refuseWhenUnable(bytes: number): Promise<void> {
    this.#refuseWhenClosed();
    const held = this.#store.heldBytes + bytes;
    if (held > this.#options.mapBytesMax) {
      throw new AppError({
        code: 'DISK_FULL',
        publicMessage: `DISK_FULL: the bus would hold ${held} bytes, limit is ${this.#options.mapBytesMax} (BUS_BYTES_MAX). Retry when stored messages are sealed.`,
        retryAfterSeconds: 30,
      });
    }
    await this.#disk.refuseWhenFull();
  }

  /** The tables stay open until it ends. */
  #reads<T>(reading: Promise<T>): Promise<T> {
    this.#reading.add(reading);
    return reading.finally(() => this.#reading.delete(reading));
  }

  #refuseWhenClosed(): void {
    if (this.#store.queue.failure) throw this.#store.queue.failure;
  }
}

/** Our own mistakes, caught before they could break the commit of others. */
function refuseUnusable({ messageId, dataset, requestId }: BusMessage): void {
  const fault = !MESSAGE_ID.test(messageId)
    ? 'messageId is not 32 hex digits'
    : dataset.length === 0 || dataset.length > NAME_LENGTH_MAX || requestId.length > NAME_LENGTH_MAX
      ? `dataset or requestId is empty or above ${NAME_LENGTH_MAX} characters`
      : undefined;
  if (fault === undefined) return;
  throw new AppError({
    code: 'INTERNAL',
    publicMessage: 'INTERNAL: the message could not be published.',
    detail: fault,
  });
}
