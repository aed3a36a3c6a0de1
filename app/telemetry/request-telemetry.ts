/** What is told of requests: one duration, one access line, and why some were refused, shed or answered from memory. */
import { randomUUID } from 'node:crypto';
import {
  type BREAKER_STATES,
  type CACHE_RESULTS,
  type IDEMPOTENCY_RESULTS,
  PROBE_ROUTES,
  type REFUSAL_REASONS,
  type SHED_REASONS,
  SLOW_SECONDS,
  UNMATCHED_ROUTE,
  type WEBSOCKET_ENDS,
  ZERO_STATUSES,
} from './catalogue.ts';
import type { Log } from './log.ts';
import type { Measures } from './metrics.ts';
import { tracing } from './span-export.ts';
import { currentSpan, nameFailure, keepSpan } from './tracing.ts';

export interface FinishedRequest {
  readonly method: string;
  /** The template that took it, never the URL; absent when none did. */
  readonly route?: string;
  readonly status: number;
  readonly durationSeconds: number;
  /** A load test's request. */
  readonly load: boolean;
  readonly keep?: boolean;
  readonly keyId?: string;
  readonly code?: string;
  readonly requestId: string;
  /** What `requestTraceId` gave, so that the line can be found when tracing is off. */
  readonly traceId?: string;
}

export interface DeclaredRoute {
  readonly method: string;
  readonly path: string;
  /** By status. */
  readonly answers: Readonly<Record<number, unknown>>;
}

export interface RequestTelemetry {
  /** Closes the set of routes and makes what objectives read exist at zero. Before the first scrape. */
  declareRoutes(routes: readonly DeclaredRoute[]): void;
  requestStarted(): void;
  requestFinished(request: FinishedRequest): void;
  /** Before the answer, while the span is open: an answer of 500 and above. */
  requestFailed(failure: { readonly code: string; readonly error: unknown; readonly traceId?: string }): void;
  /** Marks the active trace for tail sampling. */
  keepTrace(): void;
  currentTraceId(): string | undefined;
  /** The active trace's id; without one `otherwise`, else a random one that nothing else carries. */
  requestTraceId(otherwise?: string): string;
  /** What no answer's code tells: refused before anything was read, or by a limit that shares its code with another. */
  shed(what: { readonly reason: (typeof SHED_REASONS)[number] }): void;
  /** HTTP itself could not be read: no request, no route, no span. */
  requestUnreadable(what: { readonly code: string }): void;
  cacheAnswered(what: { readonly result: (typeof CACHE_RESULTS)[number] }): void;
  cacheHolds(what: { readonly bytes: number }): void;
  idempotencyClaimed(what: { readonly result: (typeof IDEMPOTENCY_RESULTS)[number] }): void;
  bodyBytesHeld(what: { readonly bytes: number }): void;
  /** A change of `shedding` is a line. */
  queueTime(what: { readonly seconds: number; readonly shedding: boolean }): void;
  reads(what: { readonly running: number; readonly waiting: number }): void;
  followersChanged(what: { readonly count: number }): void;
  followersTold(what: { readonly messages: number }): void;
  followerLeft(what: { readonly reason: (typeof WEBSOCKET_ENDS)[number]; readonly keyId?: string }): void;
}

export type BreakerState = (typeof BREAKER_STATES)[number];

interface Parts {
  readonly metrics: Measures;
  readonly log: Log;
  /** The closed set that `declareRoutes` fills. */
  readonly routes: Set<string>;
}

/** Told at debug: that readiness changed has a line of its own. */
const PROBES: ReadonlySet<string> = new Set(PROBE_ROUTES);
const REFUSED_STATUS = 400;
const FAILED_STATUS = 500;

export function requestTelemetry(parts: Parts): RequestTelemetry {
  const { metrics, log } = parts;
  let active = 0;
  const change = (by: number): void => {
    active = Math.max(0, active + by);
    metrics.set('httpServerActiveRequests', {}, active);
  };
  return {
    declareRoutes: (routes) => declareRoutes(parts, routes),
    requestStarted: () => change(1),
    requestFinished: (request) => {
      if (active > 0) change(-1);
      observeRequest(metrics, request);
      if (request.code !== undefined) countCode(metrics, request.code);
      log.write(accessEvent(request), accessLine(request));
    },
    requestFailed: ({ code, error, traceId }) => {
      nameFailure(error);
      log.write('requestFailed', { code, error, traceId: ownTraceId(traceId) });
    },
    keepTrace: keepSpan,
    currentTraceId,
    requestTraceId: (otherwise) => currentTraceId() ?? otherwise ?? randomUUID().replaceAll('-', ''),
    ...admissionTelemetry(parts),
    ...followerTelemetry(parts),
  };
}

const SHED_BY_CODE: Readonly<Record<string, (typeof SHED_REASONS)[number]>> = {
  BODY_BYTES_EXHAUSTED: 'body_bytes',
  DISK_FULL: 'disk_full',
  STOPPING: 'stopping',
};
const REFUSED_BY_CODE: Readonly<Record<string, (typeof REFUSAL_REASONS)[number]>> = {
  KEY_MISSING: 'key_missing',
  KEY_INVALID: 'key_invalid',
  SCOPE_MISSING: 'scope',
  DATASET_FORBIDDEN: 'dataset',
  HOST_NOT_ALLOWED: 'host',
  ORIGIN_NOT_ALLOWED: 'origin',
  ADDRESS_NOT_ALLOWED: 'address',
  TICKET_INVALID: 'ticket',
};

