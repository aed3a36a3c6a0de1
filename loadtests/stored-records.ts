/**
 * What a service says it holds, asked over HTTP as any consumer would: whether everything is settled, and every
 * numbered record.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Dataset, numberOf } from './kills/numbered.ts';
import type { ServiceProcess } from './service-process.ts';

/** Rows are stored within a second or so; a redelivery waits at most for BACKOFF_MAX_MS. */
const SETTLE_TIMEOUT_MS = 90_000;
const REQUEST_TIMEOUT_MS = 30_000;
const PAGE_ROWS = 10_000;
const LANDING_FILES = 1_000;
const LANDING_LOOK_MS = 20;
const OPEN_STATES: ReadonlySet<string> = new Set(['waiting', 'checking', 'storing', 'retrying']);

export interface Terms {
  readonly accepted: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly deadLettered: number;
  readonly inFlight: number;
  readonly overdue: number;
  readonly difference: number;
}

/** Throws when an answer is not 200, whose body it quotes. */
export async function getJson<T>(service: ServiceProcess, path: string): Promise<T> {
  const response = await fetch(`${service.url}${path}`, {
    headers: { 'Cache-Control': 'no-cache' },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (response.status !== 200) throw new Error(`GET ${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

export async function equationOf(service: ServiceProcess): Promise<Terms> {
  return (await getJson<{ readonly equation: Terms }>(service, '/v1/datasets')).equation;
}

/** Resolves with the equation once nothing is in flight. The difference may be anything: the caller judges it. */
export async function settledEquation(service: ServiceProcess): Promise<Terms> {
  const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const equation = await equationOf(service);
    if (equation.inFlight === 0) return equation;
    if (performance.now() > deadlineMs)
      throw new Error(`still ${equation.inFlight} in flight after ${SETTLE_TIMEOUT_MS} ms:\n${service.output()}`);
  }
}

export interface LandingEntry {
  readonly path: string;
  readonly state: string;
  readonly read: number;
  readonly records: number | null;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly rejected: number;
  readonly error: { readonly code: string } | null;
}

/** Resolves with what became of the files once none waits any more. */
export async function settledLanding(service: ServiceProcess): Promise<readonly LandingEntry[]> {
  const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const { data } = await getJson<{ readonly data: readonly LandingEntry[] }>(
      service,
      `/v1/landing?limit=${LANDING_FILES}`,
    );
    const open = data.filter(({ state }) => OPEN_STATES.has(state));
    if (open.length === 0) return data;
    if (performance.now() > deadlineMs)
      throw new Error(`files still wait: ${open.map(told).join('; ')}\n${service.output()}`);
    await pause(LANDING_LOOK_MS);
  }
}

/** Throws when one came to another end than `done` or `skipped`, or when the records of one do not add up. */
export function requireAddedUp(files: readonly LandingEntry[]): void {
  const wrong = files.filter(({ state, read, records, stored, duplicate, quarantined, rejected }) => {
    if (state !== 'done') return state !== 'skipped';
    return read !== records || stored + duplicate + quarantined + rejected !== read;
  });
  if (wrong.length > 0) throw new Error(`files that do not add up: ${wrong.map(told).join('; ')}`);
}

function told({ path, state, records, read, stored, duplicate, quarantined, rejected, error }: LandingEntry): string {
  const counts = `${read} of ${records} read = ${stored} stored + ${duplicate} duplicate + ${quarantined} quarantined + ${rejected} rejected`;
  return `${path} ${state}, ${counts}${error === null ? '' : `, ${error.code}`}`;
}

/** Number → how often it is stored. */
export async function readNumbers(service: ServiceProcess, dataset: Dataset): Promise<Map<number, number>> {
  const seen = new Map<number, number>();
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_ROWS), ...(cursor === null ? {} : { cursor }) });
    const page: { readonly data: readonly Record<string, unknown>[]; readonly nextCursor: string | null } =
      await getJson(service, `/v1/datasets/${dataset}/records?${query}`);
    for (const record of page.data) {
      const number = numberOf(dataset, record);
      seen.set(number, (seen.get(number) ?? 0) + 1);
    }
    cursor = page.nextCursor;
  } while (cursor !== null);
  return seen;
}
