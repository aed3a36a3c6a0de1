/**
 * How every read is answered: version first, then cache, then warehouse.
 *
 * The ETag is made from the query, the media type, the contract's version, the version of the partitions touched and
 * what the key may see, so a 304 costs no query. While data flows an answer may be CACHE_AGE_MAX_MS old; while the
 * warehouse is down, CACHE_STALE_MAX_MS. `Cache-Control: no-cache` asks for the newest. Equal questions that arrive
 * together are asked once.
 */
import { hash as cryptoHash } from 'node:crypto';
import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
} from 'cockatiel';
import { LRUCache } from 'lru-cache';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { PartitionsVersion } from '../warehouse/warehouse.ts';
import { allows } from './access.ts';
import type { Caller, Exchange } from './route.ts';

/** Failures in a row after which reads stop asking the warehouse, and for how long. */
const BREAKER_FAILURES = 5;
const BREAKER_OPEN_MS = 5_000;
const BREAKER_STATES = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open',
} as const;

export interface ReadPlan {
  /** Equal for equal questions, parameters included: the path and the canonical query. */
  readonly question: string;
  readonly mediaType: string;
  readonly contractVersion: number;
  /** From memory: the version of what the question touches. */
  readonly version: () => PartitionsVersion;
  readonly run: () => Promise<ReadResult>;
}

export interface ReadResult {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The version that the answer was really read at. Absent when its parts are of several: sent, never kept or named. */
  readonly version: PartitionsVersion | undefined;
}

interface ReadAnswer {
  /** Absent: of no single version. */
  readonly etag: string | undefined;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly readAtMs: number;
  /** Of the rows: after an erasure or a rebuild no earlier answer is given again. */
  readonly generation: string | undefined;
}

type CachedAnswer = ReadAnswer & { readonly etag: string };

interface Asked {
  readonly question: string;
  readonly plan: ReadPlan;
  /** The version of now. */
  readonly currentEtag: string;
  /** What may be answered while the warehouse is down. */
  readonly kept: CachedAnswer | undefined;
}

interface ReadAnswersOptions {
  readonly config: Pick<Config, 'CACHE_AGE_MAX_MS' | 'CACHE_STALE_MAX_MS' | 'CACHE_BYTES_MAX'>;
  readonly telemetry: Telemetry;
  readonly now: () => number;
}

export class ReadAnswers {
  readonly #config: ReadAnswersOptions['config'];
  readonly #telemetry: Telemetry;
  readonly #now: () => number;
  readonly #cache: LRUCache<string, CachedAnswer>;
  readonly #running = new Map<string, Promise<ReadAnswer>>();
  readonly #breaker: CircuitBreakerPolicy;

