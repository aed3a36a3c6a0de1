/**
 * DuckDB's SQL for a resolved query.
 *
 * Traps this file knows of: `fsum` (Kahan) because plain sums of doubles differ from run to run in the last digits;
 * `stddev_samp` throws beyond the range of a double; `quantile_cont` of a decimal rounds to the column's scale;
 * `timezone(zone, local)` answers the later of two instants where clocks went back.
 */
import { DuckDBDateValue, DuckDBTimestampValue, type DuckDBValue } from '@duckdb/node-api';
import type { Bucketed, Dialect } from './dialect.ts';
import type { BucketUnit } from './query.ts';
import type { QueryField } from './query-field.ts';
import type { QueryValue } from './query-value.ts';

/** A dataset's and a model's name, 63 characters each, and what joins them. */
const IDENTIFIER = /^[a-z_][a-z0-9_]{0,127}$/;
/** Squares of larger values leave the range of a double, and DuckDB throws. */
const SQUARABLE_MAX = '1e150';
const DECIMAL_PRECISION_MAX = 38;
/** Below the column's scale: two hold every value between two neighbours at .5, .95 and .99 … */
const PERCENTILE_DIGITS = 2;
/** … and two more take up that DuckDB cuts where it should round (.95 × 2 is 1.8999… to it). */
const GUARD_DIGITS = 2;

export const duckdbDialect: Dialect = {
  name: 'duckdb',
  table: ({ schema, name }) => `${identifier(schema)}.${identifier(name)}`,
  identifier,
  parameter: (position, value) => {
    switch (value.kind) {
      case 'integer':
        return `CAST($${position} AS BIGINT)`;
      case 'decimal':
        return `CAST($${position} AS DECIMAL(${value.precision},${value.scale}))`;
      case 'event_id':
        return `CAST($${position} AS UUID)`;
      case 'string':
      case 'float':
      case 'boolean':
      case 'timestamp':
      case 'wallclock':
      case 'date':
        return `$${position}`;
    }
  },
  sum: (column, { kind }) => (kind === 'float' ? `fsum(${column})` : `sum(${column})`),
  average: (column, { kind }) => (kind === 'float' ? `favg(${column})` : `avg(${column})`),
  standardDeviation: (column, { kind }) =>
    kind === 'float'
      ? `CASE WHEN max(abs(${column})) <= ${SQUARABLE_MAX} THEN stddev_samp(${column}) FILTER (WHERE abs(${column}) <= ${SQUARABLE_MAX}) END`
      : `stddev_samp(CAST(${column} AS DOUBLE))`,
  distinct: (column) => `count(DISTINCT ${column})`,
  percentile: ({ column, field, fraction, approximate }) => {
    const operand = percentileOperand(column, field);
    const always = `quantile_cont(${operand}, ${fraction})`;
    const exact = `${always} FILTER (WHERE NOT ${approximate})`;
    const estimate = `approx_quantile(${field.kind === 'decimal' ? operand : `CAST(${column} AS DOUBLE)`}, ${fraction}) FILTER (WHERE ${approximate})`;
    const percentile =
      approximate === undefined ? always : `CASE WHEN ${approximate} THEN ${estimate} ELSE ${exact} END`;
    return field.field.type === 'decimal'
      ? `round(${percentile}, ${field.field.scale + PERCENTILE_DIGITS})`
      : percentile;
  },
  startsWith: (column, prefix) => `starts_with(${column}, ${prefix})`,
  instantBucket,
  wallclockBucket: (column, unit) => same(truncated(column, unit)),
  dateBucket: (column, unit) => same(`CAST(${truncated(column, unit)} AS DATE)`),
};

/** What the driver binds for a value; `parameter` above gives it its type where JavaScript's would not do. */
export function duckdbParameter(value: QueryValue): DuckDBValue {
  switch (value.kind) {
    case 'string':
    case 'integer':
    case 'float':
    case 'decimal':
    case 'boolean':
      return value.value;
    case 'timestamp':
    case 'wallclock':
      return new DuckDBTimestampValue(value.micros);
    case 'date':
      return new DuckDBDateValue(value.days);
    case 'event_id':
      return value.hex;
  }
}

function identifier(name: string): string {
  if (!IDENTIFIER.test(name)) throw new Error(`not an identifier: ${JSON.stringify(name.slice(0, 64))}`);
  return `"${name}"`;
}

/** Up to 18 digits DuckDB interpolates in 64-bit integers, so decimals of up to 14 digits are exact; above, in doubles. */
function percentileOperand(column: string, { field }: QueryField): string {
  if (field.type !== 'decimal') return column;
  const digits = Math.min(PERCENTILE_DIGITS + GUARD_DIGITS, DECIMAL_PRECISION_MAX - field.precision);
  return `CAST(${column} AS DECIMAL(${field.precision + digits},${field.scale + digits}))`;
}

/** `week` starts on Monday (ISO). The cast is for `date_trunc` of days, which answers a DATE in some versions. */
function truncated(expression: string, unit: BucketUnit): string {
  return `CAST(date_trunc('${unit}', ${expression}) AS TIMESTAMP)`;
}

function instantBucket({ column, unit, zone }: Parameters<Dialect['instantBucket']>[0]): Bucketed {
  if (zone === undefined) return same(truncated(column, unit));
  // The column is UTC without saying so; this way into TIMESTAMPTZ costs a third less than timezone('UTC', …).
  const local = `timezone(${zone}, make_timestamptz(epoch_us(${column})))`;
  // Below a day the start is as far back as the local clock shows, so the hour that autumn repeats is two buckets.
  if (unit === 'minute' || unit === 'hour') return same(`${column} - (${local} - ${truncated(local, unit)})`);
  return { key: truncated(local, unit), start: (key) => instantOfLocal(key, zone) };
}

/** The first instant at which the zone's clock shows this; where it never does (a gap), the instant of the jump. */
function instantOfLocal(local: string, zone: string): string {
  const later = `timezone(${zone}, ${local})`;
  const earlier = `(${later} - INTERVAL 1 HOUR)`;
  return `timezone('UTC', CASE WHEN timezone(${zone}, ${earlier}) = ${local} THEN ${earlier} ELSE ${later} END)`;
}

function same(key: string): Bucketed {
  return { key, start: (one) => one };
}
