import assert from 'node:assert/strict';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { CountedExporter, CountedProcessor } from './span-export.ts';

const SUCCESS = { code: 0 };
const FAILURE = { code: 1 };

type Answer = (result: { code: number }) => void;

/** Answers when the test says so. */
class HeldExporter implements SpanExporter {
  readonly answers: Answer[] = [];
  spans: ReadableSpan[] = [];
  #held = true;
  export(spans: ReadableSpan[], done: Answer): void {
    this.spans.push(...spans);
    if (this.#held) this.answers.push(done);
    else done(SUCCESS);
  }
  /** Answers what waits and whatever comes. */
  letGo(): void {
    this.#held = false;
    for (const answer of this.answers.splice(0)) answer(SUCCESS);
  }
  async shutdown(): Promise<void> {}
}

/** Ended after each test: a processor that still waits for an answer keeps the process alive for a minute. */
const ends: (() => Promise<void>)[] = [];

function pipeline(inner: SpanExporter, waitingMax = 4) {
  const counts = { ended: 0, exported: 0, dropped: { queue_full: 0, export_failed: 0, shutdown: 0 } };
  const exporter = new CountedExporter(inner, counts);
  const batches = new BatchSpanProcessor({
    exporter,
    maxQueueSize: 64,
    maxExportBatchSize: 2,
    scheduledDelayMillis: 60_000,
  });
  const processor = new CountedProcessor({ processor: batches, exporter, counts, waitingMax });
  ends.push(() => {
    if (inner instanceof HeldExporter) inner.letGo();
    return processor.shutdown();
  });
  const tracer = new TracerProvider({ spanProcessors: [processor] }).getTracer('test');
  const end = (times: number): void => {
    for (let index = 0; index < times; index++) tracer.startSpan('one', {}, context.active()).end();
  };
  return { counts, processor, tracer, end };
}

describe('the accounts of spans', () => {
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
  });

  it('count what the collector confirmed and what it refused', async () => {
    const inner = new HeldExporter();
    const { counts, end, processor } = pipeline(inner);
    end(2);
    inner.answers.shift()?.(SUCCESS);
    await new Promise(setImmediate);
    end(2);
    inner.answers.shift()?.(FAILURE);
    assert.deepEqual(counts, { ended: 4, exported: 2, dropped: { queue_full: 0, export_failed: 2, shutdown: 0 } });
    await processor.shutdown();
  });
  it('count a span that finds the queue full', () => {
    const { counts, end } = pipeline(new HeldExporter());
    // Two leave as the first batch, four wait, the rest is dropped.
    end(9);
    assert.deepEqual(counts, { ended: 9, exported: 0, dropped: { queue_full: 3, export_failed: 0, shutdown: 0 } });
  });
  it('add up at the cut-off, and a late answer changes nothing', () => {
    const inner = new HeldExporter();
    const { counts, end, processor } = pipeline(inner);
    end(5);
    assert.equal(processor.cutOff(), 5);
    inner.answers.shift()?.(SUCCESS);
    end(1);
    assert.deepEqual(counts, { ended: 6, exported: 0, dropped: { queue_full: 0, export_failed: 0, shutdown: 6 } });
  });
  it('leave nothing waiting after a shutdown that succeeded', async () => {
    const { counts, end, processor } = pipeline(new InMemorySpanExporter());
    end(3);
    await processor.shutdown();
    assert.equal(processor.cutOff(), 0);
    assert.deepEqual(counts, { ended: 3, exported: 3, dropped: { queue_full: 0, export_failed: 0, shutdown: 0 } });
  });
});

describe('a span on its way out', () => {
  it('loses every attribute that is not listed, and every message', async () => {
    const inner = new InMemorySpanExporter();
    const { tracer, processor } = pipeline(inner);
    const span = tracer.startSpan('GET /ok', {
      attributes: {
        'url.query': 'secret',
        'client.address': '10.0.0.1',
        'user_agent.original': 'x',
        'http.route': '/ok',
        'vigia.dataset': 'flights',
      },
      links: [
        {
          context: { traceId: '1'.repeat(32), spanId: '1'.repeat(16), traceFlags: 1 },
          attributes: { payload: 'secret' },
        },
      ],
    });
    span.recordException(new TypeError('secret'));
    span.setStatus({ code: SpanStatusCode.ERROR, message: 'secret' });
    assert.ok(trace.isSpanContextValid(span.spanContext()));
    span.end();
    await processor.forceFlush();
    const [exported] = inner.getFinishedSpans();
    assert.deepEqual(exported?.attributes, { 'http.route': '/ok', 'vigia.dataset': 'flights' });
    assert.deepEqual(
      exported.events.map(({ attributes }) => attributes),
      [{ 'exception.type': 'TypeError' }],
    );
    assert.deepEqual(
      exported.links.map(({ attributes }) => attributes),
      [{}],
    );
    assert.deepEqual(exported.status, { code: SpanStatusCode.ERROR });
  });
});
