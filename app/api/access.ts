/**
 * Who gets in.
 *
 * While no key was ever made only loopback is served and nobody is asked for one; from the first key on every route
 * asks, also after the last key is revoked. A web page that the user visits cannot reach the service: host names are
 * allow-listed (DNS rebinding), writes and WebSockets check their origin, and no CORS header is ever sent.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { Scope, State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Access, Caller } from './route.ts';

const ALL_SCOPES: ReadonlySet<Scope> = new Set<Scope>(['read', 'write', 'quarantine', 'load', 'admin']);
const LOOPBACK_NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]', '::1']);
/** All of 127.0.0.0/8 is this machine (RFC 1122), also as an IPv6 socket sees it. */
const LOOPBACK_ADDRESS = /^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/;
/** `vg_<id>_<secret>`: 16 hex digits, 43 base64url characters (256 bit). */
const KEY_PATTERN = /^vg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
const ANONYMOUS: Caller = { keyId: 'anonymous', scopes: ALL_SCOPES };
const NOBODY: Caller = { keyId: 'nobody', scopes: new Set() };

/** What is judged of a request. `ip` is the peer's, or what a trusted proxy says of it. */
interface Visitor {
  readonly method?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly ip?: string | undefined;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

interface GateOptions {
  readonly state: State;
  readonly telemetry: Pick<Telemetry, 'shed'>;
  readonly config: Pick<Config, 'PUBLIC_HOSTS' | 'RATE_LIMIT_PER_SECOND' | 'AUTH_FAILURES_PER_MINUTE'>;
}

export class Gate {
  readonly #state: State;
  readonly #telemetry: GateOptions['telemetry'];
  readonly #hosts: ReadonlySet<string>;
  readonly #requests: RateLimiterMemory;
  readonly #failures: RateLimiterMemory;

  constructor({ state, telemetry, config }: GateOptions) {
    this.#state = state;
    this.#telemetry = telemetry;
    this.#hosts = new Set([...LOOPBACK_NAMES, ...config.PUBLIC_HOSTS.map((host) => host.toLowerCase())]);
    this.#requests = new RateLimiterMemory({ points: config.RATE_LIMIT_PER_SECOND, duration: 1 });
    this.#failures = new RateLimiterMemory({ points: config.AUTH_FAILURES_PER_MINUTE, duration: 60 });
  }

