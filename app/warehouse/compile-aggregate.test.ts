import assert from 'node:assert/strict';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { compileAggregate } from './compile-aggregate.ts';
import { duckdbDialect } from './duckdb-dialect.ts';
import { DuckdbReaders } from './duckdb-readers.ts';
import { readAggregate } from './duckdb-reads.ts';
import type { AggregateQuery } from './query.ts';
import {
  aggregateArbitrary,
  createEveryType,
  everyType,
  insertEveryType,
  rowsArbitrary,
  scales,
} from './query-data.contract.ts';
import { type Answer, evaluateAggregate, type EvaluatedRow } from './query-evaluation.contract.ts';

const budget = { timeoutMs: 10_000, rowsMax: 1_000 };
const question: AggregateQuery = {
  dataset: 'every_type',
  measures: [{ fn: 'count' }],
  by: [],
  buckets: [],
  where: [],
  timeZone: 'UTC',
  order: [],
  limit: 100,
};

describe('compileAggregate', () => {
  let instance: DuckDBInstance;
  let writer: DuckDBConnection;
  let readers: DuckdbReaders;
  let lastId = 0;

  before(async () => {
    instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    writer = await instance.connect();
    await createEveryType(writer);
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 1 });
  });

  after(async () => {
    await readers.close();
    writer.disconnectSync();
    instance.closeSync();
  });

  async function ask(query: AggregateQuery, rows: readonly EvaluatedRow[], percentileRowsMax = 1_000) {
    await writer.run('TRUNCATE silver.every_type');
    await insertEveryType(writer, rows);
    return readAggregate(readers, { query, contract: everyType, budget, percentileRowsMax });
  }

  function row(cells: EvaluatedRow['cells'], at = '2018-06-01T00:00:00Z'): EvaluatedRow {
    lastId += 1;
    const id = lastId.toString(16).padStart(32, '0');
    return {
      cells: { at: { kind: 'timestamp', value: BigInt(Date.parse(at)) * 1_000n }, ...cells },
      eventId: id,
      commit: 1,
    };
  }

  it('answers what a naive evaluation answers, NULLs, time zones and nights of DST included', async () => {
    await fc.assert(
      fc.asyncProperty(rowsArbitrary({ maxLength: 25 }), aggregateArbitrary, async (rows, query) => {
        const answered = await ask(query, rows);
        const expected = evaluateAggregate(query, { rows, scales, eventDate: 'at' });
        assert.equal(answered.truncated, expected.truncated);
        assert.equal(answered.approximate, false);
        assert.equal(answered.data.length, expected.data.length);
        for (const [index, line] of expected.data.entries()) {
          const got = answered.data[index] ?? {};
          assert.deepEqual(Object.keys(got), Object.keys(line));
          for (const [name, value] of Object.entries(line)) assertClose(got[name] as Answer, value, name);
        }
      }),
      { numRuns: 150 },
    );
  }).timeout(20_000);

  it('keeps every cent of a sum, as text where a double would lose it', async () => {
    await writer.run('TRUNCATE silver.every_type');
    await writer.run(
      'INSERT INTO silver.every_type BY NAME SELECT 9999999999.99 AS amount FROM range(200) UNION ALL SELECT 0.01',
    );
    const query: AggregateQuery = {
      ...question,
      measures: [
        { fn: 'sum', field: 'amount' },
        { fn: 'max', field: 'amount' },
      ],
    };
    const { data } = await readAggregate(readers, { query, contract: everyType, budget, percentileRowsMax: 1 });
    assert.deepEqual(data, [{ sum_amount: 1_999_999_999_998.01, max_amount: 9_999_999_999.99 }]);
    await writer.run('INSERT INTO silver.every_type BY NAME SELECT 9999999999.99 AS amount FROM range(1800)');
    const more = await readAggregate(readers, { query, contract: everyType, budget, percentileRowsMax: 1 });
    assert.deepEqual(more.data, [{ sum_amount: '19999999999980.01', max_amount: 9_999_999_999.99 }]);
  });

  it('answers integers beyond 2^53 as text', async () => {
    const big = { kind: 'integer', value: 2n ** 53n - 1n } as const;
    const { data } = await ask({ ...question, measures: [{ fn: 'sum', field: 'sum_order' }] }, [
      row({ sum_order: big }),
      row({ sum_order: big }),
    ]);
    assert.deepEqual(data, [{ sum_sum_order: '18014398509481982' }]);
  });

  it('answers null where a double overflows, and nothing else with it', async () => {
    const huge = { kind: 'float', value: 1.7e308 } as const;
    const query: AggregateQuery = {
      ...question,
      measures: (['sum', 'avg', 'stddev', 'max'] as const).map((fn) => ({ fn, field: 'order' })),
    };
    const { data } = await ask(query, [
      row({ order: huge }),
      row({ order: huge }),
      row({ order: { kind: 'float', value: 1 } }),
      row({ order: { kind: 'float', value: 2 } }),
    ]);
    assert.deepEqual(data, [{ sum_order: null, avg_order: null, stddev_order: null, max_order: 1.7e308 }]);
  });

  it('answers the median of an even count exactly, half a cent included', async () => {
    const cents = [65_655n, 65_656n].map((value) => row({ amount: { kind: 'decimal', value } }));
    const { data } = await ask({ ...question, measures: [{ fn: 'p50', field: 'amount' }] }, cents);
    assert.deepEqual(data, [{ p50_amount: 656.555 }]);
  });

  it('rounds what lies between two decimals, where DuckDB alone would cut', async () => {
    const cents = [-999_999_999_999n, 0n, 1n].map((value) => row({ amount: { kind: 'decimal', value } }));
    const { data } = await ask({ ...question, measures: [{ fn: 'p95', field: 'amount' }] }, cents);
    assert.deepEqual(data, [{ p95_amount: 0.009 }]);
  });

  it('estimates percentiles beyond the row cap and says so', async () => {
    const rows = [1n, 2n, 3n].map((value) => row({ sum_order: { kind: 'integer', value } }));
    const query: AggregateQuery = { ...question, measures: [{ fn: 'p50', field: 'sum_order' }, { fn: 'count' }] };
    const exact = await ask(query, rows, 3);
    assert.deepEqual(exact, { data: [{ p50_sum_order: 2, count: 3 }], truncated: false, approximate: false });
    const estimated = await ask(query, rows, 2);
    assert.equal(estimated.approximate, true);
    assert.deepEqual(Object.keys(estimated.data[0] ?? {}), ['p50_sum_order', 'count']);
    // Only rows that match count towards the cap.
    const narrowed = await ask({ ...query, where: [{ field: 'sum_order', op: 'lt', values: ['3'] }] }, rows, 2);
    assert.deepEqual(narrowed, { data: [{ p50_sum_order: 1.5, count: 2 }], truncated: false, approximate: false });
  });

  it('keeps the hour that autumn repeats in two buckets, and gives that day 25 hours', async () => {
    const night = ['2018-10-28T00:30:00Z', '2018-10-28T01:30:00Z', '2018-10-27T22:00:00Z', '2018-10-28T22:59:59Z'].map(
      (at) => row({}, at),
    );
    const timeZone = 'Europe/Berlin';
    const hours = await ask({ ...question, timeZone, buckets: [{ field: 'at', unit: 'hour' }] }, night);
    assert.deepEqual(
      hours.data.map(({ at_hour }) => at_hour),
      ['2018-10-27T22:00:00Z', '2018-10-28T00:00:00Z', '2018-10-28T01:00:00Z', '2018-10-28T22:00:00Z'],
    );
    const days = await ask({ ...question, timeZone, buckets: [{ field: 'at', unit: 'day' }] }, night);
    assert.deepEqual(days.data, [{ at_day: '2018-10-27T22:00:00Z', count: 4 }]);
  });

  it('starts a day at the first of two midnights, and at the jump where there is none', async () => {
    const buckets = [{ field: 'at', unit: 'day' }] as const;
    const night = [row({}, '2018-11-04T04:30:00Z'), row({}, '2018-11-04T05:30:00Z')];
    const havana = await ask({ ...question, timeZone: 'America/Havana', buckets }, night);
    assert.deepEqual(havana.data, [{ at_day: '2018-11-04T04:00:00Z', count: 2 }]);
    const paulo = await ask({ ...question, timeZone: 'America/Sao_Paulo', buckets }, night);
    assert.deepEqual(paulo.data, [{ at_day: '2018-11-04T03:00:00Z', count: 2 }]);
  });

  it('cuts weeks at Monday, across the turn of the year', async () => {
    const rows = ['2018-12-30T12:00:00Z', '2018-12-31T12:00:00Z', '2019-01-06T12:00:00Z'].map((at) => row({}, at));
    const { data } = await ask({ ...question, buckets: [{ field: 'at', unit: 'week' }] }, rows);
    assert.deepEqual(data, [
      { at_week: '2018-12-24T00:00:00Z', count: 1 },
      { at_week: '2018-12-31T00:00:00Z', count: 2 },
    ]);
  });

  it("reads a gold model by the view's own columns, and refuses time bounds on it", async () => {
    const rows = ['x', 'x', 'y'].map((value) => row({ mood: { kind: 'string', value } }));
    const query: AggregateQuery = { ...question, model: 'moods', by: ['mood'] };
    assert.deepEqual((await ask(query, rows)).data, [
      { mood: 'x', count: 1 },
      { mood: 'y', count: 1 },
    ]);
    refused({ ...query, fromMs: 0 }, 'from');
    refused({ ...query, by: ['select'] }, 'by');
    refused({ ...query, model: 'constructor' }, 'model');
  });

  it('refuses what does not fit the contract and names the parameter', () => {
    refused({ ...question, measures: [] }, 'measure', 'PARAMETER_MISSING');
    refused({ ...question, measures: [{ fn: 'avg', field: 'select' }] }, 'measure');
    refused({ ...question, measures: [{ fn: 'avg' }] }, 'measure');
    refused({ ...question, measures: [{ fn: 'count', field: 'select' }] }, 'measure');
    refused({ ...question, measures: [{ fn: 'count' }, { fn: 'count' }] }, 'measure');
    refused({ ...question, measures: [{ fn: 'sum', field: 'place' }] }, 'measure');
    refused({ ...question, by: ['names'] }, 'by');
    refused({ ...question, by: ['order'] }, 'by');
    refused({ ...question, by: ['_commit'] }, 'by');
    refused({ ...question, by: ['select', 'flag', 'clock', 'day', 'mood', 'at', 'amount'] }, 'by');
    refused({ ...question, buckets: [{ field: 'select', unit: 'day' }] }, 'bucket');
    refused({ ...question, buckets: [{ field: 'day', unit: 'hour' }] }, 'bucket');
    refused({ ...question, timeZone: 'Europe/Nowhere' }, 'tz');
    refused({ ...question, timeZone: '+01:00' }, 'tz');
    refused({ ...question, order: [{ name: 'at', descending: false }] }, 'order');
    refused({ ...question, limit: 0 }, 'limit');
    refused({ ...question, limit: 1.5 }, 'limit');
    refused({ ...question, fromMs: Number.NaN }, 'from');
    refused({ ...question, where: [{ field: 'flag', op: 'lt', values: ['true'] }] }, 'where');
    refused({ ...question, where: [{ field: 'sum_order', op: 'prefix', values: ['1'] }] }, 'where');
    refused({ ...question, where: [{ field: 'sum_order', op: 'eq', values: ['1', '2'] }] }, 'where');
    refused({ ...question, where: [{ field: 'sum_order', op: 'null', values: ['1'] }] }, 'where');
    refused(
      {
        ...question,
        where: [{ field: 'select', op: 'in', values: Array.from({ length: 101 }, (_, index) => `${index}`) }],
      },
      'where',
    );
  });

  it('never makes SQL of a name or a value', async () => {
    const evil = 'select" FROM silver.every_type; DROP TABLE silver.every_type; --';
    refused({ ...question, by: [evil] }, 'by');
    refused({ ...question, measures: [{ fn: 'max', field: evil }] }, 'measure');
    refused({ ...question, measures: [{ fn: evil as 'max', field: 'select' }] }, 'measure');
    refused({ ...question, buckets: [{ field: 'at', unit: evil as 'day' }] }, 'bucket');
    refused({ ...question, order: [{ name: evil, descending: true }] }, 'order');
    refused({ ...question, where: [{ field: evil, op: 'eq', values: ['1'] }] }, 'where');
    refused({ ...question, where: [{ field: 'select', op: evil as 'eq', values: ['1'] }] }, 'where');
    refused({ ...question, timeZone: evil }, 'tz');
    refused({ ...question, limit: evil as unknown as number }, 'limit');
    const values = ["'; DROP TABLE silver.every_type; --", evil, '$1', '%'];
    const query: AggregateQuery = { ...question, where: [{ field: 'select', op: 'in', values }] };
    const { sql } = compileAggregate(query, everyType, duckdbDialect, { percentileRowsMax: 1 });
    for (const value of values.filter((one) => one.length > 2)) assert.ok(!sql.includes(value));
    const { data } = await ask(query, [
      row({ select: { kind: 'string', value: evil } }),
      row({ select: { kind: 'string', value: '$1' } }),
      row({}),
    ]);
    assert.deepEqual(data, [{ count: 2 }]);
  });

  it('pays for the choice of an estimate only where the table holds more rows than the cap', () => {
    const query: AggregateQuery = { ...question, measures: [{ fn: 'p95', field: 'sum_order' }] };
    const { sql, hidden } = compileAggregate(query, everyType, duckdbDialect, { percentileRowsMax: 'never reached' });
    assert.equal(
      sql,
      `WITH grouped AS (SELECT quantile_cont("sum_order", 0.95) AS "p95_sum_order"
FROM "silver"."every_type")
SELECT "p95_sum_order"
FROM grouped
LIMIT ${question.limit + 1}`,
    );
    assert.equal(hidden, undefined);
    assert.match(compileAggregate(query, everyType, duckdbDialect, { percentileRowsMax: 1 }).sql, /approx_quantile/);
  });

  it('bounds the partition column with the event time, orders totally and asks for one row more', () => {
    const query: AggregateQuery = {
      ...question,
      measures: [{ fn: 'count' }, { fn: 'avg', field: 'amount' }],
      by: ['select'],
      buckets: [{ field: 'at', unit: 'day' }],
      where: [{ field: 'sum_order', op: 'gte', values: ['10'] }],
      order: [{ name: 'avg_amount', descending: true }],
      fromMs: Date.parse('2018-03-25T12:00:00Z'),
      toMs: Date.parse('2018-03-27T00:00:00Z'),
    };
    const { sql, params } = compileAggregate(query, everyType, duckdbDialect, { percentileRowsMax: 1 });
    assert.equal(
      sql,
      `WITH grouped AS (SELECT "select" AS "select", CAST(date_trunc('day', "at") AS TIMESTAMP) AS "at_day", COUNT(*) AS "count", avg("amount") AS "avg_amount"
FROM "silver"."every_type"
WHERE "at" >= $1
  AND "_event_date" >= $2
  AND "at" < $3
  AND "_event_date" <= $4
  AND "sum_order" >= CAST($5 AS BIGINT)
GROUP BY 1, 2)
SELECT "select", "at_day", "count", "avg_amount"
FROM grouped
ORDER BY grouped."avg_amount" DESC NULLS LAST, grouped."select" ASC NULLS LAST, grouped."at_day" ASC NULLS LAST
LIMIT 101`,
    );
    assert.deepEqual(params, [
      { kind: 'timestamp', micros: 1_521_979_200_000_000n },
      { kind: 'date', days: 17_615 },
      { kind: 'timestamp', micros: 1_522_108_800_000_000n },
      { kind: 'date', days: 17_616 },
      { kind: 'integer', value: 10n },
    ]);
  });

  it('counts rows up to the commit it is bound by', async () => {
    const rows = [1, 2, 3].map((commit) => ({ ...row({}), commit }));
    assert.deepEqual((await ask({ ...question, commitMax: 2 }, rows)).data, [{ count: 2 }]);
  });

  it('knows every time zone that may be asked for', async () => {
    const known = await readers.run('SELECT name FROM pg_timezone_names()', [], budget);
    const names = new Set(known.rows.map(([name]) => name));
    assert.deepEqual(
      Intl.supportedValuesOf('timeZone').filter((zone) => !names.has(zone)),
      [],
    );
  });
});

function refused(query: AggregateQuery, parameter: string, code = 'PARAMETER_INVALID'): void {
  assert.throws(
    () => compileAggregate(query, everyType, duckdbDialect, { percentileRowsMax: 1 }),
    (error) => error instanceof AppError && error.code === code && error.errors[0]?.parameter === parameter,
  );
}

function assertClose(got: Answer, expected: Answer, name: string): void {
  if (typeof expected !== 'number' || typeof got !== 'number') {
    assert.equal(got, expected, name);
    return;
  }
  const difference = Math.abs(got - expected);
  assert.ok(difference <= 1e-9 * Math.max(1, Math.abs(expected)), `${name}: ${got} is not ${expected}`);
}
