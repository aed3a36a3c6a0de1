/**
 * The telemetry contract, proved on the composed service in processes of their own: what leaves by OTLP, by scraping
 * and on standard output. This file is also what the second process runs: the same service, with a way in for messages
 * that no request can make.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import type { BusMessage } from '../bus/bus.ts';
import { readConfig } from '../config.ts';
import { openService } from '../main.ts';
import { type ObservedService, type Samples, spansOf, startObserved, total } from '../observed-service.contract.ts';
import { ROW_CODES } from '../record/verdict.ts';
import { DEPENDENCY_OPERATIONS, type MetricDefinition, METRICS, PROBE_ROUTES, SLOW_SECONDS } from './catalogue.ts';
import type { ReceivedSpan } from './otlp-sink.ts';

const RECORDS = '/v1/datasets/flights/records';
const ROUTE = '/v1/datasets/:dataset/records';
const REQUESTS = 'http_server_request_duration_seconds_count';
const IN_FLIGHT = 20;
const CANARY = 'canary-9b1d07';
const JSON_TYPE = { 'content-type': 'application/json' };

if (import.meta.main) await serve();
else describeContract();

/** The service as main runs it; each message from the parent goes onto the bus as it is. */
async function serve(): Promise<void> {
  const service = await openService(readConfig());
  process.on('message', (messages: readonly (Omit<BusMessage, 'data'> & { readonly text: string })[]) => {
    void service.bus.publish(messages.map(({ text, ...message }) => ({ ...message, data: Buffer.from(text) })));
  });
  process.on('SIGTERM', () => {
    void service.stop({ reason: 'SIGTERM' }).then(() => process.exit(0));
  });
}

function flight(number: number): Readonly<Record<string, unknown>> {
  const departedAt = new Date(Date.UTC(2001, 0, 1) + number * 60_000).toISOString().replace('.000', '');
  return { departed_at: departedAt, delay: 14, distance: 480, origin: 'SMF', destination: 'SAN' };
}

function post(service: ObservedService, body: unknown, headers: Readonly<Record<string, string>> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(`${service.url}${RECORDS}`, { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: text });
}

function describeContract(): void {
  describe('a fresh service', describeRequests);
  describe('a service that waits for its scrapes, stopped with requests in flight', describeStop);
  describe('deliveries that fail, come again or come together', describeDeliveries);
  describe('a secret', describeSecret);
}

interface OpenApi {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, unknown>> }>>>
  >;
}

/** Gauges that say what is, and what starting does: lines, sizes, looks. */
const MOVED_BY_STARTING: ReadonlySet<string> = new Set([
  'breakerState',
  'diskUsed',
  'equationTaken',
  'expectEvery',
  'expectedRecordAge',
  'freshnessPromise',
  'logLines',
  'queueTime',
  'readsRunning',
  'ready',
  'storageBytes',
]);

/** Series of a metric whose labels include all of these. */
function countOf(samples: Samples, name: string, labels: Readonly<Record<string, string>>): number {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return [...samples.keys()].filter(
    (series) => series.startsWith(`${name}{`) && parts.every((part) => series.includes(part)),
  ).length;
}

/** Objective → the series it reads; each must be there, and zero, before anything happened. */
function objectiveSeries(datasets: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const request = (method: string, route: string, status: string): string =>
    `{http_request_method="${method}",http_route="${route}",http_response_status_code="${status}",vigia_load="no"}`;
  const reads = ['/v1/datasets', '/v1/datasets/:dataset/aggregates', ROUTE, '/data_analysis', '/stats'];
  const each = (name: string, labels = ''): readonly string[] =>
    datasets.map((dataset) => `${name}{dataset="${dataset}"${labels}}`);
  return {
    // The probe's own series come from outside; what it asks must be countable here.
    'api-uptime': ['/livez', '/v1/datasets'].flatMap((route) =>
      ['200', '500', '503'].map((status) => `${REQUESTS}${request('GET', route, status)}`),
    ),
    'api-availability': [...reads, 'unmatched'].flatMap((route) =>
      ['500', '503'].map((status) => `${REQUESTS}${request('GET', route, status)}`),
    ),
    'api-latency': reads.flatMap((route) => [
      `${REQUESTS}${request('GET', route, '200')}`,
      `http_server_request_duration_seconds_bucket{le="0.3",${request('GET', route, '200').slice(1)}`,
    ]),
    'ingest-availability': [
      ...['202', '500', '503'].map((status) => `${REQUESTS}${request('POST', ROUTE, status)}`),
      ...['500', '503'].map((status) => `${REQUESTS}${request('POST', 'unmatched', status)}`),
    ],
    'pipeline-freshness': [
      ...each('vigia_oldest_unreadable_age_seconds'),
      ...each('vigia_expected_record_age_seconds'),
      ...each('vigia_overdue_records'),
    ],
    'pipeline-correctness': [
      ...['stored', 'duplicate', 'quarantined', 'dead_lettered', 'accepted', 'rejected'].flatMap((outcome) =>
        each('vigia_records_total', `,outcome="${outcome}"`),
      ),
      ...each('vigia_equation_difference_records'),
    ],
    'pipeline-latency': [
      ...each('vigia_accept_to_readable_seconds_count'),
      ...datasets.map((dataset) => `vigia_accept_to_readable_seconds_bucket{le="5",dataset="${dataset}"}`),
    ],
  };
}

