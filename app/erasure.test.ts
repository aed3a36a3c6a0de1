import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { type Answer, assertProblem, type RunningService, startService } from './api/service.contract.ts';
import type { BusMessage } from './bus/bus.ts';
import type { LandingFile } from './state/landing-file.ts';

const CANARY = 'canary-7f3a-9c51';
const TEXT = 'Frodo met Sam.';

describe('an erasure', () => {
  let dataDir: string;
  let running: RunningService;
  const start = async (more: Readonly<Record<string, string>> = {}): Promise<void> => {
    running = await startService({ LANDING_SETTLE_MS: '0', LANDING_LOOK_MS: '10', DATA_DIR: dataDir, ...more });
  };
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-erasing-'));
    await start();
  });
  afterEach(async () => {
    await running.stop();
    await rm(dataDir, { recursive: true });
  });

  const article = (id: string, more: object = {}): object => ({
    article_id: id,
    text: TEXT,
    readers: 5,
    published_at: '2024-05-04T08:30:00Z',
    ...more,
  });
  const erase = (query: string): Promise<Answer> =>
    running.ask(`/v1/datasets/articles/records?${query}`, { method: 'DELETE' });
  const records = async (): Promise<readonly unknown[]> => {
    const answer = await running.ask('/v1/datasets/articles/records', { headers: { 'cache-control': 'no-cache' } });
    return (JSON.parse(answer.text) as { data: { article_id: string }[] }).data.map((row) => row.article_id).sort();
  };
  const terms = async () => (await running.service.equation()).datasets['articles'] ?? assert.fail();
  /** A message that no release reads any more: it goes to the dead letters with the rows that it holds. */
  const unreadable = (): BusMessage => {
    const messageId = 'd'.repeat(32);
    const rows = [article('other'), article(CANARY, { readers: 9 })].map((body, index) => ({
      eventId: String(index).repeat(32),
      index,
      body,
    }));
    const reject = { index: 2, code: 'FIELD_TYPE', pointer: '/readers', expected: 'integer', got: CANARY };
    const envelope = {
      messageId,
      dataset: 'articles',
      contractVersion: 77,
      requestId: 'c'.repeat(32),
      apiKeyId: 'anonymous',
      receivedAt: '2024-06-01T00:00:00.000Z',
      rowCount: 2,
      rejectCount: 1,
      rows,
      rejects: [{ ...reject, body: JSON.stringify(article(CANARY)), bodyBytes: 1, bodyHash: '' }],
    };
    const { dataset, requestId, rowCount } = envelope;
    return { messageId, dataset, requestId, rowCount, data: Buffer.from(JSON.stringify(envelope)), attributes: {} };
  };
  /** Stored, a duplicate, in conflict, rejected under an Idempotency-Key, dead, and by file; with others around it. */
  const sendEverywhere = async (): Promise<void> => {
    await running.send('articles', [article('a'), article(CANARY), article('b')]);
    await running.settled();
    await running.service.sealer.sealAll();
    await running.send('articles', [article(CANARY), article(CANARY, { readers: 6 }), article('c')]);
    await running.send('articles', [article(CANARY, { readers: CANARY }), article('d')], {
      headers: { 'idempotency-key': 'retry-1' },
    });
    await running.settled();
    await running.service.bus.publish([unreadable()]);
    // The feed tells of commits; a dead letter is none.
    while ((await running.service.bus.deadLetters({ filter: {}, limit: 1 })).length === 0) await nextTurn();
    const landing = join(dataDir, 'landing', 'articles');
    await mkdir(landing, { recursive: true });
    const line = (id: string): string => `${id},${TEXT},5,2024-05-04T08:30:00Z\n`;
    await writeFile(
      join(landing, 'file.csv'),
      `article_id,text,readers,published_at\n${line('e')}${line(CANARY)}${CANARY},x,${CANARY},2024-05-04T08:30:00Z\n`,
    );
    await landed();
  };
  const landed = async (): Promise<void> => {
    await running.service.landing.settled();
    const files = await running.service.state.landingFiles();
    assert.deepEqual(
      files.map(({ state }) => state),
      files.map(() => 'done'),
    );
  };
  /** Names of files below the data folder whose bytes, or rows, hold it. */
  const holding = async (text: string): Promise<readonly string[]> => {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const found: string[] = [];
    for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const rows = path.endsWith('.parquet')
        ? JSON.stringify((await connection.runAndReadAll(`SELECT t::VARCHAR FROM '${path}' t`)).getRowsJson())
        : '';
      if (rows.includes(text) || (await readFile(path)).includes(text)) found.push(path.slice(dataDir.length + 1));
    }
    connection.closeSync();
    instance.closeSync();
    return found;
  };

  it('counts in a dry run what it then takes, from every place, and keeps everything else', async () => {
    await sendEverywhere();
    const before = await terms();
    const query = `key=article_id:${CANARY}`;
    const dry = JSON.parse((await erase(`${query}&dryRun=true`)).text) as Record<string, unknown>;
    const counts = { silver: 1, quarantine: 3, deadLetters: 2, bronze: 7, bus: 0, archive: 2 };
    assert.deepEqual(dry, {
      dataset: 'articles',
      dryRun: true,
      state: 'surveyed',
      counts: { ...counts, bronze: 3, bus: 3 },
      erased: 5,
      compactionDue: false,
    });
    assert.deepEqual(await terms(), before);
    const done = await erase(query);
    assert.equal(done.status, 200, done.text);
    assert.deepEqual(JSON.parse(done.text), {
      dataset: 'articles',
      dryRun: false,
      state: 'done',
      counts: { ...counts, bronze: 6 },
      erased: 5,
      compactionDue: true,
    });
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e']);
    const { accepted, erased, stored, duplicate, quarantined, deadLettered, difference } = await terms();
    assert.deepEqual(
      { accepted, erased, stored, duplicate, quarantined, deadLettered, difference },
      { accepted: before.accepted, erased: 5, stored: 5, duplicate: 0, quarantined: 0, deadLettered: 1, difference: 0 },
    );
    assert.deepEqual(
      (await holding(CANARY)).filter(
        (path) => !/^(warehouse\.duckdb(\.wal)?|bus\/data\.mdb|state\/data\.mdb)$/.test(path),
      ),
      [],
    );
    const replayed = await running.send('articles', [article(CANARY, { readers: CANARY }), article('d')], {
      headers: { 'idempotency-key': 'retry-1' },
    });
    assert.equal(replayed.headers.get('idempotency-replayed'), 'true');
    assert.ok(!replayed.text.includes(CANARY));
  });

  it('leaves it in no file once the stores are compacted at the next start, and a rebuild brings nothing back', async () => {
    await sendEverywhere();
    await erase(`key=article_id:${CANARY}`);
    const before = await terms();
    await running.stop();
    assert.notDeepEqual(await holding(CANARY), [], 'freed pages hold it, or this proves nothing');
    await start();
    assert.deepEqual(await holding(CANARY), []);
    assert.deepEqual(await terms(), before);
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e']);
    await running.stop();
    await rm(join(dataDir, 'warehouse.duckdb'));
    await start();
    assert.deepEqual(await terms(), before);
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e']);
    await running.send('articles', [article(CANARY)]);
    await running.settled();
    assert.deepEqual(await records(), ['a', 'b', 'c', CANARY, 'd', 'e']);
  });

  const drop = async (name: string, ids: readonly string[]): Promise<void> => {
    const folder = join(dataDir, 'landing', 'articles');
    await mkdir(folder, { recursive: true });
    const lines = ids.map((id) => `${id},${TEXT},5,2024-05-04T08:30:00Z\n`);
    await writeFile(join(folder, `.${name}`), `article_id,text,readers,published_at\n${lines.join('')}`);
    await rename(join(folder, `.${name}`), join(folder, name));
  };
  /** In landing or archive. */
  const filesHolding = async (): Promise<readonly string[]> =>
    (await holding(CANARY)).filter((path) => /^(landing|archive|work)\//.test(path));

  for (const [named, archive] of [
    ['under its name', 'kept'],
    ['under another name', 'kept'],
    ['when the archive does not have it any more', 'gone'],
  ] as const) {
    it(`is not undone by the same file ${named}`, async () => {
      await drop('file.csv', ['a', CANARY]);
      await running.service.landing.settled();
      await erase(`key=article_id:${CANARY}`);
      if (archive === 'gone') await rm(join(dataDir, 'archive', 'articles'), { recursive: true });
      await drop(named.includes('another') ? 'b.csv' : 'file.csv', ['a', CANARY]);
      await running.service.landing.settled();
      const files = await running.service.state.landingFiles();
      assert.deepEqual(files.map(({ state }) => state).sort(), ['done', 'skipped']);
      assert.deepEqual(await filesHolding(), []);
      assert.equal((await readdir(join(dataDir, 'archive', 'articles'))).length, 1);
      assert.deepEqual(await records(), ['a']);
    });
  }

  it('reaches an archived file that no audit entry names: its range came back from bronze', async () => {
    await drop('file.csv', ['a', CANARY]);
    await running.service.landing.settled();
    await running.stop();
    await rm(join(dataDir, 'warehouse.duckdb'));
    await rm(join(dataDir, 'bronze', '_audit'), { recursive: true, force: true });
    await start();
    assert.equal((await filesHolding()).length, 1, 'or this proves nothing');
    await erase(`key=article_id:${CANARY}`);
    assert.deepEqual(await filesHolding(), []);
  });

  /** Resolves when some of a file of many ranges is stored. */
  const dropLong = async (ids: readonly string[]): Promise<void> => {
    await running.stop();
    await start({ LANDING_RANGE_ROWS_MAX: '1' });
    await drop('file.csv', ids);
    const isUnderWay = ({ state, counts }: LandingFile): boolean => state === 'storing' && counts.read > 0;
    while (!(await running.service.state.landingFiles()).some(isUnderWay)) await nextTurn();
  };

  it('waits for a file that is being stored, and takes what comes of it later too', async () => {
    await dropLong([CANARY, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', CANARY]);
    const answer = await erase(`key=article_id:${CANARY}`);
    assert.equal((JSON.parse(answer.text) as { state: string }).state, 'done');
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
    assert.deepEqual(await filesHolding(), []);
    assert.deepEqual([(await terms()).erased, (await terms()).difference], [2, 0]);
  });

  it('holds for a file that went away half stored and comes back', async () => {
    const path = join(dataDir, 'landing', 'articles', 'file.csv');
    await dropLong([CANARY, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']);
    await rename(path, join(dataDir, 'aside.csv'));
    await running.service.landing.settled();
    await erase(`key=article_id:${CANARY}`);
    await rename(join(dataDir, 'aside.csv'), path);
    await running.service.landing.settled();
    assert.deepEqual(await filesHolding(), []);
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']);
  });

  it('that a process left undone is carried on by the next one', async () => {
    await sendEverywhere();
    const selector = { kind: 'key', values: { article_id: CANARY } };
    await running.service.state.setFact('erasures', [
      { id: 'a'.repeat(32), dataset: 'articles', selector, actor: 'me', askedAtMs: 1 },
    ]);
    await running.stop();
    await start();
    // One after another: when this is done, the one before is.
    await erase('key=article_id:nobody');
    assert.deepEqual(await records(), ['a', 'b', 'c', 'd', 'e']);
    const { erased, difference } = await terms();
    assert.deepEqual([erased, difference], [5, 0]);
    assert.deepEqual(await running.service.state.fact('erasures'), []);
  });

  it('of a key that nobody has takes nothing, and makes no compaction due', async () => {
    await running.send('articles', [article('a')]);
    await running.settled();
    const answer = await erase('key=article_id:nobody');
    assert.equal(answer.status, 200);
    const { counts, erased, compactionDue } = JSON.parse(answer.text) as Record<string, unknown>;
    const none = { silver: 0, quarantine: 0, deadLetters: 0, bronze: 0, bus: 0, archive: 0 };
    assert.deepEqual([counts, erased, compactionDue], [none, 0, false]);
    assert.equal(await running.service.state.fact('compaction-due'), undefined);
  });

  it('is refused without a key, with a part of one, and to whoever is no admin', async () => {
    for (const [query, code] of [
      ['', 'PARAMETER_MISSING'],
      ['key=abc', 'PARAMETER_INVALID'],
      ['key=readers:5', 'PARAMETER_INVALID'],
      ['key=article_id:a&key=readers:5', 'PARAMETER_INVALID'],
      ['key=article_id:a&dryRun=perhaps', 'PARAMETER_INVALID'],
      ['key=article_id:a&where=x', 'PARAMETER_UNKNOWN'],
    ] as const) {
      assertProblem(await erase(query), code);
    }
    const { token } = await running.makeKey({ scopes: ['read', 'write', 'quarantine'] });
    const asked = { method: 'DELETE', key: token };
    assertProblem(await running.ask('/v1/datasets/articles/records?key=article_id:a', asked), 'SCOPE_MISSING');
    const admin = await running.makeKey({ scopes: ['admin'], datasets: ['trips'] });
    const limited = { method: 'DELETE', key: admin.token };
    assertProblem(await running.ask('/v1/datasets/articles/records?key=article_id:a', limited), 'DATASET_FORBIDDEN');
  });
});
