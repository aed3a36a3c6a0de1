/**
 * Spans of our own, around what no instrumentation sees: publishing, processing and calls to embedded parts. Near
 * free when tracing is off. A span's status says that it failed and its `error.type` why (a code or a class), never
 * the error's message.
 *
 * Context crosses the bus in the message's attributes. One delivery of one young message continues its producer's
 * trace; a batch, a redelivery or an old message starts a trace of its own with links, because as a child it would
 * make one trace of a storm, or join a trace that the sampler has long decided on.
 */
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { Harmless } from './harmless.ts';
import { codeOf } from './log.ts';
import { tracing } from './span-export.ts';

/** Above it a delivery is linked, not joined: the sampler decides on a trace after some 10 s, and views stretch. */
const JOIN_AGE_SECONDS_MAX = 300;
/** The SDK keeps 128 links a span. */
const LINKS_MAX = 128;
const NO_ATTRIBUTES: Readonly<Record<string, string>> = Object.freeze({});

const tracer = trace.getTracer('vigia');

export interface MessageTracer {
  /** `messaging.system`. */
  readonly system: string;
  readonly harmless: Harmless;
}

export interface TracedDelivery {
  readonly messageId: string;
  readonly dataset: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly attempt: number;
  readonly ageSeconds: number;
}

export function currentSpan(): SpanContext | undefined {
  if (!tracing.enabled) return undefined;
  const found = trace.getSpanContext(context.active());
  return found !== undefined && isSpanContextValid(found) ? found : undefined;
}

/** Tail sampling keeps this trace. */
export function keepSpan(): void {
  trace.getActiveSpan()?.setAttribute('sampling.keep', true);
}

/** On the server span; its `error.type` is the status, as the convention for servers says. */
export function nameFailure(error: unknown): void {
  trace.getActiveSpan()?.setAttribute('vigia.error', nameOf(error));
}

export interface PublishedBatch {
  readonly dataset: string;
  readonly messages: number;
  readonly rows: number;
}

/** Runs inside a PRODUCER span; `run` is given the attributes that carry it to the subscriber. */
export function publishSpan<T>(
  { system, harmless }: MessageTracer,
  batch: PublishedBatch,
  run: (attributes: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  if (!tracing.enabled) return run(NO_ATTRIBUTES);
  const attributes: Attributes = {
    'messaging.system': system,
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'publish',
    'messaging.destination.name': DESTINATION,
    'messaging.batch.message_count': batch.messages,
    'vigia.dataset': batch.dataset,
    'vigia.rows': batch.rows,
  };
  const options = { kind: SpanKind.PRODUCER, attributes };
  const plan = () => ({ name: `publish ${DESTINATION}`, options, parent: context.active() });
  return spanned(harmless, plan, () => {
    const carrier: Record<string, string> = {};
    harmless.attempt(() => propagation.inject(context.active(), carrier));
    return run(carrier);
  });
}

/** The one topic; the dataset is an attribute of the message. */
const DESTINATION = 'records';

/** Runs inside a CONSUMER span, active in the handler. */
export function processSpan<T>(
  { system, harmless }: MessageTracer,
  deliveries: readonly TracedDelivery[],
  run: () => Promise<T>,
): Promise<T> {
  if (!tracing.enabled) return run();
  return spanned(harmless, () => processingOf(system, deliveries), run);
}

function processingOf(system: string, deliveries: readonly TracedDelivery[]): Spanned {
  const [first] = deliveries;
  const single = first !== undefined && deliveries.length === 1 ? first : undefined;
  const joined = single !== undefined && single.attempt === 1 && single.ageSeconds < JOIN_AGE_SECONDS_MAX;
  const attributes: Attributes = {
    'messaging.system': system,
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.destination.name': DESTINATION,
    'messaging.batch.message_count': deliveries.length,
    ...(single === undefined
      ? {}
      : {
          'messaging.message.id': single.messageId,
          'vigia.dataset': single.dataset,
          'vigia.delivery_attempt': single.attempt,
        }),
  };
  const options: SpanOptions = { kind: SpanKind.CONSUMER, attributes };
  const parent = joined ? propagation.extract(ROOT_CONTEXT, single.attributes) : ROOT_CONTEXT;
  if (!joined) options.links = linksTo(deliveries);
  return { name: `process ${DESTINATION}`, options, parent };
}

function linksTo(deliveries: readonly TracedDelivery[]): Link[] {
  const links = new Map<string, Link>();
  for (const { attributes, attempt, messageId } of deliveries) {
    const linked = trace.getSpanContext(propagation.extract(ROOT_CONTEXT, attributes));
    if (linked === undefined || !isSpanContextValid(linked)) continue;
    links.set(linked.spanId, {
      context: linked,
      attributes: { 'messaging.message.id': messageId, 'vigia.delivery_attempt': attempt },
    });
    if (links.size === LINKS_MAX) break;
  }
  return [...links.values()];
}

/** INTERNAL: the embedded parts live in this process; there is no other side that could continue the trace. */
export function dependencySpan<T>(
  harmless: Harmless,
  call: { readonly dependency: string; readonly operation: string },
  run: () => Promise<T>,
): Promise<T> {
  const attributes: Attributes = { 'vigia.dependency': call.dependency, 'vigia.operation': call.operation };
  const options = { kind: SpanKind.INTERNAL, attributes };
  const plan = () => ({ name: `${call.dependency} ${call.operation}`, options, parent: context.active() });
  return spanned(harmless, plan, run);
}

interface Spanned {
  readonly name: string;
  readonly options: SpanOptions;
  readonly parent: Context;
}

/** `run` runs once, with a span or without. */
function spanned<T>(harmless: Harmless, plan: () => Spanned, run: () => Promise<T>): Promise<T> {
  const begun = harmless.attempt(() => {
    const { name, options, parent } = plan();
    const span = tracer.startSpan(name, options, parent);
    return { span, active: trace.setSpan(parent, span) };
  });
  if (begun === undefined) return run();
  const { span, active } = begun;
  return context.with(active, async () => {
    try {
      return await run();
    } catch (error) {
      harmless.attempt(() => fail(span, error));
      throw error;
    } finally {
      harmless.attempt(() => span.end());
    }
  });
}

function fail(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute('error.type', nameOf(error));
}

/** Code, else class: what the conventions want in `error.type`, few values and no text. */
function nameOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.constructor.name : '_OTHER');
}
