/**
 * The query grammar: a URL's query ↔ a query specification.
 *
 *     measure=avg:delay&by=origin&bucket=departed_at:hour&where=delay:gte:10&from=&to=&tz=&order=-avg_delay&limit=
 *     where=origin:in:ABQ,LAX&order=departed_at&limit=&cursor=
 *
 * `measure`, `by`, `bucket`, `where` and (of aggregates) `order` may be repeated; all but `where` also take a list
 * separated by commas. Repeated `where` = and. In the values of `in` a comma is written `\,` and a backslash `\\`;
 * other operators take the rest of the text as it is. `from` <= event time < `to`: RFC 3339, or a day (its midnight
 * UTC), or a wall clock where the dataset's event time is one. A single parameter that is empty counts as absent.
 *
 * Whatever leaves here is judged (names, types, values, counts) and canonical: equal questions make equal texts.
 */
import type { Contract, Field } from '../datasets/contract.ts';
import {
  type AggregateQuery,
  BUCKETS,
  type Bucket,
  MEASURES,
  type Measure,
  OPERATORS,
  type Order,
  type RecordsQuery,
  type Where,
} from '../warehouse/query.ts';
import { resolveAggregate, resolveRecords, type ResolvedFilter } from '../warehouse/query-rules.ts';
import { canonicalText, DAY_MS, parameterError, parseQueryValue } from '../warehouse/query-value.ts';
import { unknownParameter } from './json-answer.ts';

const AGGREGATE_LIMIT_DEFAULT = 1_000;
const RECORDS_LIMIT_DEFAULT = 100;

const SHARED_PARAMETERS = ['where', 'from', 'to', 'order', 'limit'] as const;
const AGGREGATE_PARAMETERS = ['measure', 'by', 'bucket', 'tz', ...SHARED_PARAMETERS] as const;
const RECORDS_PARAMETERS = [...SHARED_PARAMETERS, 'cursor'] as const;

export interface QueryLimits {
  /** READ_ROWS_MAX: the largest limit. */
  readonly rowsMax: number;
}

export interface ParsedRecordsQuery {
  readonly query: RecordsQuery;
  /** As sent; it is judged against the query by decodeCursor. */
  readonly cursor?: string;
}

/** Throws AppError PARAMETER_UNKNOWN, PARAMETER_MISSING or PARAMETER_INVALID, naming parameter, value and rule. */
export function parseAggregateQuery(contract: Contract, params: URLSearchParams, limits: QueryLimits): AggregateQuery {
  refuseUnknown(params, AGGREGATE_PARAMETERS);
  const query: AggregateQuery = {
    dataset: contract.name,
    measures: listed(params, 'measure').map(readMeasure),
    by: listed(params, 'by'),
    buckets: listed(params, 'bucket').map(readBucket),
    where: params.getAll('where').map(readWhere),
    ...readBounds(contract, params),
    timeZone: single(params, 'tz') ?? 'UTC',
    order: listed(params, 'order').map(readOrder),
    limit: readLimit(params, { fallback: AGGREGATE_LIMIT_DEFAULT, ...limits }),
  };
  return { ...query, where: canonicalWhere(resolveAggregate(query, contract).filters) };
}

export function parseRecordsQuery(
  contract: Contract,
  params: URLSearchParams,
  limits: QueryLimits,
): ParsedRecordsQuery {
  refuseUnknown(params, RECORDS_PARAMETERS);
  const query: RecordsQuery = {
    dataset: contract.name,
    where: params.getAll('where').map(readWhere),
    ...readBounds(contract, params),
    order: readRecordsOrder(contract, single(params, 'order')),
    limit: readLimit(params, { fallback: RECORDS_LIMIT_DEFAULT, ...limits }),
  };
  const cursor = single(params, 'cursor');
  const canonical = { ...query, where: canonicalWhere(resolveRecords(query, contract).filters) };
  return cursor === undefined ? { query: canonical } : { query: canonical, cursor };
}

