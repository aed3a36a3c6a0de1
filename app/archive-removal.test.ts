import assert from 'node:assert/strict';
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { countArchived, removeArchived } from './archive-removal.ts';

const FILE_ID = '0123456789abcdef'.repeat(4);

describe('records taken out of archived files', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-archive-'));
    await mkdir(join(dataDir, 'archive', 'trips'), { recursive: true });
    await mkdir(join(dataDir, 'work'));
  });
  afterEach(async () => {
    await rm(dataDir, { recursive: true });
  });

  const pathOf = (name: string): string => join(dataDir, 'archive', 'trips', `${FILE_ID}-${name}`);
  const archive = (name: string, content: string | Buffer): Promise<void> => writeFile(pathOf(name), content);
  const options = (name: string, ...indexes: readonly number[]) => ({
    dataDir,
    path: pathOf(name),
    name,
    dataset: 'trips',
    indexes: new Set(indexes),
    recordBytesMax: 1024,
  });
  const CSV = '\uFEFFa,b\r\n1,one\r\n\r\n"2\nx","two ""2"""\r\n3,three\r\n4,four';
  const CSV_WITHOUT = '\uFEFFa,b\r\n1,one\r\n\r\n""\r\n3,three\r\n""';

  it('keep their place in a CSV, and every other byte is as it was', async () => {
    await archive('a.csv', CSV);
    assert.equal(await countArchived(options('a.csv', 1, 3)), 2);
    assert.equal(await readFile(pathOf('a.csv'), 'utf8'), CSV);
    assert.equal(await removeArchived(options('a.csv', 1, 3)), 2);
    assert.equal(await readFile(pathOf('a.csv'), 'utf8'), CSV_WITHOUT);
    assert.equal(await removeArchived(options('a.csv', 1, 3)), 0, 'done again it does nothing');
    assert.equal(await readFile(pathOf('a.csv'), 'utf8'), CSV_WITHOUT);
    assert.deepEqual(await readdir(join(dataDir, 'work')), []);
  });

  it('keep their place in compressed files and in NDJSON', async () => {
    await archive('b.csv.gz', gzipSync(CSV));
    await archive('c.ndjson', '{"a":1}\n\n{"a":2}\n{"a":3}\n');
    assert.equal(await removeArchived(options('b.csv.gz', 1)), 1);
    assert.equal(await removeArchived(options('c.ndjson', 1)), 1);
    assert.equal(gunzipSync(await readFile(pathOf('b.csv.gz'))).toString(), CSV.replace('"2\nx","two ""2"""', '""'));
    assert.equal(await readFile(pathOf('c.ndjson'), 'utf8'), '{"a":1}\n\n{}\n{"a":3}\n');
  });

  it('are found across chunks, and when they are too large to be held', async () => {
    const lines = Array.from({ length: 3_000 }, (_, at) => `${at},${'x'.repeat(100)}`);
    lines[1_500] = `${'y'.repeat(300_000)}`;
    await archive('d.csv', `a,b\n${lines.join('\n')}\n`);
    assert.equal(await removeArchived(options('d.csv', 700, 1_500, 2_999)), 3);
    const expected = lines.map((line, at) => ([700, 1_500, 2_999].includes(at) ? '""' : line));
    assert.equal(await readFile(pathOf('d.csv'), 'utf8'), `a,b\n${expected.join('\n')}\n`);
  });

  it('are null in a Parquet file, whose other rows keep their order', async () => {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const path = pathOf('e.parquet');
    await connection.run(`COPY (SELECT i, 'secret' || i AS s FROM range(5000) t(i)) TO '${path}'`);
    assert.equal(await countArchived(options('e.parquet', 0, 4_711)), 2);
    assert.equal(await removeArchived(options('e.parquet', 0, 4_711)), 2);
    assert.equal(await removeArchived(options('e.parquet', 0, 4_711)), 0);
    const rows = (await connection.runAndReadAll(`SELECT i::INTEGER, s FROM '${path}'`)).getRows();
    const expected = Array.from({ length: 5_000 }, (_, at) =>
      [0, 4_711].includes(at) ? [null, null] : [at, `secret${at}`],
    );
    assert.deepEqual(rows, expected);
    connection.closeSync();
    instance.closeSync();
  });

  it('stay in a backup that shared the bytes, and in files of other content', async () => {
    await archive('a.csv', CSV);
    await link(pathOf('a.csv'), join(dataDir, 'backup.csv'));
    const other = join(dataDir, 'archive', 'trips', `${'f'.repeat(64)}-a.csv`);
    await writeFile(other, CSV);
    await removeArchived(options('a.csv', 1, 3));
    assert.equal(await readFile(join(dataDir, 'backup.csv'), 'utf8'), CSV);
    assert.equal(await readFile(other, 'utf8'), CSV);
  });
});