function describeRequests(this: Mocha.Suite): void {
  this.timeout(20_000);
  let service: ObservedService;
  let first: Samples;
  let samples: Samples;
  let datasets: readonly string[];
  let openApi: OpenApi;
  const traceIds: Record<string, string> = {};
  const answered = (route: string, status: number, method = 'GET'): number =>
    total(samples, REQUESTS, {
      http_route: route,
      http_response_status_code: String(status),
      http_request_method: method,
    });
  const traceOf = async (name: string, response: Promise<Response>): Promise<void> => {
    traceIds[name] = String(((await (await response).json()) as { readonly traceId?: string }).traceId);
  };

  before(async () => {
    const contracts: readonly { readonly name: string }[] = JSON.parse(
      await readFile(new URL('../datasets/datasets.json', import.meta.url), 'utf8'),
    );
    datasets = contracts.map(({ name }) => name);
    service = await startObserved({ env: { OBJECTIVES_FILE: 'package.json', ACCOUNTING_INTERVAL_MS: '3600000' } });
    first = await service.scrape();
    openApi = (await (await fetch(`${service.url}/openapi.json`)).json()) as OpenApi;
    const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(`${service.url}${path}`, init);
    for (const path of ['/livez', '/readyz', '/docs', '/docs/swagger-ui.css', '/v1/datasets'])
      assert.equal((await ask(path)).status, 200, path);
    await traceOf('unmatched', ask('/nowhere/42'));
    await traceOf('method', ask('/v1/datasets', { method: 'PUT' }));
    await traceOf('parameter', ask(`${RECORDS}?limit=-1`));
    await traceOf('host', new Promise((resolve, reject) => askAs('evil.example', service.port).then(resolve, reject)));
    await traceOf('rejected', post(service, { delay: 'late' }));
    // OBJECTIVES_FILE is no objectives file: not foreseen, so our fault.
    await traceOf('failed', ask('/v1/slo'));
    await ask('/v1/datasets', { headers: { 'vigia-trace': 'keep' } });
    await ask('/v1/datasets', { headers: { 'vigia-load': 'yes' } });
    const follower = new WebSocket(`${service.url.replace('http', 'ws')}/ws/status`);
    await once(follower, 'message');
    follower.close();
    await once(follower, 'close');
    await once(new WebSocket(`${service.url.replace('http', 'ws')}/ws/nothing`), 'error');
    await once(connect(service.port, '127.0.0.1').end('no HTTP at all\r\n\r\n').resume(), 'close');
    samples = await service.scrapeUntil((now) => total(now, 'vigia_websocket_ends_total') === 1);
    assert.equal(await service.stop(), 0);
  });
  after(() => service.dispose());

  for (const objective of Object.keys(objectiveSeries([]))) {
    it(`has every series that ${objective} reads at zero on its first scrape`, () => {
      const series = objectiveSeries(datasets)[objective] ?? [];
      assert.ok(series.length > 0);
      for (const name of series) {
        // Time runs for a dataset that expects rows; everything else stands still.
        const value = first.get(name)?.value;
        if (name.startsWith('vigia_expected_record_age_seconds'))
          assert.ok((value ?? -1) >= 0 && (value ?? 99) < 60, name);
        else assert.equal(value, 0, name);
      }
    });
  }
  it('has on its first scrape each combination of labels that the catalogue promises, and at zero', () => {
    const known = { dataset: datasets, code: ROW_CODES, route: [], build: [] };
    for (const [key, { name, kind, zero, labels }] of Object.entries<MetricDefinition>(METRICS)) {
      if (zero !== 'all' || key === 'buildInfo') continue;
      let series = [''];
      for (const [label, values] of Object.entries(labels)) {
        const listed = typeof values === 'string' ? known[values] : values;
        series = series.flatMap((before) => listed.map((value) => `${before},${label}="${value}"`));
      }
      assert.ok(series.length > 0, name);
      for (const text of series) {
        const at = text === '' ? '' : `{${text.slice(1)}}`;
        const value = first.get(`${name}${kind === 'histogram' ? '_count' : ''}${at}`)?.value;
        assert.ok(value !== undefined, `${name}${at} is missing`);
        if (!MOVED_BY_STARTING.has(key)) assert.equal(value, 0, `${name}${at}`);
      }
    }
  });
  it('has on its first scrape, at zero, each route with each success it declares and with 500 and 503', () => {
    const paths = Object.entries(openApi.paths).filter(([path]) => !path.startsWith('/ws/'));
    assert.ok(paths.length > 15);
    for (const [path, operations] of paths) {
      for (const [method, { responses }] of Object.entries(operations)) {
        const successes = Object.keys(responses).filter((status) => Number(status) < 400);
        for (const status of [...successes, '500', '503']) {
          const labels = {
            http_request_method: method.toUpperCase(),
            http_route: path.replace(/\{(\w+)\}/g, ':$1'),
            http_response_status_code: status,
          };
          assert.equal(countOf(first, REQUESTS, labels), 1, JSON.stringify(labels));
          assert.equal(total(first, REQUESTS, labels), 0, JSON.stringify(labels));
        }
      }
    }
  });
  it('has on its first scrape each operation of each dependency, with both outcomes', () => {
    for (const [dependency, operations] of Object.entries(DEPENDENCY_OPERATIONS)) {
      for (const operation of Object.keys(operations)) {
        const labels = { dependency, operation };
        assert.equal(
          countOf(first, 'vigia_dependency_duration_seconds_count', labels),
          2,
          `${dependency} ${operation}`,
        );
        assert.equal(total(first, 'vigia_dependency_duration_seconds_count', { ...labels, outcome: 'error' }), 0);
      }
    }
  });
  it('tells the promises that freshness is compared with from the first scrape on', () => {
    assert.equal(datasets.length, 4);
    for (const dataset of datasets)
      assert.ok(total(first, 'vigia_freshness_promise_seconds', { dataset }) > 0, dataset);
    assert.equal(total(first, 'vigia_expect_every_seconds', { dataset: 'flights' }), 86_400);
  });
  it('is ready, has lost nothing and put nothing outside its closed sets, at first and at last', () => {
    assert.equal(total(first, 'vigia_ready'), 1);
    for (const name of [
      'vigia_label_overflow_total',
      'vigia_refused_values_total',
      'vigia_sample_failures_total',
      'vigia_spans_dropped_total',
      'vigia_log_lines_dropped_total',
    ]) {
      assert.equal(total(first, name), 0, name);
      assert.equal(total(samples, name), 0, name);
    }
  });
  it('counts what no route took, what a route does not take and what was asked wrongly', () => {
    assert.equal(answered('unmatched', 404), 2, 'one by HTTP, one by an upgrade');
    assert.equal(answered('/v1/datasets', 405, 'PUT'), 1);
    assert.equal(answered(ROUTE, 400), 1);
    assert.equal(answered(ROUTE, 422, 'POST'), 1);
    assert.equal(answered('/docs/:asset', 200), 1);
  });
  it('counts a refused host and what could not be read', () => {
    assert.equal(answered('/v1/datasets', 421), 1);
    assert.equal(total(samples, 'vigia_refused_requests_total', { reason: 'host' }), 1);
    assert.equal(total(samples, 'vigia_unreadable_requests_total', { code: 'REQUEST_MALFORMED' }), 1);
  });
  it('counts a failure of ours as 500, with its line at error and its reason by class', () => {
    assert.equal(answered('/v1/slo', 500), 1);
    const lines = service.lines.filter(({ trace_id }) => trace_id === traceIds.failed);
    assert.deepEqual(
      lines.map(({ msg, level, code }) => [msg, level, code]),
      [
        ['http.failure', 50, 'INTERNAL'],
        ['http.request', 50, 'INTERNAL'],
      ],
    );
    assert.match(String(lines[0]?.error_type), /^AppError < \w*Error$/);
  });
  it('writes the line of a 4xx at info, with its code and the trace id of the answer', () => {
    for (const [name, code] of Object.entries({
      unmatched: 'ROUTE_UNKNOWN',
      method: 'METHOD_NOT_ALLOWED',
      parameter: 'PARAMETER_INVALID',
      host: 'HOST_NOT_ALLOWED',
      rejected: 'ALL_ROWS_REJECTED',
    })) {
      const lines = service.lines.filter(({ trace_id }) => trace_id === traceIds[name]);
      assert.deepEqual(
        lines.map(({ msg, level, code: written }) => [msg, level, written]),
        [['http.request', 30, code]],
        name,
      );
    }
  });
  it('leaves load test requests to be told apart', () => {
    assert.equal(total(samples, REQUESTS, { http_route: '/v1/datasets', vigia_load: 'yes' }), 1);
  });
  it('counts followers, what they were told and why they left', () => {
    assert.equal(answered('/ws/status', 101), 1);
    assert.equal(total(samples, 'vigia_websocket_messages_total'), 1);
    assert.equal(total(samples, 'vigia_websocket_ends_total', { reason: 'client' }), 1);
    assert.equal(total(samples, 'vigia_websocket_connections'), 0);
  });
  it('has as many server spans as requests that are traced, and none for probes and scrapes', () => {
    const counted = [...samples].filter(([series]) => series.startsWith(`${REQUESTS}{`));
    const untraced = counted.filter(([series]) => /"\/livez"|"\/readyz"|"\/ws\/status"/.test(series));
    const sum = (of: typeof counted): number => of.reduce((all, [, { value }]) => all + value, 0);
    // The refused upgrade has no span either.
    assert.equal(spansOf(service.sink.spans, 'server').length, sum(counted) - sum(untraced) - 1);
    assert.ok(sum(untraced) >= 3);
    assert.equal(service.sink.spans.filter(({ name }) => /livez|readyz|metrics/.test(name)).length, 0);
  });
  it('gives exemplars to failed, slow and marked requests alone, each opening a span that was exported', () => {
    const spans = new Map(service.sink.spans.map((span) => [span.spanId, span]));
    const exemplars = [...samples].filter(([, { exemplar }]) => exemplar !== '');
    const opened = exemplars.map(([series, { exemplar }]) => {
      const [, traceId, spanId = ''] = /trace_id="(.*?)",span_id="(.*?)"/.exec(exemplar) ?? [];
      const span = spans.get(spanId);
      assert.equal(span?.traceId, traceId, series);
      const slow = Number(/le="([^"]*)"/.exec(series)?.[1]) > SLOW_SECONDS || series.includes('le="+Inf"');
      const kept = span?.attributes['sampling.keep'] === true;
      assert.ok(slow || kept || span?.status === 2, `${series} ${exemplar}`);
      return `${span?.name}${kept ? ' kept' : ''}`;
    });
    for (const name of ['GET /v1/slo', 'GET /v1/datasets kept']) assert.ok(opened.includes(name), `${opened}`);
  });
  it('leaves no request active, no span waiting and no line behind', () => {
    assert.equal(total(samples, 'http_server_active_requests'), 0);
    assert.equal(service.lines.filter(({ msg }) => msg === 'telemetry.lost').length, 0);
    assert.equal(service.lines.at(-1)?.msg, 'service.stopped');
  });
}

