/**
 * Everything that is read from the tables: deliveries, pages, and the snapshot of the loss equation.
 *
 * What may be long (a snapshot, settled messages, dead letters) holds one read transaction from start to end and hands
 * the loop back in between, so that it is consistent however long it takes and stalls nobody. The rest reads within one
 * turn, where lmdb shows one transaction too.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Transaction } from 'lmdb';
import type {
  BusMessage,
  BusSnapshot,
  DeadLetter,
  DeadLetterFilter,
  RequestMessage,
  SettledMessage,
  UnsettledMessage,
} from './bus.ts';
import type { LmdbStore, Place } from './lmdb-store.ts';
import { type Dead, type Header, NOTHING_REMOVED, type Tables, TAIL_AT_FIRST, type Unsettled } from './lmdb-tables.ts';

/** About 5 ms of reading between two turns. */
const TURN_ENTRIES = 2_000;
/** The same, of bodies. */
const TURN_BYTES = 16 * 1024 * 1024;

/** One consistent look; see BusSnapshot. */
export function readSnapshot(tables: Tables, takenAtMs: number): Promise<BusSnapshot> {
  return atOneMoment(tables, async (transaction) => {
    const tail = tables.tail.get('tail', { transaction }) ?? TAIL_AT_FIRST;
    const unsettled: UnsettledMessage[] = [];
    for (const { key, value } of tables.unsettled.getRange({ transaction })) {
      unsettled.push(unsettledMessage(key[0], value));
      if (unsettled.length % TURN_ENTRIES === 0) await nextTurn();
    }
    const deadLetters: UnsettledMessage[] = [];
    for (const { key } of tables.dead.getRange({ transaction })) {
      const header = tables.header.get(key, { transaction });
      if (header) deadLetters.push(unsettledMessage(header.dataset, header));
      if (deadLetters.length % TURN_ENTRIES === 0) await nextTurn();
    }
    const { sequence: cut, acceptedRows, removedRows = NOTHING_REMOVED } = tail;
    return { cut, takenAtMs, acceptedRows, removedRows, unsettled, deadLetters };
  });
}

export interface BacklogEntry extends Place {
  readonly entry: Unsettled;
}

/** Unsettled messages of one dataset after a sequence, oldest first, without their bodies. */
export function readBacklog(tables: Tables, from: Place, limit: number): BacklogEntry[] {
  const range = tables.unsettled.getRange({
    start: [from.dataset, from.sequence + 1],
    end: [from.dataset, Number.MAX_SAFE_INTEGER],
    limit,
  });
  return Array.from(range, ({ key, value }) => ({ dataset: key[0], sequence: key[1], entry: value }));
}

export interface ReopenedEntry extends BacklogEntry {
  readonly order: number;
}

/** Unsettled messages that the warehouse lost, in the order in which they were once settled. */
export function readReopened(
  tables: Tables,
  page: { readonly after: number; readonly limit: number },
): ReopenedEntry[] {
  const range = tables.reopened.getRange({ start: page.after + 1, limit: page.limit });
  return Array.from(range).flatMap(({ key: order, value: { dataset, sequence } }) => {
    const entry = tables.unsettled.get([dataset, sequence]);
    return entry ? [{ order, dataset, sequence, entry }] : [];
  });
}

export function readMessage(
  tables: Tables,
  sequence: number,
  header = tables.header.get(sequence),
  transaction?: Transaction,
): BusMessage | undefined {
  const data = header && tables.body.get(sequence, transaction ? { transaction } : {});
  if (!header || !data) return undefined;
  const { messageId, dataset, requestId, rowCount, attributes } = header;
  return { messageId, dataset, requestId, rowCount, data, attributes };
}

/** The newest message with this id, if several were published with one. */
export function findMessage(
  store: LmdbStore,
  messageId: string,
): { readonly sequence: number; readonly header: Header } | undefined {
  for (const sequence of store.byMessage.find(messageId).sort((one, other) => other - one)) {
    const header = store.tables.header.get(sequence);
    if (header?.messageId === messageId) return { sequence, header };
  }
  return undefined;
}

/** In order of publication. */
export function findByRequest(store: LmdbStore, requestId: string): RequestMessage[] {
  const { tables } = store;
  const sequences = store.byRequest.find(requestId).sort((one, other) => one - other);
  return sequences.flatMap((sequence): RequestMessage[] => {
    const removed = removedOf(tables, sequence, requestId);
    const header = tables.header.get(sequence);
    if (header?.requestId !== requestId) return removed;
    const { messageId, dataset, rowCount } = header;
    if (tables.unsettled.doesExist([dataset, sequence]))
      return [...removed, { messageId, state: 'unsettled', rowCount }];
    return tables.dead.doesExist(sequence) ? [...removed, { messageId, state: 'dead', rowCount }] : removed;
  });
}

