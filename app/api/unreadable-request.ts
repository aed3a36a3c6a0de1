/**
 * Requests that never reach a route because HTTP itself could not be read: malformed, too slow, broken off. Each is
 * answered with a problem document like any other error, and its connection is closed.
 */
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError, type ErrorCode } from '../errors.ts';
import { sendProblemAndClose } from './problem.ts';

interface Options {
  readonly traceId: () => string;
  readonly onRefused?: (error: AppError) => void;
}

export function answerUnreadable(server: Server, { traceId, onRefused }: Options): void {
  server.on('clientError', (cause: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || cause.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const error = unreadable(cause);
    onRefused?.(error);
    sendProblemAndClose(socket, error, traceId());
  });
}

const REASONS: Readonly<Record<string, ErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  // The caller ended its side of the connection in the middle of a request.
  HPE_INVALID_EOF_STATE: 'BODY_INCOMPLETE',
};

function unreadable(cause: NodeJS.ErrnoException): AppError {
  const code = REASONS[cause.code ?? ''] ?? 'REQUEST_MALFORMED';
  return new AppError({ code, publicMessage: `${code}: ${textOf(code)}`, cause });
}

function textOf(code: ErrorCode): string {
  switch (code) {
    case 'REQUEST_TIMEOUT':
      return 'headers must arrive within HEADERS_TIMEOUT_MS and the body within BODY_TIMEOUT_MS after them; nothing of it was taken. Send it in smaller parts, or over a faster connection.';
    case 'HEADERS_TOO_LARGE':
      return 'request line and headers are over 16 KiB together. Leave out cookies and headers that nobody asked for.';
    case 'BODY_INCOMPLETE':
      return 'the request broke off before its end; nothing of it was taken. Send it again.';
    default:
      return 'the request is not valid HTTP. Send it with an HTTP library.';
  }
}
