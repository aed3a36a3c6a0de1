/**
 * What differs between warehouses when a resolved query becomes SQL, and nothing else.
 *
 * Every function takes SQL made by the compiler or the dialect itself (quoted columns, placeholders), never text of a
 * caller. The compiler relies on what both warehouses share: CTEs, GROUP BY and ORDER BY ordinals, NULLS LAST, CASE,
 * COUNT(*), MIN, MAX, and numbers and dates that compare as they should.
 */
import type { BucketUnit } from './query.ts';
import type { QueryField } from './query-field.ts';
import type { ResolvedTable } from './query-rules.ts';
import type { QueryValue } from './query-value.ts';

export interface Bucketed {
  /** What rows are grouped by; evaluated for each row. */
  readonly key: string;
  /** Makes of a group's key what is answered; evaluated for each group. */
  readonly start: (key: string) => string;
}

export interface Dialect {
  readonly name: 'duckdb' | 'bigquery';
  table(table: ResolvedTable): string;
  /** A quoted identifier. Throws on names that no contract can hold, so that a hole elsewhere cannot become SQL. */
  identifier(name: string): string;
  /** The parameter at this position (from 1), typed as the value is. One position may be used several times. */
  parameter(position: number, value: QueryValue): string;

  /** Null over nothing. Integers and decimals exact, wider than the column where the warehouse can. */
  sum(column: string, field: QueryField): string;
  /** A float. */
  average(column: string, field: QueryField): string;
  /** The sample standard deviation, a float: null for one row, and where it is beyond the range of a float. */
  standardDeviation(column: string, field: QueryField): string;
  /** Exact, NULLs not counted. */
  distinct(column: string): string;
  /**
   * The continuous percentile (linear between the two nearest values): exact, unless `approximate` is given, a boolean
   * expression that is the same for all rows, and holds; then an estimate in bounded memory. Of decimals a decimal with two
   * digits more, so that the median of an even count is exact.
   */
  percentile(options: {
    readonly column: string;
    readonly field: QueryField;
    readonly fraction: number;
    readonly approximate: string | undefined;
  }): string;

  startsWith(column: string, prefix: string): string;
  /** Instants are cut in the zone (`undefined`: UTC), weeks start on Monday; the start is a UTC instant. */
  instantBucket(options: {
    readonly column: string;
    readonly unit: BucketUnit;
    readonly zone: string | undefined;
  }): Bucketed;
  /** Wall clocks and dates are cut as they are. */
  wallclockBucket(column: string, unit: BucketUnit): Bucketed;
  dateBucket(column: string, unit: BucketUnit): Bucketed;
}
