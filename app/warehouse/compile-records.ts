/**
 * A query for rows becomes one SELECT, a page at a time.
 *
 * Pages are cut by place, not by count: a page starts after the last one's (order value, event id), so nothing is
 * skipped or repeated, and with `commitMax` rows that arrive meanwhile belong to no page. NULLs come last in both
 * directions; event ids break ties, ascending.
 */
import type { Contract, Field, RowValue } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import {
  boundConditions,
  COMMIT_COLUMN,
  type CompiledQuery,
  EVENT_ID_COLUMN,
  filterCondition,
  QueryParameters,
  type ResultColumn,
  whereClause,
} from './compiled-query.ts';
import type { Dialect } from './dialect.ts';
import type { RecordsQuery } from './query.ts';
import { type ResolvedRecords, resolveRecords } from './query-rules.ts';
import { parseQueryValue, type QueryValue, type ScalarKind } from './query-value.ts';

/** Where the row stands in the order, under a name that no contract can give to a field. */
const ORDER_VALUE_COLUMN = '_order';
const EVENT_ID_SHAPE = /^[0-9a-f]{32}$/;

/** Throws AppError PARAMETER_INVALID when the query does not fit the contract, CURSOR_INVALID when `after` does not. */
export function compileRecords(query: RecordsQuery, contract: Contract, dialect: Dialect): CompiledQuery {
  const resolved = resolveRecords(query, contract);
  const parameters = new QueryParameters(dialect);
  const order = orderOf(resolved, dialect);
  const conditions = [
    ...boundConditions(resolved.bounds, dialect, parameters),
    ...resolved.filters.map((filter) => filterCondition(filter, dialect, parameters)),
  ];
  if (query.commitMax !== undefined) {
    conditions.push(
      `${dialect.identifier(COMMIT_COLUMN)} <= ${parameters.add({ kind: 'integer', value: BigInt(query.commitMax) })}`,
    );
  }
  if (query.after !== undefined)
    conditions.push(...afterConditions({ after: query.after, order, dialect, parameters }));
  const columns = answeredColumns(contract);
  const selected = [
    ...columns.flatMap(({ name, field }) => columnsOf(name, field)).map((name) => dialect.identifier(name)),
    dialect.identifier(EVENT_ID_COLUMN),
    `${order.column} AS ${dialect.identifier(ORDER_VALUE_COLUMN)}`,
  ];
  const direction = order.descending ? 'DESC' : 'ASC';
  const sql = `SELECT ${selected.join(', ')}\nFROM ${dialect.table(resolved.table)}${whereClause(conditions)}\nORDER BY ${
    order.column
  } ${direction} NULLS LAST, ${dialect.identifier(EVENT_ID_COLUMN)} ASC\nLIMIT ${resolved.limit + 1}`;
  const resultColumns: readonly ResultColumn[] = [
    ...columns.map(({ name, field }): ResultColumn => ({ name, kind: field.type })),
    { name: '_id', kind: 'event_id' },
  ];
  return { sql, params: parameters.values, columns: resultColumns, hidden: order.kind };
}

interface PageOrder {
  readonly column: string;
  readonly descending: boolean;
  readonly kind: ScalarKind | 'exact';
  /** May hold NULL. */
  readonly optional: boolean;
  readonly parse: (text: string) => QueryValue;
}

function orderOf({ order }: ResolvedRecords, dialect: Dialect): PageOrder {
  if (order === 'commit') {
    return {
      column: dialect.identifier(COMMIT_COLUMN),
      kind: 'integer',
      descending: false,
      optional: false,
      parse: (text) => ({ kind: 'integer', value: commitNumber(text) }),
    };
  }
  const { name, kind, field, optional } = order.field;
  return {
    column: dialect.identifier(name),
    kind: kind === 'float' || kind === 'decimal' ? 'exact' : kind,
    descending: order.descending,
    optional,
    parse: (text) => parseQueryValue(text, { name, field, parameter: 'cursor' }),
  };
}

interface AfterOptions {
  readonly after: { readonly value: RowValue; readonly eventId: string };
  readonly order: PageOrder;
  readonly dialect: Dialect;
  readonly parameters: QueryParameters;
}

function afterConditions({ after, order, dialect, parameters }: AfterOptions): readonly string[] {
  if (!EVENT_ID_SHAPE.test(after.eventId)) throw cursorInvalid('its event id is malformed');
  const { column } = order;
  const eventId = dialect.identifier(EVENT_ID_COLUMN);
  if (after.value === null) {
    return [`${column} IS NULL`, `${eventId} > ${parameters.add({ kind: 'event_id', hex: after.eventId })}`];
  }
  if (typeof after.value === 'object') throw cursorInvalid('its order value is a list');
  const value = parameters.add(order.parse(String(after.value)));
  const id = parameters.add({ kind: 'event_id', hex: after.eventId });
  const [beyond, from] = order.descending ? ['<', '<='] : ['>', '>='];
  const nulls = order.optional ? ` OR ${column} IS NULL` : '';
  // The first condition follows from the second; alone it can be held against block statistics.
  return [
    ...(order.optional ? [] : [`${column} ${from} ${value}`]),
    `(${column} ${beyond} ${value} OR (${column} = ${value} AND ${eventId} > ${id})${nulls})`,
  ];
}

function commitNumber(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw cursorInvalid('its commit number is malformed');
  return BigInt(text);
}

function cursorInvalid(reason: string): AppError {
  return new AppError({
    code: 'CURSOR_INVALID',
    publicMessage: `CURSOR_INVALID: ${reason}. Start again without cursor.`,
  });
}

function answeredColumns(contract: Contract): readonly { readonly name: string; readonly field: Field }[] {
  return Object.entries({ ...contract.fields, ...contract.derived?.fields }).map(([name, field]) => ({ name, field }));
}

function columnsOf(name: string, field: Field): readonly string[] {
  return field.type === 'point' ? [`${name}_lon`, `${name}_lat`] : [name];
}
