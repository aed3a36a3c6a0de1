/**
 * Small data folders of every format there was, each as its release left it: `data-format-<N>.fixture.json.gz`.
 *
 * A folder is made by the code of its time, before that code is changed: `node app/data-format.fixture.ts FILE` in a
 * checkout of the last commit of a format (78ec3b1 for format 0, with this file copied beside its main.ts). The process
 * that fills it ends by SIGKILL, so that the folder holds a WAL, an open mark, a stale lock, and messages in every place:
 * sealed, stored and not sealed, not stored, dead.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

const FILL = '--fill';

export async function unpackFolder(archive: URL, dir: string): Promise<void> {
  const files = JSON.parse(gunzipSync(await readFile(archive)).toString()) as Readonly<Record<string, string>>;
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), Buffer.from(content, 'base64'));
  }
}

/** Without what a reader's lock table holds: it belongs to processes that are gone. */
async function packFolder(dir: string): Promise<Buffer> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'lock.mdb') continue;
    const path = join(entry.parentPath, entry.name);
    files[relative(dir, path)] = (await readFile(path)).toString('base64');
  }
  return gzipSync(JSON.stringify(files), { level: 9 });
}

const FLIGHTS = ['SMF', 'LAX', 'JFK', 'SFO', 'SEA', 'ORD', 'DEN', 'ATL'] as const;
const POINTS = 'POINT (7.672837913286881 44.9957109242058),POINT (7.720368637535126 45.06782385393849)';
const TRIPS = `region,origin_coord,destination_coord,datetime,datasource
Turin,${POINTS},2018-05-21 02:54:04,baba_car
Turin,${POINTS},2018-05-21 02:54:04,baba_car
Turin,${POINTS},2018-05-22 08:00:00,cheap_mobile
`;

const flight = (origin: string, delay: number): string =>
  JSON.stringify({ departed_at: '2001-01-14T21:55:00Z', delay, distance: 480, origin, destination: 'SAN' });
const sale = (id: number): string =>
  JSON.stringify({
    id: `BS-00000${id}`,
    country: 'AR',
    amount: `${id}.10`,
    sold_at: '2024-03-09T15:04:05Z',
    title: 'The Salt Road',
    isbn: '9780306406157',
    copies: id,
  });
const article = (id: number): string =>
  JSON.stringify({
    article_id: `A-${id}`,
    text: 'Frodo Baggins carried the ring out of the Shire with Sam Gamgee.',
    readers: id,
    published_at: '2024-05-04T08:30:00Z',
  });

/** Fills DATA_DIR through the service's own door and dies. */
async function fill(dataDir: string): Promise<never> {
  const { openService } = await import('./main.ts');
  const { readConfig } = await import('./config.ts');
  // No batch is sealed but on purpose.
  const quiet = { SAMPLE_DATA: 'off', PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'error' };
  const waits = { SEAL_INTERVAL_MS: '3600000', BATCH_WAIT_MS: '300' };
  const service = await openService(readConfig({ ...quiet, ...waits, DATA_DIR: dataDir }));
  const post = async (dataset: string, type: string, body: string): Promise<void> => {
    const url = new URL(`/v1/datasets/${dataset}/records`, service.url);
    const answer = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
    if (answer.status !== 202) throw new Error(`${dataset}: ${answer.status} ${await answer.text()}`);
    await answer.body?.cancel();
  };
  const settled = async (): Promise<void> => {
    while (service.bus.backlog().some(({ messages }) => messages > 0))
      await new Promise((done) => setTimeout(done, 20));
  };
  const ndjson = 'application/x-ndjson';
  await post(
    'flights',
    ndjson,
    FLIGHTS.slice(0, 4)
      .map((origin, at) => flight(origin, at))
      .join('\n'),
  );
  await post('trips', 'text/csv', TRIPS);
  await post('articles', ndjson, [1, 2].map(article).join('\n'));
  await settled();
  await service.sealer.sealAll();
  // A duplicate, a conflict of keys, and a row that the request itself rejects.
  await post('flights', ndjson, [flight('SMF', 0), flight('LAX', 99), '{"delay":"late"}', flight('SEA', 5)].join('\n'));
  await post('book_sales', ndjson, [1, 2, 3].map(sale).join('\n'));
  await settled();
  const foreign = { dataset: 'nothing_of_this_name', requestId: '', rowCount: 0, attributes: {} };
  await service.bus.publish([{ ...foreign, messageId: '0123456789abcdef0123456789abcdef', data: Buffer.from('{}') }]);
  await settled();
  // What is published now is durable on the bus and not stored: the batch would wait for more.
  await post('flights', ndjson, flight('ATL', 7));
  // From now on every request would need a key.
  await service.state.addApiKey({
    id: 'fixture',
    secretHash: '0'.repeat(64),
    scopes: ['read'],
    label: 'of the folder',
    createdAtMs: 1_700_000_000_000,
  });
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

if (import.meta.main) {
  const [target = '', dir = ''] = process.argv.slice(2);
  if (target === FILL) await fill(dir);
  const made = await mkdtemp(join(tmpdir(), 'vigia-format-'));
  const script = fileURLToPath(import.meta.url);
  const start = fileURLToPath(new URL('telemetry/start.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', start, script, FILL, made], { stdio: 'inherit' });
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (signal !== 'SIGKILL') throw new Error('the folder was not filled');
  await writeFile(target, await packFolder(made));
  await rm(made, { recursive: true });
}
