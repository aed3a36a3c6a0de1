/**
 * A query for measures becomes one SELECT.
 *
 * Shape: `grouped` computes dimensions and measures; the outer SELECT turns bucket keys into their starts, orders and
 * cuts. The order is total (all dimensions break ties, NULLs last), so equal data gives equal answers. One row more
 * than the limit is asked for, which is how truncation is seen.
 *
 * Percentiles are exact up to `percentileRowsMax` matching rows, because an exact one holds every value in memory. How
 * many match is counted in the same statement: the same snapshot, no second round trip, and a count reads only the
 * filtered columns. The choice is one boolean for all rows, so only one of the two aggregates ever sees a value. Where
 * the table as a whole is known to hold no more, the caller says so and none of this is in the statement.
 */
import type { Contract } from '../datasets/contract.ts';
import {
  boundConditions,
  COMMIT_COLUMN,
  type CompiledQuery,
  filterCondition,
  QueryParameters,
  type ResultColumn,
  whereClause,
} from './compiled-query.ts';
import type { Bucketed, Dialect } from './dialect.ts';
import type { AggregateQuery } from './query.ts';
import {
  type ResolvedAggregate,
  type ResolvedDimension,
  type ResolvedMeasure,
  resolveAggregate,
} from './query-rules.ts';

/** Matching rows over PERCENTILE_ROWS_MAX: one row, one column. */
const OVER_CAP = '(SELECT over_cap FROM matching)';
const APPROXIMATE_COLUMN = '_approximate';
/** Zones that are UTC by another name need no conversion. */
const UTC_ZONES: readonly string[] = [
  'UTC',
  'Etc/UTC',
  'Zulu',
  'Etc/Zulu',
  'UCT',
  'Etc/UCT',
  'Universal',
  'Etc/Universal',
];
const FRACTIONS = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;

/** Throws AppError PARAMETER_INVALID or PARAMETER_MISSING when the query does not fit the contract. */
export function compileAggregate(
  query: AggregateQuery,
  contract: Contract,
  dialect: Dialect,
  { percentileRowsMax }: { readonly percentileRowsMax: number | 'never reached' },
): CompiledQuery {
  const resolved = resolveAggregate(query, contract);
  const parameters = new QueryParameters(dialect);
  const source = `FROM ${dialect.table(resolved.table)}${whereClause([
    ...boundConditions(resolved.bounds, dialect, parameters),
    ...resolved.filters.map((filter) => filterCondition(filter, dialect, parameters)),
    ...commitCondition(query, dialect, parameters),
  ])}`;
  const buckets = resolved.dimensions.map((dimension) => bucketOf(dimension, resolved, dialect, parameters));
  const capped = asksPercentile(query) && percentileRowsMax !== 'never reached';
  const inner = [
    ...resolved.dimensions.map((dimension, index) => `${buckets[index]?.key} AS ${dialect.identifier(dimension.name)}`),
    ...resolved.measures.map(
      (measure) =>
        `${measureSql(measure, dialect, capped ? OVER_CAP : undefined)} AS ${dialect.identifier(measure.name)}`,
    ),
  ];
  const outer = [
    ...resolved.dimensions.map((dimension, index) => startSql(dimension, buckets[index], dialect)),
    ...resolved.measures.map((measure) => dialect.identifier(measure.name)),
  ];
  const ctes: string[] = [];
  if (capped) {
    const cap = parameters.add({ kind: 'integer', value: BigInt(percentileRowsMax) });
    ctes.push(`matching AS (SELECT COUNT(*) > ${cap} AS over_cap ${source})`);
    outer.push(`${OVER_CAP} AS ${dialect.identifier(APPROXIMATE_COLUMN)}`);
  }
  const groupBy =
    resolved.dimensions.length === 0 ? '' : `\nGROUP BY ${resolved.dimensions.map((_, index) => index + 1).join(', ')}`;
  ctes.push(`grouped AS (SELECT ${inner.join(', ')}\n${source}${groupBy})`);
  const sql = `WITH ${ctes.join(',\n')}\nSELECT ${outer.join(', ')}\nFROM grouped${orderSql(resolved, dialect)}\nLIMIT ${resolved.limit + 1}`;
  return {
    sql,
    params: parameters.values,
    columns: resultColumns(resolved),
    hidden: capped ? 'boolean' : undefined,
  };
}

