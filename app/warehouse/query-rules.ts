/**
 * What of a query specification makes sense for a contract: the one judge, asked by the URL grammar before anything
 * is cached and again by the compiler, whoever made the query.
 *
 * A query that passes names only columns of the contract (or of one of its gold models), with operators and measures
 * that their types have, and every value is parsed. Compilers see nothing else.
 */
import type { Contract } from '../datasets/contract.ts';
import {
  type AggregateQuery,
  BUCKETS,
  type BucketUnit,
  MEASURES,
  type Measure,
  type MeasureFunction,
  type Operator,
  type RecordsQuery,
  type Where,
} from './query.ts';
import { fieldOf, listOf, MEASURES_OF, OPERATORS_OF, type QueryField, queryFields } from './query-field.ts';
import { DAY_MS, parameterError, parseQueryValue, type QueryValue } from './query-value.ts';

const MEASURES_MAX = 20;
const DIMENSIONS_MAX = 6;
const FILTERS_MAX = 20;
const IN_VALUES_MAX = 100;
/** A page's cursor carries the last order value, and a cursor must fit into a URL. */
const ORDER_CHARACTERS_MAX = 1_024;

export interface ResolvedTable {
  readonly schema: 'silver' | 'gold';
  readonly name: string;
}

export interface ResolvedFilter {
  readonly field: QueryField;
  readonly op: Operator;
  readonly values: readonly QueryValue[];
}

export interface ResolvedBounds {
  readonly field: QueryField;
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
}

export interface ResolvedDimension {
  readonly name: string;
  readonly field: QueryField;
  readonly unit: BucketUnit | undefined;
}

export interface ResolvedMeasure {
  readonly name: string;
  readonly fn: MeasureFunction;
  /** Absent for count alone. */
  readonly field: QueryField | undefined;
}

export interface ResolvedAggregate {
  readonly table: ResolvedTable;
  readonly dimensions: readonly ResolvedDimension[];
  readonly measures: readonly ResolvedMeasure[];
  readonly filters: readonly ResolvedFilter[];
  readonly bounds: ResolvedBounds | undefined;
  readonly timeZone: string;
  readonly order: readonly { readonly name: string; readonly descending: boolean }[];
  readonly limit: number;
}

export interface ResolvedRecords {
  readonly table: ResolvedTable;
  readonly filters: readonly ResolvedFilter[];
  readonly bounds: ResolvedBounds | undefined;
  readonly order: { readonly field: QueryField; readonly descending: boolean } | 'commit';
  readonly limit: number;
}

const SUB_DAY_UNITS: readonly BucketUnit[] = ['minute', 'hour'];
/** Excludes the offsets (`+01:00`) that Intl takes and a warehouse need not. */
const ZONE_SHAPE = /^[A-Za-z][A-Za-z_]*(?:[/+-][A-Za-z0-9_+-]+)*$/;

function measureName({ fn, field }: Measure): string {
  return field === undefined ? fn : `${fn}_${field}`;
}

function bucketName(bucket: { readonly field: string; readonly unit: BucketUnit }): string {
  return `${bucket.field}_${bucket.unit}`;
}

/** Intl takes 50 µs to say it, which is more than the rest of a cached answer. Callers choose the names, hence the limit. */
const knownZones = new Set<string>();
const KNOWN_ZONES_MAX = 1_000;

function isTimeZone(name: string): boolean {
  if (knownZones.has(name)) return true;
  const known = ZONE_SHAPE.test(name) && intlKnows(name);
  if (known && knownZones.size < KNOWN_ZONES_MAX) knownZones.add(name);
  return known;
}

