/**
 * Preloaded (`node --import ./app/telemetry/start.ts`) so that every module is instrumented before it is first
 * loaded. Guarantees one server span a request and no layer spans, and that spans leave only when an OTLP endpoint
 * is configured. Metrics are not here: Prometheus scrapes them, and they must work with tracing off.
 *
 * It also sizes libuv's thread pool, because nothing else of ours runs before its first use, which fixes its size.
 *
 * Traps that shaped it, each met by running it:
 * - The loader hook must be registered first and the SDK imported dynamically after it; `http` must not be in the
 *   hook's list, or client spans double.
 * - An empty list of span processors gives no trace ids at all; hence the one that does nothing.
 * - No signal handler: flushing starts when draining has ended, or the spans of the last requests are lost.
 */
import { registerHooks } from 'node:module';
import { SETTINGS } from '../config.ts';
import { CountedExporter, CountedProcessor, SPANS_WAITING_MAX, tracing } from './span-export.ts';

const INSTRUMENTATIONS = 'http,express,pino,undici,runtime-node';
/** Asked every few seconds by machines: a span each would be most of the traces and tell nothing. */
const UNTRACED_PATHS = new Set(['/livez', '/readyz', '/metrics']);

/** All of them: the server span is named after the route and says what is needed; a layer span measures only its
 * synchronous part, and eleven spans a request cost four times the CPU. */
const EXPRESS_LAYERS: readonly string[] = ['middleware', 'router', 'request_handler'];

const EXPORT_BATCH_SPANS = 1024;
const EXPORT_DELAY_MS = 1000;
const EXPORT_TIMEOUT_MS = 5000;
/** The exporter gives up before the processor does, so that every batch is answered and counted. */
const OTLP_TIMEOUT_MS = 4000;

/** Besides the readers: writer, sealer, books, probe, ranges of files, and the reader of a Parquet file. */
const WAREHOUSE_SESSIONS = 6;
/** Bus and state. */
const LMDB_WRITERS = 2;
/** What Node gives to files, host names and compression. */
const NODE_THREADS = 4;

// OpenTelemetry is configured by its own variables, and before config.ts can run.
const environment = process.env;

environment.UV_THREADPOOL_SIZE ??= String(threadsFor(environment.READERS));

tracing.preloaded = true;
if (environment.OTEL_SDK_DISABLED?.toLowerCase() !== 'true') await startTracing();

/**
 * A DuckDB statement holds a thread of the pool until it ends, and so does an LMDB commit, which each 202 waits for.
 * With Node's default of 4 a fourth statement made everything else wait for the first to end: a `stat` 3.2 s behind
 * queries of 1 s, against 0.2 s with 12 threads, on 2 cores.
 */
function threadsFor(given: string | undefined): number {
  const readers = Number(given === undefined || given === '' ? SETTINGS.READERS.default : given);
  // config.ts refuses what is no number, in its own words.
  if (!Number.isInteger(readers)) return NODE_THREADS;
  return readers + WAREHOUSE_SESSIONS + LMDB_WRITERS + NODE_THREADS;
}

async function startTracing(): Promise<void> {
  // Node's own registerHooks is what the library below builds on; without it instrumentation fails in silence.
  if (typeof registerHooks !== 'function')
    throw new Error(`Node ${process.version} lacks module.registerHooks: use Node 24.`);
  const { register } = await import('import-in-the-middle/register-hooks.mjs');
  register({ include: ['express', 'pino'] });
  setDefaults();
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { getNodeAutoInstrumentations } = await import('@opentelemetry/auto-instrumentations-node');
  const sdk = new NodeSDK({
    instrumentations: getNodeAutoInstrumentations({
      '@opentelemetry/instrumentation-http': {
        ignoreIncomingRequestHook: (request) => UNTRACED_PATHS.has(request.url?.split('?', 1)[0] ?? ''),
      },
      '@opentelemetry/instrumentation-express': { ignoreLayersType: EXPRESS_LAYERS as never[] },
      '@opentelemetry/instrumentation-pino': { disableLogSending: true },
    }),
    metricReaders: [],
    logRecordProcessors: [],
    spanProcessors: [await spanProcessor()],
  });
  sdk.start();
  tracing.enabled = true;
  tracing.shutdown = () => sdk.shutdown();
}

/** The environment's own values win. */
function setDefaults(): void {
  environment.OTEL_NODE_ENABLED_INSTRUMENTATIONS ??= INSTRUMENTATIONS;
  environment.OTEL_NODE_RESOURCE_DETECTORS ??= 'env';
  environment.OTEL_SERVICE_NAME ??= 'vigia';
  // Sampling is the collector's: it sees whole traces, and not sampling here saves little.
  environment.OTEL_TRACES_SAMPLER ??= 'always_on';
  // No baggage: it would carry whatever a caller sends to whatever is called.
  environment.OTEL_PROPAGATORS ??= 'tracecontext';
}

async function spanProcessor() {
  const { BatchSpanProcessor, NoopSpanProcessor } = await import('@opentelemetry/sdk-trace');
  const endpoint = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? environment.OTEL_EXPORTER_OTLP_ENDPOINT ?? '';
  if (endpoint === '') return new NoopSpanProcessor();
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
  const exporter = new CountedExporter(new OTLPTraceExporter({ timeoutMillis: OTLP_TIMEOUT_MS }), tracing.spans);
  const batches = new BatchSpanProcessor({
    exporter,
    // Never reached: the counted processor in front keeps the limit.
    maxQueueSize: SPANS_WAITING_MAX + EXPORT_BATCH_SPANS,
    maxExportBatchSize: EXPORT_BATCH_SPANS,
    scheduledDelayMillis: EXPORT_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const processor = new CountedProcessor({
    processor: batches,
    exporter,
    counts: tracing.spans,
    waitingMax: SPANS_WAITING_MAX,
  });
  tracing.exporting = true;
  tracing.cutOff = () => processor.cutOff();
  return processor;
}
