import assert from 'node:assert/strict';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { compileRecords } from './compile-records.ts';
import { duckdbDialect } from './duckdb-dialect.ts';
import { DuckdbReaders } from './duckdb-readers.ts';
import { readRecords } from './duckdb-reads.ts';
import type { RecordsQuery } from './query.ts';
import {
  boundsArbitrary,
  createEveryType,
  everyType,
  insertEveryType,
  rowsArbitrary,
  scales,
  whereArbitrary,
} from './query-data.contract.ts';
import { evaluateRecords, type EvaluatedRow } from './query-evaluation.contract.ts';

const budget = { timeoutMs: 10_000, rowsMax: 1_000 };
const question: RecordsQuery = {
  dataset: 'every_type',
  where: [],
  limit: 100,
  order: { field: 'at', descending: false },
};
const NO_ID = '0'.repeat(32);
const FIRST_COMMITS = 5;

const orderArbitrary: fc.Arbitrary<RecordsQuery['order']> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      field: fc.constantFrom(
        'at',
        'select',
        'sum_order',
        'order',
        'amount',
        'flag',
        'clock',
        'day',
        'place_lat',
        'mood',
      ),
      descending: fc.boolean(),
    }),
  },
  fc.constant('commit' as const),
);
const recordsArbitrary: fc.Arbitrary<RecordsQuery> = fc
  .record({
    where: whereArbitrary,
    bounds: fc.option(boundsArbitrary, { nil: {}, freq: 2 }),
    limit: fc.integer({ min: 1, max: 7 }),
    order: orderArbitrary,
  })
  .map(({ bounds, ...query }) => ({ dataset: everyType.name, ...query, ...bounds }));

