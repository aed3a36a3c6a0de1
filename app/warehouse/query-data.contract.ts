/** Rows and queries for the property tests of the read side: a contract with every type, NULLs, DST nights, keywords as names. */
import type { DuckDBConnection } from '@duckdb/node-api';
import fc from 'fast-check';
import type { Contract } from '../datasets/contract.ts';
import { BUCKETS, type AggregateQuery, type Bucket, type Measure, type Operator, type Where } from './query.ts';
import type { Cell, EvaluatedRow, Scales } from './query-evaluation.contract.ts';

const about = { description: 'A field.', optional: true } as const;

/** Two fields are SQL keywords, one has the name of a measure: names must be quoted and must not shadow each other. */
export const everyType: Contract = {
  name: 'every_type',
  version: 1,
  title: 'Every type',
  description: 'One field of each type.',
  fields: {
    at: { type: 'timestamp', description: 'Event time.', example: '2018-03-25T01:30:00Z' },
    select: { ...about, type: 'string', example: 'a', lengthMin: 0, lengthMax: 50 },
    sum_order: { ...about, type: 'integer', example: 1, min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER },
    order: { ...about, type: 'float', example: 0.5, min: -1e6, max: 1e6 },
    amount: {
      ...about,
      type: 'decimal',
      example: '1.25',
      precision: 12,
      scale: 2,
      min: '-9999999999.99',
      max: '9999999999.99',
    },
    flag: { ...about, type: 'boolean', example: true },
    clock: { ...about, type: 'wallclock', example: '2018-03-25 02:30:00' },
    day: { ...about, type: 'date', example: '2018-03-25' },
    place: { ...about, type: 'point', example: 'POINT (1 2)' },
  },
  derived: {
    fields: {
      mood: { type: 'string', description: 'Derived.', example: 'x' },
      names: { type: 'counts', description: 'Derived list.', example: '[]' },
    },
    derive: () => ({}),
  },
  identity: { kind: 'occurrence' },
  eventDate: 'at',
  freshnessSeconds: 5,
  retentionDays: { bronze: 1, silver: 1, quarantine: 1, deadLetters: 1, archive: 1 },
  gold: { moods: { kind: 'dimension', description: 'Moods.', field: 'mood', column: 'mood' } },
  sample: { file: 'none.json', source: 'none', license: 'none' },
};

export const scales: Scales = { amount: 2 };

const COLUMNS: Readonly<Record<string, string>> = {
  at: 'TIMESTAMP',
  select: 'VARCHAR',
  sum_order: 'BIGINT',
  order: 'DOUBLE',
  amount: 'DECIMAL(12,2)',
  flag: 'BOOLEAN',
  clock: 'TIMESTAMP',
  day: 'DATE',
  place_lon: 'DOUBLE',
  place_lat: 'DOUBLE',
  mood: 'VARCHAR',
};

export async function createEveryType(connection: DuckDBConnection): Promise<void> {
  const columns = Object.entries(COLUMNS).map(([name, type]) => `"${name}" ${type}`);
  await connection.run('CREATE SCHEMA silver; CREATE SCHEMA gold;');
  await connection.run(
    `CREATE TABLE silver.every_type (${columns.join(', ')}, names STRUCT(name VARCHAR, count INTEGER)[], _event_id UUID, _event_date DATE, _message_id UUID, _index INTEGER, _commit BIGINT)`,
  );
  await connection.run(
    'CREATE VIEW gold.every_type_moods AS SELECT DISTINCT mood FROM silver.every_type WHERE mood IS NOT NULL',
  );
}

export async function insertEveryType(connection: DuckDBConnection, rows: readonly EvaluatedRow[]): Promise<void> {
  if (rows.length === 0) return;
  const lines = rows.map(({ cells, eventId, commit }) => {
    const values = Object.entries(COLUMNS).map(([name, type]) => `CAST(${literal(cells[name] ?? null)} AS ${type})`);
    return `(${values.join(', ')}, NULL, '${eventId}', CAST(${literal(cells['at'] ?? null)} AS DATE), NULL, 0, ${commit})`;
  });
  await connection.run(`INSERT INTO silver.every_type VALUES ${lines.join(', ')}`);
}

function literal(cell: Cell): string {
  if (cell === null) return 'NULL';
  switch (cell.kind) {
    case 'string':
      return `'${cell.value.replaceAll("'", "''")}'`;
    case 'timestamp':
    case 'wallclock':
      return `make_timestamp(${cell.value})`;
    case 'date':
      return `(DATE '1970-01-01' + ${cell.value})`;
    case 'decimal':
    case 'integer':
    case 'float':
    case 'boolean':
      return `'${textOf(cell)}'`;
  }
}

