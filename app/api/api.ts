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
import { ASSETS_ROUTE, docsRoutes, mountDocsAssets } from './docs-routes.ts';
import type { IngestParts } from './ingest.ts';
import { ingestRoutes } from './ingest-routes.ts';
import { ownRoutes } from './own-routes.ts';
import { asAppError, sendProblem } from './problem.ts';
import { probeRoutes } from './probe-routes.ts';
import { ReadAnswers } from './read-answer.ts';
import { Readiness } from './readiness.ts';
import { readRoutes } from './read-routes.ts';
import { receiptRoutes } from './receipt-routes.ts';
import { accountOf, openAccount } from './request-account.ts';
import type { Exchange, Route } from './route.ts';
import { type RouteMatcher, routeMatcher } from './route-matcher.ts';
import { FEED_ROUTE, StatusFeed } from './status-feed.ts';
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
  /** `/readyz` may say 200 from here on. */
  becomeReady(): Promise<void>;
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
  const readiness = new Readiness({ checks: checksOf(parts), telemetry });
  const answers = new ReadAnswers(parts);
  const routes = allRoutes(parts, { ingest, readiness, answers });
  telemetry.declareRoutes([...routes, ASSETS_ROUTE, FEED_ROUTE]);
  telemetry.onScrape(async function api() {
    telemetry.bodyBytesHeld({ bytes: budget.used });
    telemetry.cacheHolds({ bytes: answers.cachedBytes });
    telemetry.queueTime({ seconds: admission.queueTimeMs / 1000, shedding: admission.share > 0 });
    await readiness.look();
  });
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
  const routeOf = routeMatcher(routes);
  const enterHere = (request: IncomingMessage, response: ServerResponse): void =>
    enter({ request, response, app, admission, gate, telemetry, routeOf, accepting: !readiness.stopping });
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
  // An expectation that is not understood may be ignored (RFC 9110, 10.1.1). Emitted, so that it is traced like any other.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  answerUnreadable(server, {
    traceId: () => telemetry.requestTraceId(),
    onRefused: ({ code }) => telemetry.requestUnreadable({ code }),
  });
  server.maxConnections = config.CONNECTIONS_MAX;
  server.on('drop', () => telemetry.shed({ reason: 'connections' }));
  feed.attach(server);
  return {
    ingest,
    feed,
    listen: () => listen(server, config),
    becomeReady: () => readiness.begin(),
    close: async ({ timeoutMs }) => {
      readiness.stop();
      admission.stop();
      feed.close();
      await closeServer(server, timeoutMs);
    },
  };
}

function checksOf({ bus, state, warehouse }: ApiParts) {
  return {
    bus: () => bus.check(),
    state: () => state.check(),
    warehouse: () => warehouse.check(WAREHOUSE_CHECK_MS),
  };
}

interface RouteNeeds {
  readonly ingest: IngestParts;
  readonly readiness: Readiness;
  readonly answers: ReadAnswers;
}

function allRoutes(parts: ApiParts, { ingest, readiness, answers }: RouteNeeds): readonly Route[] {
  const routes = [
    ...ingestRoutes({ ...parts, ...ingest }),
    ...receiptRoutes(parts),
    ...datasetRoutes(parts),
    ...readRoutes({ ...parts, answers }),
    ...ownRoutes({ ...parts, answers }),
    ...custodyRoutes({ ...parts, budget: ingest.budget }),
    ...statusRoutes(parts),
    ...probeRoutes(readiness),
  ];
  return [...routes, ...docsRoutes({ version: parts.version, routes })];
}

interface Entrance {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly app: Express;
  readonly admission: Admission;
  readonly gate: Gate;
  readonly telemetry: Telemetry;
  readonly routeOf: RouteMatcher;
  readonly accepting: boolean;
}

/** Before Express: load is shed where it costs least. Probes are always let in. */
function enter({ request, response, app, admission, gate, telemetry, routeOf, accepting }: Entrance): void {
  const account = openAccount(request, response, telemetry);
  const probe = /^\/(livez|readyz)(\?|$)/.test(request.url ?? '');
  const refusal = probe ? undefined : !accepting ? stopping() : admission.admits() ? undefined : overloaded();
  if (refusal === undefined) {
    app(request, response);
    return;
  }
  const route = routeOf(request);
  if (route !== undefined) account.route = route;
  account.code = refusal.code;
  if (refusal.code === 'OVERLOADED') telemetry.shed({ reason: 'queue_time' });
  else response.setHeader('Connection', 'close');
  const send = (): void => {
    sendProblem(response, refusal, telemetry.requestTraceId(account.requestId));
    request.resume();
  };
  // Objectives leave a load test's requests out, the shed ones too; who may say so is asked for these alone.
  if (request.headers['vigia-load'] === undefined) send();
  else {
    void gate
      .admit(request, 'load')
      .then(
        () => true,
        () => false,
      )
      .then((load) => {
        account.load = load;
        send();
      });
  }
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
    const account = accountOf(response);
    const { requestId } = account;
    account.route = route.path;
    const caller = route.exempt === true ? NOBODY_ASKED : await gate.admit(request, route.access);
    account.keyId = caller.keyId;
    Object.assign(account, marksOf(request, caller.scopes));
    if (account.keep) telemetry.keepTrace();
    response.setHeader('Vigia-Request-Id', requestId);
    await route.handle(new HttpExchange({ request, response, requestId, caller, startedAtMs: now() }));
  });
}

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
      accountOf(response).route = path;
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
  const account = accountOf(response);
  const traceId = telemetry.requestTraceId(account.requestId);
  account.code = failure.code;
  if (response.headersSent) account.brokenOffAs = failure.status;
  // Admission control's own OVERLOADED never comes here: the read queue is full.
  if (failure.code === 'OVERLOADED') telemetry.shed({ reason: 'read_queue' });
  if (failure.status >= 500) telemetry.requestFailed({ code: failure.code, error: failure, traceId });
  sendProblem(response, failure, traceId);
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