  constructor({ config, telemetry, now }: ReadAnswersOptions) {
    this.#config = config;
    this.#telemetry = telemetry;
    this.#now = now;
    this.#cache = new LRUCache({
      maxSize: Math.max(1, config.CACHE_BYTES_MAX),
      sizeCalculation: (answer) => answer.body.length + 512,
    });
    this.#breaker = circuitBreaker(
      // A slow question says nothing about the next one: only what cannot answer at all opens the breaker.
      handleWhen((error) => error instanceof AppError && error.code === 'WAREHOUSE_UNAVAILABLE'),
      {
        halfOpenAfter: BREAKER_OPEN_MS,
        breaker: new ConsecutiveBreaker(BREAKER_FAILURES),
      },
    );
    this.#breaker.onStateChange((state) =>
      telemetry.breakerChanged({ dependency: 'warehouse', state: BREAKER_STATES[state] }),
    );
  }

  get cachedBytes(): number {
    return this.#cache.calculatedSize;
  }

  /** Answers 200 or 304, or throws AppError. */
  async answer(exchange: Exchange, plan: ReadPlan): Promise<void> {
    const question = hash([plan.question, plan.mediaType, String(plan.contractVersion), visibility(exchange.caller)]);
    const version = plan.version();
    const currentEtag = etagOf(question, version);
    const newest = /\bno-cache\b/i.test(exchange.request.headers['cache-control'] ?? '');
    const wanted = exchange.request.headers['if-none-match'];
    if (matches(wanted, currentEtag)) {
      this.#telemetry.cacheAnswered({ result: 'not_modified' });
      sendNotModified(exchange, currentEtag);
      return;
    }
    const cached = this.#cached(question, version);
    if (
      cached !== undefined &&
      (cached.etag === currentEtag || (!newest && this.#age(cached) <= this.#config.CACHE_AGE_MAX_MS))
    ) {
      this.#telemetry.cacheAnswered({ result: 'hit' });
      this.#send(exchange, plan, cached, wanted);
      return;
    }
    // Who asks for the newest is told of an outage, not of the past.
    const kept = newest ? undefined : cached;
    this.#send(exchange, plan, await this.#readOrStale({ question, plan, currentEtag, kept }), wanted);
  }

  async #readOrStale({ question, plan, currentEtag, kept }: Asked): Promise<ReadAnswer> {
    try {
      const answer = await this.#readOnce(question, plan, currentEtag);
      this.#telemetry.cacheAnswered({ result: 'miss' });
      return answer;
    } catch (error) {
      const failure = error instanceof BrokenCircuitError ? breakerOpen(error) : error;
      if (!isOutage(failure) || kept === undefined || this.#age(kept) > this.#config.CACHE_STALE_MAX_MS) throw failure;
      this.#telemetry.cacheAnswered({ result: 'stale' });
      return kept;
    }
  }

  /** Joins a read under way only when that began at this version or later. */
  #readOnce(question: string, plan: ReadPlan, currentEtag: string): Promise<ReadAnswer> {
    const running = this.#running.get(currentEtag);
    if (running !== undefined) return running;
    // Age counts from the question: the rows are at least as new as that.
    const readAtMs = this.#now();
    const reading = this.#breaker
      .execute(() => plan.run())
      .then((result) => {
        const answer: ReadAnswer = {
          etag: result.version === undefined ? undefined : etagOf(question, result.version),
          body: Buffer.from(result.body),
          headers: result.headers,
          readAtMs,
          generation: result.version?.generation,
        };
        if (isNamed(answer)) this.#keep(question, answer);
        return answer;
      })
      .finally(() => this.#running.delete(currentEtag));
    this.#running.set(currentEtag, reading);
    return reading;
  }

  /** A read that took long never replaces one that began after it. */
  #keep(question: string, answer: CachedAnswer): void {
    const other = this.#cache.peek(question);
    if (this.#config.CACHE_BYTES_MAX === 0 || (other !== undefined && other.readAtMs > answer.readAtMs)) return;
    this.#cache.set(question, answer);
  }

  #cached(question: string, { generation }: PartitionsVersion): CachedAnswer | undefined {
    const cached = this.#cache.get(question);
    return cached?.generation === generation ? cached : undefined;
  }

  #age(cached: ReadAnswer): number {
    return this.#now() - cached.readAtMs;
  }

  #send(exchange: Exchange, plan: ReadPlan, answer: ReadAnswer, wanted: string | undefined): void {
    if (isNamed(answer) && matches(wanted, answer.etag)) {
      sendNotModified(exchange, answer.etag);
      return;
    }
    const { response } = exchange;
    response.statusCode = 200;
    if (isNamed(answer)) setCacheHeaders(exchange, answer.etag);
    else response.setHeader('Cache-Control', 'private, no-store');
    response.setHeader('Content-Type', plan.mediaType);
    response.setHeader('Age', Math.floor(this.#age(answer) / 1000));
    for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
    response.setHeader('Content-Length', answer.body.length);
    response.end(answer.body);
  }
}

/** ISO time of the newest commit an answer touched; null when it touched none. */
export function asOf(version: PartitionsVersion): string | null {
  return version.committedAtMs === undefined ? null : new Date(version.committedAtMs).toISOString();
}

/** Of several versions the one that changes when any of them does. */
export function newestVersion(versions: readonly PartitionsVersion[]): PartitionsVersion {
  const [first, ...rest] = versions;
  if (first === undefined) throw new Error('no versions');
  return rest.reduce((newest, one) => (one.commitNumber > newest.commitNumber ? one : newest), first);
}

function isNamed(answer: ReadAnswer): answer is CachedAnswer {
  return answer.etag !== undefined;
}

function sendNotModified(exchange: Exchange, etag: string): void {
  exchange.response.statusCode = 304;
  setCacheHeaders(exchange, etag);
  exchange.response.end();
}

function setCacheHeaders({ response }: Exchange, etag: string): void {
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'private, no-cache');
  response.setHeader('Vary', 'Authorization, Accept');
}

/** RFC 9110 section 13.1.2, weak comparison. */
function matches(wanted: string | undefined, etag: string): boolean {
  if (wanted === undefined) return false;
  if (wanted.trim() === '*') return true;
  return wanted.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

function etagOf(question: string, version: PartitionsVersion): string {
  return `"${hash([question, version.generation, String(version.commitNumber)])}"`;
}

/** What the key may see: datasets, masked or not. */
function visibility(caller: Caller): string {
  const datasets = caller.datasets === undefined ? '*' : [...caller.datasets].sort().join(',');
  return `${datasets} ${allows(caller, 'admin') ? 'plain' : 'masked'}`;
}

function hash(parts: readonly string[]): string {
  return cryptoHash('sha256', JSON.stringify(parts), 'base64url').slice(0, 27);
}

function isOutage(error: unknown): boolean {
  if (error instanceof BrokenCircuitError) return true;
  return error instanceof AppError && (error.code === 'WAREHOUSE_UNAVAILABLE' || error.code === 'QUERY_TIMEOUT');
}

function breakerOpen(cause: unknown): AppError {
  return new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: `WAREHOUSE_UNAVAILABLE: reads failed ${BREAKER_FAILURES} times in a row and are not tried for ${BREAKER_OPEN_MS} ms. Try again after that.`,
    retryAfterSeconds: BREAKER_OPEN_MS / 1000,
    cause,
  });
}