  /** Judges host, origin, address, key, rate and scope, in this order; throws AppError. */
  async admit(request: Visitor, access: Access): Promise<Caller> {
    this.checkSource(request);
    if (access === 'open') return NOBODY;
    const caller = (await this.#state.keyEverMade()) ? await this.#authenticate(request) : anonymous(request);
    await this.#limitRate(caller);
    if (access !== 'any' && !allows(caller, access)) {
      throw new AppError({
        code: 'SCOPE_MISSING',
        publicMessage: `SCOPE_MISSING: this needs the scope ${access}; the key has ${[...caller.scopes].join(', ') || 'none'}. Use another key, or make one: npm run keys -- add --scope ${access}`,
      });
    }
    return caller;
  }

  /** What is asked of every request but a probe: a served host, and no other origin's page where something may change. */
  checkSource(request: Pick<Visitor, 'headers' | 'method'>): void {
    this.#checkHost(request.headers.host);
    if (request.method !== 'GET' && request.method !== 'HEAD') this.checkOrigin(request);
  }

  /** Refuses a browser's cross-origin request: an Origin must name a served host. */
  checkOrigin(request: Pick<Visitor, 'headers'>): void {
    this.#checkHost(request.headers.host);
    const origin = request.headers.origin;
    if (origin === undefined && request.headers['sec-fetch-site'] !== 'cross-site') return;
    if (origin !== undefined && URL.canParse(origin)) {
      const { hostname, host } = new URL(origin);
      if (host === request.headers.host?.toLowerCase() && this.#hosts.has(hostname)) return;
    }
    throw new AppError({
      code: 'ORIGIN_NOT_ALLOWED',
      publicMessage:
        'ORIGIN_NOT_ALLOWED: a page of another origin may not write here. Send the request from a program, or from a page this service serves.',
    });
  }

  /** For a WebSocket, which has no Express request: refuses an address that only a key could let in. */
  async checkAddress({ headers, socket }: Pick<Visitor, 'headers' | 'socket'>): Promise<void> {
    if (!(await this.#state.keyEverMade())) anonymous({ headers, socket });
  }

  #checkHost(host: string | undefined): void {
    const name = hostName(host);
    if (name !== undefined && this.#hosts.has(name)) return;
    throw new AppError({
      code: 'HOST_NOT_ALLOWED',
      publicMessage: `HOST_NOT_ALLOWED: this service answers to ${[...this.#hosts].join(', ')}. Use one of these names, or add yours to PUBLIC_HOSTS.`,
    });
  }

  async #authenticate(request: Visitor): Promise<Caller> {
    const header = request.headers.authorization;
    const caller = header === undefined ? undefined : await this.#callerOf(header);
    // A valid key is let in whatever its neighbours behind the same address do.
    if (caller !== undefined) return caller;
    const address = request.ip ?? 'unknown';
    const failed = await this.#failures.get(address);
    if (failed !== null && failed.consumedPoints >= this.#failures.points) {
      this.#telemetry.shed({ reason: 'auth_failures' });
      throw tooManyFailures(failed);
    }
    if (header === undefined) {
      throw new AppError({
        code: 'KEY_MISSING',
        publicMessage:
          'KEY_MISSING: send "Authorization: Bearer vg_…". An operator makes keys with npm run keys -- add --scope read',
      });
    }
    await this.#failures.penalty(address);
    throw new AppError({
      code: 'KEY_INVALID',
      publicMessage: 'KEY_INVALID: the key is unknown, misspelt or revoked. Ask an operator for a new one.',
    });
  }

  async #callerOf(header: string): Promise<Caller | undefined> {
    const match = /^Bearer +(\S+)$/i.exec(header);
    const parts = match?.[1] === undefined ? null : KEY_PATTERN.exec(match[1]);
    if (parts === null) return undefined;
    const [, id, secret] = parts as unknown as [string, string, string];
    const key = await this.#state.apiKey(id);
    const given = createHash('sha256').update(secret).digest();
    // Compared also for an unknown id, so that the time taken does not tell which ids exist.
    const kept = key === undefined ? Buffer.alloc(given.length) : Buffer.from(key.secretHash, 'hex');
    const equal = kept.length === given.length && timingSafeEqual(kept, given);
    if (!equal || key === undefined || key.revokedAtMs !== undefined) return undefined;
    return {
      keyId: key.id,
      scopes: new Set(key.scopes),
      ...(key.datasets === undefined ? {} : { datasets: new Set(key.datasets) }),
    };
  }

  async #limitRate(caller: Caller): Promise<void> {
    try {
      await this.#requests.consume(caller.keyId);
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      this.#telemetry.shed({ reason: 'rate_limit' });
      throw new AppError({
        code: 'RATE_LIMITED',
        publicMessage: `RATE_LIMITED: more than ${this.#requests.points} requests in a second with this key on this instance (RATE_LIMIT_PER_SECOND). Wait, then send more rows in each request.`,
        retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)),
      });
    }
  }
}

/** `admin` may do everything. */
export function allows(caller: Caller, scope: Scope): boolean {
  return caller.scopes.has(scope) || caller.scopes.has('admin');
}

/** Throws DATASET_FORBIDDEN when the key is limited to other datasets. */
export function checkDataset(caller: Caller, dataset: string): void {
  if (caller.datasets === undefined || caller.datasets.has(dataset)) return;
  throw new AppError({
    code: 'DATASET_FORBIDDEN',
    publicMessage: `DATASET_FORBIDDEN: this key may see ${[...caller.datasets].join(', ')}, not ${dataset}. Use another key.`,
  });
}

function anonymous(request: Pick<Visitor, 'headers' | 'socket' | 'ip'>): Caller {
  const forwarded = request.headers['x-forwarded-for'] !== undefined || request.headers.forwarded !== undefined;
  const peer = request.socket.remoteAddress ?? '';
  // A proxy on this machine makes everybody look like loopback: with a forwarding header only a trusted chain counts.
  const local = forwarded
    ? request.ip !== peer && LOOPBACK_ADDRESS.test(request.ip ?? '')
    : LOOPBACK_ADDRESS.test(peer);
  if (local) return ANONYMOUS;
  throw new AppError({
    code: 'ADDRESS_NOT_ALLOWED',
    publicMessage:
      'ADDRESS_NOT_ALLOWED: until an API key exists only this machine is served. Make one on the server: npm run keys -- add --scope write',
  });
}

function tooManyFailures(failed: RateLimiterRes): AppError {
  return new AppError({
    code: 'RATE_LIMITED',
    publicMessage:
      'RATE_LIMITED: too many failed authentications from this address (AUTH_FAILURES_PER_MINUTE). Wait, then send a valid key.',
    retryAfterSeconds: Math.max(1, Math.ceil(failed.msBeforeNext / 1000)),
  });
}

function hostName(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const match = /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host);
  return match?.[1]?.toLowerCase();
}