/** Nights on which clocks go forward or back: Berlin, New York, Havana (at midnight), São Paulo (no midnight), Lord Howe (half an hour). */
const NIGHTS = [
  '2018-03-25',
  '2018-10-28',
  '2018-03-11',
  '2018-11-04',
  '2018-02-18',
  '2018-04-01',
  '2018-10-07',
  '2018-12-31',
];
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Havana',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
];

const microsArbitrary = fc
  .tuple(
    fc.constantFrom(...NIGHTS),
    fc.integer({ min: -30 * 3_600, max: 30 * 3_600 }),
    fc.constantFrom(0n, 1n, 500_000n, 999_999n),
  )
  .map(([night, seconds, below]) => BigInt(Date.parse(night) + seconds * 1_000) * 1_000n + below);
const wholeSecond = microsArbitrary.map((micros) => micros - (((micros % 1_000_000n) + 1_000_000n) % 1_000_000n));
const TEXTS = ['', 'a', 'ab', 'B', 'é', '%', "a'b", '\u{ffee}', '\u{1f600}', 'NULL', '$1', '"'];

/** Few different values, so that groups and ties happen; floats are sums of quarters, so that no order hangs on a last digit. */
const present: Readonly<Record<string, fc.Arbitrary<NonNullable<Cell>>>> = {
  at: microsArbitrary.map((value) => ({ kind: 'timestamp', value })),
  select: fc.constantFrom(...TEXTS).map((value) => ({ kind: 'string', value })),
  sum_order: fc
    .oneof(fc.bigInt(-3n, 3n), fc.constantFrom(2n ** 53n - 1n, 1n - 2n ** 53n))
    .map((value) => ({ kind: 'integer', value })),
  order: fc.integer({ min: -20, max: 20 }).map((quarters) => ({ kind: 'float', value: quarters / 4 })),
  amount: fc
    .oneof(fc.bigInt(-500n, 500n), fc.constantFrom(999_999_999_999n, -999_999_999_999n))
    .map((value) => ({ kind: 'decimal', value })),
  flag: fc.boolean().map((value) => ({ kind: 'boolean', value })),
  clock: wholeSecond.map((value) => ({ kind: 'wallclock', value })),
  day: fc.integer({ min: 17_500, max: 17_560 }).map((value) => ({ kind: 'date', value })),
  place_lon: fc.integer({ min: -20, max: 20 }).map((quarters) => ({ kind: 'float', value: quarters / 4 })),
  place_lat: fc.integer({ min: -20, max: 20 }).map((quarters) => ({ kind: 'float', value: quarters / 4 })),
  mood: fc.constantFrom('x', 'y').map((value) => ({ kind: 'string', value })),
};

const cellsArbitrary: fc.Arbitrary<Readonly<Record<string, Cell>>> = fc.record(
  Object.fromEntries(
    Object.entries(present).map(([name, arbitrary]) => [
      name,
      name === 'at' ? arbitrary : fc.option(arbitrary, { freq: 4, nil: null }),
    ]),
  ),
);

const eventIdArbitrary = fc.bigInt(0n, 2n ** 128n - 1n).map((id) => id.toString(16).padStart(32, '0'));

export function rowsArbitrary(options: { readonly maxLength: number }): fc.Arbitrary<readonly EvaluatedRow[]> {
  const row = fc.record({ cells: cellsArbitrary, eventId: eventIdArbitrary, commit: fc.integer({ min: 1, max: 5 }) });
  return fc.uniqueArray(row, { ...options, selector: ({ eventId }) => eventId });
}

