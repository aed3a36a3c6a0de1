/**
 * Where every span leaves the process: counted, and stripped of anything not on a list.
 *
 * Counting: ended = exported + dropped + waiting at any moment. The SDK's batch processor drops in silence, so this
 * one stands in front of it, keeps the queue's limit itself and never lets the SDK's own limit be reached.
 * Stripping: instrumentations put the query string, addresses, the user agent and exception messages on spans; each
 * may hold what a caller sent. What is not named here does not leave.
 */
import { type Context, SpanKind } from '@opentelemetry/api';
import type { ReadableSpan, Span, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';

/** Spans waiting for export. 8192 × about 2 KiB = 16 MiB at worst. */
export const SPANS_WAITING_MAX = 8192;

interface SpanCounts {
  ended: number;
  exported: number;
  readonly dropped: { queue_full: number; export_failed: number; shutdown: number };
}

interface Tracing {
  /** The preloaded start ran, whether it switched tracing on or left it off. */
  preloaded: boolean;
  /** False when OTEL_SDK_DISABLED is true or nothing was preloaded: then the API answers with inert spans. */
  enabled: boolean;
  /** True when spans leave the process; without it an exemplar would point at nothing. */
  exporting: boolean;
  readonly spans: SpanCounts;
  /** Resolves when everything was exported, or rejects. Set by the preloaded start. */
  shutdown: (() => Promise<void>) | undefined;
  /** Ends the accounts; answers how many spans were lost by it. */
  cutOff: () => number;
}

/** One for each process, as the SDK's registration is; the preloaded start fills it. */
export const tracing: Tracing = {
  preloaded: false,
  enabled: false,
  exporting: false,
  spans: { ended: 0, exported: 0, dropped: { queue_full: 0, export_failed: 0, shutdown: 0 } },
  shutdown: undefined,
  cutOff: () => 0,
};

interface TracingEnd {
  /** Spans lost by ending here; counted among the dropped ones. */
  readonly lost: number;
  readonly error?: unknown;
}

/** Exports what waits, at most `timeoutMs` long. */
export async function shutdownTracing(timeoutMs: number): Promise<TracingEnd> {
  if (tracing.shutdown === undefined) return { lost: 0 };
  const { promise: deadline, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`Spans were not exported within ${timeoutMs} ms.`)), timeoutMs);
  const { shutdown } = tracing;
  tracing.shutdown = undefined;
  try {
    await Promise.race([shutdown(), deadline]);
    return { lost: tracing.cutOff() };
  } catch (error) {
    return { lost: tracing.cutOff(), error };
  } finally {
    clearTimeout(timer);
  }
}

const ATTRIBUTES = new Set([
  'http.request.method',
  'http.response.status_code',
  'http.route',
  'url.scheme',
  'network.protocol.version',
  'error.type',
  'exception.type',
  'sampling.keep',
]);
/** Of what we call. On what we answer they are the Host header, which may hold anything. */
const CALLED_ATTRIBUTES = new Set(['server.address', 'server.port']);
const ATTRIBUTE_GROUPS = ['messaging.', 'vigia.'] as const;

function allowed(name: string, { called }: { readonly called: boolean }): boolean {
  if (CALLED_ATTRIBUTES.has(name)) return called;
  return ATTRIBUTES.has(name) || ATTRIBUTE_GROUPS.some((group) => name.startsWith(group));
}

function strip(attributes: Record<string, unknown>, whose = { called: false }): void {
  for (const name in attributes) if (!allowed(name, whose)) delete attributes[name];
}

/** In place: the span has ended, nobody else reads it, and a copy would cost as much as the export. */
function redact(span: ReadableSpan): void {
  strip(span.attributes, { called: span.kind === SpanKind.CLIENT });
  // A status message and an exception's message are free text; the code and the class stay.
  delete (span.status as { message?: string }).message;
  for (const event of span.events) if (event.attributes !== undefined) strip(event.attributes);
  // A caller's tracestate header travels on, but does not leave here: it may hold anything.
  delete (span.spanContext() as { traceState?: unknown }).traceState;
  for (const link of span.links) {
    delete (link.context as { traceState?: unknown }).traceState;
    if (link.attributes !== undefined) strip(link.attributes);
  }
}

type ExportCallback = Parameters<SpanExporter['export']>[1];
const EXPORT_SUCCESS = 0; // ExportResultCode.SUCCESS of @opentelemetry/core, which is not a direct dependency

/** Wraps the exporter: redacts each span and counts what became of it. */
export class CountedExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  readonly #counts: SpanCounts;
  #cutOff = false;
  handedOver = 0;

  constructor(exporter: SpanExporter, counts: SpanCounts) {
    this.#exporter = exporter;
    this.#counts = counts;
  }

  export(spans: ReadableSpan[], done: ExportCallback): void {
    this.handedOver += spans.length;
    for (const span of spans) redact(span);
    this.#exporter.export(spans, (result) => {
      // After the cut-off these spans are counted as lost; an answer that comes late must not count them twice.
      if (!this.#cutOff) {
        if (result.code === EXPORT_SUCCESS) this.#counts.exported += spans.length;
        else this.#counts.dropped.export_failed += spans.length;
      }
      done(result);
    });
  }

  /** Everything without an answer is lost from here on. */
  cutOff(): void {
    this.#cutOff = true;
  }

  async forceFlush(): Promise<void> {
    await this.#exporter.forceFlush?.();
  }

  async shutdown(): Promise<void> {
    await this.#exporter.shutdown();
  }
}

interface CountedProcessorOptions {
  readonly processor: SpanProcessor;
  readonly exporter: CountedExporter;
  readonly counts: SpanCounts;
  readonly waitingMax: number;
}

export class CountedProcessor implements SpanProcessor {
  readonly #options: CountedProcessorOptions;
  #forwarded = 0;
  #stopped = false;

  constructor(options: CountedProcessorOptions) {
    this.#options = options;
  }

  onStart(span: Span, parent: Context): void {
    this.#options.processor.onStart(span, parent);
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & 1) === 0) return;
    const { counts, exporter, processor, waitingMax } = this.#options;
    counts.ended += 1;
    if (this.#stopped) counts.dropped.shutdown += 1;
    else if (this.#forwarded - exporter.handedOver >= waitingMax) counts.dropped.queue_full += 1;
    else {
      this.#forwarded += 1;
      processor.onEnd(span);
    }
  }

  async forceFlush(): Promise<void> {
    await this.#options.processor.forceFlush();
  }

  async shutdown(): Promise<void> {
    this.#stopped = true;
    await this.#options.processor.shutdown();
  }

  /** Ends the accounts: what was neither confirmed nor dropped so far is lost. Returns how much that was. */
  cutOff(): number {
    const { counts, exporter } = this.#options;
    this.#stopped = true;
    exporter.cutOff();
    const { queue_full, export_failed, shutdown } = counts.dropped;
    const lost = counts.ended - counts.exported - queue_full - export_failed - shutdown;
    counts.dropped.shutdown += lost;
    return lost;
  }
}
