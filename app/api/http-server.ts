/** The listening socket: its time limits, what it does with bytes that are no HTTP, and how it opens and closes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../config.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { answerUnreadable } from './unreadable-request.ts';

/** How often Node looks for requests that take too long. */
const TIMEOUT_CHECK_MS = 1_000;

interface ServerParts {
  readonly config: Config;
  readonly telemetry: Telemetry;
}

export function httpServer(
  { config, telemetry }: ServerParts,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
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
    onRequest,
  );
  // An expectation that is not understood may be ignored (RFC 9110, 10.1.1). Emitted, so that it is traced like any other.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  answerUnreadable(server, {
    traceId: () => telemetry.requestTraceId(),
    onRefused: ({ code }) => telemetry.requestUnreadable({ code }),
  });
  server.maxConnections = config.CONNECTIONS_MAX;
  server.on('drop', () => telemetry.shed({ reason: 'connections' }));
  return server;
}

export async function listen(
  server: Server,
  config: Config,
): Promise<{ readonly host: string; readonly port: number }> {
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

/** Waits for requests under way, at most `timeoutMs`; then cuts the rest. */
export async function closeServer(server: Server, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
