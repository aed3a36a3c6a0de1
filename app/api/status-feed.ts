/**
 * `/ws/status`: the state of ingestion on connect, then each change.
 *
 * A follower that reads too slowly is dropped with a reason rather than buffered without end; one that answers two
 * pings in a row with silence is gone. The number of followers is capped. Changes that arrive together are told once.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { OutcomeCounts, Warehouse } from '../warehouse/warehouse.ts';
import type { Gate } from './access.ts';
import { asAppError, problemOf } from './problem.ts';
import { asOf } from './read-answer.ts';
import { ticketHash } from './status-routes.ts';

const PATH = '/ws/status';
/** Changes within this are told in one message. */
const GATHER_MS = 100;
/** RFC 6455 codes: policy violation, try again later, going away. */
const TOO_SLOW = 1008;
const TOO_MANY = 1013;
const GOING_AWAY = 1001;

interface StatusFeedParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly gate: Gate;
  readonly datasets: readonly string[];
  readonly now: () => number;
}

interface DatasetStatus {
  readonly dataset: string;
  readonly asOf: string | null;
  readonly commitNumber: number;
  readonly waitingMessages: number;
  readonly waitingRows: number;
  readonly oldestWaitingSeconds: number;
}

export interface IngestionEvent {
  readonly kind: 'committed';
  readonly datasets: Readonly<Record<string, OutcomeCounts>>;
}

export class StatusFeed {
  readonly #parts: StatusFeedParts;
  readonly #server: WebSocketServer;
  readonly #unanswered = new WeakMap<WebSocket, number>();
  readonly #pings: NodeJS.Timeout;
  #pending: IngestionEvent[] = [];
  #gathering: NodeJS.Timeout | undefined;

  constructor(parts: StatusFeedParts) {
    this.#parts = parts;
    this.#server = new WebSocketServer({ noServer: true, maxPayload: 1024 });
    this.#pings = setInterval(() => this.#ping(), parts.config.WS_PING_MS);
    this.#pings.unref();
  }

  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      this.#admit(request).then(
        () => this.#server.handleUpgrade(request, socket, head, (follower) => this.#welcome(follower)),
        (error: unknown) => refuse(socket, asAppError(error), this.#parts.telemetry.requestTraceId()),
      );
    });
  }

  /** Tells every follower, gathered with what else happens within GATHER_MS. */
  tell(event: IngestionEvent): void {
    if (this.#server.clients.size === 0) return;
    this.#pending.push(event);
    this.#gathering ??= setTimeout(() => this.#broadcast(), GATHER_MS);
  }

  close(): void {
    clearInterval(this.#pings);
    clearTimeout(this.#gathering);
    for (const follower of this.#server.clients) follower.close(GOING_AWAY, 'the service is stopping');
    this.#server.close();
  }

  async #admit(request: IncomingMessage): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== PATH) {
      throw new AppError({ code: 'ROUTE_UNKNOWN', publicMessage: `ROUTE_UNKNOWN: the only WebSocket is ${PATH}.` });
    }
    this.#parts.gate.checkOrigin(request);
    await this.#parts.gate.checkAddress(request);
    if (!(await this.#parts.state.keyEverMade())) return;
    const ticket = url.searchParams.get('ticket');
    const keyId =
      ticket === null ? undefined : await this.#parts.state.takeTicket(ticketHash(ticket), this.#parts.now());
    if (keyId === undefined) {
      throw new AppError({
        code: 'TICKET_INVALID',
        publicMessage: `TICKET_INVALID: the ticket is missing, used or expired. Get one with POST /v1/ws-tickets and connect to ${PATH}?ticket=… at once.`,
      });
    }
  }

  #welcome(follower: WebSocket): void {
    if (this.#server.clients.size > this.#parts.config.WS_CONNECTIONS_MAX) {
      follower.close(TOO_MANY, `more than ${this.#parts.config.WS_CONNECTIONS_MAX} followers (WS_CONNECTIONS_MAX)`);
      return;
    }
    this.#count();
    follower.on('pong', () => this.#unanswered.set(follower, 0));
    follower.on('close', () => this.#count());
    follower.on('error', () => follower.terminate());
    follower.send(JSON.stringify({ type: 'state', ...this.#state() }));
  }

  #broadcast(): void {
    this.#gathering = undefined;
    const message = JSON.stringify({ type: 'change', events: this.#pending, ...this.#state() });
    this.#pending = [];
    for (const follower of this.#server.clients) {
      if (follower.bufferedAmount > this.#parts.config.WS_BUFFER_BYTES_MAX) {
        follower.close(
          TOO_SLOW,
          `more than ${this.#parts.config.WS_BUFFER_BYTES_MAX} bytes unread (WS_BUFFER_BYTES_MAX)`,
        );
      } else {
        follower.send(message);
      }
    }
  }

  #state(): { readonly at: string; readonly datasets: readonly DatasetStatus[] } {
    const { bus, warehouse, datasets, now } = this.#parts;
    const backlog = new Map(bus.backlog().map((one) => [one.dataset, one]));
    return {
      at: new Date(now()).toISOString(),
      datasets: datasets.map((dataset) => {
        const version = warehouse.version(dataset, {});
        const waiting = backlog.get(dataset);
        return {
          dataset,
          asOf: asOf(version),
          commitNumber: version.commitNumber,
          waitingMessages: waiting?.messages ?? 0,
          waitingRows: waiting?.rows ?? 0,
          oldestWaitingSeconds:
            waiting?.oldestAtMs === undefined ? 0 : Math.max(0, (now() - waiting.oldestAtMs) / 1000),
        };
      }),
    };
  }

  #ping(): void {
    for (const follower of this.#server.clients) {
      const unanswered = this.#unanswered.get(follower) ?? 0;
      if (unanswered >= 2) {
        follower.terminate();
        continue;
      }
      this.#unanswered.set(follower, unanswered + 1);
      follower.ping();
    }
  }

  #count(): void {
    this.#parts.telemetry.followersChanged({ count: this.#server.clients.size });
  }
}

function refuse(socket: Duplex, error: AppError, traceId: string): void {
  const body = JSON.stringify(problemOf(error, traceId));
  socket.end(
    `HTTP/1.1 ${error.status} Refused\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