function countCode(metrics: Measures, code: string): void {
  const shed = SHED_BY_CODE[code];
  if (shed !== undefined) metrics.add('shedRequests', { reason: shed });
  const refused = REFUSED_BY_CODE[code];
  if (refused !== undefined) metrics.add('refusedRequests', { reason: refused });
}

function admissionTelemetry({ metrics, log }: Parts) {
  let wasShedding = false;
  return {
    shed: ({ reason }) => metrics.add('shedRequests', { reason }),
    requestUnreadable: ({ code }) => {
      metrics.add('unreadableRequests', { code });
      log.write('requestBroken', { code });
    },
    cacheAnswered: ({ result }) => metrics.add('cacheRequests', { result }),
    cacheHolds: ({ bytes }) => metrics.set('cacheBytes', {}, bytes),
    idempotencyClaimed: ({ result }) => metrics.add('idempotency', { result }),
    bodyBytesHeld: ({ bytes }) => metrics.set('bodyBytesInFlight', {}, bytes),
    queueTime: ({ seconds, shedding }) => {
      metrics.set('queueTime', {}, seconds);
      if (shedding === wasShedding) return;
      wasShedding = shedding;
      log.write('sheddingChanged', { reason: 'queue_time', shedding, queueTimeMs: Math.round(seconds * 1000) });
    },
    reads: ({ running, waiting }) => {
      metrics.set('readsRunning', {}, running);
      metrics.set('readsWaiting', {}, waiting);
    },
  } satisfies Partial<RequestTelemetry>;
}

function followerTelemetry({ metrics, log }: Parts) {
  return {
    followersChanged: ({ count }) => metrics.set('websocketConnections', {}, count),
    followersTold: ({ messages }) => metrics.add('websocketMessages', {}, messages),
    followerLeft: ({ reason, keyId }) => {
      metrics.add('websocketEnds', { reason });
      if (reason !== 'client' && reason !== 'stopping') log.write('followerDropped', { reason, keyId });
    },
  } satisfies Partial<RequestTelemetry>;
}

/** What no route took can still be answered 503 (shed) or 500. */
const UNMATCHED: readonly DeclaredRoute[] = ['GET', 'POST'].map((method) => ({
  method,
  path: UNMATCHED_ROUTE,
  answers: {},
}));

function declareRoutes({ metrics, routes: known }: Parts, routes: readonly DeclaredRoute[]): void {
  for (const { path } of routes) known.add(path);
  for (const { method, path, answers } of [...routes, ...UNMATCHED]) {
    const successes = Object.keys(answers).filter((status) => Number(status) < REFUSED_STATUS);
    for (const status of new Set([...successes, ...ZERO_STATUSES])) {
      metrics.zero('httpServerRequestDuration', {
        http_request_method: method.toUpperCase(),
        http_route: path,
        http_response_status_code: status,
        vigia_load: 'no',
      });
    }
  }
}

function observeRequest(
  metrics: Measures,
  { method, route, status, durationSeconds, load, keep }: FinishedRequest,
): void {
  const labels = {
    http_request_method: method,
    http_route: route ?? UNMATCHED_ROUTE,
    http_response_status_code: String(status),
    vigia_load: load ? 'yes' : 'no',
  };
  const kept = keep === true || status >= FAILED_STATUS || durationSeconds > SLOW_SECONDS;
  const span = kept && tracing.exporting ? currentSpan() : undefined;
  if (span === undefined || (span.traceFlags & 1) === 0)
    metrics.observe('httpServerRequestDuration', labels, durationSeconds);
  else
    metrics.observeWithExemplar('httpServerRequestDuration', labels, durationSeconds, {
      trace_id: span.traceId,
      span_id: span.spanId,
    });
}

function accessEvent({ route, status }: FinishedRequest): 'requestAnswered' | 'requestErred' | 'requestProbed' {
  if (route !== undefined && PROBES.has(route)) return 'requestProbed';
  return status >= FAILED_STATUS ? 'requestErred' : 'requestAnswered';
}

function accessLine({
  method,
  route,
  status,
  durationSeconds,
  load,
  keyId,
  code,
  requestId,
  traceId,
}: FinishedRequest) {
  return {
    method,
    route: route ?? UNMATCHED_ROUTE,
    status,
    // Microseconds are enough, and a float's 17 digits would be half the line.
    durationMs: Math.round(durationSeconds * 1e6) / 1e3,
    code,
    keyId,
    load: load ? true : undefined,
    requestId,
    traceId: ownTraceId(traceId),
  };
}

/** While tracing is on the active span writes its id on the line, and a second one would contradict it. */
function ownTraceId(traceId: string | undefined): string | undefined {
  return tracing.enabled ? undefined : traceId;
}

function currentTraceId(): string | undefined {
  return currentSpan()?.traceId;
}