function textOf(cell: NonNullable<Cell>): string {
  switch (cell.kind) {
    case 'decimal': {
      const digits = String(cell.value < 0n ? -cell.value : cell.value).padStart(3, '0');
      return `${cell.value < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
    }
    case 'timestamp':
      return `${new Date(Number(cell.value / 1_000_000n) * 1_000).toISOString().slice(0, 19)}.${String(cell.value % 1_000_000n).padStart(6, '0')}Z`;
    case 'wallclock':
      return new Date(Number(cell.value / 1_000n)).toISOString().slice(0, 19).replace('T', ' ');
    case 'date':
      return new Date(cell.value * 86_400_000).toISOString().slice(0, 10);
    case 'integer':
    case 'float':
    case 'string':
    case 'boolean':
      return String(cell.value);
  }
}

function whereOf(field: string, values: fc.Arbitrary<NonNullable<Cell>>): fc.Arbitrary<Where> {
  const texts = values.map(textOf);
  const one = (ops: readonly Operator[]): fc.Arbitrary<Where> =>
    fc.record({ field: fc.constant(field), op: fc.constantFrom(...ops), values: texts.map((text) => [text]) });
  const none = fc.record({
    field: fc.constant(field),
    op: fc.constantFrom<Operator>('null', 'notnull'),
    values: fc.constant([]),
  });
  if (field === 'flag') return fc.oneof(one(['eq', 'ne']), none);
  const several = fc.record({
    field: fc.constant(field),
    op: fc.constant<Operator>('in'),
    values: fc.array(texts, { minLength: 1, maxLength: 3 }),
  });
  const compared = one(['eq', 'ne', 'lt', 'lte', 'gt', 'gte']);
  return fc.oneof({ weight: 3, arbitrary: compared }, several, none, ...(field === 'select' ? [one(['prefix'])] : []));
}

export const whereArbitrary: fc.Arbitrary<readonly Where[]> = fc.array(
  fc.oneof(...Object.entries(present).map(([field, values]) => whereOf(field, values))),
  { maxLength: 2 },
);

export const boundsArbitrary: fc.Arbitrary<{ readonly fromMs?: number; readonly toMs?: number }> = fc.record(
  {
    fromMs: microsArbitrary.map((micros) => Number(micros / 1_000n)),
    toMs: microsArbitrary.map((micros) => Number(micros / 1_000n)),
  },
  { requiredKeys: [] },
);

const numeric = ['sum_order', 'order', 'amount', 'place_lon'];
const MEASURABLE: readonly Measure[] = [
  { fn: 'count' },
  ...numeric.flatMap((field) =>
    (['sum', 'avg', 'min', 'max', 'stddev', 'p50', 'p95', 'p99', 'distinct'] as const).map((fn) => ({ fn, field })),
  ),
  ...['select', 'at', 'clock', 'day'].flatMap((field) =>
    (['min', 'max', 'distinct'] as const).map((fn) => ({ fn, field })),
  ),
  { fn: 'distinct', field: 'flag' },
];
const DIMENSIONS = ['select', 'sum_order', 'amount', 'flag', 'clock', 'day', 'at', 'mood'];
const BUCKETED: readonly Bucket[] = ['at', 'clock', 'day'].flatMap((field) =>
  BUCKETS.filter((unit) => field !== 'day' || (unit !== 'hour' && unit !== 'minute')).map((unit) => ({ field, unit })),
);

const nameOf = ({ fn, field }: Measure): string => (field === undefined ? fn : `${fn}_${field}`);
/** Measures whose double may differ in the last digit from the naive one: two groups that tie could swap. */
const INEXACT = ['avg', 'stddev', 'p95', 'p99'];

export const aggregateArbitrary: fc.Arbitrary<AggregateQuery> = fc
  .record({
    measures: fc.uniqueArray(fc.constantFrom(...MEASURABLE), { minLength: 1, maxLength: 4, selector: nameOf }),
    by: fc.uniqueArray(fc.constantFrom(...DIMENSIONS), { maxLength: 2 }),
    buckets: fc.uniqueArray(fc.constantFrom(...BUCKETED), {
      maxLength: 2,
      selector: ({ field, unit }) => `${field}_${unit}`,
    }),
    where: whereArbitrary,
    bounds: fc.option(boundsArbitrary, { nil: {}, freq: 2 }),
    timeZone: fc.constantFrom(...ZONES),
    limit: fc.integer({ min: 1, max: 20 }),
    ordering: fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 2 }),
  })
  .filter(({ measures, by }) => measures.every((measure) => !by.includes(nameOf(measure))))
  .map(({ bounds, ordering, ...query }) => {
    const names = [
      ...query.measures.filter(({ fn }) => !INEXACT.includes(fn)).map(nameOf),
      ...query.by,
      ...query.buckets.map(({ field, unit }) => `${field}_${unit}`),
    ];
    const order = ordering.flatMap(([pick, descending]) => {
      const name = names[pick % Math.max(1, names.length)];
      return name === undefined ? [] : [{ name, descending }];
    });
    return { dataset: everyType.name, ...query, ...bounds, order };
  });
