/**
 * The HTTP side of the service: every route on one Express app, one guard in front of all, one place where errors
 * become problem documents and where a request's telemetry is closed.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import type { DatasetRoute } from '../datasets/route.ts';
import type { Equation } from '../equation.ts';
import { AppError } from '../errors.ts';
import type { Validator } from '../record/validate.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';
import { Admission } from './admission.ts';
import { Gate } from './access.ts';
import { ByteBudget } from './byte-budget.ts';
import { custodyRoutes } from './custody-routes.ts';
import { datasetRoutes } from './dataset-routes.ts';
import { docsRoutes, mountDocsAssets } from './docs-routes.ts';
import { type IngestParts, randomId } from './ingest.ts';
import { ingestRoutes } from './ingest-routes.ts';
import { ownRoutes } from './own-routes.ts';
import { asAppError, sendProblem } from './problem.ts';
import { probeRoutes } from './probe-routes.ts';
import { ReadAnswers } from './read-answer.ts';
import { readRoutes } from './read-routes.ts';
import { receiptRoutes } from './receipt-routes.ts';
import type { Exchange, Route } from './route.ts';
import { StatusFeed } from './status-feed.ts';
import { statusRoutes } from './status-routes.ts';
import { answerUnreadable } from './unreadable-request.ts';

export interface ApiParts {
  readonly config: Config;
  readonly version: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly datasetRoutes: readonly DatasetRoute[];
  readonly validators: ReadonlyMap<string, Validator>;
  readonly signingKey: Buffer;
  readonly equation: () => Promise<Equation>;
  readonly faultPoint?: (name: string) => void;
  readonly now: () => number;
}

export interface Api {
  /** For code that accepts records without HTTP (samples): the same parts the routes use. */
  readonly ingest: IngestParts;
  readonly feed: StatusFeed;
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Ends readiness at once; connections go on. */
  stopAccepting(): void;
  /** Refuses new requests, waits for those under way, at most `timeoutMs`; then cuts the rest. */
  close(options: { readonly timeoutMs: number }): Promise<void>;
}

/** The share shed is told in this, so that a caller's retry meets another second. */
const SHED_RETRY_SECONDS = 1;
const WAREHOUSE_CHECK_MS = 2_000;
/** How often Node looks for requests that take too long. */
const TIMEOUT_CHECK_MS = 1_000;

export function createApi(parts: ApiParts): Api {
  const { config, telemetry, now } = parts;
  const budget = new ByteBudget(config.BODY_BYTES_IN_FLIGHT_MAX);
  const ingest: IngestParts = { ...parts, budget };
  const gate = new Gate(parts);
  const feed = new StatusFeed({ ...parts, gate, datasets: [...parts.contracts.keys()] });
  const admission = new Admission({ targetMs: config.QUEUE_TIME_TARGET_MS, windowMs: config.QUEUE_TIME_WINDOW_MS });
  let accepting = true;
  const routes = allRoutes(parts, ingest, () => accepting);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('trust proxy', config.TRUST_PROXY.length === 0 ? false : [...config.TRUST_PROXY]);
  for (const route of routes) mount(app, route, { gate, telemetry, now });
  // What no route took is judged all the same: a page of another host learns nothing, not even which paths there are.
  app.use((request, _response, next) => {
    gate.checkSource(request);
    next();
  });
  mountDocsAssets(app);
  mountMethods(app, routes);
  app.use((request: Request) => {
    throw new AppError({
      code: 'ROUTE_UNKNOWN',
      publicMessage: `ROUTE_UNKNOWN: there is no ${request.method} ${request.path.slice(0, 200)}. /docs lists every route.`,
    });
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) =>
    answerProblem({ error, request, response, telemetry }),
  );
  const enterHere = (request: IncomingMessage, response: ServerResponse): void =>
    enter({ request, response, app, admission, telemetry, accepting });
  const server = createServer(
    {
      headersTimeout: config.HEADERS_TIMEOUT_MS,
      // Node counts it from the first byte, and refuses to start when it is below the headers' share.
      requestTimeout: config.HEADERS_TIMEOUT_MS + config.BODY_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, config.HEADERS_TIMEOUT_MS),
      // The gate answers a missing Host with a problem document.
      requireHostHeader: false,
      // Clients that offer h2c (Java's does by default) are answered over HTTP/1.1.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === 'websocket',
    },
    enterHere,
  );
  // An expectation that is not understood may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', enterHere);
  answerUnreadable(server, { traceId: () => telemetry.requestTraceId() });
  server.maxConnections = config.CONNECTIONS_MAX;
  feed.attach(server);
  return {
    ingest,
    feed,
    listen: () => listen(server, config),
    stopAccepting: () => {
      accepting = false;
    },
    close: async ({ timeoutMs }) => {
      accepting = false;
      admission.stop();
      feed.close();
      await closeServer(server, timeoutMs);
    },
  };
}

function allRoutes(parts: ApiParts, ingest: IngestParts, accepting: () => boolean): readonly Route[] {
  const { bus, state, warehouse } = parts;
  const answers = new ReadAnswers(parts);
  const checks = {
    bus: () => bus.check(),
    state: () => state.check(),
    warehouse: () => warehouse.check(WAREHOUSE_CHECK_MS),
  };
  const routes = [
    ...ingestRoutes({ ...parts, ...ingest }),
    ...receiptRoutes(parts),
    ...datasetRoutes(parts),
    ...readRoutes({ ...parts, answers }),
    ...ownRoutes({ ...parts, answers }),
    ...custodyRoutes(parts),
    ...statusRoutes(parts),
    ...probeRoutes({ checks, accepting }),
  ];
  return [...routes, ...docsRoutes({ version: parts.version, routes })];
}