function intlKnows(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Throws AppError PARAMETER_INVALID or PARAMETER_MISSING; `limit` is taken as already judged by the caller's budget. */
export function resolveAggregate(query: AggregateQuery, contract: Contract): ResolvedAggregate {
  const fields = queryFields(contract, query.model);
  const dimensions = [
    ...query.by.map((name) => resolveDimension(fields, name)),
    ...query.buckets.map((bucket) => resolveBucket(fields, bucket)),
  ];
  const measures = query.measures.map((measure) => resolveMeasure(fields, measure));
  if (measures.length === 0) {
    throw parameterError({
      code: 'PARAMETER_MISSING',
      parameter: 'measure',
      got: '',
      expected: `name at least one of ${MEASURES.join(', ')}, as measure=count`,
    });
  }
  checkMany({ parameter: 'measure', count: measures.length, max: MEASURES_MAX });
  checkMany({ parameter: 'by', count: dimensions.length, max: DIMENSIONS_MAX });
  checkDistinct([...dimensions, ...measures]);
  if (!isTimeZone(query.timeZone)) {
    throw parameterError({
      parameter: 'tz',
      got: query.timeZone,
      expected: 'an IANA time zone as Europe/Berlin; the default is UTC',
    });
  }
  return {
    table:
      query.model === undefined
        ? { schema: 'silver', name: contract.name }
        : { schema: 'gold', name: `${contract.name}_${query.model}` },
    dimensions,
    measures,
    filters: resolveFilters(fields, query.where),
    bounds: resolveBounds(query, contract),
    timeZone: query.timeZone,
    order: resolveOrder(query, [...dimensions, ...measures]),
    limit: checkLimit(query.limit),
  };
}

export function resolveRecords(query: RecordsQuery, contract: Contract): ResolvedRecords {
  const fields = queryFields(contract);
  return {
    table: { schema: 'silver', name: contract.name },
    filters: resolveFilters(fields, query.where),
    bounds: resolveBounds(query, contract),
    order: resolveRecordsOrder(fields, query.order),
    limit: checkLimit(query.limit),
  };
}

function resolveDimension(fields: ReadonlyMap<string, QueryField>, name: string): ResolvedDimension {
  const field = fieldOf(fields, name, 'by');
  // Floats that differ beyond the 12 digits answered would make groups that look alike.
  if (field.kind === 'float') {
    const allowed = [...fields.values()].filter((one) => one.kind !== 'float').map((one) => one.name);
    throw parameterError({
      parameter: 'by',
      got: name,
      expected: `a float is no dimension; use one of ${listOf(allowed)}`,
    });
  }
  return { name, field, unit: undefined };
}

function resolveBucket(
  fields: ReadonlyMap<string, QueryField>,
  bucket: { readonly field: string; readonly unit: BucketUnit },
): ResolvedDimension {
  const field = fieldOf(fields, bucket.field, 'bucket');
  const got = `${bucket.field}:${bucket.unit}`;
  if (!BUCKETS.includes(bucket.unit))
    throw parameterError({ parameter: 'bucket', got, expected: `the unit is one of ${BUCKETS.join(', ')}` });
  const timed = field.kind === 'timestamp' || field.kind === 'wallclock' || field.kind === 'date';
  if (!timed) {
    const allowed = [...fields.values()]
      .filter((one) => ['timestamp', 'wallclock', 'date'].includes(one.kind))
      .map((one) => one.name);
    throw parameterError({ parameter: 'bucket', got, expected: `${bucket.field} has no time; use ${listOf(allowed)}` });
  }
  if (field.kind === 'date' && SUB_DAY_UNITS.includes(bucket.unit)) {
    throw parameterError({
      parameter: 'bucket',
      got,
      expected: `${bucket.field} is a date; use day, week, month, quarter or year`,
    });
  }
  return { name: bucketName(bucket), field, unit: bucket.unit };
}

function resolveMeasure(fields: ReadonlyMap<string, QueryField>, measure: Measure): ResolvedMeasure {
  const got = measure.field === undefined ? measure.fn : `${measure.fn}:${measure.field}`;
  if (!MEASURES.includes(measure.fn))
    throw parameterError({ parameter: 'measure', got, expected: `use one of ${MEASURES.join(', ')}` });
  if (measure.fn === 'count') {
    if (measure.field !== undefined)
      throw parameterError({ parameter: 'measure', got, expected: 'count takes no field' });
    return { name: 'count', fn: 'count', field: undefined };
  }
  if (measure.field === undefined)
    throw parameterError({ parameter: 'measure', got, expected: `name a field, as ${measure.fn}:FIELD` });
  const field = fieldOf(fields, measure.field, 'measure');
  if (!MEASURES_OF[field.kind].includes(measure.fn)) {
    throw parameterError({
      parameter: 'measure',
      got,
      expected: `${field.name} is of type ${field.kind}, which has ${MEASURES_OF[field.kind].join(', ')}`,
    });
  }
  return { name: measureName(measure), fn: measure.fn, field };
}

function resolveFilters(fields: ReadonlyMap<string, QueryField>, where: readonly Where[]): readonly ResolvedFilter[] {
  checkMany({ parameter: 'where', count: where.length, max: FILTERS_MAX });
  return where.map((one) => resolveFilter(fields, one));
}

function resolveFilter(fields: ReadonlyMap<string, QueryField>, where: Where): ResolvedFilter {
  const field = fieldOf(fields, where.field, 'where');
  const got = [where.field, where.op, ...where.values].join(':');
  if (!OPERATORS_OF[field.kind].includes(where.op)) {
    throw parameterError({
      parameter: 'where',
      got,
      expected: `${field.name} is of type ${field.kind}, which has ${OPERATORS_OF[field.kind].join(', ')}`,
    });
  }
  checkArity(where, got);
  const values = where.values.map((text) =>
    parseQueryValue(text, { name: field.name, field: field.field, parameter: 'where' }),
  );
  return { field, op: where.op, values };
}

function checkArity({ op, values }: Where, got: string): void {
  if (op === 'null' || op === 'notnull') {
    if (values.length > 0) throw parameterError({ parameter: 'where', got, expected: `${op} takes no value` });
  } else if (op === 'in') {
    if (values.length === 0)
      throw parameterError({ parameter: 'where', got, expected: 'in takes values separated by commas' });
    checkMany({ parameter: 'where', count: values.length, max: IN_VALUES_MAX });
  } else if (values.length !== 1) {
    throw parameterError({ parameter: 'where', got, expected: `${op} takes one value` });
  }
}

function resolveBounds(query: AggregateQuery | RecordsQuery, contract: Contract): ResolvedBounds | undefined {
  const { fromMs, toMs } = query;
  if (fromMs === undefined && toMs === undefined) return undefined;
  if ('model' in query && query.model !== undefined) {
    throw parameterError({
      parameter: fromMs === undefined ? 'to' : 'from',
      got: '',
      expected: `the model ${query.model} has no event time`,
    });
  }
  for (const [parameter, ms] of [
    ['from', fromMs],
    ['to', toMs],
  ] as const) {
    if (ms !== undefined && (!Number.isInteger(ms) || Math.abs(ms) > 100_000_000 * DAY_MS)) {
      throw parameterError({ parameter, got: String(ms), expected: 'whole milliseconds since 1970' });
    }
  }
  return { field: fieldOf(queryFields(contract), contract.eventDate, 'from'), fromMs, toMs };
}

function resolveOrder(
  query: AggregateQuery,
  columns: readonly { readonly name: string }[],
): ResolvedAggregate['order'] {
  const names = columns.map((one) => one.name);
  for (const { name } of query.order) {
    if (!names.includes(name))
      throw parameterError({ parameter: 'order', got: name, expected: `order by what is answered: ${listOf(names)}` });
  }
  return query.order.filter((one, index) => query.order.findIndex((other) => other.name === one.name) === index);
}

function resolveRecordsOrder(
  fields: ReadonlyMap<string, QueryField>,
  order: RecordsQuery['order'],
): ResolvedRecords['order'] {
  if (order === 'commit') return 'commit';
  const field = fieldOf(fields, order.field, 'order');
  if (field.field.type === 'string' && (field.field.lengthMax ?? 0) > ORDER_CHARACTERS_MAX) {
    throw parameterError({
      parameter: 'order',
      got: order.field,
      expected: `texts over ${ORDER_CHARACTERS_MAX} characters cannot be ordered by`,
    });
  }
  return { field, descending: order.descending };
}

function checkLimit(limit: number): number {
  // The number is written into the SQL text, so it has to be one, whoever made the query.
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw parameterError({ parameter: 'limit', got: String(limit), expected: 'a whole number from 1' });
  return limit;
}

function checkMany({
  parameter,
  count,
  max,
}: {
  readonly parameter: string;
  readonly count: number;
  readonly max: number;
}): void {
  if (count > max) throw parameterError({ parameter, got: `${count} of them`, expected: `at most ${max} are taken` });
}

function checkDistinct(columns: readonly { readonly name: string }[]): void {
  const names = columns.map((one) => one.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw parameterError({
      parameter: 'measure',
      got: twice,
      expected: 'two answered columns would have this name; ask once',
    });
}
