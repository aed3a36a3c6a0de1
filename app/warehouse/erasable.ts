/** What may be erased, how it is named, and what was found of it. */

export type RecordSelector =
  /** The record with this id, and all that came under it: duplicates, conflicts and, by its key, rejected ones. */
  | { readonly kind: 'event'; readonly eventId: string }
  /** Every record with these values, all fields of the contract's key, on whatever day. Canonical texts. */
  | { readonly kind: 'key'; readonly values: Readonly<Record<string, string>> }
  /** One row as it came: what a quarantined one is known by. */
  | { readonly kind: 'row'; readonly messageId: string; readonly index: number };

/** A row or a rejected row in bronze. */
export interface FoundRecord {
  readonly messageId: string;
  readonly index: number;
  readonly kind: 'row' | 'reject';
  /** 32 hex digits; of a rejected one none. */
  readonly eventId: string | undefined;
  readonly requestId: string;
}

/** A record's key as texts, and the day it is of when it is of one. */
export interface RecordKey {
  readonly values: Readonly<Record<string, string>>;
  /** `YYYY-MM-DD`. */
  readonly day: string | undefined;
}

/** Where one row is: what the ledger and a file know it by. */
export interface RecordPlace {
  readonly requestId: string;
  readonly index: number;
}

export interface FindOptions {
  readonly dataset: string;
  readonly selector: RecordSelector;
  /** 32 hex digits. What this erasure has taken already, and what came after it began, is not found again. */
  readonly erasureId: string;
  /** Hashes of bronze files that were looked through for it already. */
  readonly scanned: ReadonlySet<string>;
}

export interface FoundRecords {
  readonly records: readonly FoundRecord[];
  /** How many of them can be read, and how many are set apart. */
  readonly silver: number;
  readonly quarantine: number;
  readonly scanned: ReadonlySet<string>;
  /** By which rejected rows of the record are known, here and elsewhere; undefined when it has none. */
  readonly key: RecordKey | undefined;
}

export interface EraseOptions {
  readonly dataset: string;
  readonly selector: RecordSelector;
  readonly erasureId: string;
  readonly actor: string;
  readonly records: readonly FoundRecord[];
}

/** One erasure takes no more: beyond, it is asked for in parts. */
export const ERASED_RECORDS_MAX = 100_000;