interface Entrance {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly app: Express;
  readonly admission: Admission;
  readonly telemetry: Telemetry;
  readonly accepting: boolean;
}

/** Before Express: load is shed where it costs least. Probes are always let in. */
function enter({ request, response, app, admission, telemetry, accepting }: Entrance): void {
  const probe = /^\/(livez|readyz)(\?|$)/.test(request.url ?? '');
  const refusal = probe ? undefined : !accepting ? stopping() : admission.admits() ? undefined : overloaded();
  if (refusal === undefined) {
    app(request, response);
    return;
  }
  if (refusal.code === 'OVERLOADED') telemetry.shed({ reason: 'queue_time' });
  else response.setHeader('Connection', 'close');
  sendProblem(response, refusal, telemetry.requestTraceId());
  request.resume();
}

function overloaded(): AppError {
  return new AppError({
    code: 'OVERLOADED',
    publicMessage:
      'OVERLOADED: requests wait too long here, so some are refused at once (QUEUE_TIME_TARGET_MS). Try again with a growing pause.',
    retryAfterSeconds: SHED_RETRY_SECONDS,
  });
}

function stopping(): AppError {
  return new AppError({
    code: 'STOPPING',
    publicMessage: 'STOPPING: the service is stopping and takes no more requests. Try again in a moment.',
  });
}

interface MountOptions {
  readonly gate: Gate;
  readonly telemetry: Telemetry;
  readonly now: () => number;
}

function mount(app: Express, route: Route, { gate, telemetry, now }: MountOptions): void {
  app[route.method](route.path, async (request: Request, response: Response) => {
    const startedAt = performance.now();
    const requestId = randomId();
    let keyId = '';
    let marks = NO_MARKS;
    response.once('close', () => {
      telemetry.requestFinished({
        method: request.method,
        route: route.path,
        status: response.writableFinished ? response.statusCode : CLIENT_CLOSED,
        durationSeconds: (performance.now() - startedAt) / 1000,
        load: marks.load,
        keep: marks.keep,
        keyId,
        requestId,
        ...(typeof response.locals.code === 'string' ? { code: response.locals.code } : {}),
      });
    });
    const caller = route.exempt === true ? NOBODY_ASKED : await gate.admit(request, route.access);
    keyId = caller.keyId;
    marks = marksOf(request, caller.scopes);
    if (marks.keep) telemetry.keepTrace();
    response.setHeader('Vigia-Request-Id', requestId);
    await route.handle(new HttpExchange({ request, response, requestId, caller, startedAtMs: now() }));
  });
}

/** Nginx's number for "the client went away": told apart from what the service answered. */
const CLIENT_CLOSED = 499;
const NO_MARKS = { load: false, keep: false };
const NOBODY_ASKED = { keyId: '', scopes: new Set<never>() } as const;

function marksOf(
  request: Request,
  scopes: Exchange['caller']['scopes'],
): { readonly load: boolean; readonly keep: boolean } {
  const { 'vigia-load': load, 'vigia-trace': trace } = request.headers;
  if (load === undefined && trace === undefined) return NO_MARKS;
  return { load: load !== undefined && scopes.has('load'), keep: trace === 'keep' && scopes.has('admin') };
}

/** The query string is taken apart when somebody asks for it: most requests have none, or one that was seen before. */
class HttpExchange implements Exchange {
  readonly request: Request;
  readonly response: Response;
  readonly requestId: string;
  readonly caller: Exchange['caller'];
  readonly startedAtMs: number;
  #query: URLSearchParams | undefined;

  constructor({ request, response, requestId, caller, startedAtMs }: Omit<Exchange, 'query'>) {
    this.request = request;
    this.response = response;
    this.requestId = requestId;
    this.caller = caller;
    this.startedAtMs = startedAtMs;
  }

  get query(): URLSearchParams {
    this.#query ??= queryOf(this.request);
    return this.#query;
  }
}

function queryOf(request: Request): URLSearchParams {
  const at = request.url.indexOf('?');
  return new URLSearchParams(at < 0 ? '' : request.url.slice(at + 1));
}

/** A known path with another method is 405 with Allow, not 404. */
function mountMethods(app: Express, routes: readonly Route[]): void {
  for (const [path, those] of Map.groupBy(routes, (route) => route.path)) {
    const allowed = [
      ...new Set(those.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]))),
    ];
    app.all(path, (request: Request, response: Response) => {
      response.setHeader('Allow', allowed.join(', '));
      throw new AppError({
        code: 'METHOD_NOT_ALLOWED',
        publicMessage: `METHOD_NOT_ALLOWED: ${path} takes ${allowed.join(', ')}, not ${request.method}.`,
      });
    });
  }
}

interface Failure {
  readonly error: unknown;
  readonly request: Request;
  readonly response: Response;
  readonly telemetry: Telemetry;
}

function answerProblem({ error, request, response, telemetry }: Failure): void {
  const failure = asAppError(fromExpress(error));
  response.locals.code = failure.code;
  if (failure.status >= 500) telemetry.requestFailed({ code: failure.code, error: failure });
  sendProblem(response, failure, telemetry.requestTraceId());
  // The rest of a refused body is read and thrown away, so that the caller gets to read the answer.
  if (!request.complete) request.resume();
}

/** Express throws its own errors for a path that cannot be decoded. */
function fromExpress(error: unknown): unknown {
  if (error instanceof URIError) {
    return new AppError({
      code: 'ROUTE_UNKNOWN',
      publicMessage: 'ROUTE_UNKNOWN: the path cannot be decoded. Percent-encode it as UTF-8.',
      cause: error,
    });
  }
  return error;
}

async function listen(server: Server, config: Config): Promise<{ readonly host: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.PORT, config.HOST, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  return { host: address.address, port: address.port };
}

async function closeServer(server: Server, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
