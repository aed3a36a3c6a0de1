import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { type Answer, type RunningService, startService } from './api/service.contract.ts';
import type { BusMessage } from './bus/bus.ts';

const CANARY = 'canary-7f3a-9c51';
const TEXT = 'Frodo met Sam.';

describe('an erasure', () => {
  let running: RunningService;
  beforeEach(async () => {
    running = await startService({ LANDING_SETTLE_MS: '0', LANDING_LOOK_MS: '10' });
  });
  afterEach(() => running.stop());

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
    await running.service.bus.publish([unreadable()]);
    await running.settled();
    const landing = join(running.service.dataDir, 'landing', 'articles');
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
    const { dataDir } = running.service;
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
});
