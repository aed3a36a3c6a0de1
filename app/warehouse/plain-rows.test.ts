import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import type { Contract, Field, Row } from '../datasets/contract.ts';
import { contract as bookSales } from '../datasets/book_sales/contract.ts';
import { contract as flights } from '../datasets/flights/contract.ts';
import { contract as trips } from '../datasets/trips/contract.ts';
import { AppError } from '../errors.ts';
import { cutRange } from '../landing/range-cut.ts';
import { planRanges, type RangePlan } from '../landing/range-plan.ts';
import { decodeBody } from '../record/decode.ts';
import { ANONYMOUS, EVERYTHING } from '../record/everything.fixture.ts';
import { eventDayOf, eventIdInFile } from '../record/identity.ts';
import { compileValidator } from '../record/validate.ts';
import { bodyStruct, columnExpressions, contractColumns } from './duckdb-schema.ts';
import { DuckdbSession, literal, openInstance, quoted, type SqlRow } from './duckdb-session.ts';
import { csvFile, LONG_RECORD_BYTES, ndjsonFile } from './file-text.fixture.ts';
import { plainRows } from './plain-rows.ts';

const RECORD_BYTES_MAX = LONG_RECORD_BYTES - 1;
const JSON_DEPTH_MAX = 8;
/** Files for each contract and format; 1,500 of each have been run. */
const RUNS = 5;
/** Every type without and with a key; the optional field first; and the datasets as they are. */
const CONTRACTS: readonly Contract[] = [ANONYMOUS, EVERYTHING, optionalFirst(), trips, flights, bookSales];

function optionalFirst(): Contract {
  const { note, flag, day, ...rest } = EVERYTHING.fields as typeof EVERYTHING.fields & {
    note: Field;
    flag: Field;
    day: Field;
  };
  const fields = { note, flag, day, ...rest };
  return {
    ...ANONYMOUS,
    name: 'optional_first',
    fields,
    identity: { kind: 'key', fields: ['day', 'ratio', 'place', 'amount'] },
  };
}