describe('compileRecords', () => {
  let instance: DuckDBInstance;
  let writer: DuckDBConnection;
  let readers: DuckdbReaders;

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

  beforeEach(async () => {
    await writer.run('TRUNCATE silver.every_type');
  });

  const page = (query: RecordsQuery) => readRecords(readers, { query, contract: everyType, budget });

  it('pages over moving data without skipping, repeating or adding a row, in every order, NULLs included', async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsArbitrary({ maxLength: 18 }),
        rowsArbitrary({ maxLength: 12 }),
        recordsArbitrary,
        async (rows, later, query) => {
          await writer.run('TRUNCATE silver.every_type');
          await insertEveryType(writer, rows);
          const arriving = later.map((row) => ({ ...row, commit: row.commit + FIRST_COMMITS }));
          const seen: string[] = [];
          let next: RecordsQuery['after'];
          do {
            const answered = await page({
              ...query,
              commitMax: FIRST_COMMITS,
              ...(next === undefined ? {} : { after: next }),
            });
            seen.push(...answered.data.map((row) => String(row['_id'])));
            next = answered.next;
            await insertEveryType(writer, arriving.splice(0, 4));
          } while (next !== undefined);
          assert.deepEqual(seen, evaluateRecords(query, { rows, scales, eventDate: 'at' }));
        },
      ),
      { numRuns: 80 },
    );
  }).timeout(20_000);

  it('lets a follower of commits go on from the last row and see each later row once', async () => {
    const row = (commit: number, id: number): EvaluatedRow => ({
      cells: { at: { kind: 'timestamp', value: BigInt(1_000_000 * (100 - id)) } },
      eventId: id.toString(16).padStart(32, '0'),
      commit,
    });
    await insertEveryType(writer, [row(1, 9), row(2, 3)]);
    const first = await page({ ...question, order: 'commit', commitMax: 2 });
    assert.deepEqual(
      first.data.map(({ _id }) => Number.parseInt(String(_id), 16)),
      [9, 3],
    );
    assert.equal(first.next, undefined);
    assert.deepEqual(first.last, { value: 2, eventId: '3'.padStart(32, '0') });
    await insertEveryType(writer, [row(3, 1), row(3, 7)]);
    assert.ok(first.last);
    const second = await page({ ...question, order: 'commit', commitMax: 3, after: first.last });
    assert.deepEqual(
      second.data.map(({ _id }) => Number.parseInt(String(_id), 16)),
      [1, 7],
    );
    const start = await page({ ...question, order: 'commit', after: { value: 0, eventId: NO_ID } });
    assert.equal(start.data.length, 4);
    const third = await page({ ...question, order: 'commit', after: second.last ?? { value: 0, eventId: NO_ID } });
    assert.deepEqual(third, { data: [] });
  });

  it('answers each type as the contract writes it, absent values as null, and the event id', async () => {
    await writer.run(`INSERT INTO silver.every_type BY NAME SELECT TIMESTAMP '2018-05-21 02:54:04.123456' AS at, 'é' AS "select", 9007199254740993 AS sum_order,
      0.1 + 0.2 AS "order", -0.05 AS amount, true AS flag, TIMESTAMP '2018-05-21 02:54:04' AS clock, DATE '1969-12-31' AS day, 7.672837913286881 AS place_lon,
      -1e-7 AS place_lat, NULL AS mood, [{name: 'Sam', count: 2}] AS names, 'ffeeddccbbaa99887766554433221100'::UUID AS _event_id, 1 AS _commit`);
    await writer.run(
      `INSERT INTO silver.every_type BY NAME SELECT TIMESTAMP '2018-05-22' AS at, '00000000000000000000000000000001'::UUID AS _event_id`,
    );
    const { data } = await page(question);
    assert.deepEqual(data, [
      {
        at: '2018-05-21T02:54:04.123456Z',
        select: 'é',
        sum_order: '9007199254740993',
        order: 0.3,
        amount: -0.05,
        flag: true,
        clock: '2018-05-21 02:54:04',
        day: '1969-12-31',
        place: 'POINT (7.672837913286881 -0.0000001)',
        mood: null,
        names: [{ name: 'Sam', count: 2 }],
        _id: 'ffeeddccbbaa99887766554433221100',
      },
      {
        at: '2018-05-22T00:00:00Z',
        ...{
          select: null,
          sum_order: null,
          order: null,
          amount: null,
          flag: null,
          clock: null,
          day: null,
          place: null,
          mood: null,
          names: null,
        },
        _id: '00000000000000000000000000000001',
      },
    ]);
  });

  it('goes on at the exact float, not at the 12 digits it answers', async () => {
    const row = (value: number, id: string): EvaluatedRow => ({
      cells: { at: { kind: 'timestamp', value: 0n }, order: { kind: 'float', value } },
      eventId: id.padStart(32, '0'),
      commit: 1,
    });
    await insertEveryType(writer, [row(0.1 + 0.2, '1'), row(0.3, '2'), row(0.30000000000000016, '3')]);
    const ids: string[] = [];
    let after: RecordsQuery['after'];
    do {
      const answered = await page({
        ...question,
        limit: 1,
        order: { field: 'order', descending: false },
        ...(after === undefined ? {} : { after }),
      });
      ids.push(...answered.data.map(({ _id }) => String(_id).slice(-1)));
      after = answered.next;
    } while (after !== undefined);
    assert.deepEqual(ids, ['2', '1', '3']);
  });

  it('refuses orders, places and values that do not fit', () => {
    const refused = (query: RecordsQuery, code: string): void => {
      assert.throws(
        () => compileRecords(query, everyType, duckdbDialect),
        (error) => error instanceof AppError && error.code === code,
      );
    };
    refused({ ...question, order: { field: 'names', descending: false } }, 'PARAMETER_INVALID');
    refused({ ...question, order: { field: '_event_id" --', descending: false } }, 'PARAMETER_INVALID');
    refused({ ...question, after: { value: 'not a time', eventId: NO_ID } }, 'PARAMETER_INVALID');
    refused({ ...question, after: { value: null, eventId: "' OR true --" } }, 'CURSOR_INVALID');
    refused({ ...question, after: { value: [], eventId: NO_ID } }, 'CURSOR_INVALID');
    refused({ ...question, order: 'commit', after: { value: '1 OR 1=1', eventId: NO_ID } }, 'CURSOR_INVALID');
    refused({ ...question, where: [{ field: 'day', op: 'eq', values: ['2018-02-30'] }] }, 'PARAMETER_INVALID');
  });

  it('asks for a page after a place as one condition, NULLs behind it', () => {
    const after = { value: '1.50', eventId: NO_ID };
    const { sql, params } = compileRecords(
      { ...question, limit: 2, commitMax: 7, order: { field: 'amount', descending: true }, after },
      everyType,
      duckdbDialect,
    );
    assert.equal(
      sql,
      `SELECT "at", "select", "sum_order", "order", "amount", "flag", "clock", "day", "place_lon", "place_lat", "mood", "names", "_event_id", "amount" AS "_order"
FROM "silver"."every_type"
WHERE "_commit" <= CAST($1 AS BIGINT)
  AND ("amount" < CAST($2 AS DECIMAL(12,2)) OR ("amount" = CAST($2 AS DECIMAL(12,2)) AND "_event_id" > CAST($3 AS UUID)) OR "amount" IS NULL)
ORDER BY "amount" DESC NULLS LAST, "_event_id" ASC
LIMIT 3`,
    );
    assert.deepEqual(params, [
      { kind: 'integer', value: 7n },
      { kind: 'decimal', value: '1.5', precision: 12, scale: 2 },
      { kind: 'event_id', hex: NO_ID },
    ]);
  });
});
