/**
 * The routes on one Express app: the gate in front of each, a problem document for whatever fails, and an answer also
 * for paths and methods that no route has.
 */
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Gate } from './access.ts';
import { mountDocsAssets } from './docs-routes.ts';
import { asAppError, sendProblem } from './problem.ts';
import { accountOf } from './request-account.ts';
import type { Exchange, Route } from './route.ts';

interface AppParts {
  readonly config: Pick<Config, 'TRUST_PROXY'>;
  readonly gate: Gate;
  readonly telemetry: Telemetry;
  readonly now: () => number;
}

export function expressApp(parts: AppParts, routes: readonly Route[]): Express {
  const { config, gate, telemetry } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('trust proxy', config.TRUST_PROXY.length === 0 ? false : [...config.TRUST_PROXY]);
  for (const route of routes) mount(app, route, parts);
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
  return app;
}

function mount(app: Express, route: Route, { gate, telemetry, now }: AppParts): void {
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
