import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Row } from '../datasets/contract.ts';
import { ANONYMOUS, EVERYTHING } from '../record/everything.fixture.ts';
import { compileValidator } from '../record/validate.ts';
import { literal } from './duckdb-session.ts';
import { parquetLines } from './duckdb-parquet.ts';

describe('a Parquet file as lines', () => {
  let dir: string;
  let path: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-parquet-'));
    path = join(dir, "it's.parquet");
  });
  afterEach(() => rm(dir, { recursive: true }));

  async function write(select: string, more = ''): Promise<void> {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'Europe/Rome'");
    await connection.run(`COPY (${select}) TO ${literal(path)} (FORMAT parquet${more})`);
    instance.closeSync();
  }

  async function read(): Promise<readonly string[]> {
    let text = '';
    for await (const chunk of parquetLines({ path, folder: dir, contract: EVERYTHING })) text += chunk.toString();
    return text.split('\n').slice(0, -1);
  }

  function judged(line: string | undefined): Row | string | undefined {
    const judgement = compileValidator(ANONYMOUS).judge(JSON.parse(line ?? ''), 'json');
    return judgement.ok ? judgement.row : `${judgement.verdict.code} ${judgement.verdict.pointer}`;
  }

  it('keeps what each value is, to its last digit', async () => {
    await write(`SELECT 'ABC' AS code, 'so "it" is\\ é😀' || chr(10) AS note, 7.0::DOUBLE AS count, 9223372036854775807 AS big, 0.1::FLOAT AS ratio,
      1.5::DECIMAL(12,2) AS amount, 12345678901234567890.123456::DECIMAL(30,6) AS huge, true AS flag,
      '2024-03-09 16:04:05.25+01'::TIMESTAMPTZ AS "at", '2018-05-21 02:54:04'::TIMESTAMP AS "local", '2018-05-21'::DATE AS "day",
      'POINT (7.60 44.9)' AS place`);
    assert.deepEqual(judged((await read())[0]), {
      code: 'ABC',
      note: 'so "it" is\\ é😀\n',
      count: 7,
      big: '9223372036854775807',
      ratio: 0.1,
      amount: '1.50',
      huge: '12345678901234567890.123456',
      flag: true,
      at: '2024-03-09T15:04:05.250000Z',
      local: '2018-05-21 02:54:04',
      day: '2018-05-21',
      place: 'POINT (7.6 44.9)',
    });
  });

  it('leaves to the validator what does not fit, row by row', async () => {
    const good = "'ABC' AS code, 1 AS count, 1.5 AS amount, TIMESTAMPTZ '2024-03-09 15:04:05+00' AS \"at\"";
    const changed = (more: string): string => `SELECT * REPLACE (${more}) FROM (SELECT ${good})`;
    const cases = [
      [changed('TIMESTAMP \'2024-03-09 15:04:05\' AS "at"'), 'FIELD_FORMAT /at'],
      [changed('NULL::INTEGER AS count'), 'FIELD_TYPE /count'],
      [changed("'nan'::DOUBLE AS amount"), 'FIELD_FORMAT /amount'],
      [changed('[1, 2] AS count'), 'FIELD_TYPE /count'],
      [`SELECT *, 1 AS other FROM (SELECT ${good})`, 'FIELD_UNKNOWN /other'],
      [`SELECT * EXCLUDE (code) FROM (SELECT ${good})`, 'FIELD_MISSING /code'],
    ] as const;
    for (const [select, verdict] of cases) {
      await write(select);
      assert.equal(judged((await read())[0]), verdict, select);
    }
  });

  it('keeps the order of the rows over row groups', async () => {
    await write('SELECT range AS count FROM range(20000)', ', ROW_GROUP_SIZE 2048');
    assert.deepEqual(
      await read(),
      Array.from({ length: 20_000 }, (_, count) => `{"count":${count}}`),
    );
  });

  it('of a file that is none, or that breaks off, is refused as a whole', async () => {
    await writeFile(path, 'PAR1 is not enough');
    await assert.rejects(read(), { code: 'MALFORMED_PARQUET' });
    await write('SELECT range AS count FROM range(20000)');
    await truncate(path, 2_000);
    await assert.rejects(read(), { code: 'MALFORMED_PARQUET' });
  });
});
