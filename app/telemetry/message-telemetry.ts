/** What is told of messages and of calls to what the service depends on: rate, errors, duration, and a span. */
import { AppError } from '../errors.ts';
import {
  BREAKER_STATES,
  DEPENDENCY_OPERATIONS,
  type Dependency,
  MESSAGE_ERRORS,
  type Operation,
  OVERFLOW,
} from './catalogue.ts';
import type { Harmless } from './harmless.ts';
import type { Log } from './log.ts';
import { codeOf } from './log.ts';
import type { Measures } from './metrics.ts';
import type { BreakerState } from './request-telemetry.ts';
import {
  currentSpan,
  dependencySpan,
  type PublishedBatch,
  processSpan,
  publishSpan,
  type TracedDelivery,
} from './tracing.ts';

export interface MessageTelemetry {
  /** `run` publishes with these attributes on every message: they carry the trace to the subscriber. */
  publishing<T>(batch: PublishedBatch, run: (attributes: Readonly<Record<string, string>>) => Promise<T>): Promise<T>;
  processing<T>(batch: { readonly deliveries: readonly TracedDelivery[] }, run: () => Promise<T>): Promise<T>;
  dependency<D extends Dependency, T>(
    call: { readonly dependency: D; readonly operation: Operation<D> },
    run: () => Promise<T>,
  ): Promise<T>;
  breakerChanged(change: { readonly dependency: Dependency; readonly state: BreakerState }): void;
}

interface Parts {
  readonly metrics: Measures;
  readonly log: Log;
  readonly harmless: Harmless;
  /** `messaging.system`. */
  readonly system: string;
}

export function messageTelemetry({ metrics, log, harmless, system }: Parts): MessageTelemetry {
  const tracer = { system, harmless };
  zeroDependencies(metrics);
  return {
    publishing: async (batch, run) => {
      const startedAt = performance.now();
      const finished = (outcome: 'ok' | 'error'): void => {
        const call = { dependency: 'bus', operation: 'publish' } as const;
        observeCall(metrics, call, { outcome, seconds: secondsSince(startedAt) });
      };
      const sent = (error_type: string) =>
        metrics.add('sentMessages', { dataset: batch.dataset, error_type }, batch.messages);
      try {
        const result = await publishSpan(tracer, batch, run);
        finished('ok');
        sent('');
        return result;
      } catch (error) {
        finished('error');
        sent(errorTypeOf(error));
        throw error;
      }
    },
    processing: async ({ deliveries }, run) => {
      countDeliveries(metrics, deliveries);
      const startedAt = performance.now();
      const finished = (error_type: string): void =>
        metrics.observe('processDuration', { error_type }, secondsSince(startedAt));
      // Inside the span, so that the line carries its trace.
      return processSpan(tracer, deliveries, async () => {
        try {
          const result = await run();
          finished('');
          return result;
        } catch (error) {
          finished(errorTypeOf(error));
          const attempt = deliveries.reduce((most, one) => Math.max(most, one.attempt), 0);
          const durationMs = Math.round(performance.now() - startedAt);
          log.write('batchFailed', { messages: deliveries.length, attempt, durationMs, error });
          throw error;
        }
      });
    },
    dependency: async (call, run) => {
      const startedAt = performance.now();
      try {
        const result = await (hasSpan(call) ? dependencySpan(harmless, call, run) : run());
        observeCall(metrics, call, { outcome: 'ok', seconds: secondsSince(startedAt) });
        return result;
      } catch (error) {
        const seconds = secondsSince(startedAt);
        const failed = !isCallersFault(error);
        observeCall(metrics, call, { outcome: failed ? 'error' : 'ok', seconds });
        if (failed) log.write('dependencyFailed', { ...call, durationMs: Math.round(seconds * 1000), error });
        throw error;
      }
    },
    breakerChanged: ({ dependency, state }) => {
      for (const one of BREAKER_STATES) metrics.set('breakerState', { dependency, state: one }, one === state ? 1 : 0);
      log.write('breakerChanged', { dependency, state });
    },
  };
}

interface Call {
  readonly dependency: Dependency;
  readonly operation: string;
}

function observeCall(
  metrics: Measures,
  { dependency, operation }: Call,
  { outcome, seconds }: { readonly outcome: 'ok' | 'error'; readonly seconds: number },
): void {
  metrics.observe('dependencyDuration', { dependency, operation, outcome }, seconds);
}

/** The dependency answered, and what was asked was wrong. */
function isCallersFault(error: unknown): boolean {
  return error instanceof AppError && error.status < 500;
}

/** Only inside a trace: what the service asks itself every few seconds would be most of the traces and tell nothing. */
function hasSpan({ dependency, operation }: Call): boolean {
  const operations: Readonly<Record<string, { readonly span: boolean }>> = DEPENDENCY_OPERATIONS[dependency];
  return operations[operation]?.span === true && currentSpan() !== undefined;
}

function zeroDependencies(metrics: Measures): void {
  for (const [dependency, operations] of Object.entries(DEPENDENCY_OPERATIONS)) {
    for (const operation of Object.keys(operations)) {
      for (const outcome of ['ok', 'error']) metrics.zero('dependencyDuration', { dependency, operation, outcome });
    }
    metrics.set('breakerState', { dependency, state: 'closed' }, 1);
  }
}

function countDeliveries(metrics: Measures, deliveries: readonly TracedDelivery[]): void {
  for (const { dataset, attempt, ageSeconds } of deliveries) {
    metrics.add('consumedMessages', { dataset });
    metrics.observe('queueWait', { dataset }, ageSeconds);
    if (attempt > 1) metrics.add('redeliveredMessages', { dataset });
  }
}

const MESSAGE_ERROR_SET: ReadonlySet<string> = new Set(MESSAGE_ERRORS);

/** A code the catalogue lists, else `_OTHER`: which one it was stands in the log line. */
function errorTypeOf(error: unknown): string {
  const code = codeOf(error);
  return code !== undefined && MESSAGE_ERROR_SET.has(code) ? code : OVERFLOW;
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