/** fetch sets Host by itself. */
async function askAs(host: string, port: number): Promise<Response> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET /v1/datasets HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return new Response((await read(socket)).split('\r\n\r\n')[1] ?? '');
}

async function read(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

function describeStop(this: Mocha.Suite): void {
  this.timeout(20_000);
  let service: ObservedService;
  let exitCode: number | null;
  let answers: readonly string[];
  let last: Samples;
  const ready: string[] = [];
  const askReady = async (): Promise<void> => {
    const answer = await fetch(`${service.url}/readyz`);
    ready.push(`${answer.status} ${((await answer.json()) as { readonly status: string }).status}`);
  };
  before(async () => {
    service = await startObserved({ env: { SCRAPE_WAIT_MS: '60000', STOP_TIMEOUT_MS: '60000' } });
    await askReady();
    await service.scrape();
    await service.line('service.ready');
    await askReady();
    const body = JSON.stringify(flight(1));
    const head = `POST ${RECORDS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const sockets = Array.from({ length: IN_FLIGHT }, () => connect(service.port, '127.0.0.1'));
    for (const socket of sockets) socket.write(head + body.slice(0, 10));
    const reading = Promise.all(sockets.map(read));
    await service.scrapeUntil((samples) => total(samples, 'http_server_active_requests') === IN_FLIGHT);
    service.child.kill('SIGTERM');
    await service.line('service.stopping');
    for (const socket of sockets) socket.write(body.slice(10));
    answers = await reading;
    // A second signal, as npm sends one; it must not cut anything off.
    const ended = service.stop();
    last = await lastScrape(service, ended);
    exitCode = await ended;
  });
  after(() => service.dispose());

  it('is not ready before the first scrape, and is after it, which an objective can leave out by its route', () => {
    assert.deepEqual(ready, ['503 starting', '200 ok']);
    const notReady = { http_route: '/readyz', http_response_status_code: '503' };
    assert.equal(total(last, REQUESTS, notReady), 1);
    const others = [...last].filter(
      ([series, { value }]) =>
        series.startsWith(REQUESTS) &&
        value > 0 &&
        !PROBE_ROUTES.some((route) => series.includes(`http_route="${route}"`)),
    );
    assert.ok(others.every(([series]) => series.includes('http_response_status_code="202"')));
  });
  it('ends only after a scrape that saw what was counted last', () => {
    assert.equal(total(last, 'vigia_ready'), 0);
    const posts = { http_request_method: 'POST', http_response_status_code: '202' };
    assert.equal(total(last, REQUESTS, posts), IN_FLIGHT);
    assert.equal(total(last, 'vigia_records_total', { outcome: 'accepted' }), IN_FLIGHT);
    const settled = ['stored', 'duplicate'].map((outcome) => total(last, 'vigia_records_total', { outcome }));
    assert.deepEqual(settled, [1, IN_FLIGHT - 1]);
    const { duration_ms: durationMs } = service.lines.at(-1) ?? {};
    assert.ok(Number(durationMs) < 30_000, 'and then at once');
  });
  it('answers all of them and exits with 0', () => {
    assert.equal(exitCode, 0);
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 202 /);
  });
  it('loses none of their spans', () => {
    const ours = service.sink.spans;
    assert.equal(ours.filter(({ name }) => name === `POST ${ROUTE}`).length, IN_FLIGHT);
    assert.equal(spansOf(ours, 'producer').length, IN_FLIGHT);
    const processed = spansOf(ours, 'consumer').reduce(
      (sum, { attributes }) => sum + Number(attributes['messaging.batch.message_count']),
      0,
    );
    assert.equal(processed, IN_FLIGHT);
  });
  it('loses none of their lines, and says at the end that nothing was lost', () => {
    const lines = service.lines.filter(({ msg }) => msg === 'http.request');
    assert.equal(new Set(lines.map(({ trace_id }) => trace_id)).size, IN_FLIGHT);
    assert.deepEqual(
      service.lines.map(({ msg }) => msg).filter((msg) => msg !== 'http.request'),
      ['service.started', 'service.ready', 'service.stopping', 'service.stopped'],
    );
  });
}

function describeDeliveries(this: Mocha.Suite): void {
  this.timeout(20_000);
  let service: ObservedService;
  let samples: Samples;
  const poisonId = 'f'.repeat(32);
  const consumers = (id?: string): readonly ReceivedSpan[] =>
    spansOf(service.sink.spans, 'consumer').filter(({ attributes }) => attributes['messaging.message.id'] === id);

  before(async () => {
    service = await startObserved({
      entry: import.meta.filename,
      env: {
        BATCH_WAIT_MS: '250',
        DELIVERY_ATTEMPTS_MAX: '2',
        BACKOFF_MIN_MS: '1',
        BACKOFF_MAX_MS: '1',
        SCRAPE_WAIT_MS: '300',
      },
    });
    const both = await Promise.all([post(service, flight(1)), post(service, flight(2))]);
    assert.deepEqual(
      both.map(({ status }) => status),
      [202, 202],
    );
    await service.scrapeUntil((now) => total(now, 'vigia_records_total', { outcome: 'stored' }) === 2);
    service.child.send([poison(poisonId)]);
    await service.line('subscriber.dead_lettered');
    samples = await service.scrapeUntil((now) => total(now, 'vigia_dead_letter_messages') === 1);
    assert.equal(await service.stop(), 0);
  });
  after(() => service.dispose());

  it('are one trace of their own with a link to each producer, when they come together', () => {
    const [batch, ...more] = consumers();
    assert.equal(more.length, 0);
    assert.equal(batch?.parentSpanId, '');
    assert.equal(batch?.attributes['messaging.batch.message_count'], 2);
    const producers = spansOf(service.sink.spans, 'producer').map(({ traceId, spanId }) => ({ traceId, spanId }));
    assert.equal(producers.length, 2);
    assert.deepEqual(
      new Set(batch?.links.map((link) => JSON.stringify(link))),
      new Set(producers.map((one) => JSON.stringify(one))),
    );
  });
  it('join the producer at the first delivery and are linked to it at the second', () => {
    const [first, second, ...more] = consumers(poisonId);
    assert.equal(more.length, 0);
    assert.deepEqual(
      [first?.traceId, first?.parentSpanId, first?.links],
      [POISON_TRACE.traceId, POISON_TRACE.spanId, []],
    );
    assert.equal(second?.parentSpanId, '');
    assert.notEqual(second?.traceId, POISON_TRACE.traceId);
    assert.deepEqual(second?.links, [POISON_TRACE]);
    assert.deepEqual(
      [first, second].map((span) => span?.attributes['vigia.delivery_attempt']),
      [1, 2],
    );
  });
  it('mark the span failed, with the store call inside the processing span', () => {
    for (const span of consumers(poisonId)) {
      assert.deepEqual([span.status, span.attributes['error.type']], [2, 'MESSAGE_FAILED']);
      const inside = service.sink.spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
      assert.deepEqual(
        inside.map(({ name, status }) => [name, status]),
        [['warehouse store', 2]],
      );
    }
  });
  it('write a line a failed batch and one for the dead letter, in the trace they belong to', () => {
    const failed = service.lines.filter(({ msg }) => msg === 'subscriber.batch_failed');
    assert.deepEqual(
      failed.map(({ span_id }) => span_id),
      consumers(poisonId).map(({ spanId }) => spanId),
    );
    const dead = service.lines.filter(({ msg }) => msg === 'subscriber.dead_lettered');
    assert.deepEqual(
      dead.map(({ code, dataset, message_id, records, attempts }) => [code, dataset, message_id, records, attempts]),
      [['MESSAGE_FAILED', 'flights', poisonId, 1, 2]],
    );
  });
  it('are followed by a stop that waited for a scrape, in vain and no longer than it was told', async () => {
    const { duration_ms: durationMs } = await service.line('service.stopped');
    assert.ok(Number(durationMs) >= 300 && Number(durationMs) < 5000, String(durationMs));
  });
  it('are counted: deliveries, redeliveries, failures by type, the dead letter', () => {
    const flights = { dataset: 'flights' };
    for (const [name, labels, value] of [
      ['messaging_client_consumed_messages_total', flights, 4],
      ['vigia_redelivered_messages_total', flights, 1],
      ['messaging_process_duration_seconds_count', { error_type: '' }, 1],
      ['messaging_process_duration_seconds_count', { error_type: 'MESSAGE_FAILED' }, 2],
      ['vigia_dependency_duration_seconds_count', { dependency: 'warehouse', operation: 'store', outcome: 'error' }, 2],
      ['vigia_records_total', { ...flights, outcome: 'dead_lettered' }, 1],
      ['vigia_dead_letter_messages', flights, 1],
      ['vigia_backlog_messages', flights, 0],
    ] as const) {
      assert.equal(total(samples, name, labels), value, `${name} ${JSON.stringify(labels)}`);
    }
  });
}

/** Scrapes on, as Prometheus does, until the listener is gone. */
async function lastScrape(service: ObservedService, ended: Promise<unknown>): Promise<Samples> {
  let over = false;
  void ended.finally(() => {
    over = true;
  });
  let last: Samples = new Map();
  while (!over) {
    try {
      last = await service.scrape();
    } catch (error) {
      // Refused from here on; anything else is a failure.
      if (!(error instanceof TypeError)) throw error;
      await ended;
    }
  }
  return last;
}

const POISON_TRACE = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) } as const;

/** A message that says it is ours and whose row no table takes. */
function poison(messageId: string) {
  const envelope = {
    messageId,
    dataset: 'flights',
    contractVersion: 1,
    requestId: 'e'.repeat(32),
    apiKeyId: 'anonymous',
    receivedAt: new Date().toISOString(),
    rowCount: 1,
    rejectCount: 0,
    rows: [{ eventId: 'd'.repeat(32), index: 0, body: { ...flight(3), delay: CANARY } }],
    rejects: [],
  };
  return {
    messageId,
    dataset: 'flights',
    requestId: envelope.requestId,
    rowCount: 1,
    text: JSON.stringify(envelope),
    attributes: { traceparent: `00-${POISON_TRACE.traceId}-${POISON_TRACE.spanId}-01` },
  };
}

function describeSecret(this: Mocha.Suite): void {
  this.timeout(20_000);
  it('in a field, a header, a key, a query, a path, a row that fails or an exception leaves by no way', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vigia-secret-'));
    const OBJECTIVES_FILE = join(folder, 'objectives.json');
    const env = { DELIVERY_ATTEMPTS_MAX: '1', OBJECTIVES_FILE };
    const service = await startObserved({ entry: import.meta.filename, env });
    try {
      const headers = {
        'user-agent': CANARY,
        cookie: `a=${CANARY}`,
        baggage: `a=${CANARY}`,
        tracestate: `a=${CANARY}`,
        traceparent: `00-${'c'.repeat(32)}-${'c'.repeat(16)}-01`,
        'idempotency-key': CANARY,
        authorization: `Bearer vg_0123456789abcdef_${CANARY.padEnd(43, 'x')}`,
      };
      const sale = {
        id: 'BS-000001',
        country: 'AR',
        amount: '10.50',
        sold_at: '2024-03-09T15:04:05Z',
        title: CANARY,
        isbn: '9780306406157',
        copies: 1,
        buyer_email: `${CANARY}@bookshop.example`,
      };
      const send = (path: string, init: RequestInit = {}): Promise<number> =>
        raw(service.port, { path, headers, ...init });
      const sales = '/v1/datasets/book_sales/records';
      const json = { method: 'POST', headers: { ...headers, ...JSON_TYPE } };
      assert.equal(await send(sales, { ...json, body: JSON.stringify(sale) }), 202);
      const other = { ...json, headers: { ...json.headers, 'idempotency-key': `${CANARY}2` } };
      assert.equal(await send(sales, { ...other, body: JSON.stringify({ ...sale, copies: CANARY }) }), 422);
      assert.equal(await send(`${sales}?where=title:eq:${CANARY}`), 200);
      assert.equal(await send(`/data_analysis?year=${CANARY}`), 400);
      assert.equal(await send(`/v1/datasets/${CANARY}/records`), 404);
      assert.equal(await send(`/${CANARY}`), 404);
      assert.equal(await send('/v1/datasets', { headers: { ...headers, 'x-forwarded-for': CANARY } }), 403);
      assert.equal(await send('/v1/datasets', { headers: { ...headers, host: CANARY } }), 421);
      // JSON.parse quotes what it cannot read.
      await writeFile(OBJECTIVES_FILE, CANARY);
      assert.equal(await send('/v1/slo'), 500);
      service.child.send([poison('f'.repeat(32))]);
      await service.line('subscriber.dead_lettered');
      await service.scrapeUntil((now) => total(now, 'vigia_records_total', { outcome: 'stored' }) === 1);
      assert.equal(await service.stop(), 0);
      const spans = service.sink.bytes().toString('latin1');
      assert.ok(service.sink.spans.length > 10 && service.lines.length > 10 && service.exposition().length > 10_000);
      const lines = JSON.stringify(service.lines);
      for (const [what, text] of Object.entries({ spans, lines, metrics: service.exposition() })) {
        const at = text.indexOf(CANARY);
        assert.equal(at, -1, `${what}: ${text.slice(Math.max(0, at - 200), at + 50)}`);
      }
    } finally {
      await service.dispose();
      await rm(folder, { recursive: true });
    }
  });
}

/** Headers as given, Host included, which fetch would set. Resolves with the status. */
async function raw(port: number, { path, method = 'GET', headers, body }: RequestInit & { readonly path: string }) {
  const socket = connect(port, '127.0.0.1');
  const text = typeof body === 'string' ? body : '';
  const all = { host: 'localhost', ...(headers as Record<string, string>), 'content-length': text.length };
  const lines = Object.entries({ ...all, connection: 'close' }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${text}`);
  return Number((await read(socket)).split(' ')[1]);
}
