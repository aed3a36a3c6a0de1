/**
 * Telemetry never fails what it tells of: a delivery whose rows are committed must not come again because a metric
 * could not be counted. This is the one place where such a failure is caught. Each is counted
 * (`vigia_telemetry_failures_total`); one line a minute says which it was.
 */
import type { Log } from './log.ts';
import type { Measures } from './metrics.ts';

const LINE_EVERY_MS = 60_000;

interface HarmlessOptions {
  readonly now: () => number;
  /** Writes the line; what it throws is counted as well. */
  readonly tell: (failed: { readonly failures: number; readonly error: unknown }) => void;
}

export class Harmless {
  readonly #options: HarmlessOptions;
  #failures = 0;
  #toldFailures = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: HarmlessOptions) {
    this.#options = options;
  }

  get failures(): number {
    return this.#failures;
  }

  /** What `tell` gives, or undefined when it threw. */
  attempt<T>(tell: () => T): T | undefined {
    try {
      return tell();
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    const nowMs = this.#options.now();
    if (nowMs - this.#toldAtMs < LINE_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    const failures = this.#failures - this.#toldFailures;
    this.#toldFailures = this.#failures;
    try {
      this.#options.tell({ failures, error });
    } catch {
      // The line itself: nothing is left to tell it by but the count.
      this.#failures += 1;
    }
  }
}

export function harmlessMeasures(metrics: Measures, harmless: Harmless): Measures {
  return {
    add: (name, labels, value) => harmless.attempt(() => metrics.add(name, labels, value)),
    set: (name, labels, value) => harmless.attempt(() => metrics.set(name, labels, value)),
    observe: (name, labels, value) => harmless.attempt(() => metrics.observe(name, labels, value)),
    observeMany: (name, labels, value, times) =>
      harmless.attempt(() => metrics.observeMany(name, labels, value, times)),
    observeWithExemplar: (name, labels, value, exemplar) =>
      harmless.attempt(() => metrics.observeWithExemplar(name, labels, value, exemplar)),
    zero: (name, labels) => harmless.attempt(() => metrics.zero(name, labels)),
  };
}

export function harmlessLog(log: Log, harmless: Harmless): Log {
  return { ...log, write: (event, fields) => harmless.attempt(() => log.write(event, fields)) };
}
