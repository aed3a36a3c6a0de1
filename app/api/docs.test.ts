/** What explains the service: the document lists every route as it is served, and the pages need no other host. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ERRORS } from '../errors.ts';
import { type RunningService, startService } from './service.contract.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
  readonly security: readonly unknown[];
}

describe('the documentation', () => {
  let running: RunningService;
  before(async () => {
    running = await startService();
  });
  after(() => running.stop());

  it('lists each route of the service with its answers and problems, under an id of its own', async () => {
    const answer = await running.ask('/openapi.json');
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    const document = JSON.parse(answer.text) as { openapi: string; paths: Record<string, Record<string, Operation>> };
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    for (const path of [
      '/v1/datasets/{dataset}/records',
      '/v1/receipts/{id}',
      '/data_analysis',
      '/stats',
      '/articles/readers',
      '/livez',
      '/docs',
      '/',
    ])
      assert.ok(path in document.paths, path);
    assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
    for (const { path, method, operation } of operations) {
      const placeholders = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(
        operation.parameters.filter((one) => one.in === 'path').map(({ name }) => name),
        placeholders,
        path,
      );
      const served = await running.ask(path.replace('{dataset}', 'flights').replace('{id}', 'x'), {
        method: method.toUpperCase(),
      });
      const status = String(served.status);
      assert.ok(status in operation.responses, `${method} ${path} answered ${status}: ${served.text.slice(0, 200)}`);
    }
  });

  it('serves the Swagger page and all it loads from here', async () => {
    const page = await running.ask('/docs');
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'.*script-src 'self'/);
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url);
    assert.equal(loaded.length, 3);
    for (const url of loaded) {
      assert.match(url, /^\/docs\//);
      assert.equal((await running.ask(url)).status, 200, url);
    }
    assert.match((await running.ask('/docs/initializer.js')).text, /url: '\/openapi\.json'/);
  });

  it('gives each error code an anchor, which the type of its problem points to', async () => {
    const { text } = await running.ask('/docs/errors');
    for (const code of Object.keys(ERRORS)) assert.ok(text.includes(` id="${code}"`), code);
  });

  it('leads from / to the docs', async () => {
    const answer = await running.ask('/');
    assert.deepEqual([answer.status, answer.headers.get('location')], [302, '/docs']);
  });

  it('says what is live and ready', async () => {
    assert.deepEqual(JSON.parse((await running.ask('/livez')).text), { status: 'ok' });
    const ready = await running.ask('/readyz');
    assert.deepEqual(JSON.parse(ready.text), { status: 'ok', checks: { bus: 'ok', state: 'ok', warehouse: 'ok' } });
    assert.equal(ready.headers.get('cache-control'), 'no-store');
  });

  it('describes each dataset with its contract, counts, freshness and equation', async () => {
    const one = JSON.parse((await running.ask('/v1/datasets/flights')).text) as Record<string, unknown>;
    assert.deepEqual(one['equation'], {
      accepted: 0,
      stored: 0,
      duplicate: 0,
      quarantined: 0,
      deadLettered: 0,
      expired: 0,
      erased: 0,
      inFlight: 0,
      overdue: 0,
      difference: 0,
    });
    assert.deepEqual(one['freshness'], { ageSeconds: 0, promiseSeconds: 5, kept: true });
    assert.deepEqual(one['quality'], { quarantined: 0, rejected: 0, storedShare: null });
    assert.equal(one['asOf'], null);
    assert.deepEqual((one['schema'] as { required: string[] }).required, [
      'departed_at',
      'delay',
      'distance',
      'origin',
      'destination',
    ]);
  });
});

describe('the objectives', () => {
  let folder: string;
  const prometheus = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://localhost').searchParams.get('query');
    const result = query === 'known' ? [{ value: [0, '0.75'] }] : [];
    response.statusCode = query === 'failing' ? 500 : 200;
    response.end(JSON.stringify({ data: { result } }));
  });
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vigia-objectives-'));
    prometheus.listen(0, '127.0.0.1');
    await once(prometheus, 'listening');
    const objective = (name: string, budgetLeftQuery?: string) => ({
      name,
      target: 0.999,
      windowDays: 28,
      ...(budgetLeftQuery === undefined ? {} : { budgetLeftQuery }),
    });
    const objectives = [objective('a', 'known'), objective('b', 'nothing'), objective('c', 'failing'), objective('d')];
    await writeFile(join(folder, 'objectives.json'), JSON.stringify({ objectives }));
  });
  after(async () => {
    prometheus.close();
    await rm(folder, { recursive: true });
  });

  const sloWith = async (settings: Readonly<Record<string, string>>) => {
    const running = await startService(settings);
    try {
      return JSON.parse((await running.ask('/v1/slo')).text) as {
        state: string;
        reason: string | null;
        objectives: { name: string; budgetLeft: number | null }[];
      };
    } finally {
      await running.stop();
    }
  };

  it('are unknown without a file, and say why', async () => {
    const slo = await sloWith({ OBJECTIVES_FILE: join(folder, 'none.json') });
    assert.deepEqual([slo.state, slo.objectives], ['unknown', []]);
    assert.match(slo.reason ?? '', /OBJECTIVES_FILE/);
  });

  it('have no budget without a Prometheus, and say why', async () => {
    const slo = await sloWith({ OBJECTIVES_FILE: join(folder, 'objectives.json') });
    assert.equal(slo.state, 'unknown');
    assert.match(slo.reason ?? '', /PROMETHEUS_URL/);
    assert.deepEqual(
      slo.objectives.map(({ budgetLeft }) => budgetLeft),
      [null, null, null, null],
    );
  });

  it('tell the budget that Prometheus knows, and guess none', async () => {
    const url = `http://127.0.0.1:${(prometheus.address() as AddressInfo).port}`;
    const slo = await sloWith({ OBJECTIVES_FILE: join(folder, 'objectives.json'), PROMETHEUS_URL: url });
    assert.deepEqual([slo.state, slo.reason], ['known', null]);
    assert.deepEqual(
      slo.objectives.map(({ name, budgetLeft }) => [name, budgetLeft]),
      [
        ['a', 0.75],
        ['b', null],
        ['c', null],
        ['d', null],
      ],
    );
  });
});

describe("the folder's README", () => {
  it('names every module of the folder once in its table, and none that is not there', async () => {
    const readme = await readFile(new URL('README.md', import.meta.url), 'utf8');
    const named = [...readme.matchAll(/^\| `([a-z-.]+\.ts)` \|/gm)].map(([, file]) => file);
    const files = (await readdir(new URL('.', import.meta.url))).filter((file) => /(?<!\.test)\.ts$/.test(file));
    assert.deepEqual([...named].sort(), files.sort());
  });
});