function removedOf(tables: Tables, sequence: number, requestId: string): RequestMessage[] {
  const removed = tables.removed.get(sequence);
  if (removed?.requestId !== requestId) return [];
  const { messageId } = removed;
  return (['erased', 'expired'] as const).flatMap((state) =>
    removed[state] > 0 ? [{ messageId, state, rowCount: removed[state] }] : [],
  );
}

/** Acknowledged messages in settle order; always at least one when there is one, however large. */
export function readSettled(
  tables: Tables,
  options: { readonly limit: number; readonly bytesMax: number },
): Promise<SettledMessage[]> {
  return atOneMoment(tables, async (transaction) => {
    const found: SettledMessage[] = [];
    let bytes = 0;
    let bytesOfTurn = 0;
    for (const { key, value } of tables.settled.getRange({ limit: options.limit, transaction })) {
      const header = tables.header.get(value.sequence, { transaction });
      if (!header || (found.length > 0 && bytes + header.bytes > options.bytesMax)) break;
      const message = readMessage(tables, value.sequence, header, transaction);
      if (!message) break;
      bytes += header.bytes;
      bytesOfTurn += header.bytes;
      const { publishedAtMs, foreign } = header;
      found.push({ message, sequence: value.sequence, publishedAtMs, settleOrder: key, foreign });
      if (found.length % TURN_ENTRIES !== 0 && bytesOfTurn < TURN_BYTES) continue;
      bytesOfTurn = 0;
      await nextTurn();
    }
    return found;
  });
}

/** Settle orders and message ids, without bodies. */
export function readSettledIds(
  tables: Tables,
  page: { readonly after: number; readonly limit: number },
): { readonly order: number; readonly messageId: string }[] {
  return Array.from(tables.settled.getRange({ start: page.after + 1, limit: page.limit }), ({ key, value }) => ({
    order: key,
    messageId: tables.header.get(value.sequence)?.messageId ?? '',
  }));
}

export interface DeadEntry {
  readonly sequence: number;
  readonly header: Header;
  readonly dead: Dead;
}

/** Matching dead letters, newest publication first, without bodies; `before` is exclusive. */
export function readDead(
  tables: Tables,
  page: { readonly filter: DeadLetterFilter; readonly limit: number; readonly before?: number },
): Promise<DeadEntry[]> {
  return atOneMoment(tables, async (transaction) => {
    const found: DeadEntry[] = [];
    const wanted = page.filter.messageIds && new Set(page.filter.messageIds);
    const start = page.before === undefined ? Number.MAX_SAFE_INTEGER : page.before - 1;
    let looked = 0;
    for (const { key, value } of tables.dead.getRange({ start, reverse: true, transaction })) {
      if (found.length >= page.limit) break;
      const header = tables.header.get(key, { transaction });
      if (header && matches({ filter: page.filter, wanted, header, dead: value }))
        found.push({ sequence: key, header, dead: value });
      looked += 1;
      if (looked % TURN_ENTRIES === 0) await nextTurn();
    }
    return found;
  });
}

export function deadLetterOf(tables: Tables, { sequence, header, dead }: DeadEntry): DeadLetter | undefined {
  const message = readMessage(tables, sequence, header);
  const { publishedAtMs, foreign } = header;
  return message && { message, sequence, publishedAtMs, foreign, ...dead };
}

async function atOneMoment<T>(tables: Tables, read: (transaction: Transaction) => Promise<T>): Promise<T> {
  const transaction = tables.root.useReadTransaction();
  try {
    return await read(transaction);
  } finally {
    transaction.done();
  }
}

/** Times are those of death: what went wrong between two moments. */
function matches(candidate: {
  readonly filter: DeadLetterFilter;
  readonly wanted: ReadonlySet<string> | undefined;
  readonly header: Header;
  readonly dead: Dead;
}): boolean {
  const { filter, wanted, header, dead } = candidate;
  return (
    (filter.dataset === undefined || filter.dataset === header.dataset) &&
    (filter.code === undefined || filter.code === dead.code) &&
    (wanted === undefined || wanted.has(header.messageId)) &&
    (filter.fromMs === undefined || dead.deadAtMs >= filter.fromMs) &&
    (filter.toMs === undefined || dead.deadAtMs < filter.toMs)
  );
}

function unsettledMessage(dataset: string, entry: Unsettled | Header): UnsettledMessage {
  const { messageId, rowCount, publishedAtMs, foreign } = entry;
  return { messageId, dataset, rowCount, publishedAtMs, foreign };
}
