/**
 * An open load: what is due is sent, whether or not earlier requests were answered. A service that falls behind is met
 * by a queue, as it would be by producers that do not know of one another.
 */
import { setTimeout as pause } from 'node:timers/promises';

/** What is due is looked at this often: at 2,000 a second twenty requests leave together. */
const TURN_MS = 10;

interface SteadyLoad {
  readonly perSecond: number;
  readonly seconds: number;
  readonly send: () => Promise<void>;
  /** Beside the load, each at its own interval and under the same account of failures. */
  readonly beside: { readonly everyMs: number; readonly act: () => Promise<void> };
}

/** Resolves when everything sent is answered, with how many were sent in a second; throws the first failure. */
export async function steadyLoad({ perSecond, seconds, send, beside }: SteadyLoad): Promise<number> {
  const failures: unknown[] = [];
  const running = new Set<Promise<void>>();
  const start = (action: () => Promise<void>): void => {
    const one = action()
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => running.delete(one));
    running.add(one);
  };
  const startedAt = performance.now();
  const elapsedMs = (): number => performance.now() - startedAt;
  let sent = 0;
  let nextBesideMs = 0;
  while (elapsedMs() < seconds * 1000 && failures.length === 0) {
    for (const due = Math.floor((elapsedMs() / 1000) * perSecond); sent < due; sent += 1) start(send);
    if (elapsedMs() >= nextBesideMs) {
      start(beside.act);
      nextBesideMs += beside.everyMs;
    }
    await pause(TURN_MS);
  }
  const rate = sent / (elapsedMs() / 1000);
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
  return rate;
}
