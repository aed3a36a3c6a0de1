/** Adding a dataset is adding a folder: the five steps of app/datasets/README.md, carried out on a copy of the service. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type ServiceProcess, startService } from './service-process.ts';
import { settledEquation } from './stored-records.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const SAMPLE = [
  '{"station":"LIS","height":1.83,"read_at":"2024-03-09T15:00:00Z"}',
  '{"station":"LIS","height":3.9,"read_at":"2024-03-10T09:30:00Z"}',
  '{"station":"BRE","height":6.2,"read_at":"2024-03-10T10:00:00Z"}',
];
const MORE = [
  '{"station":"LIS","height":4.05,"read_at":"2024-03-11T10:15:00Z"}',
  '{"station":"LIS","height":"high","read_at":"2024-03-11T11:00:00Z"}',
];

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

describe('a dataset added as app/datasets/README.md says', () => {
  let root: string;
  let service: ServiceProcess;

  before(async function () {
    this.timeout(60_000);
    root = await mkdtemp(join(tmpdir(), 'vigia-fifth-'));
    await cp(join(ROOT, 'app'), join(root, 'app'), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(root, 'package.json'));
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    const readme = await readFile(join(ROOT, 'app/datasets/README.md'), 'utf8');
    const folder = join(root, 'app/datasets/tides');
    await mkdir(folder);
    await writeFile(join(folder, 'contract.ts'), block(readme, 'a test makes a dataset of this text'));
    await writeFile(join(folder, 'sample.ndjson'), `${SAMPLE.join('\n')}\n`);
    await writeFile(join(folder, 'routes.ts'), block(readme, 'a test makes a route of this text'));
    service = await startService({ dataDir: join(root, 'data'), env: { SAMPLE_DATA: 'on' }, root });
  });

  after(async () => {
    // Also when the start failed.
    (service as ServiceProcess | undefined)?.kill('SIGTERM');
    await (service as ServiceProcess | undefined)?.ended;
    await rm(root, { recursive: true });
  });

  /** The code under a remark of the README. */
  function block(readme: string, remark: string): string {
    const code = new RegExp(`<!-- ${remark} -->\\n\`\`\`ts\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
    assert.ok(code !== undefined, remark);
    return code;
  }

  async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
    const answer = await fetch(new URL(path, service.url), { ...init, headers: { ...NEWEST, ...init.headers } });
    return { status: answer.status, body: (await answer.json()) as Answer['body'] };
  }
  const NEWEST = { 'cache-control': 'no-cache' };

  it('stands beside the others, with its sample stored', async () => {
    const { body } = await ask('/v1/datasets');
    const datasets = body['data'] as { readonly name: string; readonly rows: number }[];
    assert.deepEqual(
      datasets.map(({ name }) => name),
      ['articles', 'book_sales', 'flights', 'tides', 'trips'],
    );
    assert.equal(datasets.find(({ name }) => name === 'tides')?.rows, SAMPLE.length);
  });

  it('takes records, judges them by its contract, and answers records and aggregates', async () => {
    const sent = await ask('/v1/datasets/tides/records', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: MORE.join('\n'),
    });
    assert.deepEqual([sent.status, sent.body['accepted'], sent.body['rejected']], [202, 1, 1]);
    const [{ pointer } = { pointer: '' }] = sent.body['errors'] as { readonly pointer: string }[];
    assert.equal(pointer, '/height');
    const equation = await settledEquation(service);
    assert.equal(equation.difference, 0);
    const records = await ask('/v1/datasets/tides/records?where=station:eq:LIS&order=-read_at&limit=1');
    const [{ _id, ...newest }] = records.body['data'] as [Record<string, unknown>];
    assert.deepEqual(newest, { station: 'LIS', height: 4.05, read_at: '2024-03-11T10:15:00Z' });
    assert.equal(typeof _id, 'string');
    const days = await ask(
      '/v1/datasets/tides/aggregates?measure=max:height&by=station&bucket=read_at:day&order=read_at_day',
    );
    assert.equal((days.body['data'] as unknown[]).length, 4);
  });

  it('has its own route, which the OpenAPI document lists', async () => {
    assert.deepEqual(
      await ask('/tides?station=LIS'),
      { status: 200, body: { station: 'LIS', highest: 4.05 } },
      service.output(),
    );
    assert.deepEqual(await ask('/tides?station=NOWHERE'), { status: 200, body: { station: 'NOWHERE', highest: null } });
    const wrong = await ask('/tides?stations=LIS');
    assert.deepEqual([wrong.status, wrong.body['code']], [400, 'PARAMETER_UNKNOWN']);
    const { body } = await ask('/openapi.json');
    assert.ok('/tides' in (body['paths'] as object));
  });

  it('passes the type check', async function () {
    this.timeout(60_000);
    const options = { extends: join(ROOT, 'tsconfig.json'), include: ['app/datasets/tides'] };
    await writeFile(join(root, 'tsconfig.json'), JSON.stringify(options));
    await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['--noEmit'], { cwd: root });
  });

  it('has metrics of its own from the first scrape', async () => {
    const metrics = await (await fetch(service.metricsUrl)).text();
    assert.match(metrics, /^vigia_records_total\{dataset="tides",outcome="dead_lettered"\} 0$/m);
  });

  it('is in datasets.json after npm run generate, and its absence is noticed before', async () => {
    const generate = (...flags: string[]) =>
      promisify(execFile)(process.execPath, ['app/datasets/generate.ts', ...flags], { cwd: root });
    await assert.rejects(generate('--check'), /datasets\.json/);
    await generate();
    await generate('--check');
    assert.match(await readFile(join(root, 'app/datasets/datasets.json'), 'utf8'), /"name": "tides"/);
  });
});
