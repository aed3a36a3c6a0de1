/**
 * What the embedded bus keeps on disk, and under which keys.
 *
 * | table     | key                 | value |
 * |-----------|---------------------|-------|
 * | header    | sequence            | what never changes: ids, row count, publication time, attributes |
 * | body      | sequence            | the message's bytes as they came |
 * | unsettled | [dataset, sequence] | what a delivery and a snapshot need; failures and the wait after them |
 * | settled   | settle order        | sequence; the message stays until its bronze file is sealed |
 * | reopened  | settle order        | where the message is, while it is unsettled again because the warehouse lost it |
 * | dead      | sequence            | why |
 * | removed   | sequence            | rows taken out of a dead letter for good, for the receipt of its request |
 * | tail      | 'tail'              | last sequence, last settle order, accepted and removed rows by dataset |
 *
 * A message is in exactly one of unsettled, settled and dead; every move is one transaction. All keys grow, so that a
 * commit touches the last pages of each table and not one page for each message.
 */
import { type Database, open, type RootDatabase } from 'lmdb';
import type { BusSnapshot } from './bus.ts';

export interface Header {
  readonly messageId: string;
  readonly dataset: string;
  readonly requestId: string;
  readonly rowCount: number;
  readonly bytes: number;
  readonly publishedAtMs: number;
  readonly foreign: boolean;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Unsettled {
  readonly messageId: string;
  readonly rowCount: number;
  readonly bytes: number;
  readonly publishedAtMs: number;
  readonly foreign: boolean;
  /** Single-message failures; they count toward the dead letters. */
  readonly failures: number;
  readonly notBeforeMs: number;
  /** The settle order it had before the warehouse lost it; its key in `reopened`. */
  readonly reopenedFrom?: number;
}

export interface Reopened {
  readonly dataset: string;
  readonly sequence: number;
}

export interface Settled {
  readonly sequence: number;
  readonly settledAtMs: number;
}

export interface Dead {
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
  readonly deadAtMs: number;
}

/** Counts grow; the message itself may be gone. */
export interface Removed {
  readonly messageId: string;
  readonly requestId: string;
  readonly erased: number;
  readonly expired: number;
}

export interface Tail {
  readonly sequence: number;
  readonly settleOrder: number;
  readonly acceptedRows: Readonly<Record<string, number>>;
  /** Absent while none ever was. */
  readonly removedRows?: BusSnapshot['removedRows'];
}

export interface Tables {
  readonly root: RootDatabase;
  readonly header: Database<Header, number>;
  readonly body: Database<Buffer, number>;
  readonly unsettled: Database<Unsettled, [string, number]>;
  readonly settled: Database<Settled, number>;
  readonly reopened: Database<Reopened, number>;
  readonly dead: Database<Dead, number>;
  readonly removed: Database<Removed, number>;
  readonly tail: Database<Tail, string>;
}

/** A bus that never held a message: sequences and settle orders start at 1. */
export const TAIL_AT_FIRST: Tail = { sequence: 0, settleOrder: 0, acceptedRows: {} };
export const NOTHING_REMOVED: BusSnapshot['removedRows'] = { erased: {}, expired: {} };

/** Header, unsettled entry and tree pages of one message. */
const OVERHEAD_BYTES = 1_024;
const PAGE_BYTES = 4_096;

export function openTables(options: {
  readonly dir: string;
  readonly bytesMax: number;
  readonly noSync: boolean;
}): Tables {
  const root = open({
    path: options.dir,
    // Otherwise a dot in the folder's name makes lmdb take it for a file.
    noSubdir: false,
    // Address space, not disk, and no limit: lmdb grows past it, at the price of a new mapping. BUS_BYTES_MAX is counted
    // when publishing; acknowledging and releasing, which write too, must never be refused, or nothing could be freed.
    mapSize: 2 * options.bytesMax,
    maxDbs: 16,
    // Visible means durable, and a failed sync rejects: see commit-queue.ts.
    overlappingSync: false,
    noSync: options.noSync,
    // The commit queue groups; lmdb need not wait for the end of the turn once more.
    eventTurnBatching: false,
  });
  return {
    root,
    header: root.openDB({ name: 'header', encoding: 'json' }),
    body: root.openDB({ name: 'body', encoding: 'binary' }),
    unsettled: root.openDB({ name: 'unsettled', encoding: 'json' }),
    settled: root.openDB({ name: 'settled', encoding: 'json' }),
    reopened: root.openDB({ name: 'reopened', encoding: 'json' }),
    dead: root.openDB({ name: 'dead', encoding: 'json' }),
    removed: root.openDB({ name: 'removed', encoding: 'json' }),
    tail: root.openDB({ name: 'tail', encoding: 'json' }),
  };
}

/** What a message of this size takes: a body beyond half a page lies in whole pages. */
export function footprintBytes(dataBytes: number): number {
  return (
    OVERHEAD_BYTES + (dataBytes > PAGE_BYTES / 2 ? Math.ceil((dataBytes + 16) / PAGE_BYTES) * PAGE_BYTES : dataBytes)
  );
}

export function freshUnsettled(header: Header): Unsettled {
  const { messageId, rowCount, bytes, publishedAtMs, foreign } = header;
  return { messageId, rowCount, bytes, publishedAtMs, foreign, failures: 0, notBeforeMs: 0 };
}
