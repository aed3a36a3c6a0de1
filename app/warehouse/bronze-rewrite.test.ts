import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { Bronze, registerFiles } from './bronze.ts';
import type { BronzeFile } from './bronze-file.ts';
import { finishRewrites, type Rewrite, rewriteBronze, type RewriteOptions } from './bronze-rewrite.ts';
import { prepareSchema } from './duckdb-schema.ts';
import { DuckdbSession } from './duckdb-session.ts';
import { CONTRACTS, message, order, sealable } from './warehouse-data.contract.ts';

describe('a bronze file in the place of others', () => {
  let dir: string;
  let instance: DuckDBInstance;
  let writer: DuckdbSession;
  let reader: DuckdbSession;
  let bronze: Bronze;
  let told: Rewrite[];
  const open = async (): Promise<void> => {
    instance = await DuckDBInstance.create(':memory:');
    writer = new DuckdbSession({ instance, onBroken: () => undefined });
    reader = new DuckdbSession({ instance, onBroken: () => undefined });
    await writer.exclusive((sql) => prepareSchema(sql, CONTRACTS));
  };
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-rewrite-'));
    await mkdir(join(dir, 'bronze'));
    await mkdir(join(dir, 'work'));
    await open();
    bronze = new Bronze({ dir: join(dir, 'bronze'), workDir: join(dir, 'work') });
    told = [];
  });
  afterEach(async () => {
    await writer.close();
    await reader.close();
    instance.closeSync();
    await rm(dir, { recursive: true });
  });

  /** One file for each list of order ids, sealed one after another; registered. */
  const seal = async (...ids: readonly (readonly string[])[]): Promise<readonly BronzeFile[]> => {
    const files: BronzeFile[] = [];
    for (const [at, one] of ids.entries()) {
      const sealed = await bronze.seal(reader, sealable([message({ rows: one.map((id) => order(id)) })], at + 1));
      await writer.exclusive((sql) => registerFiles(sql, sealed));
      files.push(...sealed);
    }
    return files;
  };
  const places = () => ({
    root: join(dir, 'bronze'),
    workDir: join(dir, 'work'),
    writer,
    recorded: async (_sql: unknown, rewrite: Rewrite) => void told.push(rewrite),
  });
  const rewrite = (files: readonly BronzeFile[], keep: RewriteOptions['keep'], faultPoint?: (name: string) => void) =>
    rewriteBronze({ ...places(), files, keep, reason: 'erase', reader, faultPoint });
  const idsIn = async (): Promise<readonly unknown[]> => {
    const files = await bronze.files();
    if (files.length === 0) return [];
    const paths = files.map(({ path }) => `'${path}'`).join(', ');
    const rows = await reader.exclusive((sql) =>
      sql.rows(`SELECT body->>'$.order_id' AS id FROM read_parquet([${paths}]) ORDER BY id`),
    );
    return rows.map(({ id }) => id);
  };
  const registered = async (): Promise<readonly unknown[]> => {
    const rows = await writer.exclusive((sql) => sql.rows('SELECT hash FROM custody.bronze_files ORDER BY hash'));
    return rows.map(({ hash }) => hash);
  };
  const hashes = async () => (await bronze.files()).map(({ hash }) => hash).sort();
  const without = (id: string) => ({ where: `body->>'$.order_id' IS DISTINCT FROM '${id}'` });

  it('lacks the rows that were not to be kept, and no other: their bytes are in no file any more', async () => {
    const files = await seal(['a', 'gone-for-good'], ['b']);
    const { rowsBefore, rowsAfter, file } = await rewrite(files, without('gone-for-good'));
    assert.deepEqual([rowsBefore, rowsAfter], [3, 2]);
    assert.deepEqual(await idsIn(), ['a', 'b']);
    assert.deepEqual(await hashes(), [file?.hash]);
    assert.deepEqual(await registered(), [file?.hash]);
    assert.deepEqual(
      told.map(({ reason, replaced }) => [reason, replaced]),
      [['erase', files]],
    );
    assert.deepEqual([await readdir(join(dir, 'work')), await readdir(join(dir, 'bronze', '_rewrites'))], [[], []]);
  });

  it('is none when no row is kept', async () => {
    const [file] = await seal(['a']);
    assert.ok(file !== undefined);
    assert.equal((await rewrite([file], without('a'))).file, undefined);
    assert.deepEqual([await hashes(), await registered()], [[], []]);
  });

  it('is the old one when it would be equal to it', async () => {
    const [file] = await seal(['a']);
    assert.ok(file !== undefined);
    const once = (await rewrite([file], 'all')).file;
    assert.ok(once !== undefined);
    await rewrite([once], 'all');
    assert.deepEqual([await hashes(), await registered(), await idsIn()], [[once.hash], [once.hash], ['a']]);
  });

  it('takes the place of no file that the database does not know, and of no tombstones', async () => {
    const files = await seal(['a'], ['b']);
    await writer.exclusive((sql) => sql.run(`DELETE FROM custody.bronze_files WHERE hash = '${files[1]?.hash}'`));
    await assert.rejects(rewrite(files, 'all'), { detail: `${files[1]?.path} is not registered` });
    await assert.rejects(rewrite([{ ...files[0], kind: 'tombstones' } as BronzeFile], 'all'), {
      code: 'WAREHOUSE_UNAVAILABLE',
    });
    assert.deepEqual(await idsIn(), ['a', 'b']);
  });

  it('is made or not made, nothing between, when the process dies and the database is lost with it', async () => {
    class Death extends Error {}
    for (const [place, ids] of [
      ['rewrite-noted', ['a', 'b', 'x']],
      ['rewrite-switched', ['a', 'b']],
      ['rewrite-recorded', ['a', 'b']],
    ] as const) {
      const files = await seal(['a'], ['b', 'x']);
      const dying = rewrite(files, without('x'), (name) => {
        if (name === place) throw new Death(place);
      });
      await assert.rejects(dying, Death);
      await writer.close();
      await reader.close();
      instance.closeSync();
      await open();
      await finishRewrites(places());
      assert.deepEqual(await idsIn(), ids, place);
      assert.deepEqual(await registered(), [], 'what the new database does not hold is for the replay');
      assert.deepEqual(await readdir(join(dir, 'bronze', '_rewrites')), []);
      for (const { path } of await bronze.files()) await rm(path);
    }
  });

  it('says which note is damaged, and removes nothing on its word', async () => {
    const [file] = await seal(['a']);
    await rewrite([file as BronzeFile], without('b'));
    const note = join(dir, 'bronze', '_rewrites', 'note.json');
    await writeFile(note, '{"replaced":');
    await assert.rejects(finishRewrites(places()), (error) => String(error).includes(`${note} is damaged`));
    assert.equal(await readFile(note, 'utf8'), '{"replaced":');
    assert.deepEqual(await idsIn(), ['a']);
  });
});
