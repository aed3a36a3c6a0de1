/** Whether the service answers while it is busy with something else, and how long a caller waited at most. */
import type { ServiceProcess } from '../service-process.ts';

const EVERY_MS = 100;
const ANSWER_TIMEOUT_MS = 10_000;

export interface Answers {
  readonly slowestMs: number;
  readonly failed: number;
}

/** Asks how many rows there are, which goes through the API to the warehouse, ten times a second. */
export async function answersWhile<T>(
  service: ServiceProcess,
  act: () => Promise<T>,
): Promise<{ readonly done: T; readonly answers: Answers }> {
  let slowestMs = 0;
  let failed = 0;
  let asking: Promise<void> | undefined;
  const ask = async (): Promise<void> => {
    const startedAt = performance.now();
    const ok = await answers(`${service.url}/v1/datasets/trips/aggregates?measure=count`);
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    failed += Number(!ok);
  };
  const timer = setInterval(() => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
  }, EVERY_MS);
  try {
    const done = await act();
    return { done, answers: { slowestMs, failed } };
  } finally {
    clearInterval(timer);
    await asking;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    await response.text();
    return response.status === 200;
  } catch {
    return false;
  }
}
