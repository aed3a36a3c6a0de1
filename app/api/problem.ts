/**
 * Writes every 4xx and 5xx as an RFC 9457 problem document: a stable code, what happened and what to do, the trace
 * id. A caller never sees an internal message: what is not an AppError is INTERNAL, logged and counted.
 */
import type { ServerResponse } from 'node:http';
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
    detail: error instanceof Error ? `${error.name}: ${error.message}` : 'a value that is not an Error was thrown',
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
  if (error.retryAfterSeconds !== undefined) response.setHeader('Retry-After', error.retryAfterSeconds);
  if (error.status === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="vigia"');
  response.end(body);
}
