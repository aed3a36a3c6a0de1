/**
 * The telemetry contract, on a real Express service in a process of its own: this file serves when it is run and
 * tests when it is loaded. The scenario runs once; each test judges what left the process.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import express, { type Request, type Response } from 'express';
import { type OtlpSink, openOtlpSink, type ReceivedSpan } from './otlp-sink.ts';
import { createTelemetry } from './telemetry.ts';

const CANARY = 'canary-7f3a91';
const IN_FLIGHT = 20;
const KIND = { internal: 1, server: 2, producer: 4, consumer: 5 } as const;

if (import.meta.main) await serve();
else describeContract();

/** What the api does, as small as it can be. */
async function serve(): Promise<void> {
  const telemetry = createTelemetry({
    version: '0.0.0',
    logLevel: 'info',
    logFile: process.env.PROBE_LOG ?? '',
    logFileBytesMax: 1 << 20,
    logFilesMax: 1,
    datasets: ['flights'],
    codes: ['FIELD_TYPE'],
    now: Date.now,
  });
  await telemetry.selfCheck();
  telemetry.declareRoutes(
    ['/ok', '/slow', '/fail', '/livez', '/publish', '/hold'].map((path) => ({
      method: 'get',
      path,
      answers: { 200: {} },
    })),
  );
  const stopping = Promise.withResolvers<void>();
  const sent: Record<string, string>[] = [];
  const deliver = (attempt: number, attributes = sent.slice(-1)) =>
    telemetry.processing(
      {
        deliveries: attributes.map((one, index) => ({
          messageId: `m${index}`,
          dataset: 'flights',
          attributes: one,
          attempt,
          ageSeconds: 0.1,
        })),
      },
      () => telemetry.dependency({ dependency: 'warehouse', operation: 'store' }, async () => undefined),
    );
  const handlers: Readonly<Record<string, (response: Response) => Promise<void> | void>> = {
    '/ok': (response) => void response.send(telemetry.requestTraceId()),
    '/slow': (response) => void response.send(telemetry.requestTraceId()),
    '/livez': (response) => void response.send('ok'),
    '/hold': async (response) => {
      await stopping.promise;
      response.send('held');
    },
    '/fail': () => {
      throw new TypeError(`bad value ${CANARY}\n    at ${CANARY} (x:1:1)`);
    },
    '/publish': async (response) => {
      await telemetry.publishing(
        { dataset: 'flights', messages: 1, rows: 3 },
        async (attributes) => void sent.push({ ...attributes }),
      );
      await deliver(1);
      await deliver(2);
      await telemetry.publishing(
        { dataset: 'flights', messages: 1, rows: 3 },
        async (attributes) => void sent.push({ ...attributes }),
      );
      await deliver(1, sent);
      response.send('published');
    },
  };
  const app = express();
  for (const [path, handle] of Object.entries(handlers)) {
    app.get(path, async (request: Request, response: Response) => {
      telemetry.requestStarted();
      if (request.query.keep !== undefined) telemetry.keepTrace();
      response.once('close', () => {
        const durationSeconds = path === '/slow' ? 0.4 : 0.01;
        const keep = request.query.keep !== undefined;
        telemetry.requestFinished({
          method: 'GET',
          route: path,
          status: response.statusCode,
          durationSeconds,
          load: false,
          keep,
          requestId: 'r1',
        });
      });
      await handle(response);
    });
  }
  app.use((error: unknown, _request: Request, response: Response, _next: unknown) => {
    telemetry.requestFailed({ code: 'INTERNAL', error });
    response.status(500).send(telemetry.requestTraceId());
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const metrics = await telemetry.listen({ host: '127.0.0.1', port: 0 });
  process.once('SIGTERM', () => {
    server.close(() => {
      telemetry.shutdown({ timeoutMs: 3000 }).then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
    stopping.resolve();
    server.closeIdleConnections();
  });
  process.stdout.write(
    `${JSON.stringify({ port: (server.address() as AddressInfo).port, metricsPort: metrics.port })}\n`,
  );
}

interface Scenario {
  readonly traces: Readonly<Record<string, string>>;
  readonly metrics: string;
  readonly spans: readonly ReceivedSpan[];
  readonly bytes: Buffer;
  readonly lines: readonly Record<string, unknown>[];
  readonly log: string;
  readonly exitCode: number | null;
}

interface Running {
  readonly child: ChildProcess;
  readonly base: string;
  readonly metricsUrl: string;
}

/** A test that failed half-way must not leave its service running. */
const children = new Set<ChildProcess>();

function endAll(): void {
  for (const child of children) child.kill('SIGKILL');
}

async function start(environment: Readonly<Record<string, string>>): Promise<Running> {
  const child = spawn(process.execPath, ['--import', './app/telemetry/start.ts', import.meta.filename], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { port, metricsPort } = JSON.parse(line);
  return { child, base: `http://127.0.0.1:${port}`, metricsUrl: `http://127.0.0.1:${metricsPort}/metrics` };
}

async function stop({ child }: Running): Promise<number | null> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const [code] = await ended;
  return code;
}

async function text(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return (await fetch(url, { headers })).text();
}

async function runScenario(sink: OtlpSink, logFile: string): Promise<Scenario> {
  const running = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.url, PROBE_LOG: logFile });
  const { base, metricsUrl } = running;
  const secret = {
    authorization: `Bearer ${CANARY}`,
    'user-agent': CANARY,
    cookie: CANARY,
    baggage: `secret=${CANARY}`,
  };
  const traces = {
    ok: await text(`${base}/ok?where=${CANARY}`, secret),
    slow: await text(`${base}/slow`),
    kept: await text(`${base}/ok?keep`),
    failed: await text(`${base}/fail`, secret),
  };
  await text(`${base}/livez`);
  await text(`${base}/publish`);
  const metrics = await text(metricsUrl);
  // Begun before the signal is sent: the listener answers only after the requests before it were taken in.
  const held = Array.from({ length: IN_FLIGHT }, () => text(`${base}/hold`));
  await waitForActive(metricsUrl, IN_FLIGHT);
  const exitCode = await stop(running);
  assert.deepEqual(new Set(await Promise.all(held)), new Set(['held']));
  const log = await readFile(logFile, 'utf8');
  return {
    traces,
    metrics,
    spans: sink.spans,
    bytes: sink.bytes(),
    log,
    lines: log
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    exitCode,
  };
}

/** Scrapes until the gauge says so; each scrape is a round trip, so this neither sleeps nor spins. */
async function waitForActive(metricsUrl: string, active: number): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if ((await text(metricsUrl)).includes(`\nhttp_server_active_requests ${active}\n`)) return;
  }
  assert.fail(`never ${active} active requests`);
}

