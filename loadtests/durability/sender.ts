/** Numbered flights, one request at a time or several at once, and what became of each. */
import { flightOf } from '../kills/numbered.ts';
import type { ServiceProcess } from '../service-process.ts';
import { readNumbers, settledEquation, type Terms } from '../stored-records.ts';

const ANSWER_TIMEOUT_MS = 20_000;

export interface Answered {
  readonly number: number;
  /** 0 when the connection broke. */
  readonly status: number;
  readonly code: string;
  readonly requestId: string;
}

/** Never throws: a broken connection is an answer too. */
export async function sendFlight(service: ServiceProcess, number: number, key?: string): Promise<Answered> {
  try {
    const response = await fetch(`${service.url}/v1/datasets/flights/records`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(key === undefined ? {} : { 'Idempotency-Key': key }) },
      body: JSON.stringify(flightOf(number)),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const { status } = response;
    const { code = '' } = (await response.json()) as { readonly code?: string };
    return { number, status, code, requestId: response.headers.get('Vigia-Request-Id') ?? '' };
  } catch {
    return { number, status: 0, code: '', requestId: '' };
  }
}

export interface Custody {
  readonly equation: Terms;
  /** Promised with 202 and not there. */
  readonly lost: readonly number[];
  /** There more than once. */
  readonly doubled: readonly number[];
  /** There and never sent. */
  readonly strange: readonly number[];
}

/** Once everything is settled. What was refused may be there all the same: its outcome was unknown. */
export async function custodyOf(service: ServiceProcess, sent: readonly Answered[]): Promise<Custody> {
  const equation = await settledEquation(service);
  const stored = await readNumbers(service, 'flights');
  const numbers = new Set(sent.map(({ number }) => number));
  return {
    equation,
    lost: sent.filter(({ status, number }) => status === 202 && !stored.has(number)).map(({ number }) => number),
    doubled: [...stored].filter(([, times]) => times > 1).map(([number]) => number),
    strange: [...stored.keys()].filter((number) => !numbers.has(number)),
  };
}
