/** Nobody gets in uninvited: who is served before the first key, with keys, and after the last. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Scope } from '../state/state.ts';
import { Gate } from './access.ts';
import { askRaw, assertProblem, flight, type RunningService, startService } from './service.contract.ts';

const RECORDS = '/v1/datasets/flights/records';
/** What product.md says is open to all. */
const OPEN = [
  '/livez',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/errors',
  '/docs/swagger-ui.css',
  '/docs/initializer.js',
  '/',
];

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security: readonly unknown[] }>>>>;
}

async function guarded({ ask }: RunningService): Promise<readonly (readonly [string, string])[]> {
  const { paths } = JSON.parse((await ask('/openapi.json')).text) as OpenApi;
  return Object.entries(paths)
    .filter(([path]) => !OPEN.includes(path))
    .flatMap(([path, methods]) =>
      Object.keys(methods).map(
        (method) => [method.toUpperCase(), path.replace('{dataset}', 'flights').replace('{id}', 'x')] as const,
      ),
    );
}

describe('before the first key', () => {
  let running: RunningService;
  before(async () => {
    running = await startService();
  });
  after(() => running.stop());

  it('serves this machine without a key', async () => {
    assert.equal((await running.ask('/v1/datasets')).status, 200);
    assert.equal((await running.send('flights', flight(1))).status, 202);
    assert.equal((await running.ask('/v1/audit')).status, 200);
  });

  it('serves the other addresses of this machine', async () => {
    const socket = connect({ port: running.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    socket.write('GET /v1/datasets HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 200 /);
    socket.destroy();
  });

  for (const [header, value] of [
    ['X-Forwarded-For', '127.0.0.1'],
    ['X-Forwarded-For', '203.0.113.9'],
    ['Forwarded', 'for=127.0.0.1'],
  ] as const) {
    it(`refuses what a proxy on this machine passes on (${header}: ${value})`, async () => {
      const answer = await running.ask('/v1/datasets', { headers: { [header]: value } });
      assert.match(assertProblem(answer, 'ADDRESS_NOT_ALLOWED').detail, /npm run keys/);
      assert.equal((await running.ask('/livez', { headers: { [header]: value } })).status, 200);
    });
  }

  it('refuses every other address', async () => {
    const gate = new Gate({
      state: running.service.state,
      telemetry: running.service.telemetry,
      config: { PUBLIC_HOSTS: [], RATE_LIMIT_PER_SECOND: 1, AUTH_FAILURES_PER_MINUTE: 1 },
    });
    for (const remoteAddress of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::1', '::ffff:128.0.0.1', undefined]) {
      const visitor = { method: 'GET', headers: { host: 'localhost' }, ip: remoteAddress, socket: { remoteAddress } };
      await assert.rejects(gate.admit(visitor, 'read'), { code: 'ADDRESS_NOT_ALLOWED' });
    }
    const visitor = { method: 'GET', headers: { host: '[::1]:8080' }, ip: '::1', socket: { remoteAddress: '::1' } };
    assert.equal((await gate.admit(visitor, 'read')).keyId, 'anonymous');
  });

  it('takes a page of its own origin, and sends no CORS header', async () => {
    const answer = await running.send('flights', flight(2), { headers: { origin: running.url } });
    assert.equal(answer.status, 202);
    assert.deepEqual(
      [...answer.headers.keys()].filter((name) => name.startsWith('access-control')),
      [],
    );
  });

  it('answers probes by any host name, and nothing else', async () => {
    for (const path of ['/livez', '/readyz'])
      assert.equal((await askRaw(running.port, `GET ${path} HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n`)).status, 200);
    for (const path of ['/', '/docs', '/openapi.json', '/v1/datasets'])
      assertProblem(await askRaw(running.port, `GET ${path} HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n`), 'HOST_NOT_ALLOWED');
  });
});

describe('once a key was made', () => {
  let running: RunningService;
  const tokens: Partial<Record<Scope, string>> = {};
  before(async () => {
    running = await startService({ PUBLIC_HOSTS: 'vigia.example', AUTH_FAILURES_PER_MINUTE: '1000' });
    for (const scope of ['read', 'write', 'quarantine', 'load', 'admin'] as const)
      tokens[scope] = (await running.makeKey({ scopes: [scope] })).token;
  });
  after(() => running.stop());

  it('asks for it on every route but the open ones', async () => {
    const routes = await guarded(running);
    assert.ok(routes.length >= 15, String(routes.length));
    for (const [method, path] of routes) {
      const answer = await running.ask(path, { method });
      assert.equal(`${method} ${path} ${answer.status}`, `${method} ${path} 401`);
      assertProblem(answer, 'KEY_MISSING');
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer /);
    }
    for (const path of OPEN) assert.ok((await running.ask(path)).status < 400, path);
  });

  it('refuses a key that is wrong in any way, in the same words', async () => {
    const { id, token } = await running.makeKey({ scopes: ['admin'] });
    const details = new Set<string>();
    for (const authorization of [
      'Bearer',
      'Bearer x',
      `Basic ${token}`,
      `Bearer ${token}x`,
      `Bearer ${token.slice(0, -1)}`,
      `Bearer ${token.toUpperCase()}`,
      `Bearer vg_${'0'.repeat(16)}_${token.slice(20)}`,
      `Bearer vg_${id}_${'A'.repeat(43)}`,
      `Bearer ${token}, Bearer ${token}`,
    ]) {
      const answer = await running.ask('/v1/datasets', { headers: { authorization } });
      details.add(assertProblem(answer, 'KEY_INVALID').detail);
    }
    assert.equal(details.size, 1);
    assert.equal((await running.ask('/v1/datasets', { headers: { authorization: `bearer ${token}` } })).status, 200);
  });

  it('refuses a revoked key at once, and goes on asking after the last', async () => {
    const alone = await startService();
    try {
      const { id, token } = await alone.makeKey({ scopes: ['read'] });
      assert.equal((await alone.ask('/v1/datasets', { key: token })).status, 200);
      await alone.service.state.revokeApiKey(id, { atMs: Date.now(), by: 'test' });
      assertProblem(await alone.ask('/v1/datasets', { key: token }), 'KEY_INVALID');
      assertProblem(await alone.ask('/v1/datasets'), 'KEY_MISSING');
    } finally {
      await alone.stop();
    }
  });

  it('takes no key from a URL', async () => {
    for (const path of [`/v1/datasets?key=${tokens.admin}`, `/v1/datasets?authorization=Bearer%20${tokens.admin}`])
      assertProblem(await running.ask(path), 'KEY_MISSING');
    const { port } = running;
    assertProblem(
      await askRaw(port, `GET http://${tokens.admin}@localhost/v1/datasets HTTP/1.1\r\nHost: localhost\r\n\r\n`),
      'KEY_MISSING',
    );
  });

  for (const [method, path, scope] of [
    ['GET', '/v1/datasets', 'read'],
    ['GET', RECORDS, 'read'],
    ['GET', '/v1/datasets/flights/aggregates?measure=count', 'read'],
    ['GET', '/data_analysis?count=true&include_ar=true', 'read'],
    ['GET', '/v1/slo', 'read'],
    ['POST', '/v1/ws-tickets', 'read'],
    ['POST', RECORDS, 'write'],
    ['GET', '/v1/quarantine', 'quarantine'],
    ['GET', '/v1/dead-letters', 'quarantine'],
    ['POST', '/v1/dead-letters/replay', 'admin'],
    ['GET', '/v1/audit', 'admin'],
  ] as const) {
    it(`serves ${method} ${path} to the scopes ${scope} and admin alone`, async () => {
      for (const [own, key] of Object.entries(tokens)) {
        const answer = await running.ask(path, { method, key });
        if (own === scope || own === 'admin') assert.ok(![401, 403].includes(answer.status), `${own}: ${answer.text}`);
        else
          assert.match(assertProblem(answer, 'SCOPE_MISSING').detail, new RegExp(`scope ${scope}; the key has ${own}`));
      }
    });
  }

  it('keeps a key that is limited to datasets away from all others', async () => {
    const { token: key } = await running.makeKey({ scopes: ['read', 'write', 'quarantine'], datasets: ['flights'] });
    assert.equal((await running.send('flights', flight(1), { key })).status, 202);
    assert.equal((await running.ask(RECORDS, { key })).status, 200);
    for (const path of [
      '/v1/datasets/trips',
      '/v1/datasets/trips/records',
      '/v1/datasets/trips/aggregates?measure=count',
      '/data_analysis?count=true&include_ar=true',
      '/stats?region=Turin&week=21&year=2018',
      '/articles/readers?by=saga',
      '/v1/quarantine',
      '/v1/quarantine?dataset=trips',
      '/v1/dead-letters',
    ]) {
      assert.match(
        assertProblem(await running.ask(path, { key }), 'DATASET_FORBIDDEN').detail,
        /may see flights/,
        path,
      );
    }
    assertProblem(await running.send('trips', {}, { key }), 'DATASET_FORBIDDEN');
    const listed = JSON.parse((await running.ask('/v1/datasets', { key })).text) as {
      data: { name: string; rows: number }[];
      equation: { accepted: number };
    };
    assert.deepEqual(
      listed.data.map(({ name }) => name),
      ['flights'],
    );
  });

  it('tells a limited key of no rows but those it may see, sums included', async () => {
    const { token: key } = await running.makeKey({ scopes: ['read'], datasets: ['trips'] });
    await running.settled();
    const { equation } = JSON.parse((await running.ask('/v1/datasets', { key })).text) as {
      equation: { accepted: number };
    };
    assert.equal(equation.accepted, 0);
  });

  it('serves the hosts it was told of, and their pages', async () => {
    const head = `Host: vigia.example\r\nAuthorization: Bearer ${tokens.admin}\r\n`;
    assert.equal((await askRaw(running.port, `GET /v1/datasets HTTP/1.1\r\n${head}\r\n`)).status, 200);
    const write = `POST /v1/ws-tickets HTTP/1.1\r\n${head}Content-Length: 0\r\n`;
    assert.equal((await askRaw(running.port, `${write}Origin: https://vigia.example\r\n\r\n`)).status, 201);
    assertProblem(await askRaw(running.port, `${write}Origin: https://other.example\r\n\r\n`), 'ORIGIN_NOT_ALLOWED');
  });
});

describe('failed authentications', () => {
  let running: RunningService;
  let key: string;
  before(async () => {
    running = await startService({ AUTH_FAILURES_PER_MINUTE: '3', TRUST_PROXY: '127.0.0.1' });
    key = (await running.makeKey({ scopes: ['read'] })).token;
  });
  after(() => running.stop());

  it('are limited by the address a trusted proxy names', async () => {
    const from = (address: string, authorization: string) =>
      running.ask('/v1/datasets', { headers: { authorization, 'x-forwarded-for': address } });
    for (let attempt = 1; attempt <= 3; attempt += 1)
      assertProblem(await from('203.0.113.1', 'Bearer no'), 'KEY_INVALID');
    const limited = assertProblem(await from('203.0.113.1', 'Bearer no'), 'RATE_LIMITED');
    assert.match(limited.detail, /AUTH_FAILURES_PER_MINUTE/);
    assertProblem(await from('203.0.113.2', 'Bearer no'), 'KEY_INVALID');
    // What the caller itself put in front of the proxy's entry is not believed.
    assertProblem(await from('203.0.113.3, 203.0.113.1', 'Bearer no'), 'RATE_LIMITED');
    assert.equal((await from('203.0.113.1', `Bearer ${key}`)).status, 200, 'a valid key passes its neighbours by');
  });

  it('are limited by the connection when no proxy is trusted, whatever a header says', async () => {
    const alone = await startService({ AUTH_FAILURES_PER_MINUTE: '3' });
    try {
      await alone.makeKey({ scopes: ['read'] });
      const from = (address: string) =>
        alone.ask('/v1/datasets', { headers: { authorization: 'Bearer no', 'x-forwarded-for': address } });
      for (const address of ['1.1.1.1', '2.2.2.2', '3.3.3.3']) assertProblem(await from(address), 'KEY_INVALID');
      assertProblem(await from('4.4.4.4'), 'RATE_LIMITED');
      for (const path of OPEN) assert.ok((await alone.ask(path)).status < 400, path);
    } finally {
      await alone.stop();
    }
  });
});
