/** What a compiler hands to a warehouse's driver: text with placeholders, parameters, and how to read the answer. */
import type { Dialect } from './dialect.ts';
import type { ResolvedBounds, ResolvedFilter } from './query-rules.ts';
import { DAY_MS, type QueryValue, type ScalarKind } from './query-value.ts';

export interface ResultColumn {
  readonly name: string;
  /** How the warehouse's value becomes JSON. A `point` takes two result columns: longitude, latitude. */
  readonly kind: ScalarKind | 'point' | 'counts' | 'event_id';
}

export interface CompiledQuery {
  readonly sql: string;
  readonly params: readonly QueryValue[];
  /** What is answered, in the order of the SELECT list. */
  readonly columns: readonly ResultColumn[];
  /**
   * One more result column after them, which the caller of the query does not see. Of an aggregate with percentiles:
   * whether they are estimates (`boolean`). Of records: where the row stands in the order, floats and decimals
   * `exact` to the last digit, because the next page starts there.
   */
  readonly hidden: ScalarKind | 'exact' | undefined;
}

/** Collects parameters and answers their placeholders: the only way a value gets into a query. */
export class QueryParameters {
  readonly values: QueryValue[] = [];
  readonly #dialect: Dialect;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  add(value: QueryValue): string {
    this.values.push(value);
    return this.#dialect.parameter(this.values.length, value);
  }
}

/** The silver table's own columns, in every dataset. */
export const EVENT_ID_COLUMN = '_event_id';
const EVENT_DATE_COLUMN = '_event_date';
export const COMMIT_COLUMN = '_commit';

/** `WHERE …` or nothing; everything that holds for a query's rows, as conjunction. */
export function whereClause(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `\nWHERE ${conditions.join('\n  AND ')}`;
}

/** Comparisons never match NULL, `ne` included; NULL is asked for by name. */
export function filterCondition(filter: ResolvedFilter, dialect: Dialect, parameters: QueryParameters): string {
  const column = dialect.identifier(filter.field.name);
  const values = filter.values.map((value) => parameters.add(value));
  const [first = ''] = values;
  switch (filter.op) {
    case 'eq':
      return `${column} = ${first}`;
    case 'ne':
      return `${column} <> ${first}`;
    case 'lt':
      return `${column} < ${first}`;
    case 'lte':
      return `${column} <= ${first}`;
    case 'gt':
      return `${column} > ${first}`;
    case 'gte':
      return `${column} >= ${first}`;
    case 'in':
      return `${column} IN (${values.join(', ')})`;
    case 'null':
      return `${column} IS NULL`;
    case 'notnull':
      return `${column} IS NOT NULL`;
    case 'prefix':
      return dialect.startsWith(column, first);
  }
}

/**
 * Bounds on the event date field, and again on its day: the partition column, by which a warehouse leaves out what it
 * need not read. A date is compared as its midnight.
 */
export function boundConditions(
  bounds: ResolvedBounds | undefined,
  dialect: Dialect,
  parameters: QueryParameters,
): readonly string[] {
  if (bounds === undefined) return [];
  const { field, fromMs, toMs } = bounds;
  const column = dialect.identifier(field.name);
  const day = dialect.identifier(EVENT_DATE_COLUMN);
  const date = (days: number): string => parameters.add({ kind: 'date', days: clampDay(days) });
  const conditions: string[] = [];
  if (fromMs !== undefined) {
    conditions.push(
      `${column} >= ${field.kind === 'date' ? date(Math.ceil(fromMs / DAY_MS)) : instant(fromMs, bounds, parameters)}`,
    );
    conditions.push(`${day} >= ${date(Math.floor(fromMs / DAY_MS))}`);
  }
  if (toMs !== undefined) {
    conditions.push(
      `${column} < ${field.kind === 'date' ? date(Math.ceil(toMs / DAY_MS)) : instant(toMs, bounds, parameters)}`,
    );
    conditions.push(`${day} <= ${date(Math.floor((toMs - 1) / DAY_MS))}`);
  }
  return conditions;
}

/** Years 1 to 9999, which every warehouse can hold; rows are inside, so bounds beyond mean the same at the edge. */
const DAY_MIN = Date.parse('0001-01-01T00:00:00Z') / DAY_MS;
const DAY_MAX = Date.parse('9999-12-31T00:00:00Z') / DAY_MS;

function clampDay(days: number): number {
  return Math.min(Math.max(days, DAY_MIN), DAY_MAX);
}

function instant(ms: number, { field }: ResolvedBounds, parameters: QueryParameters): string {
  const clamped = Math.min(Math.max(ms, DAY_MIN * DAY_MS), (DAY_MAX + 1) * DAY_MS - 1);
  return parameters.add({
    kind: field.kind === 'wallclock' ? 'wallclock' : 'timestamp',
    micros: BigInt(clamped) * 1_000n,
  });
}
