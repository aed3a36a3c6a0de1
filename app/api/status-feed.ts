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
import { randomId } from './ingest.ts';
import type { ShownFile } from './landing-routes.ts';
import { asAppError, sendProblemAndClose } from './problem.ts';
import { asOf } from './read-answer.ts';
import { ticketHash } from './status-routes.ts';

const PATH = '/ws/status';
/** As metrics and log lines name it. */
export const FEED_ROUTE = { method: 'get', path: PATH, answers: { 101: {} } } as const;
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

export type IngestionEvent =
  | { readonly kind: 'committed'; readonly datasets: Readonly<Record<string, OutcomeCounts>> }
  | { readonly kind: 'landing'; readonly file: ShownFile };

type FollowerEnd = Parameters<Telemetry['followerLeft']>[0]['reason'];

/** Who follows: everybody on loopback while no key was ever made, else the key of the ticket. */
interface Reader {
  readonly key?: ApiKey;
}

export class StatusFeed {
  readonly #parts: StatusFeedParts;
  readonly #server: WebSocketServer;
  readonly #unanswered = new WeakMap<WebSocket, number>();
  readonly #readers = new WeakMap<WebSocket, Reader>();
  /** Why we ended it; who has no entry left by itself. */
  readonly #ends = new WeakMap<WebSocket, FollowerEnd>();
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
      const finished = this.#account(request);
      this.#admit(request).then(
        (reader) => {
          finished({ status: 101, ...(reader.key === undefined ? {} : { keyId: reader.key.id }) });
          this.#server.handleUpgrade(request, socket, head, (follower) => this.#welcome(follower, reader));
        },
        (error: unknown) => {
          const failure = asAppError(error);
          const traceId = finished(failure);
          if (failure.status >= 500)
            this.#parts.telemetry.requestFailed({ code: failure.code, error: failure, traceId });
          sendProblemAndClose(socket, failure, traceId);
        },
      );
    });
  }

  /** An upgrade has no answer object: its request is counted here. Returns the trace id of its problem document. */
  #account(request: IncomingMessage) {
    const { telemetry } = this.#parts;
    const startedAt = performance.now();
    const requestId = randomId();
    telemetry.requestStarted();
    return ({ status, code, keyId }: { readonly status: number; readonly code?: string; readonly keyId?: string }) => {
      telemetry.requestFinished({
        method: request.method ?? '',
        ...(code === 'ROUTE_UNKNOWN' ? {} : { route: PATH }),
        status,
        durationSeconds: (performance.now() - startedAt) / 1000,
        load: false,
        requestId,
        ...(code === undefined ? {} : { code }),
        ...(keyId === undefined ? {} : { keyId }),
      });
      return telemetry.requestTraceId(requestId);
    };
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
    for (const follower of this.#server.clients)
      this.#end(follower, 'stopping', { status: GOING_AWAY, words: 'the service is stopping' });
    this.#server.close();
  }

  /** Sends away whose key was revoked, and who came without one before the first was made. */
  async #checkKeys(): Promise<void> {
    const asked = await this.#parts.state.keyEverMade();
    for (const follower of this.#server.clients) {
      const { key } = this.#readers.get(follower) ?? {};
      const now = key === undefined ? undefined : await this.#parts.state.apiKey(key.id);
      if (asked && (now === undefined || now.revokedAtMs !== undefined))
        this.#end(follower, 'revoked', {
          status: POLICY,
          words: 'the key is revoked, or none was given: get a new ticket',
        });
    }
  }

  async #admit(request: IncomingMessage): Promise<Reader> {
    this.#parts.gate.checkOrigin(request);
    const target = request.url ?? '/';
    const url = URL.canParse(target, 'http://localhost') ? new URL(target, 'http://localhost') : undefined;
    if (url?.pathname !== PATH) {
      throw new AppError({ code: 'ROUTE_UNKNOWN', publicMessage: `ROUTE_UNKNOWN: the only WebSocket is ${PATH}.` });
    }
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
    const { telemetry, config } = this.#parts;
    follower.on('error', () => this.#terminate(follower, 'failed'));
    follower.once('close', () => {
      const reason = this.#ends.get(follower) ?? 'client';
      telemetry.followerLeft(reader.key === undefined ? { reason } : { reason, keyId: reader.key.id });
    });
    if (this.#server.clients.size > config.WS_CONNECTIONS_MAX) {
      this.#end(follower, 'too_many', {
        status: TOO_MANY,
        words: `more than ${config.WS_CONNECTIONS_MAX} followers (WS_CONNECTIONS_MAX)`,
      });
      return;
    }
    this.#readers.set(follower, reader);
    this.#count();
    follower.on('pong', () => this.#unanswered.set(follower, 0));
    follower.on('close', () => this.#count());
    follower.send(JSON.stringify({ type: 'state', ...visible(this.#state(), reader) }));
    telemetry.followersTold({ messages: 1 });
  }

  #broadcast(): void {
    this.#gathering = undefined;
    const change = { type: 'change', events: this.#pending, ...this.#state() };
    const whole = JSON.stringify(change);
    this.#pending = [];
    const { WS_BUFFER_BYTES_MAX: bytesMax } = this.#parts.config;
    let messages = 0;
    for (const follower of this.#server.clients) {
      if (follower.bufferedAmount > bytesMax) {
        const words = `more than ${bytesMax} bytes unread (WS_BUFFER_BYTES_MAX)`;
        this.#end(follower, 'slow', { status: POLICY, words });
      } else {
        messages += 1;
        const reader = this.#readers.get(follower) ?? {};
        follower.send(reader.key?.datasets === undefined ? whole : JSON.stringify(visible(change, reader)));
      }
    }
    this.#parts.telemetry.followersTold({ messages });
  }

  #end(follower: WebSocket, reason: FollowerEnd, last: { readonly status: number; readonly words: string }): void {
    if (!this.#ends.has(follower)) this.#ends.set(follower, reason);
    follower.close(last.status, last.words);
  }

  #terminate(follower: WebSocket, reason: FollowerEnd): void {
    if (!this.#ends.has(follower)) this.#ends.set(follower, reason);
    follower.terminate();
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
        this.#terminate(follower, 'silent');
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
  const events = status.events.map((event) => visibleEvent(event, names)).filter((event) => event !== undefined);
  return { ...status, datasets, events };
}

function visibleEvent(event: IngestionEvent, names: readonly string[]): IngestionEvent | undefined {
  switch (event.kind) {
    case 'committed':
      return {
        ...event,
        datasets: Object.fromEntries(Object.entries(event.datasets).filter(([name]) => names.includes(name))),
      };
    case 'landing':
      return names.includes(event.file.dataset) ? event : undefined;
  }
}