/**
 * One text for equal queries: the dataset and a URL query of this grammar, then what a page adds (`commitMax`,
 * `after`) and a dataset route may (`model`). For ETags, cache keys and the hash in cursors.
 */
export function canonicalQuery(query: AggregateQuery | RecordsQuery): string {
  const params = new URLSearchParams();
  if ('measures' in query) {
    for (const measure of query.measures) params.append('measure', joined(measure.fn, measure.field));
    for (const name of query.by) params.append('by', name);
    for (const { field, unit } of query.buckets) params.append('bucket', `${field}:${unit}`);
    params.append('tz', query.timeZone);
  }
  for (const text of [...new Set(query.where.map(whereText))].sort()) params.append('where', text);
  if (query.fromMs !== undefined) params.append('from', new Date(query.fromMs).toISOString());
  if (query.toMs !== undefined) params.append('to', new Date(query.toMs).toISOString());
  for (const text of orderTexts(query.order)) params.append('order', text);
  params.append('limit', String(query.limit));
  if (query.commitMax !== undefined) params.append('commitMax', String(query.commitMax));
  if ('measures' in query) {
    if (query.model !== undefined) params.append('model', query.model);
  } else if (query.after !== undefined) {
    params.append('after', JSON.stringify([query.after.value, query.after.eventId]));
  }
  return `${query.dataset}?${params}`;
}

function refuseUnknown(params: URLSearchParams, known: readonly string[]): void {
  for (const name of params.keys()) if (!known.includes(name)) throw unknownParameter(name, known);
}

/** Once at most; empty is absent. */
function single(params: URLSearchParams, name: string): string | undefined {
  const [value, ...more] = params.getAll(name);
  if (more.length > 0)
    throw parameterError({ parameter: name, got: `${more.length + 1} values`, expected: 'once at most' });
  return value === '' ? undefined : value;
}

/** Repeated or separated by commas, in the order given. */
function listed(params: URLSearchParams, name: string): readonly string[] {
  return params.getAll(name).flatMap((text) => text.split(','));
}

function readMeasure(text: string): Measure {
  const { head, rest } = cutAt(text);
  const fn = MEASURES.find((one) => one === head);
  if (fn === undefined) {
    throw parameterError({
      parameter: 'measure',
      got: text,
      expected: `write MEASURE:FIELD or count; measures are ${MEASURES.join(', ')}`,
    });
  }
  return rest === undefined ? { fn } : { fn, field: rest };
}

function readBucket(text: string): Bucket {
  const { head, rest } = cutAt(text);
  const unit = BUCKETS.find((one) => one === rest);
  if (unit === undefined) {
    throw parameterError({
      parameter: 'bucket',
      got: text,
      expected: `write FIELD:UNIT; units are ${BUCKETS.join(', ')}`,
    });
  }
  return { field: head, unit };
}

function readWhere(text: string): Where {
  const { head: field, rest: tail } = cutAt(text);
  const { head, rest: value } = cutAt(tail ?? '');
  const op = OPERATORS.find((one) => one === head);
  if (op === undefined) {
    throw parameterError({
      parameter: 'where',
      got: text,
      expected: `write FIELD:OPERATOR:VALUE; operators are ${OPERATORS.join(', ')}`,
    });
  }
  if (value === undefined) return { field, op, values: [] };
  return { field, op, values: op === 'in' ? splitEscaped(value, text) : [value] };
}

function readOrder(text: string): Order {
  return text.startsWith('-') ? { name: text.slice(1), descending: true } : { name: text, descending: false };
}

function readRecordsOrder(contract: Contract, text: string | undefined): RecordsQuery['order'] {
  const { name, descending } = readOrder(text ?? contract.eventDate);
  if (name !== 'commit') return { field: name, descending };
  if (descending)
    throw parameterError({
      parameter: 'order',
      got: '-commit',
      expected: 'the order of commits is followed forwards only: commit',
    });
  return 'commit';
}

