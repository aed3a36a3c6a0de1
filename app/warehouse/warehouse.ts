/**
 * Where records rest and are read.
 *
 * A commit is all or nothing: rows, quarantine, ledger and audit of a batch become visible together, under one
 * commit number that only grows. A message that the ledger holds is never stored again.
 */
import type { Envelope } from '../bus/envelope.ts';
import type { RowValue } from '../datasets/contract.ts';
import type { EraseOptions, FindOptions, FoundRecords, RecordPlace } from './erasable.ts';
import type { FileRange, JudgeRecords, RangeOutcome } from './file-range.ts';
import type { AggregateQuery, RecordsQuery } from './query.ts';

/** A decoded message with what the bus says of it. */
export interface StorableMessage {
  readonly envelope: Envelope;
  /** The envelope's JSON text, one line: the warehouse reads the rows from these bytes, not from `envelope`. */
  readonly data: Buffer;
  readonly sequence: number;
  /** Accepted only when first delivered: a foreign publisher's. */
  readonly late: boolean;
  /** Of a message that is stored again: rows that were taken out of it for good, which no file holds any more. */
  readonly gone?: GoneRows;
}

export interface GoneRows {
  /** Indexes, rising. */
  readonly erased: readonly number[];
  readonly expired: readonly number[];
  /** How many rejected ones. */
  readonly rejected: number;
}

export interface StoreOutcome {
  readonly commitNumber: number;
  readonly committedAtMs: number;
  /** By dataset, of this commit. Messages the ledger already held count in none but `replayedMessages`. */
  readonly datasets: Readonly<Record<string, OutcomeCounts>>;
  /** Rows that became readable with this commit, of each message as given; 0 for one that the ledger already held. */
  readonly storedRows: readonly number[];
}

export interface OutcomeCounts {
  readonly stored: number;
  readonly duplicate: number;
  /** Accepted rows set apart by the pipeline (KEY_CONFLICT …). */
  readonly quarantined: number;
  readonly quarantinedByCode: Readonly<Record<string, number>>;
  /** Rows that the request itself rejected; outside the equation. */
  readonly rejected: number;
  readonly rejectedByCode: Readonly<Record<string, number>>;
  readonly replayedMessages: number;
}

/** A message to put into a bronze file, in settle order. `data` is the envelope's JSON text that was given to `store`. */
export interface SealableMessage {
  readonly messageId: string;
  readonly dataset: string;
  readonly data: Buffer;
  readonly sequence: number;
  readonly settleOrder: number;
  readonly late: boolean;
}

/** The state of a set of partitions. Equal versions mean equal answers. */
export interface PartitionsVersion {
  /** Changes after a rebuild or an erasure: cursors of an earlier generation are gone. */
  readonly generation: string;
  /** The newest commit that touched any of the partitions; 0 when none did. */
  readonly commitNumber: number;
  readonly committedAtMs: number | undefined;
}

export interface ReadBudget {
  readonly timeoutMs: number;
  /** How many result rows may be materialised. */
  readonly rowsMax: number;
}

export interface AggregateResult {
  readonly data: readonly Readonly<Record<string, RowValue>>[];
  readonly truncated: boolean;
  /** A percentile went over the row cap and is an estimate. */
  readonly approximate: boolean;
  readonly version: PartitionsVersion;
}

export interface RecordsResult {
  readonly data: readonly Readonly<Record<string, RowValue>>[];
  /** Where the next page starts; absent on the last page. */
  readonly next?: { readonly value: RowValue; readonly eventId: string };
  /** Where the page's last row stands, on the last page too: a follower goes on from there. Absent when there is no row. */
  readonly last?: { readonly value: RowValue; readonly eventId: string };
  readonly version: PartitionsVersion;
}

export interface QuarantinedRow {
  readonly id: string;
  readonly dataset: string;
  readonly requestId: string;
  readonly index: number;
  readonly origin: 'request' | 'pipeline';
  readonly code: string;
  readonly pointer: string;
  readonly expected: string;
  readonly got: string;
  readonly body: string;
  readonly bodyBytes: number;
  readonly at: string;
}

export interface AuditEntry {
  readonly id: string;
  readonly at: string;
  /** `store`, `seal`, `compact`, `rebuild`, `replay`, `key.add`, `samples.remove` … */
  readonly step: string;
  readonly actor: string;
  readonly dataset: string;
  readonly source: string;
  readonly target: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly read: number;
  readonly stored: number;
  readonly rejected: number;
  readonly outcome: 'ok' | 'failed';
  /** Code and counts, never a payload. */
  readonly error: string;
}

export interface RowOutcome {
  readonly index: number;
  readonly state: 'stored' | 'duplicate' | 'quarantined' | 'rejected' | 'expired' | 'erased';
  readonly code?: string;
  readonly pointer?: string;
}

/** What became of one request: each row counted once, in the best state it reached, however often it was published. */
export interface StoredMessage {
  readonly messageId: string;
  /** Accepted and rejected, whatever became of them. */
  readonly records: number;
}

export interface RequestOutcome {
  readonly messageIds: readonly string[];
  readonly accepted: number;
  readonly rejected: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly expired: number;
  readonly erased: number;
}