export function asksPercentile({ measures }: Pick<AggregateQuery, 'measures'>): boolean {
  return measures.some(({ fn }) => fn in FRACTIONS);
}

/** A view's rows have no commit. */
function commitCondition(query: AggregateQuery, dialect: Dialect, parameters: QueryParameters): readonly string[] {
  if (query.commitMax === undefined || query.model !== undefined) return [];
  return [
    `${dialect.identifier(COMMIT_COLUMN)} <= ${parameters.add({ kind: 'integer', value: BigInt(query.commitMax) })}`,
  ];
}

function bucketOf(
  dimension: ResolvedDimension,
  { timeZone }: ResolvedAggregate,
  dialect: Dialect,
  parameters: QueryParameters,
): Bucketed {
  const column = dialect.identifier(dimension.field.name);
  const { unit } = dimension;
  if (unit === undefined) return { key: column, start: (key) => key };
  if (dimension.field.kind === 'wallclock') return dialect.wallclockBucket(column, unit);
  if (dimension.field.kind === 'date') return dialect.dateBucket(column, unit);
  const zone = UTC_ZONES.includes(timeZone) ? undefined : parameters.add({ kind: 'string', value: timeZone });
  return dialect.instantBucket({ column, unit, zone });
}

function startSql({ name }: ResolvedDimension, bucket: Bucketed | undefined, dialect: Dialect): string {
  const key = dialect.identifier(name);
  const start = bucket?.start(key) ?? key;
  return start === key ? key : `${start} AS ${key}`;
}

function measureSql({ fn, field }: ResolvedMeasure, dialect: Dialect, approximate: string | undefined): string {
  if (field === undefined) return 'COUNT(*)';
  const column = dialect.identifier(field.name);
  switch (fn) {
    case 'count':
      return 'COUNT(*)';
    case 'sum':
      return dialect.sum(column, field);
    case 'avg':
      return dialect.average(column, field);
    case 'min':
      return `MIN(${column})`;
    case 'max':
      return `MAX(${column})`;
    case 'stddev':
      return dialect.standardDeviation(column, field);
    case 'p50':
    case 'p95':
    case 'p99':
      return dialect.percentile({ column, field, fraction: FRACTIONS[fn], approximate });
    case 'distinct':
      return dialect.distinct(column);
  }
}

/** Ordered by `grouped`'s columns, not by what is answered of them: a bucket's key and its start sort alike. */
function orderSql({ order, dimensions }: ResolvedAggregate, dialect: Dialect): string {
  const asked = order.map(({ name }) => name);
  const terms = [
    ...order,
    ...dimensions.filter(({ name }) => !asked.includes(name)).map(({ name }) => ({ name, descending: false })),
  ];
  if (terms.length === 0) return '';
  return `\nORDER BY ${terms.map(({ name, descending }) => `grouped.${dialect.identifier(name)} ${descending ? 'DESC' : 'ASC'} NULLS LAST`).join(', ')}`;
}

function resultColumns({ dimensions, measures }: ResolvedAggregate): readonly ResultColumn[] {
  return [
    ...dimensions.map(({ name, field }): ResultColumn => ({ name, kind: field.kind })),
    ...measures.map((measure): ResultColumn => ({ name: measure.name, kind: measureKind(measure) })),
  ];
}

function measureKind({ fn, field }: ResolvedMeasure): ResultColumn['kind'] {
  if (field === undefined || fn === 'count' || fn === 'distinct') return 'integer';
  if (fn === 'avg' || fn === 'stddev') return 'float';
  if (fn in FRACTIONS && field.kind === 'integer') return 'float';
  return field.kind;
}
