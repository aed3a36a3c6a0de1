/**
 * What a query means, said a second time: a naive evaluation in memory that every warehouse's answer is compared with.
 *
 * Slow and plain on purpose, and it shares no code with the compilers: values are parsed here again, local time comes
 * from Intl, percentiles of decimals are computed with integers.
 */
import type { AggregateQuery, Bucket, BucketUnit, Measure, RecordsQuery, Where } from './query.ts';

/** Instants and wall clocks in microseconds, dates in days, decimals in units of the last digit. */
export type Cell =
  | { readonly kind: 'integer' | 'timestamp' | 'wallclock' | 'decimal'; readonly value: bigint }
  | { readonly kind: 'float' | 'date'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | null;

export interface EvaluatedRow {
  readonly cells: Readonly<Record<string, Cell>>;
  readonly eventId: string;
  readonly commit: number;
}

/** Of decimal fields: digits after the point. */
export type Scales = Readonly<Record<string, number>>;
export type Answer = string | number | boolean | null;
export type AnswerRow = Readonly<Record<string, Answer>>;

interface Source {
  readonly rows: readonly EvaluatedRow[];
  readonly scales: Scales;
  readonly eventDate: string;
}

const DAY_MICROS = 86_400_000_000n;
const HOUR_MICROS = 3_600_000_000n;
const MINUTE_MICROS = 60_000_000n;

export function evaluateAggregate(
  query: AggregateQuery,
  source: Source,
): { readonly data: readonly AnswerRow[]; readonly truncated: boolean } {
  const groups = new Map<string, { readonly key: readonly Cell[]; readonly rows: EvaluatedRow[] }>();
  for (const row of source.rows.filter((one) => matches(one, query, source))) {
    const key = [
      ...query.by.map((name) => cellOf(row, name)),
      ...query.buckets.map((bucket) => bucketStart(cellOf(row, bucket.field), bucket, query.timeZone)),
    ];
    const text = JSON.stringify(key, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
    const group = groups.get(text) ?? { key, rows: [] };
    group.rows.push(row);
    groups.set(text, group);
  }
  if (query.by.length + query.buckets.length === 0 && groups.size === 0) groups.set('', { key: [], rows: [] });
  const dimensions = [...query.by, ...query.buckets.map(({ field, unit }) => `${field}_${unit}`)];
  const lines = [...groups.values()].map(({ key, rows }) => {
    const measured = query.measures.map(
      (measure) => [nameOf(measure), measureOf(measure, rows, source.scales)] as const,
    );
    return {
      sortable: new Map<string, Cell>([
        ...dimensions.map((name, index) => [name, key[index] ?? null] as const),
        ...measured.map(([name, one]) => [name, one.sortable] as const),
      ]),
      answer: Object.fromEntries([
        ...dimensions.map((name, index) => [name, answerOf(key[index] ?? null, source.scales[name] ?? 0)] as const),
        ...measured.map(([name, one]) => [name, one.answer] as const),
      ]),
    };
  });
  const order = [...query.order, ...dimensions.map((name) => ({ name, descending: false }))];
  lines.sort((left, right) => {
    for (const { name, descending } of order) {
      const compared = compareNullsLast(left.sortable.get(name) ?? null, right.sortable.get(name) ?? null, descending);
      if (compared !== 0) return compared;
    }
    return 0;
  });
  return { data: lines.slice(0, query.limit).map(({ answer }) => answer), truncated: lines.length > query.limit };
}

/** Event ids of everything the query asks for, in order, limit and place of the page left aside. */
export function evaluateRecords(query: RecordsQuery, source: Source): readonly string[] {
  const { order } = query;
  const visible = source.rows.filter(
    (row) => matches(row, query, source) && (query.commitMax === undefined || row.commit <= query.commitMax),
  );
  const compared = (left: EvaluatedRow, right: EvaluatedRow): number => {
    if (order === 'commit') return left.commit - right.commit;
    return compareNullsLast(cellOf(left, order.field), cellOf(right, order.field), order.descending);
  };
  return [...visible]
    .sort((left, right) => compared(left, right) || (left.eventId < right.eventId ? -1 : 1))
    .map(({ eventId }) => eventId);
}

function nameOf({ fn, field }: Measure): string {
  return field === undefined ? fn : `${fn}_${field}`;
}

function cellOf(row: EvaluatedRow, name: string): Cell {
  return row.cells[name] ?? null;
}

function matches(row: EvaluatedRow, query: AggregateQuery | RecordsQuery, { scales, eventDate }: Source): boolean {
  const micros = eventMicros(cellOf(row, eventDate));
  if (query.fromMs !== undefined && micros < BigInt(query.fromMs) * 1_000n) return false;
  if (query.toMs !== undefined && micros >= BigInt(query.toMs) * 1_000n) return false;
  return query.where.every((where) => holds(where, cellOf(row, where.field), scales[where.field] ?? 0));
}

function eventMicros(cell: Cell): bigint {
  if (cell?.kind === 'date') return BigInt(cell.value) * DAY_MICROS;
  if (cell?.kind === 'timestamp' || cell?.kind === 'wallclock') return cell.value;
  throw new Error('a row without event time');
}

function holds({ op, values }: Where, cell: Cell, scale: number): boolean {
  if (cell === null) return op === 'null';
  const others = values.map((text) => compareCells(cell, parse(cell.kind, text, scale)));
  const [first = Number.NaN] = others;
  switch (op) {
    case 'null':
      return false;
    case 'notnull':
      return true;
    case 'eq':
      return first === 0;
    case 'ne':
      return first !== 0;
    case 'lt':
      return first < 0;
    case 'lte':
      return first <= 0;
    case 'gt':
      return first > 0;
    case 'gte':
      return first >= 0;
    case 'in':
      return others.includes(0);
    case 'prefix':
      return String(cell.value).startsWith(values[0] ?? '');
  }
}

function parse(kind: NonNullable<Cell>['kind'], text: string, scale: number): NonNullable<Cell> {
  switch (kind) {
    case 'string':
      return { kind, value: text };
    case 'integer':
      return { kind, value: BigInt(text) };
    case 'float':
      return { kind, value: Number(text) };
    case 'decimal': {
      const [whole = '', fraction = ''] = text.split('.');
      return { kind, value: BigInt(whole + fraction.padEnd(scale, '0')) };
    }
    case 'boolean':
      return { kind, value: text === 'true' };
    case 'timestamp':
    case 'wallclock': {
      const [second = '', fraction = ''] = text.replace(' ', 'T').replace(/Z$/, '').split('.');
      return { kind, value: BigInt(Date.parse(`${second}Z`)) * 1_000n + BigInt(fraction.padEnd(6, '0')) };
    }
    case 'date':
      return { kind, value: Date.parse(text) / 86_400_000 };
  }
}

/** Texts by code point, which is the order of their UTF-8 bytes and not that of JavaScript's UTF-16. */
function compareCells(left: NonNullable<Cell>, right: NonNullable<Cell>): number {
  if (left.kind === 'string' && right.kind === 'string')
    return Buffer.compare(Buffer.from(left.value), Buffer.from(right.value));
  if (left.value === right.value) return 0;
  return left.value < right.value ? -1 : 1;
}

function compareNullsLast(left: Cell, right: Cell, descending: boolean): number {
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  return descending ? compareCells(right, left) : compareCells(left, right);
}

function bucketStart(cell: Cell, { unit }: Bucket, zone: string): Cell {
  if (cell === null) return null;
  if (cell.kind === 'date')
    return { kind: 'date', value: Number(truncate(BigInt(cell.value) * DAY_MICROS, unit) / DAY_MICROS) };
  if (cell.kind === 'wallclock') return { kind: 'wallclock', value: truncate(cell.value, unit) };
  if (cell.kind !== 'timestamp') throw new Error(`no bucket of a ${cell.kind}`);
  const local = localMicros(cell.value, zone);
  if (unit === 'minute' || unit === 'hour')
    return { kind: 'timestamp', value: cell.value - (local - truncate(local, unit)) };
  return { kind: 'timestamp', value: firstInstantAt(truncate(local, unit), zone) };
}

function truncate(micros: bigint, unit: BucketUnit): bigint {
  const floor = (size: bigint): bigint => micros - (((micros % size) + size) % size);
  const day = floor(DAY_MICROS);
  const date = new Date(Number(day / 1_000n));
  const start = (month: number): bigint => BigInt(Date.UTC(date.getUTCFullYear(), month, 1)) * 1_000n;
  switch (unit) {
    case 'minute':
      return floor(MINUTE_MICROS);
    case 'hour':
      return floor(HOUR_MICROS);
    case 'day':
      return day;
    case 'week':
      return day - BigInt((date.getUTCDay() + 6) % 7) * DAY_MICROS;
    case 'month':
      return start(date.getUTCMonth());
    case 'quarter':
      return start(date.getUTCMonth() - (date.getUTCMonth() % 3));
    case 'year':
      return start(0);
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function localMicros(micros: bigint, zone: string): bigint {
  let clock = clocks.get(zone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    clocks.set(zone, clock);
  }
  const belowSecond = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const shown = Object.fromEntries(
    clock.formatToParts(Number((micros - belowSecond) / 1_000n)).map(({ type, value }) => [type, Number(value)]),
  );
  const part = (name: string): number => shown[name] ?? Number.NaN;
  const localMs = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  return BigInt(localMs) * 1_000n + belowSecond;
}

const starts = new Map<string, bigint>();

/** The first instant at which the zone's clock shows this or later; offsets are multiples of a quarter of an hour. */
function firstInstantAt(local: bigint, zone: string): bigint {
  const known = starts.get(`${zone} ${local}`);
  if (known !== undefined) return known;
  for (let instant = local - 15n * HOUR_MICROS; ; instant += 15n * MINUTE_MICROS) {
    if (localMicros(instant, zone) < local) continue;
    starts.set(`${zone} ${local}`, instant);
    return instant;
  }
}

interface Measured {
  readonly answer: Answer;
  readonly sortable: Cell;
}

const NOTHING: Measured = { answer: null, sortable: null };
const PERCENTS = { p50: 50, p95: 95, p99: 99 } as const;

function measureOf({ fn, field }: Measure, rows: readonly EvaluatedRow[], scales: Scales): Measured {
  if (field === undefined) return integer(BigInt(rows.length));
  const scale = scales[field] ?? 0;
  const cells = rows.map((row) => cellOf(row, field)).filter((cell) => cell !== null);
  const different = new Set(cells.map(({ value }) => String(value))).size;
  if (cells.length === 0 && fn !== 'distinct') return NOTHING;
  const sorted = cells.toSorted(compareCells);
  switch (fn) {
    case 'count':
      return integer(BigInt(rows.length));
    case 'distinct':
      return integer(BigInt(different));
    case 'min':
      return cellMeasure(sorted[0] ?? null, scale);
    case 'max':
      return cellMeasure(sorted.at(-1) ?? null, scale);
    case 'sum':
      return sumOf(cells, scale);
    case 'avg':
      return float(meanOf(cells, scale));
    case 'stddev':
      return cells.length < 2 ? NOTHING : float(deviationOf(cells, scale));
    case 'p50':
    case 'p95':
    case 'p99':
      return percentileOf(sorted, PERCENTS[fn], scale);
  }
}

function sumOf(cells: readonly NonNullable<Cell>[], scale: number): Measured {
  if (cells[0]?.kind === 'float') return float(numbersOf(cells, scale).reduce((sum, one) => sum + one, 0));
  const sum = cells.reduce((total, { value }) => total + BigInt(value), 0n);
  return cells[0]?.kind === 'decimal' ? cellMeasure({ kind: 'decimal', value: sum }, scale) : integer(sum);
}

function percentileOf(sorted: readonly NonNullable<Cell>[], percent: number, scale: number): Measured {
  const place = (sorted.length - 1) * percent;
  const low = sorted[Math.floor(place / 100)] ?? null;
  const high = sorted[Math.ceil(place / 100)] ?? null;
  if (low === null || high === null) return NOTHING;
  if (low.kind === 'decimal' && high.kind === 'decimal') {
    return cellMeasure(
      { kind: 'decimal', value: low.value * 100n + (high.value - low.value) * BigInt(place % 100) },
      scale + 2,
    );
  }
  const [from = 0, to = 0] = numbersOf([low, high], scale);
  return float(from + ((to - from) * (place % 100)) / 100);
}

function numbersOf(cells: readonly NonNullable<Cell>[], scale: number): readonly number[] {
  return cells.map(({ value }) => Number(value) / 10 ** scale);
}

/** Divides an exact sum, so that large values of both signs leave nothing behind. */
function meanOf(cells: readonly NonNullable<Cell>[], scale: number): number {
  if (cells[0]?.kind === 'float') return numbersOf(cells, scale).reduce((sum, one) => sum + one, 0) / cells.length;
  return Number(cells.reduce((total, { value }) => total + BigInt(value), 0n)) / cells.length / 10 ** scale;
}

function deviationOf(cells: readonly NonNullable<Cell>[], scale: number): number {
  const mean = meanOf(cells, scale);
  return Math.sqrt(numbersOf(cells, scale).reduce((sum, one) => sum + (one - mean) ** 2, 0) / (cells.length - 1));
}

function integer(value: bigint): Measured {
  return cellMeasure({ kind: 'integer', value }, 0);
}

function float(value: number): Measured {
  return cellMeasure({ kind: 'float', value }, 0);
}

function cellMeasure(cell: Cell, scale: number): Measured {
  return { answer: answerOf(cell, scale), sortable: cell };
}

function answerOf(cell: Cell, scale: number): Answer {
  if (cell === null) return null;
  switch (cell.kind) {
    case 'integer':
      return Number.isSafeInteger(Number(cell.value)) ? Number(cell.value) : String(cell.value);
    case 'decimal':
      return decimalAnswer(cell.value, scale);
    case 'timestamp':
      return isoText(cell.value)
        .replace(/\.000000$/, '')
        .replace(/(\.\d{3})000$/, '$1')
        .concat('Z');
    case 'wallclock':
      return isoText(cell.value).slice(0, 19).replace('T', ' ');
    case 'date':
      return new Date(cell.value * 86_400_000).toISOString().slice(0, 10);
    case 'float':
    case 'string':
    case 'boolean':
      return cell.value;
  }
}

function decimalAnswer(units: bigint, scale: number): Answer {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0');
  const text = `${units < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
  return digits.replace(/^0+/, '').replace(/0+$/, '').length > 15 ? text : Number(text);
}

function isoText(micros: bigint): string {
  const below = ((micros % 1_000n) + 1_000n) % 1_000n;
  return `${new Date(Number((micros - below) / 1_000n)).toISOString().slice(0, -1)}${String(below).padStart(3, '0')}`;
}