/** The warehouse's terms of the loss equation, summed over rows, for messages with `sequence <= cut`. */
export interface WarehouseAccounting {
  readonly lateRows: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly expired: number;
  readonly erased: number;
}

export interface DatasetCounts {
  readonly stored: number;
  readonly quarantined: number;
  readonly rejected: number;
  readonly lastCommitAtMs: number | undefined;
}

/** `bronze`: everything that is known of a row but that it was there. */
export type ExpiringLayer = 'silver' | 'quarantine' | 'bronze';

export interface ExpireOptions {
  readonly dataset: string;
  readonly layer: ExpiringLayer;
  /** Midnight UTC: what was received before goes. */
  readonly beforeMs: number;
  /** About how many rows at once. */
  readonly rowsMax: number;
}

export interface Expired {
  /** Accepted ones that are in the state `expired` now. */
  readonly rows: number;
  /** Bronze files that were emptied. */
  readonly files: number;
  readonly more: boolean;
}

export interface Warehouse {
  readonly name: 'embedded' | 'bigquery';
  /**
   * One transaction. Throws AppError, and then nothing of the batch is visible: WAREHOUSE_UNAVAILABLE (retryable), or
   * MESSAGE_FAILED (not retryable) when a row in the batch cannot be stored whatever the state of the warehouse.
   */
  store(messages: readonly StorableMessage[]): Promise<StoreOutcome>;
  /**
   * Stores a range of a file, durably: bronze, then one transaction. Ranges of one file one after another in their order
   * (two at a time is fastest), files one after another. Throws AppError, and then nothing of it is visible:
   * WAREHOUSE_UNAVAILABLE (retryable), MESSAGE_FAILED (not retryable), and what `judge` throws.
   */
  storeRange(range: FileRange, judge: JudgeRecords): Promise<RangeOutcome>;
  /** Which of these messages the ledger holds. */
  ledgerHolds(messageIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Writes messages into sealed, fsynced bronze files; resolves when they would survive the loss of all else. */
  seal(
    messages: readonly SealableMessage[],
  ): Promise<{ readonly files: number; readonly rows: number; readonly bytes: number }>;
  /**
   * Puts small sealed files together, some at a time: nobody waits for it, and it need not ever be called. Answers how
   * many were, and their bytes; 0 when there is nothing to do.
   */
  compact(): Promise<{ readonly files: number; readonly bytes: number }>;

  /** From memory, no query: for ETags. Event time bounds in ms, `from` inclusive, `to` exclusive. */
  version(dataset: string, range: { readonly fromMs?: number; readonly toMs?: number }): PartitionsVersion;
  aggregate(query: AggregateQuery, budget: ReadBudget): Promise<AggregateResult>;
  records(query: RecordsQuery, budget: ReadBudget): Promise<RecordsResult>;

  /** Newest first. `after` is the id of the last one of the page before. */
  quarantine(page: {
    readonly dataset?: string;
    readonly code?: string;
    readonly requestId?: string;
    readonly limit: number;
    readonly after?: string;
  }): Promise<readonly QuarantinedRow[]>;
  audit(page: {
    readonly dataset?: string;
    readonly step?: string;
    readonly limit: number;
    readonly after?: string;
  }): Promise<readonly AuditEntry[]>;
  writeAudit(entry: Omit<AuditEntry, 'id'>): Promise<void>;

  requestOutcome(requestId: string): Promise<RequestOutcome>;
  /** Rows of a request that are not stored, rejected ones included, by index. */
  requestRows(
    requestId: string,
    page: { readonly afterIndex: number; readonly limit: number },
  ): Promise<readonly RowOutcome[]>;
  accounting(
    cut: number,
    messageIds: readonly string[],
  ): Promise<{ readonly datasets: Readonly<Record<string, WarehouseAccounting>>; readonly held: ReadonlySet<string> }>;
  counts(): Promise<Readonly<Record<string, DatasetCounts>>>;
  /** Removes rows that came with sample data; the ledger keeps them as erased. */
  removeSamples(): Promise<number>;
  /**
   * Where records that are named lie in bronze: seal what waits before. Throws AppError QUERY_TOO_LARGE when there are
   * more than ERASED_RECORDS_MAX.
   */
  findRecords(options: FindOptions): Promise<FoundRecords>;
  /** Takes them out of all that is read, durably; the ledger keeps them as erased. Answers how many were accepted rows. */
  eraseRecords(options: EraseOptions): Promise<number>;
  /** What this erasure took, wherever it lay. */
  erasedPlaces(erasureId: string): Promise<readonly RecordPlace[]>;
  /** Numbers of a request's records that were erased, whoever asked for it. */
  erasedOf(requestId: string): Promise<readonly number[]>;
  /** Of each request that the ledger has messages of: when the last of them was received. */
  receivedAt(requestIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Messages of a request with how many records each came with, in the order in which they were stored. */
  requestMessages(requestId: string): Promise<readonly StoredMessage[]>;
  /** Takes out some of what was received before; `more` when there is more. */
  expire(options: ExpireOptions): Promise<Expired>;
  /** Takes the content of what this erasure erased out of bronze; may be done again. Answers how many files changed. */
  emptyErased(options: { readonly dataset: string; readonly erasureId: string }): Promise<number>;
  /** Rejects when a trivial read fails within the timeout. */
  check(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
