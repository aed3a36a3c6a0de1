/**
 * Every request is counted, whoever answers it: each limit, refusal and broken connection is made to happen, and the
 * series that tells of it is read by scraping.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { type Samples, samplesOf, total } from '../observed-service.contract.ts';
import { routeMatcher } from './route-matcher.ts';
import { askRaw, flight, openRaw, type RunningService, startService } from './service.contract.ts';

const REQUESTS = 'http_server_request_duration_seconds_count';
const ROUTE = '/v1/datasets/:dataset/records';
const HEAD = 'POST /v1/datasets/flights/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

describe('the account of requests', function () {
  this.timeout(10_000);
  let running: RunningService;
  const start = async (settings: Readonly<Record<string, string>> = {}): Promise<void> => {
    running = await startService({ ACCOUNTING_INTERVAL_MS: '3600000', ...settings });
  };
  const scrape = async (): Promise<Samples> => samplesOf(await (await fetch(running.service.metricsUrl)).text());
  /** The account is closed when the connection tells that the answer ended, which may be after the client has read it. */
  const until = async (name: string, labels: Readonly<Record<string, string>>, wanted: number): Promise<Samples> => {
    for (let tries = 0; tries < 1000; tries += 1) {
      const samples = await scrape();
      if (total(samples, name, labels) >= wanted) return samples;
    }
    return assert.fail(`${name} ${JSON.stringify(labels)} never came to ${wanted}`);
  };
  const answered = (route: string, status: number): Readonly<Record<string, string>> => ({
    http_route: route,
    http_response_status_code: String(status),
  });
  afterEach(() => running.stop());

  it('has what admission control sheds, under the route that was asked for', async () => {
    await start({ QUEUE_TIME_TARGET_MS: '5', QUEUE_TIME_WINDOW_MS: '50' });
    const busy = setInterval(() => {
      const until = performance.now() + 15;
      while (performance.now() < until);
    }, 1);
    let shed = 0;
    for (let tries = 0; tries < 20 && shed < 3; tries += 1) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => running.ask('/v1/datasets/flights/records')));
      shed += answers.filter(({ status }) => status === 503).length;
    }
    let marked = 503;
    for (let tries = 0; tries < 200 && (tries === 0 || marked !== 503); tries += 1)
      marked = (await running.ask('/v1/datasets', { headers: { 'vigia-load': 'yes' } })).status;
    clearInterval(busy);
    assert.ok(shed >= 3);
    const samples = await until(REQUESTS, answered(ROUTE, 503), shed);
    assert.equal(
      total(samples, 'vigia_shed_requests_total', { reason: 'queue_time' }),
      total(samples, REQUESTS, { http_response_status_code: '503' }),
    );
    assert.ok(total(samples, 'vigia_queue_time_seconds') > 0);
    assert.equal(marked, 503);
    const apart = { ...answered('/v1/datasets', 503), vigia_load: 'yes' };
    assert.equal(total(samples, REQUESTS, apart), 1, 'a load test leaves the objectives alone, shed or not');
  });
  it('has bodies over the limit, rates over the limit and full disks by their reason', async () => {
    await start({
      BODY_BYTES_IN_FLIGHT_MAX: String(1 << 20),
      RATE_LIMIT_PER_SECOND: '3',
      ARRAY_BODY_BYTES_MAX: String(4 << 20),
    });
    const big = JSON.stringify(
      Array.from({ length: 9_000 }, (_, number) => ({ ...flight(number), padding: 'x'.repeat(60) })),
    );
    assert.equal((await running.send('flights', big)).status, 503);
    await until('vigia_shed_requests_total', { reason: 'body_bytes' }, 1);
    const answers = await Promise.all(Array.from({ length: 8 }, () => running.ask('/v1/datasets')));
    const limited = answers.filter(({ status }) => status === 429).length;
    assert.ok(limited > 0);
    const samples = await until(REQUESTS, answered('/v1/datasets', 429), limited);
    assert.equal(total(samples, 'vigia_shed_requests_total', { reason: 'rate_limit' }), limited);
  });
  it('has a write that a full disk refused, and the bus call that failed', async () => {
    await start({ DISK_FULL_PERCENT: '1' });
    assert.equal((await running.send('flights', flight(1))).status, 503);
    const samples = await until('vigia_shed_requests_total', { reason: 'disk_full' }, 1);
    assert.equal(total(samples, REQUESTS, answered(ROUTE, 503)), 1);
    assert.equal(total(samples, 'messaging_client_sent_messages_total', { error_type: 'DISK_FULL' }), 1);
    const publish = { dependency: 'bus', operation: 'publish' };
    assert.equal(total(samples, 'vigia_dependency_duration_seconds_count', { ...publish, outcome: 'error' }), 1);
  });
  it('has reads that found the queue full, and what reads found in the cache', async () => {
    await start({ READERS: '1', READ_QUEUE_MAX: '0' });
    const read = (delay: number, headers = {}) =>
      running.ask(`/v1/datasets/flights/aggregates?measure=count&where=delay:gte:${delay}`, { headers });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, delay) => read(delay)));
    const refused = answers.filter(({ status }) => status === 503).length;
    assert.ok(refused > 0);
    await until('vigia_shed_requests_total', { reason: 'read_queue' }, refused);
    const good = await read(100);
    const hit = await read(100);
    const same = await read(100, { 'if-none-match': hit.headers.get('etag') ?? 'none' });
    assert.deepEqual([good.status, hit.status, same.status], [200, 200, 304]);
    const samples = await until(REQUESTS, answered('/v1/datasets/:dataset/aggregates', 304), 1);
    assert.equal(total(samples, 'vigia_cache_requests_total', { result: 'hit' }), 1);
    assert.equal(total(samples, 'vigia_cache_requests_total', { result: 'not_modified' }), 1);
    assert.ok(total(samples, 'vigia_cache_bytes') > 0);
    const reads = { dependency: 'warehouse', operation: 'aggregate' };
    assert.equal(total(samples, 'vigia_dependency_duration_seconds_count', { ...reads, outcome: 'error' }), refused);
  });
  it('has who was refused, by reason, and failed authentications that were limited', async () => {
    await start({ AUTH_FAILURES_PER_MINUTE: '2' });
    const { token } = await running.makeKey({ scopes: ['read'], datasets: ['trips'] });
    const unknown = `vg_${'0'.repeat(16)}_${'A'.repeat(43)}`;
    const statuses = [
      await running.ask('/v1/datasets'),
      await running.ask('/v1/audit', { key: token }),
      await running.ask('/v1/datasets/flights/records', { key: token }),
      await running.send('trips', {}, { headers: { origin: 'https://evil.example' } }),
      await running.ask('/v1/datasets', { key: unknown }),
      await running.ask('/v1/datasets', { key: unknown }),
      await running.ask('/v1/datasets', { key: unknown }),
    ].map(({ status }) => status);
    assert.deepEqual(statuses, [401, 403, 403, 403, 401, 401, 429]);
    await once(new WebSocket(`${running.url.replace('http', 'ws')}/ws/status?ticket=made-up`), 'error');
    const samples = await until('vigia_refused_requests_total', { reason: 'ticket' }, 1);
    for (const [reason, times] of Object.entries({ key_missing: 1, scope: 1, dataset: 1, origin: 1, key_invalid: 2 }))
      assert.equal(total(samples, 'vigia_refused_requests_total', { reason }), times, reason);
    assert.equal(total(samples, 'vigia_shed_requests_total', { reason: 'auth_failures' }), 1);
    assert.equal(total(samples, REQUESTS, answered('/ws/status', 401)), 1);
  });
  it('has what became of each Idempotency-Key', async () => {
    await start();
    const headers = { 'idempotency-key': 'one' };
    for (const number of [1, 1, 2]) await running.send('flights', flight(number), { headers });
    const samples = await until(REQUESTS, answered(ROUTE, 422), 1);
    for (const result of ['claimed', 'replayed', 'other_body'])
      assert.equal(total(samples, 'vigia_idempotency_requests_total', { result }), 1, result);
    // Three claims and one kept answer.
    const calls = { dependency: 'state', operation: 'idempotency', outcome: 'ok' };
    assert.equal(total(samples, 'vigia_dependency_duration_seconds_count', calls), 4);
  });
  it('has a caller that went away as 499, and bytes only while they are held', async () => {
    await start();
    const { socket, answer } = await openRaw(
      running.port,
      `${HEAD}Content-Length: 200000\r\n\r\n${'['.padEnd(100_000)}`,
    );
    answer.catch(() => undefined);
    const held = await until('vigia_body_bytes_in_flight', {}, 100_000);
    assert.equal(total(held, 'http_server_active_requests'), 1);
    socket.resetAndDestroy();
    const samples = await until(REQUESTS, answered(ROUTE, 499), 1);
    assert.equal(total(samples, 'http_server_active_requests'), 0);
    assert.equal(total(samples, 'vigia_body_bytes_in_flight'), 0);
  });
  it('has what could not be read as a request, and connections beyond the limit', async () => {
    await start({ CONNECTIONS_MAX: '2' });
    await askRaw(running.port, 'no HTTP at all\r\n\r\n');
    await askRaw(running.port, `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`);
    const held = Array.from({ length: 2 }, () => connect(running.port, '127.0.0.1'));
    for (const socket of held) await once(socket, 'connect');
    await once(connect(running.port, '127.0.0.1').resume(), 'close');
    const samples = await until('vigia_shed_requests_total', { reason: 'connections' }, 1);
    for (const socket of held) socket.destroy();
    for (const code of ['REQUEST_MALFORMED', 'HEADERS_TOO_LARGE'])
      assert.equal(total(samples, 'vigia_unreadable_requests_total', { code }), 1, code);
    assert.equal(total(samples, 'vigia_label_overflow_total'), 0);
  });
  it('takes an expectation it does not know as a request like any other', async () => {
    await start();
    const asked = 'GET /v1/datasets HTTP/1.1\r\nHost: localhost\r\nExpect: the-unexpected\r\n\r\n';
    assert.equal((await askRaw(running.port, asked)).status, 200);
    await until(REQUESTS, answered('/v1/datasets', 200), 1);
  });
  it('has why each follower was let go', async () => {
    await start({ WS_CONNECTIONS_MAX: '1', WS_PING_MS: '50' });
    const follow = (options = {}): WebSocket =>
      new WebSocket(`${running.url.replace('http', 'ws')}/ws/status`, options);
    const silent = follow({ autoPong: false });
    await once(silent, 'message');
    const many = follow();
    await Promise.all([once(many, 'close'), once(silent, 'close')]);
    const unruly = follow();
    await once(unruly, 'message');
    unruly.send('x'.repeat(5000));
    await once(unruly, 'close');
    await until('vigia_websocket_ends_total', { reason: 'failed' }, 1);
    const before = follow();
    await once(before, 'message');
    await running.makeKey({ scopes: ['read'] });
    await once(before, 'close');
    const samples = await until('vigia_websocket_ends_total', { reason: 'revoked' }, 1);
    for (const reason of ['silent', 'too_many', 'failed', 'revoked'])
      assert.equal(total(samples, 'vigia_websocket_ends_total', { reason }), 1, reason);
    assert.equal(total(samples, REQUESTS, answered('/ws/status', 101)), 4);
    assert.equal(total(samples, 'vigia_websocket_connections'), 0);
  });
});

describe('the route matcher', () => {
  const routeOf = routeMatcher([
    { method: 'get', path: '/v1/datasets/:dataset' },
    { method: 'get', path: '/v1/datasets/:dataset/records' },
    { method: 'post', path: '/v1/datasets/:dataset/records' },
    { method: 'get', path: '/openapi.json' },
  ]);
  for (const [method, url, route] of [
    ['GET', '/v1/datasets/flights?x=1', '/v1/datasets/:dataset'],
    ['HEAD', '/v1/datasets/flights/records/', '/v1/datasets/:dataset/records'],
    ['POST', '/V1/Datasets/flights/records', '/v1/datasets/:dataset/records'],
    ['PUT', '/v1/datasets/flights/records', undefined],
    ['GET', '/openapi-json', undefined],
    ['GET', '/v1/datasets//records', undefined],
  ] as const) {
    it(`says ${route} of ${method} ${url}, as Express would`, () => assert.equal(routeOf({ method, url }), route));
  }
});
