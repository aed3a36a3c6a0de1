/**
 * Writes every 4xx and 5xx as an RFC 9457 problem document: a stable code, what happened and what to do, the trace
 * id. A caller never sees an internal message: what is not an AppError is INTERNAL, logged and counted.
 */
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError, ERRORS, type ErrorDetail } from '../errors.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly traceId: string;
  readonly errors: readonly ErrorDetail[];
}

export function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError({
    code: 'INTERNAL',
    publicMessage: 'INTERNAL: something went wrong on our side; it is logged under this trace id. Try again later.',
    // Never its message, which may quote what a caller sent: the log has class, code and frames from the cause.
    detail: error instanceof Error ? 'not foreseen' : 'a value that is not an Error was thrown',
    cause: error,
  });
}

export function problemOf(error: AppError, traceId: string): Problem {
  return {
    type: `/docs/errors#${error.code}`,
    title: ERRORS[error.code].title,
    status: error.status,
    detail: error.publicMessage,
    code: error.code,
    traceId,
    errors: error.errors,
  };
}

/** The last words on a connection that has no response object: an upgrade refused, a request that could not be read. */
export function sendProblemAndClose(socket: Duplex, error: AppError, traceId: string): void {
  const body = JSON.stringify(problemOf(error, traceId));
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Refused'}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    ...Object.entries(headersOf(error)).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

/** Sends the problem, or destroys the connection when an answer had already begun. */
export function sendProblem(response: ServerResponse, error: AppError, traceId: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(problemOf(error, traceId));
  response.statusCode = error.status;
  response.setHeader('Content-Type', 'application/problem+json');
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  for (const [name, value] of Object.entries(headersOf(error))) response.setHeader(name, value);
  response.end(body);
}

function headersOf({ status, retryAfterSeconds }: AppError): Readonly<Record<string, string>> {
  return {
    ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer realm="vigia"' } : {}),
  };
}