function readLimit(
  params: URLSearchParams,
  { fallback, rowsMax }: QueryLimits & { readonly fallback: number },
): number {
  const text = single(params, 'limit');
  if (text === undefined) return Math.min(fallback, rowsMax);
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > rowsMax) {
    throw parameterError({
      parameter: 'limit',
      got: text,
      expected: `a whole number from 1 to ${rowsMax} (READ_ROWS_MAX)`,
    });
  }
  return limit;
}

function readBounds(contract: Contract, params: URLSearchParams): { readonly fromMs?: number; readonly toMs?: number } {
  const fromMs = readInstant(contract, params, 'from');
  const toMs = readInstant(contract, params, 'to');
  if (fromMs !== undefined && toMs !== undefined && fromMs > toMs) {
    throw parameterError({ parameter: 'from', got: single(params, 'from') ?? '', expected: 'not after to' });
  }
  return { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
}

const INSTANT: Field = { type: 'timestamp', description: '', example: '' };
const WALLCLOCK: Field = { type: 'wallclock', description: '', example: '' };
const DAY: Field = { type: 'date', description: '', example: '' };

function readInstant(contract: Contract, params: URLSearchParams, parameter: 'from' | 'to'): number | undefined {
  const text = single(params, parameter);
  if (text === undefined) return undefined;
  const zoneless =
    contract.fields[contract.eventDate]?.type === 'wallclock' && text.length === '2018-05-21 02:54:04'.length;
  const field = text.length <= '2018-05-21'.length ? DAY : zoneless ? WALLCLOCK : INSTANT;
  const value = parseQueryValue(text, { name: parameter, field, parameter });
  if (value.kind === 'date') return value.days * DAY_MS;
  if (value.kind !== 'timestamp' && value.kind !== 'wallclock')
    throw new TypeError(`${parameter} became a ${value.kind}`);
  if (value.micros % 1_000n !== 0n)
    throw parameterError({ parameter, got: text, expected: 'at most 3 digits of fraction' });
  return Number(value.micros / 1_000n);
}

function canonicalWhere(filters: readonly ResolvedFilter[]): readonly Where[] {
  return filters.map(({ field, op, values }) => ({
    field: field.name,
    op,
    values: [...new Set(values.map(canonicalText))].sort(),
  }));
}

/** At the first colon: names hold none, values may. */
function cutAt(text: string): { readonly head: string; readonly rest: string | undefined } {
  const colon = text.indexOf(':');
  return colon < 0 ? { head: text, rest: undefined } : { head: text.slice(0, colon), rest: text.slice(colon + 1) };
}

function splitEscaped(text: string, got: string): readonly string[] {
  const values = [''];
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === ',') {
      values.push('');
      continue;
    }
    if (character === '\\') index += 1;
    const taken = text[index];
    if (taken === undefined || (character === '\\' && taken !== ',' && taken !== '\\')) {
      throw parameterError({ parameter: 'where', got, expected: 'in the values of in, \\ stands before , or \\ only' });
    }
    values[values.length - 1] += taken;
  }
  return values;
}

function whereText({ field, op, values }: Where): string {
  if (op === 'null' || op === 'notnull') return `${field}:${op}`;
  if (op !== 'in') return `${field}:${op}:${values.join(',')}`;
  const escaped = [...new Set(values)].sort().map((value) => value.replace(/[\\,]/g, '\\$&'));
  return `${field}:${op}:${escaped.join(',')}`;
}

function orderTexts(order: AggregateQuery['order'] | RecordsQuery['order']): readonly string[] {
  if (order === 'commit') return ['commit'];
  if ('field' in order) return [`${order.descending ? '-' : ''}${order.field}`];
  return order.map(({ name, descending }) => `${descending ? '-' : ''}${name}`);
}

function joined(fn: string, field: string | undefined): string {
  return field === undefined ? fn : `${fn}:${field}`;
}
