/**
 * A range of a file: the unit in which files are stored. One range is one message in ledger and bronze and one
 * transaction, so that a crash leaves each range stored or not, and the file goes on at the first that is not.
 *
 * Two readers share the work. The warehouse reads the range's work file with its own reader and takes only records
 * that SQL proves valid and written canonically; every other index of the range goes to `judge`, which answers what the
 * reader of HTTP bodies and the contract's validator say of it. So verdicts and codes come from one place.
 */
import type { ErrorCode } from '../errors.ts';
import type { Row } from '../datasets/contract.ts';
import type { OutcomeCounts } from './warehouse.ts';

export interface FileRange {
  /** First 32 hex digits of the SHA-256 of `<file id>:<dataset>:<firstIndex>:<records>`. */
  readonly messageId: string;
  readonly dataset: string;
  /** The file's in this dataset: first 32 hex digits of the SHA-256 of `<file id>:<dataset>`. */
  readonly requestId: string;
  readonly apiKeyId: string;
  readonly contractVersion: number;
  /** When the file was taken: the same for all its ranges, also after a restart. RFC 3339, UTC. */
  readonly receivedAt: string;
  /** SHA-256, hex, of the file's own bytes. */
  readonly fileId: string;
  readonly format: RangeFormat;
  /**
   * Work file in `DATA_DIR/work`, removed by who wrote it, after `storeRange`. A record is `<index>,<record>` (CSV: the
   * index is a cell before its own) or `<index>\t<record>` (NDJSON), and ends in LF, whatever it ended in before. Left
   * out, and so judged: a record that is larger than WORK_RECORD_BYTES_MAX, or that holds a NUL, or a CR that is not part
   * of its end. Any other record may be left out; none may be there twice, and none that is not of the range.
   */
  readonly path: string;
  /** Index in the file (blank lines are no records) of the first record of the range. */
  readonly firstIndex: number;
  /** Indexes firstIndex … firstIndex + records - 1, all of them, also those that are left out of the work file. */
  readonly records: number;
}

export type RangeFormat =
  /** `columns`: the header's names, in its order. */
  { readonly kind: 'csv'; readonly columns: readonly string[] } | { readonly kind: 'ndjson' };

export type JudgedRecord =
  | {
      readonly kind: 'row';
      readonly index: number;
      /** `eventIdInFile(contract, row, 1)`: as if it were the first of its content; the warehouse counts. */
      readonly eventId: string;
      readonly row: Row;
    }
  | {
      readonly kind: 'reject';
      readonly index: number;
      readonly code: ErrorCode;
      readonly pointer: string;
      readonly expected: string;
      readonly got: string;
      /** Cut at REJECT_BYTES_MAX; `bodyBytes` and `bodyHash` are of the whole. */
      readonly body: string;
      readonly bodyBytes: number;
      readonly bodyHash: string;
    };

/** Answers exactly one for each index, in their order. Asked of at most JUDGED_AT_ONCE_MAX, which rise from call to call. */
export type JudgeRecords = (indexes: readonly number[]) => readonly JudgedRecord[] | Promise<readonly JudgedRecord[]>;

/**
 * DuckDB reads 2,048 lines at a time and holds some ten copies of them while JSON is taken apart: 160 MB of the
 * warehouse's memory. Lines of a megabyte would take more than there is. A plain record rarely has 1 KiB.
 */
export const WORK_RECORD_BYTES_MAX = 8 * 1024;

/** 500 rows × some 6 µs: 3 ms of the thread that answers requests. */
export const JUDGED_AT_ONCE_MAX = 500;

export interface RangeOutcome {
  readonly commitNumber: number;
  readonly committedAtMs: number;
  /** `replayedMessages` is 1, and all else 0, when the ledger held the range already. */
  readonly counts: OutcomeCounts;
  /** How many records `judge` was asked of. */
  readonly judged: number;
}
