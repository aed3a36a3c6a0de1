/**
 * What a service says it holds, asked over HTTP as any consumer would: whether everything is settled, and every
 * numbered record.
 */
import { type Dataset, numberOf } from './kills/numbered.ts';
import type { ServiceProcess } from './service-process.ts';

/** Rows are stored within a second or so; a redelivery waits at most for BACKOFF_MAX_MS. */
const SETTLE_TIMEOUT_MS = 90_000;
const REQUEST_TIMEOUT_MS = 30_000;
const PAGE_ROWS = 10_000;

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
