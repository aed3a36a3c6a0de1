/**
 * `/ws/status`: the state of ingestion on connect, then each change.
 *
 * A follower that reads too slowly is dropped with a reason rather than buffered without end; one that answers two
 * pings in a row with silence is gone. The number of followers is capped. Changes that arrive together are told once.
 * Each follower sees the datasets of the key its ticket was made for, and is sent away soon after that key is revoked.
 */
import type { IncomingMessage, Server } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { ApiKey, State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { OutcomeCounts, Warehouse } from '../warehouse/warehouse.ts';
import type { Gate } from './access.ts';
import { asAppError, sendProblemAndClose } from './problem.ts';
import { asOf } from './read-answer.ts';
import { ticketHash } from './status-routes.ts';

const PATH = '/ws/status';
/** Changes within this are told in one message. */
const GATHER_MS = 100;
/** Revocation is effective within 10 s: each follower's key is looked up at least this often. */
const KEY_CHECK_MS = 5_000;
/** RFC 6455 codes: policy violation, try again later, going away. */
const POLICY = 1008;
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

interface Status {
  readonly at: string;
  readonly datasets: readonly DatasetStatus[];
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

/** Who follows: everybody on loopback while no key was ever made, else the key of the ticket. */
interface Reader {
  readonly key?: ApiKey;
}

export class StatusFeed {
  readonly #parts: StatusFeedParts;
  readonly #server: WebSocketServer;
  readonly #unanswered = new WeakMap<WebSocket, number>();
  readonly #readers = new WeakMap<WebSocket, Reader>();
  readonly #timers: readonly NodeJS.Timeout[];
  #pending: IngestionEvent[] = [];
  #gathering: NodeJS.Timeout | undefined;

  constructor(parts: StatusFeedParts) {
    this.#parts = parts;
    this.#server = new WebSocketServer({ noServer: true, maxPayload: 1024 });
    this.#timers = [
      setInterval(() => this.#ping(), parts.config.WS_PING_MS),
      setInterval(
        () => {
          this.#checkKeys().catch((error: unknown) => parts.telemetry.observationFailed({ error }));
        },
        Math.min(KEY_CHECK_MS, parts.config.WS_PING_MS),
      ),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      // Node has taken its own listener off; a reset while the ticket is looked up would end the process.
      socket.on('error', () => socket.destroy());
      this.#admit(request).then(
        (reader) => this.#server.handleUpgrade(request, socket, head, (follower) => this.#welcome(follower, reader)),
        (error: unknown) => sendProblemAndClose(socket, asAppError(error), this.#parts.telemetry.requestTraceId()),
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
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#gathering);
    for (const follower of this.#server.clients) follower.close(GOING_AWAY, 'the service is stopping');
    this.#server.close();
  }

  /** Sends away whose key was revoked, and who came without one before the first was made. */
  async #checkKeys(): Promise<void> {
    const asked = await this.#parts.state.keyEverMade();
    for (const follower of this.#server.clients) {
      const { key } = this.#readers.get(follower) ?? {};
      const now = key === undefined ? undefined : await this.#parts.state.apiKey(key.id);
      if (asked && (now === undefined || now.revokedAtMs !== undefined))
        follower.close(POLICY, 'the key is revoked, or none was given: get a new ticket');
    }
  }

  async #admit(request: IncomingMessage): Promise<Reader> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== PATH) {
      throw new AppError({ code: 'ROUTE_UNKNOWN', publicMessage: `ROUTE_UNKNOWN: the only WebSocket is ${PATH}.` });
    }
    this.#parts.gate.checkOrigin(request);
    await this.#parts.gate.checkAddress(request);
    if (!(await this.#parts.state.keyEverMade())) return {};
    const ticket = url.searchParams.get('ticket');
    const keyId =
      ticket === null ? undefined : await this.#parts.state.takeTicket(ticketHash(ticket), this.#parts.now());
    const key = keyId === undefined ? undefined : await this.#parts.state.apiKey(keyId);
    if (key === undefined || key.revokedAtMs !== undefined) {
      throw new AppError({
        code: 'TICKET_INVALID',
        publicMessage: `TICKET_INVALID: the ticket is missing, used or expired. Get one with POST /v1/ws-tickets and connect to ${PATH}?ticket=… at once.`,
      });
    }
    return { key };
  }

  #welcome(follower: WebSocket, reader: Reader): void {
    follower.on('error', () => follower.terminate());
    if (this.#server.clients.size > this.#parts.config.WS_CONNECTIONS_MAX) {
      follower.close(TOO_MANY, `more than ${this.#parts.config.WS_CONNECTIONS_MAX} followers (WS_CONNECTIONS_MAX)`);
      return;
    }
    this.#readers.set(follower, reader);
    this.#count();
    follower.on('pong', () => this.#unanswered.set(follower, 0));
    follower.on('close', () => this.#count());
    follower.send(JSON.stringify({ type: 'state', ...visible(this.#state(), reader) }));
  }

  #broadcast(): void {
    this.#gathering = undefined;
    const change = { type: 'change', events: this.#pending, ...this.#state() };
    const whole = JSON.stringify(change);
    this.#pending = [];
    for (const follower of this.#server.clients) {
      if (follower.bufferedAmount > this.#parts.config.WS_BUFFER_BYTES_MAX) {
        follower.close(
          POLICY,
          `more than ${this.#parts.config.WS_BUFFER_BYTES_MAX} bytes unread (WS_BUFFER_BYTES_MAX)`,
        );
      } else {
        const reader = this.#readers.get(follower) ?? {};
        follower.send(reader.key?.datasets === undefined ? whole : JSON.stringify(visible(change, reader)));
      }
    }
  }

  #state(): Status {
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

/** What the follower's key may see of it. */
function visible<S extends Status & { readonly events?: readonly IngestionEvent[] }>(status: S, { key }: Reader): S {
  const names = key?.datasets;
  if (names === undefined) return status;
  const datasets = status.datasets.filter(({ dataset }) => names.includes(dataset));
  if (status.events === undefined) return { ...status, datasets };
  const events = status.events.map((event) => ({
    ...event,
    datasets: Object.fromEntries(Object.entries(event.datasets).filter(([name]) => names.includes(name))),
  }));
  return { ...status, datasets, events };
}
