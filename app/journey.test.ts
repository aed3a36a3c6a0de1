/**
 * One record's journey through the real service, in one process: POST → bus → subscriber → warehouse → GET, with the
 * trace, the metrics and the lines that it leaves.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { WebSocket } from 'ws';
import {
  KIND,
  type ObservedService,
  type Samples,
  spansOf,
  startObserved,
  total,
} from './observed-service.contract.ts';
import type { ReceivedSpan } from './telemetry/otlp-sink.ts';

const RECORDS = '/v1/datasets/flights/records';
const ROUTE = '/v1/datasets/:dataset/records';
const SAMPLE = new URL('datasets/flights/sample.ndjson', import.meta.url);

describe('one record’s journey', function () {
  this.timeout(30_000);
  let service: ObservedService;
  let flight: Readonly<Record<string, unknown>>;
  let receipt: Readonly<Record<string, unknown>>;
  let read: { readonly data: readonly Readonly<Record<string, unknown>>[]; readonly asOf: string };
  let samples: Samples;
  let exitCode: number | null;
  const named = (name: string): readonly ReceivedSpan[] => service.sink.spans.filter((span) => span.name === name);
  const only = (name: string): ReceivedSpan => {
    const [span, ...more] = named(name);
    assert.equal(more.length, 0, `${name} more than once`);
    return span ?? assert.fail(`no span ${name} among ${service.sink.spans.map((one) => one.name).join(', ')}`);
  };

  before(async () => {
    service = await startObserved();
    const [line = ''] = (await readFile(SAMPLE, 'utf8')).split('\n');
    flight = JSON.parse(line);
    const follower = new WebSocket(`${service.url.replace('http', 'ws')}/ws/status`);
    await once(follower, 'message');
    const committed = once(follower, 'message');
    const posted = await fetch(`${service.url}${RECORDS}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: line,
    });
    assert.equal(posted.status, 202);
    receipt = (await posted.json()) as typeof receipt;
    await committed;
    follower.close();
    const got = await fetch(`${service.url}${RECORDS}?where=origin:eq:${flight.origin}`);
    assert.equal(got.status, 200);
    read = (await got.json()) as typeof read;
    samples = await service.scrapeUntil(
      (now) => total(now, 'vigia_equation_records', { dataset: 'flights', state: 'stored' }) === 1,
    );
    exitCode = await service.stop();
  });
  after(() => service.dispose());

  it('ends with the record as it was sent, and a receipt that said it was durable', () => {
    assert.deepEqual([receipt.dataset, receipt.received, receipt.accepted, receipt.rejected], ['flights', 1, 1, 0]);
    assert.equal(read.data.length, 1);
    for (const [field, value] of Object.entries(flight)) assert.deepEqual(read.data[0]?.[field], value, field);
    assert.ok(Date.parse(read.asOf) > 0);
    assert.equal(exitCode, 0);
  });
  it('is one trace from the request to the commit', () => {
    const server = only(`POST ${ROUTE}`);
    const producer = only('publish records');
    const consumer = only('process records');
    const store = only('warehouse store');
    assert.deepEqual(
      [producer.parentSpanId, consumer.parentSpanId, store.parentSpanId],
      [server.spanId, producer.spanId, consumer.spanId],
    );
    const traces = new Set([server, producer, consumer, store].map(({ traceId }) => traceId));
    assert.equal(traces.size, 1);
    assert.deepEqual(consumer.links, []);
  });
  it('names dataset and counts on its spans, and marks none of them failed', () => {
    assert.equal(only('publish records').attributes['vigia.dataset'], 'flights');
    assert.equal(only('publish records').attributes['vigia.rows'], 1);
    assert.equal(only('process records').attributes['vigia.delivery_attempt'], 1);
    assert.deepEqual(
      service.sink.spans.filter(({ status }) => status === 2),
      [],
    );
  });
  it('is all that is traced: what the service asks itself makes no trace', () => {
    const roots = service.sink.spans.filter(({ kind, parentSpanId }) => kind === KIND.internal && parentSpanId === '');
    assert.deepEqual(roots, []);
    assert.ok(total(samples, 'vigia_dependency_duration_seconds_count', { operation: 'accounting' }) > 0);
  });
  it('is read in a trace of its own, with the warehouse call inside', () => {
    const server = only(`GET ${ROUTE}`);
    assert.equal(only('warehouse records').parentSpanId, server.spanId);
    assert.notEqual(server.traceId, only(`POST ${ROUTE}`).traceId);
  });
  it('has one server span and one access line a request, with the same trace id', () => {
    for (const method of ['POST', 'GET']) {
      const { traceId } = only(`${method} ${ROUTE}`);
      const lines = service.lines.filter(({ trace_id }) => trace_id === traceId);
      assert.deepEqual(
        lines.map(({ msg, method: of, route, level }) => [msg, of, route, level]),
        [['http.request', method, ROUTE, 30]],
      );
    }
    assert.equal(spansOf(service.sink.spans, 'server').length, 2);
  });
  it('is counted once wherever it passes', () => {
    const requests = 'http_server_request_duration_seconds_count';
    const on = { http_route: ROUTE, vigia_load: 'no' };
    assert.equal(total(samples, requests, { ...on, http_request_method: 'POST', http_response_status_code: '202' }), 1);
    assert.equal(total(samples, requests, { ...on, http_request_method: 'GET', http_response_status_code: '200' }), 1);
    const flights = { dataset: 'flights' };
    for (const [name, labels, value] of [
      ['messaging_client_sent_messages_total', { ...flights, error_type: '' }, 1],
      ['messaging_client_consumed_messages_total', flights, 1],
      ['vigia_redelivered_messages_total', flights, 0],
      ['vigia_queue_wait_seconds_count', flights, 1],
      ['messaging_process_duration_seconds_count', { error_type: '' }, 1],
      ['vigia_records_total', { ...flights, outcome: 'accepted' }, 1],
      ['vigia_records_total', { ...flights, outcome: 'stored' }, 1],
      ['vigia_records_total', { ...flights, outcome: 'rejected' }, 0],
      ['vigia_accept_to_readable_seconds_count', flights, 1],
      ['vigia_equation_difference_records', flights, 0],
      ['vigia_equation_records', { ...flights, state: 'accepted' }, 1],
      ['vigia_oldest_unreadable_age_seconds', flights, 0],
      ['vigia_dependency_duration_seconds_count', { dependency: 'bus', operation: 'publish', outcome: 'ok' }, 1],
      ['vigia_dependency_duration_seconds_count', { dependency: 'warehouse', operation: 'store', outcome: 'ok' }, 1],
      ['vigia_dependency_duration_seconds_count', { dependency: 'warehouse', operation: 'records', outcome: 'ok' }, 1],
      ['vigia_label_overflow_total', {}, 0],
      ['vigia_refused_values_total', {}, 0],
    ] as const) {
      assert.equal(total(samples, name, labels), value, `${name} ${JSON.stringify(labels)}`);
    }
    assert.ok(total(samples, 'vigia_last_commit_timestamp_seconds', flights) > 1_600_000_000);
  });
});