function describeContract(): void {
  describe('the telemetry contract', function () {
    this.timeout(30_000);
    let directory: string;
    let sink: OtlpSink;
    let seen: Scenario;
    const of = (traceId: string | undefined) => seen.spans.filter((span) => span.traceId === traceId);
    const servers = () => seen.spans.filter((span) => span.kind === KIND.server);
    const line = (name: string, ...parts: readonly string[]) =>
      seen.metrics.split('\n').find((one) => one.startsWith(name) && parts.every((part) => one.includes(part))) ?? '';
    const count = (route: string, status: number) =>
      line(
        'http_server_request_duration_seconds_count',
        `http_route="${route}"`,
        `http_response_status_code="${status}"`,
      )
        .split(' ')
        .at(-1);
    const bucket = (route: string, le: string) =>
      line('http_server_request_duration_seconds_bucket', `http_route="${route}"`, `le="${le}"`);

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'vigia-telemetry-'));
      sink = await openOtlpSink();
      seen = await runScenario(sink, join(directory, 'logs', 'vigia.log'));
    });
    after(async () => {
      endAll();
      await sink.close();
      await rm(directory, { recursive: true });
    });

    it('makes exactly one server span a request and no layer span', () => {
      assert.deepEqual(
        of(seen.traces.ok).map(({ name, kind }) => ({ name, kind })),
        [{ name: 'GET /ok', kind: KIND.server }],
      );
    });
    it('writes one access line with the trace id of that span', () => {
      const lines = seen.lines.filter((one) => one.trace_id === seen.traces.ok);
      assert.equal(lines.length, 1);
      const [access] = lines;
      assert.equal(access?.msg, 'http.request');
      assert.equal(access?.span_id, of(seen.traces.ok)[0]?.spanId);
      assert.deepEqual([access?.route, access?.status, access?.level], ['/ok', 200, 30]);
    });
    it('counts each request once in the histogram', () => {
      assert.deepEqual(
        [count('/ok', 200), count('/slow', 200), count('/fail', 500), count('/ok', 500)],
        ['2', '1', '1', '0'],
      );
    });
    it('gives an exemplar to slow, failed and marked requests', () => {
      assert.match(
        bucket('/slow', '0.5'),
        new RegExp(`# {trace_id="${seen.traces.slow}",span_id="[0-9a-f]{16}"} 0.4 `),
      );
      assert.match(
        line('http_server_request_duration_seconds_bucket', '"/fail"', '"500"', 'le="0.01"'),
        new RegExp(seen.traces.failed ?? 'none'),
      );
      assert.match(
        line('http_server_request_duration_seconds_bucket', '"/ok"', '"200"', 'le="0.01"'),
        new RegExp(seen.traces.kept ?? 'none'),
      );
    });
    it('gives no exemplar to a request that tail sampling need not keep', () => {
      assert.ok(!seen.metrics.includes(seen.traces.ok ?? 'none'));
      assert.ok(!line('http_server_request_duration_seconds_bucket', '"/publish"', 'le="0.01"').includes('#'));
    });
    it('marks the span of a marked request for tail sampling', () => {
      assert.equal(of(seen.traces.kept)[0]?.attributes['sampling.keep'], true);
      assert.equal(of(seen.traces.ok)[0]?.attributes['sampling.keep'], undefined);
    });
    it('names the failure by class on span and line, at error, and marks the span failed', () => {
      const [span] = of(seen.traces.failed);
      assert.deepEqual([span?.status, span?.attributes['vigia.error']], [2, 'TypeError']);
      const lines = seen.lines.filter((one) => one.trace_id === seen.traces.failed);
      assert.deepEqual(
        lines.map(({ msg, level }) => [msg, level]),
        [
          ['http.failure', 50],
          ['http.request', 50],
        ],
      );
      assert.equal(lines[0]?.error_type, 'TypeError');
      assert.match(String(lines[0]?.error_stack), /telemetry\.test\.ts/);
    });
    it('keeps probes and scrapes out of the traces and of the info lines', () => {
      assert.deepEqual(
        seen.spans.filter(({ name }) => /livez|metrics/.test(name)),
        [],
      );
      assert.deepEqual(
        seen.lines.filter(({ route }) => route === '/livez'),
        [],
      );
      assert.equal(count('/livez', 200), '1');
    });
    it('carries the trace through the bus: a first single delivery continues the producer', () => {
      const [producer] = seen.spans.filter(({ kind }) => kind === KIND.producer);
      const consumer = seen.spans.find(
        ({ kind, parentSpanId }) => kind === KIND.consumer && parentSpanId === producer?.spanId,
      );
      assert.equal(consumer?.traceId, producer?.traceId);
      assert.deepEqual(consumer?.links, []);
      assert.equal(servers().find(({ traceId }) => traceId === producer?.traceId)?.spanId, producer?.parentSpanId);
    });
    it('links a redelivery and a batch instead of joining them', () => {
      const producers = seen.spans
        .filter(({ kind }) => kind === KIND.producer)
        .map(({ traceId, spanId }) => ({ traceId, spanId }));
      const roots = seen.spans.filter(({ kind, parentSpanId }) => kind === KIND.consumer && parentSpanId === '');
      assert.deepEqual(
        roots.map(({ links }) => links),
        [producers.slice(0, 1), producers],
      );
    });
    it('has the processing span active in the handler', () => {
      const consumers = new Set(seen.spans.filter(({ kind }) => kind === KIND.consumer).map(({ spanId }) => spanId));
      const stores = seen.spans.filter(({ name }) => name === 'warehouse store');
      assert.equal(stores.length, 3);
      for (const { parentSpanId } of stores) assert.ok(consumers.has(parentSpanId));
    });
    it('counts deliveries, redeliveries and what was sent', () => {
      assert.equal(line('messaging_client_consumed_messages_total', 'flights').split(' ').at(-1), '4');
      assert.equal(line('vigia_redelivered_messages_total', 'flights').split(' ').at(-1), '1');
      assert.equal(line('messaging_client_sent_messages_total', 'error_type=""').split(' ').at(-1), '2');
      assert.equal(line('messaging_process_duration_seconds_count', 'error_type=""').split(' ').at(-1), '3');
    });
    it('loses no span and no line on SIGTERM with 20 requests in flight', () => {
      assert.equal(seen.exitCode, 0);
      assert.equal(servers().filter(({ name }) => name === 'GET /hold').length, IN_FLIGHT);
      assert.equal(seen.lines.filter(({ route }) => route === '/hold').length, IN_FLIGHT);
      assert.deepEqual(
        seen.lines.filter(({ msg }) => msg === 'telemetry.lost'),
        [],
      );
    });
    it('lets no secret of a query, header, baggage or exception into span, metric or line', () => {
      assert.ok(seen.bytes.length > 1000 && seen.log.length > 1000);
      for (const store of [seen.bytes.toString('latin1'), seen.metrics, seen.log]) assert.ok(!store.includes(CANARY));
    });
  });

  describe('telemetry without a collector', function () {
    this.timeout(30_000);
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'vigia-telemetry-'));
    });
    afterEach(async () => {
      endAll();
      await rm(directory, { recursive: true });
    });

    it('still serves when tracing is switched off, with a 32-digit id in the answer and none on the line', async () => {
      const running = await start({ OTEL_SDK_DISABLED: 'true', PROBE_LOG: join(directory, 'log') });
      assert.match(await text(`${running.base}/ok`), /^[0-9a-f]{32}$/);
      await text(`${running.base}/slow`);
      const metrics = await text(running.metricsUrl);
      assert.equal(await stop(running), 0);
      assert.ok(!metrics.includes('# {trace_id'));
      assert.match(metrics, /vigia_build_info{[^}]*tracing="off"[^}]*} 1/);
      assert.ok(!(await readFile(join(directory, 'log'), 'utf8')).includes('trace_id'));
    });
    it('counts the spans that a collector refused, says so in the last line and ends within the deadline', async () => {
      const sink = await openOtlpSink({ status: 400 });
      const running = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.url, PROBE_LOG: join(directory, 'log') });
      await text(`${running.base}/ok`);
      assert.equal(await stop(running), 0);
      await sink.close();
      const last = JSON.parse((await readFile(join(directory, 'log'), 'utf8')).trimEnd().split('\n').at(-1) ?? '');
      assert.deepEqual([last.msg, last.spans], ['telemetry.lost', 1]);
    });
    it('refuses to start a service whose libraries were loaded before it', async () => {
      const child = spawn(process.execPath, [import.meta.filename], {
        env: { PATH: process.env.PATH },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const errors: string[] = [];
      child.stderr.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
      const [code] = await once(child, 'close');
      assert.equal(code, 1);
      assert.match(errors.join(''), /Not instrumented: express, http, pino\. Start with node --import/);
    });
  });
}
