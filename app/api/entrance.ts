/** Where a request comes in, before Express: load is shed where it costs least, and a stopping service takes no more. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Express } from 'express';
import { AppError } from '../errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Gate } from './access.ts';
import type { Admission } from './admission.ts';
import { sendProblem } from './problem.ts';
import { openAccount, type RequestAccount } from './request-account.ts';
import type { RouteMatcher } from './route-matcher.ts';

/** The share shed is told in this, so that a caller's retry meets another second. */
const SHED_RETRY_SECONDS = 1;

interface Entrance {
  readonly app: Express;
  readonly admission: Admission;
  readonly gate: Gate;
  readonly telemetry: Telemetry;
  readonly routeOf: RouteMatcher;
  readonly accepting: () => boolean;
}

/** Probes are always let in. */
export function enter(entrance: Entrance, request: IncomingMessage, response: ServerResponse): void {
  const { app, admission, telemetry } = entrance;
  const account = openAccount(request, response, telemetry);
  const probe = /^\/(livez|readyz)(\?|$)/.test(request.url ?? '');
  if (probe || (entrance.accepting() && admission.admits())) app(request, response);
  else refuse(entrance, { request, response, account });
}

interface Refused {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly account: RequestAccount;
}

function refuse({ gate, telemetry, routeOf, accepting }: Entrance, { request, response, account }: Refused): void {
  const refusal = accepting() ? overloaded() : stopping();
  const route = routeOf(request);
  if (route !== undefined) account.route = route;
  account.code = refusal.code;
  if (refusal.code === 'OVERLOADED') telemetry.shed({ reason: 'queue_time' });
  else response.setHeader('Connection', 'close');
  const send = (load: boolean): void => {
    account.load = load;
    sendProblem(response, refusal, telemetry.requestTraceId(account.requestId));
    request.resume();
  };
  // Objectives leave a load test's requests out, the shed ones too; who may say so is asked for these alone.
  if (request.headers['vigia-load'] === undefined) send(false);
  else {
    void gate.admit(request, 'load').then(
      () => send(true),
      () => send(false),
    );
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
