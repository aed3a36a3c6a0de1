/**
 * Accept → readable, seen from outside, while single records come in at a steady pace.
 *
 * Every tenth of a second one record is marked by an airport of its own; from its 202 on it is asked for, newest
 * answer, until a reader gets it. The last question counts in full, so what is told is never less than the truth.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { TRACING_OFF } from './post-one.ts';
import { flightText } from './records.ts';
import { mostResult, quantile, type Result } from './results.ts';
import { steadyLoad } from './steady-load.ts';
import { type Subject, startSubject } from './subject.ts';

const ROWS_A_SECOND = 2_000;
const SECONDS_A_ROUND = 10;
const WARM_SECONDS = 3;
const PROBE_MS = 100;
/** Between two questions about one record. */
const ASK_MS = 10;
const READABLE_SECONDS_MAX = 1;
const GIVE_UP_MS = 10_000;
const CONNECTIONS = 64;

export const readable: Measurement = {
  name: 'readable',
  about: 'accept → readable at 2,000 one-record POSTs a second; p95 in seconds',
  measure: async (options) => {
    const subject = await startSubject(TRACING_OFF);
    const pool = new Pool(subject.url, { connections: CONNECTIONS });
    const p95s: number[] = [];
    try {
      await run(subject, pool, WARM_SECONDS);
      for (let round = 0; round < options.rounds; round += 1) p95s.push(await measureRound(subject, pool, options));
      await pool.close();
      await subject.stop();
    } finally {
      await pool.destroy();
      await subject.remove();
    }
    const value = quantile(p95s, 0.5);
    return [
      mostResult({ name: 'accept → readable at 2,000 rows/s, p95, s', value, most: READABLE_SECONDS_MAX }),
    ] satisfies readonly Result[];
  },
};

async function measureRound(subject: Subject, pool: Pool, options: MeasurementOptions): Promise<number> {
  const { seconds, perSecond } = await run(subject, pool, SECONDS_A_ROUND * options.scale);
  const { drainMs } = await subject.stored();
  const p95 = quantile(seconds, 0.95);
  options.say(
    `  p95 ${p95.toFixed(3)} s, p50 ${quantile(seconds, 0.5).toFixed(3)} s over ${seconds.length} probes ` +
      `at ${Math.round(perSecond)} rows/s, drained in ${Math.round(drainMs)} ms`,
  );
  if (perSecond < ROWS_A_SECOND * 0.95)
    throw new Error(`only ${Math.round(perSecond)} rows/s were sent: the generator did not keep up`);
  return p95;
}

interface Run {
  readonly seconds: readonly number[];
  readonly perSecond: number;
}

async function run(subject: Subject, pool: Pool, durationSeconds: number): Promise<Run> {
  const seconds: number[] = [];
  const perSecond = await steadyLoad({
    perSecond: ROWS_A_SECOND,
    seconds: durationSeconds,
    send: () => post(pool, flightText(subject.nextNumber())),
    beside: {
      everyMs: PROBE_MS,
      act: async () => {
        seconds.push(await probe(pool, subject.nextNumber()));
      },
    },
  });
  return { seconds, perSecond };
}

async function post(pool: Pool, body: string): Promise<void> {
  const response = await pool.request({
    method: 'POST',
    path: '/v1/datasets/flights/records',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const text = await response.body.text();
  if (response.statusCode !== 202) throw new Error(`POST answered ${response.statusCode}: ${text}`);
}

/** Seconds from its 202 until a reader has it. */
async function probe(pool: Pool, number: number): Promise<number> {
  const airport = airportOf(number);
  const marked = JSON.parse(flightText(number)) as Readonly<Record<string, unknown>>;
  await post(pool, JSON.stringify({ ...marked, origin: airport }));
  const acceptedAt = performance.now();
  const departedAt = String(marked.departed_at);
  const to = new Date(Date.parse(departedAt) + 1).toISOString();
  const query = new URLSearchParams({ where: `origin:eq:${airport}`, from: departedAt, to, limit: '1' });
  for (;;) {
    const response = await pool.request({
      method: 'GET',
      path: `/v1/datasets/flights/records?${query}`,
      headers: { 'cache-control': 'no-cache' },
    });
    const { data } = (await response.body.json()) as { readonly data?: readonly unknown[] };
    const waitedMs = performance.now() - acceptedAt;
    if (response.statusCode !== 200) throw new Error(`GET answered ${response.statusCode}`);
    if (data?.length === 1) return waitedMs / 1000;
    if (waitedMs > GIVE_UP_MS) throw new Error(`a record was not readable ${Math.round(waitedMs)} ms after its 202`);
    await pause(ASK_MS);
  }
}

/** `Q` and two letters: no airport of the other flights begins so. */
function airportOf(number: number): string {
  const letter = (index: number): string => String.fromCharCode('A'.charCodeAt(0) + (index % 26));
  return `Q${letter(number)}${letter(Math.floor(number / 26))}`;
}
