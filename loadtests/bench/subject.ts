/**
 * The service under measurement: `npm start`'s own composition as a process of its own on a new folder, with every
 * row that was sent to it counted, so that a benchmark which lost one fails instead of looking fast.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ServiceProcess, startService } from '../service-process.ts';
import { type LoadRequest, type LoadResult, sendLoad } from './load.ts';
import { flightText, ndjsonOf, Numbers } from './records.ts';

/**
 * Closed-loop connections. Those that wait together share one fdatasync: with 64 the main thread is idle for a fifth of
 * the time and the disk's latency is measured, with 256 it is busy, and a bare Express is neither faster nor slower.
 */
export const CONNECTIONS = 256;
/** Few, because each holds 500 rows. */
const BULK_CONNECTIONS = 8;
export const BULK_ROWS = 500;
/** The bound of the issue: what was accepted is stored this long after the load has stopped. */
const DRAIN_MS_MAX = 5_000;
/** Seeding measures nothing. */
const SEED_DRAIN_MS_MAX = 120_000;
const LOOK_MS = 20;
const SEED_ROWS_A_REQUEST = 10_000;

const RECORDS = '/v1/datasets/flights/records';

export interface Subject {
  readonly url: string;
  readonly metricsUrl: string;
  readonly pid: number;
  readonly dataDir: string;
  /** Sends so many one-record POSTs and waits until all are stored. */
  postOne(amount: number): Promise<StoredLoad>;
  /** Sends so many POSTs of 500 rows and waits until all rows are stored. */
  postBulk(amount: number): Promise<StoredLoad>;
  /** Stores so many rows by the same route, as fast as it goes. */
  seed(rows: number): Promise<{ readonly seconds: number }>;
  /** A flight's number that nobody else has, for senders with a pace of their own; counted as sent. */
  nextNumber(): number;
  /** Waits until everything sent is stored; throws when it takes too long or a row is missing. */
  stored(): Promise<{ readonly drainMs: number }>;
  /** Ends the process as an operator would. */
  stop(): Promise<void>;
  /** Removes the folder; kills the process first when a failed benchmark left it running. */
  remove(): Promise<void>;
}

export interface StoredLoad extends LoadResult {
  readonly rows: number;
  readonly drainMs: number;
}

export async function startSubject(env: Readonly<Record<string, string>>): Promise<Subject> {
  const dataDir = await mkdtemp(join(tmpdir(), 'vigia-bench-'));
  const service = await startService({ dataDir, env });
  return subjectOf(service, dataDir);
}

function subjectOf(service: ServiceProcess, dataDir: string): Subject {
  const numbers = new Numbers();
  let sent = 0;
  const take = (count: number): readonly number[] => {
    sent += count;
    return numbers.take(count);
  };
  const stored = (drainMsMax = DRAIN_MS_MAX): Promise<{ readonly drainMs: number }> =>
    awaitStored(service, { sent, drainMsMax });
  const send = async (requests: readonly LoadRequest[], connections: number, rows: number): Promise<StoredLoad> => {
    const load = await sendLoad({ url: service.url, connections, amount: requests.length, requests, status: 202 });
    return { ...load, rows, ...(await stored()) };
  };
  return {
    url: service.url,
    metricsUrl: service.metricsUrl,
    pid: service.pid,
    dataDir,
    postOne: (amount) => send(take(amount).map(oneRecord), CONNECTIONS, amount),
    postBulk: (amount) =>
      send(
        Array.from({ length: amount }, () => bulk(take(BULK_ROWS))),
        BULK_CONNECTIONS,
        amount * BULK_ROWS,
      ),
    seed: async (rows) => {
      const startedAt = performance.now();
      for (let left = rows; left > 0; left -= SEED_ROWS_A_REQUEST) {
        await post(service, bulk(take(Math.min(left, SEED_ROWS_A_REQUEST))));
      }
      await stored(SEED_DRAIN_MS_MAX);
      return { seconds: (performance.now() - startedAt) / 1000 };
    },
    nextNumber: () => take(1)[0] ?? 0,
    stored: () => stored(),
    stop: async () => {
      service.kill('SIGTERM');
      const { code } = await service.ended;
      if (code !== 0) throw new Error(`the service ended with ${code}:\n${service.output()}`);
    },
    remove: async () => {
      service.kill('SIGKILL');
      await service.ended;
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export function oneRecord(number: number): LoadRequest {
  return { method: 'POST', path: RECORDS, headers: { 'Content-Type': 'application/json' }, body: flightText(number) };
}

function bulk(numbers: readonly number[]): LoadRequest {
  return {
    method: 'POST',
    path: RECORDS,
    headers: { 'Content-Type': 'application/x-ndjson' },
    body: ndjsonOf(numbers),
  };
}

async function post(service: ServiceProcess, { path, headers, body = '' }: LoadRequest): Promise<void> {
  const response = await fetch(`${service.url}${path}`, { method: 'POST', headers: { ...headers }, body });
  const text = await response.text();
  if (response.status !== 202) throw new Error(`POST answered ${response.status}: ${text}`);
}

interface Terms {
  readonly accepted: number;
  readonly stored: number;
  readonly inFlight: number;
  readonly difference: number;
}

/** From the moment the load stopped; a look costs the service some milliseconds, so they are few. */
async function awaitStored(
  service: ServiceProcess,
  { sent, drainMsMax }: { readonly sent: number; readonly drainMsMax: number },
): Promise<{ readonly drainMs: number }> {
  const startedAt = performance.now();
  for (;;) {
    const terms = await equation(service);
    const drainMs = performance.now() - startedAt;
    if (terms.inFlight === 0) {
      if (terms.stored === sent && terms.accepted === sent && terms.difference === 0) return { drainMs };
      throw new Error(`${sent} rows were sent, and the service says ${JSON.stringify(terms)}`);
    }
    if (drainMs > drainMsMax) {
      throw new Error(`${terms.inFlight} rows are not stored ${Math.round(drainMs)} ms after the load stopped`);
    }
    await pause(LOOK_MS);
  }
}

async function equation(service: ServiceProcess): Promise<Terms> {
  const response = await fetch(`${service.url}/v1/datasets`);
  if (response.status !== 200) throw new Error(`GET /v1/datasets answered ${response.status}`);
  return ((await response.json()) as { readonly equation: Terms }).equation;
}
