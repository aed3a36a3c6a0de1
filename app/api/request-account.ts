/**
 * What is known of one request. Opened before anything judges it and closed once, when its answer has ended: every
 * request is counted and has its line, whoever answered it (a route, the guard, load shedding, nobody).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { randomId } from './ingest.ts';

export interface RequestAccount {
  /** Also the trace id of a problem document while tracing is off, so that answer and line can be matched. */
  readonly requestId: string;
  /** The template of the route that took it. */
  route?: string;
  keyId?: string;
  /** The code of the problem document it was answered with. */
  code?: string;
  /** Of an answer that we broke off ourselves, when it had begun before something failed. */
  brokenOffAs?: number;
  /** A load test's request: its caller may say so. */
  load: boolean;
  /** Tail sampling keeps its trace. */
  keep: boolean;
}

/** Nginx's number for "the client went away": told apart from what the service answered. */
const CLIENT_CLOSED = 499;

const accounts = new WeakMap<ServerResponse, RequestAccount>();

export function openAccount(
  request: IncomingMessage,
  response: ServerResponse,
  telemetry: Pick<Telemetry, 'requestStarted' | 'requestFinished'>,
): RequestAccount {
  const startedAt = performance.now();
  const account: RequestAccount = { requestId: randomId(), load: false, keep: false };
  accounts.set(response, account);
  telemetry.requestStarted();
  response.once('close', () => {
    telemetry.requestFinished({
      ...account,
      method: request.method ?? '',
      status: response.writableFinished ? response.statusCode : (account.brokenOffAs ?? CLIENT_CLOSED),
      durationSeconds: (performance.now() - startedAt) / 1000,
    });
  });
  return account;
}

export function accountOf(response: ServerResponse): RequestAccount {
  const account = accounts.get(response);
  if (account === undefined) throw new Error('this answer has no account');
  return account;
}