describe('rows of a file read by SQL', () => {
  let dir: string;
  let instance: DuckDBInstance;
  let session: DuckdbSession;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-plain-'));
    instance = await openInstance({
      path: ':memory:',
      memoryMib: 256,
      threads: 1,
      tempDir: join(dir, 'spill'),
      directories: [dir],
    });
    session = new DuckdbSession({
      instance,
      onBroken: (error) => {
        throw error;
      },
    });
  });
  after(async () => {
    await session.close();
    instance.closeSync();
    await rm(dir, { recursive: true });
  });

  /** What SQL takes of a file's bytes; undefined when the file is refused as a whole. */
  async function bySql(
    format: 'csv' | 'ndjson',
    bytes: Buffer,
    contract: Contract,
  ): Promise<readonly SqlRow[] | undefined> {
    const plan = await planOf(format, bytes, contract);
    if (plan === undefined) return undefined;
    const path = join(dir, 'work');
    const rows: SqlRow[] = [];
    for (const range of plan.ranges) {
      const work = await open(path, 'w');
      const options = {
        range,
        format,
        columns: plan.columns,
        validator: compileValidator(contract),
        recordBytesMax: RECORD_BYTES_MAX,
      };
      await cutRange(chunk(bytes.subarray(range.start, range.end)), work, {
        ...options,
        rejectBytesMax: 100,
        jsonDepthMax: JSON_DEPTH_MAX,
      });
      await work.close();
      const shape =
        format === 'csv' ? ({ kind: 'csv', columns: plan.columns } as const) : ({ kind: 'ndjson' } as const);
      rows.push(
        ...(await session.exclusive((sql) => staged(sql, contract, plainRows(contract, { format: shape, path })))),
      );
    }
    return rows;
  }

  /** Each row also with the columns that its canonical text gives by the way that rows over HTTP take. */
  async function staged(
    sql: Parameters<Parameters<DuckdbSession['exclusive']>[0]>[0],
    contract: Contract,
    select: string | undefined,
  ) {
    assert.ok(select !== undefined);
    await sql.run(`CREATE OR REPLACE TABLE plain AS ${select}`);
    const names = contractColumns(contract).map(({ name }) => quoted(name));
    const shape = bodyStruct(contract.fields);
    const path = join(dir, 'bodies.ndjson');
    await sql.run(`COPY (SELECT _index AS i, body::JSON AS b FROM plain) TO ${literal(path)} (FORMAT json)`);
    const read = `read_json(${literal(path)}, format = 'newline_delimited', columns = {i: 'INTEGER', b: ${literal(shape)}})`;
    const expected = `SELECT i, ${columnExpressions(contract.fields, 'b').join(', ')} FROM ${read}`;
    const same = names.map((name) => `p.${name} IS NOT DISTINCT FROM e.${name}`).join(' AND ');
    const rows = await sql.rows(
      `SELECT p._index AS index, p._event_id::VARCHAR AS id, p._event_date::VARCHAR AS day, p.body, (${same}) AS same
       FROM plain p JOIN (${expected}) e ON e.i = p._index`,
    );
    const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS "rows" FROM plain');
    assert.equal(rows.length, counted?.rows);
    return rows;
  }

  for (const contract of CONTRACTS) {
    it(`are at least those written as the contract's examples: ${contract.name}`, async () => {
      const examples = Object.entries(contract.fields).map(([name, { example }]) => [name, example] as const);
      const csv = [examples.map(([name]) => name), examples.map(([, example]) => example)].join('\n');
      assert.equal((await bySql('csv', Buffer.from(csv), contract))?.length, 1);
      const json = JSON.stringify(Object.fromEntries(examples));
      assert.equal((await bySql('ndjson', Buffer.from(json), contract))?.length, 1);
    });

    for (const format of ['csv', 'ndjson'] as const) {
      it(`are those that the validator takes, as it takes them: ${contract.name}, ${format}`, async () => {
        await fc.assert(
          fc.asyncProperty((format === 'csv' ? csvFile : ndjsonFile)(contract), async (text) => {
            const bytes = Buffer.from(text);
            const rows = await bySql(format, bytes, contract);
            const expected = await byValidator(format, bytes, contract);
            assert.equal(rows === undefined, expected === undefined);
            for (const { index, id, day: date, body, same } of rows ?? []) {
              const row = expected?.get(Number(index));
              assert.ok(row !== undefined, `record ${index} was refused by the validator, and taken by SQL as ${body}`);
              assert.equal(body, JSON.stringify(row));
              assert.equal(String(id).replaceAll('-', ''), eventIdInFile(contract, row, 1));
              assert.equal(date, eventDayOf(contract, row));
              assert.ok(same, `columns of ${body}`);
            }
          }),
          { numRuns: RUNS },
        );
      });
    }
  }
});

async function planOf(format: 'csv' | 'ndjson', bytes: Buffer, contract: Contract): Promise<RangePlan | undefined> {
  try {
    return await planRanges(chunk(bytes), {
      format,
      contract,
      recordBytesMax: RECORD_BYTES_MAX,
      rangeRowsMax: 12,
      rangeBytesMax: 1e9,
    });
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

async function byValidator(
  format: 'csv' | 'ndjson',
  bytes: Buffer,
  contract: Contract,
): Promise<ReadonlyMap<number, Row> | undefined> {
  const validator = compileValidator(contract);
  const rows = new Map<number, Row>();
  const limits = {
    recordBytesMax: RECORD_BYTES_MAX,
    arrayBodyBytesMax: 1e9,
    bodyBytesMax: 1e9,
    rowsMax: 1e9,
    jsonDepthMax: JSON_DEPTH_MAX,
  };
  try {
    await decodeBody(chunk(bytes), { format, gzip: false, contract, limits }, (row) => {
      const judged = 'verdict' in row ? undefined : validator.judge(row.value, row.source);
      if (judged?.ok === true) rows.set(row.index, judged.row);
    });
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
  return rows;
}

async function* chunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
