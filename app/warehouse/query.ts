/**
 * What can be asked of a dataset, as data. Names are checked against the contract before a dialect compiles them;
 * values travel as parameters. Nothing a caller sends becomes SQL text.
 */
import type { RowValue } from '../datasets/contract.ts';

export const MEASURES = ['count', 'sum', 'avg', 'min', 'max', 'stddev', 'p50', 'p95', 'p99', 'distinct'] as const;
export type MeasureFunction = (typeof MEASURES)[number];

export const BUCKETS = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const;
export type BucketUnit = (typeof BUCKETS)[number];

export const OPERATORS = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'null', 'notnull', 'prefix'] as const;
export type Operator = (typeof OPERATORS)[number];

/** `count` has no field. Answered under the name `avg_delay`, `count`. */
export interface Measure {
  readonly fn: MeasureFunction;
  readonly field?: string;
}

/** Answered under the name `departed_at_hour`. */
export interface Bucket {
  readonly field: string;
  readonly unit: BucketUnit;
}

/** `values`: none for null and notnull, several for in, else one; text as the caller sent it, judged by the field's type. */
export interface Where {
  readonly field: string;
  readonly op: Operator;
  readonly values: readonly string[];
}

export interface Order {
  /** A dimension, bucket or measure name as answered; for records a field name. */
  readonly name: string;
  readonly descending: boolean;
}

interface QueryBase {
  readonly dataset: string;
  readonly where: readonly Where[];
  /** Bounds on the contract's event date, `from` <= event time < `to`, epoch ms (wall clock read as UTC). */
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly limit: number;
  /**
   * Only rows of commits up to this one: the first page's, so that pages never shift; of an aggregate the commit that
   * its version names, so that equal versions mean equal answers. Not for a gold model, whose rows have no commit.
   */
  readonly commitMax?: number;
}

export interface AggregateQuery extends QueryBase {
  /**
   * A gold model of the dataset's contract: read the view `gold.<dataset>_<model>` in place of the silver table, with
   * the view's columns (`modelFields` of the contract) as the only field names. A view has no event date: such a query
   * has no `fromMs`, `toMs`. Absent: the silver table.
   */
  readonly model?: string;
  readonly measures: readonly Measure[];
  readonly by: readonly string[];
  readonly buckets: readonly Bucket[];
  /** IANA name; buckets of timestamp fields are cut in this zone. */
  readonly timeZone: string;
  readonly order: readonly Order[];
}

export interface RecordsQuery extends QueryBase {
  /** `commit` follows the order in which rows became readable. Ties break by event id. */
  readonly order: { readonly field: string; readonly descending: boolean } | 'commit';
  readonly after?: { readonly value: RowValue; readonly eventId: string };
}
