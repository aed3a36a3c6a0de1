/**
 * Telemetry as the rest of the service sees it: functions named after what happened. No other module knows the name
 * of a metric, a label or a log line, and none of these functions throws or waits on account of telemetry.
 */
import { LEVELS, LINE_DROPS, type LogEvent, SPAN_DROPS, UNMATCHED_ROUTE } from './catalogue.ts';
import { Harmless, harmlessLog, harmlessMeasures } from './harmless.ts';
import { type Level, type Log, type LogFields, openLog } from './log.ts';
import { type LandingTelemetry, landingTelemetry } from './landing-telemetry.ts';
import { type MessageTelemetry, messageTelemetry } from './message-telemetry.ts';
import { type Measures, Metrics } from './metrics.ts';
import { type RecordTelemetry, recordTelemetry } from './record-telemetry.ts';
import { type RequestTelemetry, requestTelemetry } from './request-telemetry.ts';
import { type MetricsListener, openMetricsListener, type Sample } from './scrape.ts';
import { selfCheck } from './self-check.ts';
import { shutdownTracing, tracing } from './span-export.ts';

export type { MetricsListener } from './scrape.ts';

export interface TelemetryOptions {
  readonly version: string;
  readonly role?: string;
  readonly logLevel: Level | 'silent';
  /** Empty: standard output. */
  readonly logFile: string;
  readonly logFileBytesMax: number;
  readonly logFilesMax: number;
  readonly datasets: readonly string[];
  /** Reasons a row can be quarantined for. */
  readonly codes: readonly string[];
  /** `messaging.system` on message spans. */
  readonly messagingSystem?: string;
  readonly now: () => number;
}

export interface ServiceTelemetry {
  /** Throws when tracing is on but http, express or pino is not instrumented. Once, at start. */
  selfCheck(): Promise<void>;
  started(where: {
    readonly url: string;
    readonly docs: string;
    readonly metrics: string;
    readonly dataDir: string;
  }): void;
  readiness(state: { readonly ready: boolean; readonly reason?: string }): void;
  stopping(why: { readonly reason: string }): void;
  stopped(why: { readonly reason: string }): void;
  /** The process is about to end: the line is written before this returns. */
  failed(why: { readonly reason: string; readonly error: unknown }): void;
  warehouseBroken(why: { readonly error: unknown; readonly file?: string }): void;
  observationFailed(why: { readonly error: unknown; readonly look?: string }): void;
  samplesLoaded(what: { readonly rows: number; readonly dataset?: string }): void;
  /** Everything else that is only a line: the catalogue says which fields it may carry. */
  log<E extends LogEvent>(event: E, fields: LogFields<E>): void;
  /** Runs what only tells others of work that is done: its failure is counted and told, and fails nothing. */
  harmlessly(tell: () => void): void;
  /** `sample` sets gauges; it runs at every scrape, and its failure is counted. */
  onScrape(sample: Sample): void;
  listen(address: { readonly host: string; readonly port: number }): Promise<MetricsListener>;
  /** The text of a scrape, without the readings. */
  render(): Promise<string>;
  /** Flushes lines and spans within the deadline; what this process lost in all is said in the last line. */
  shutdown(options: { readonly timeoutMs: number }): Promise<void>;
}

export type Telemetry = RequestTelemetry & MessageTelemetry & RecordTelemetry & LandingTelemetry & ServiceTelemetry;

interface Parts {
  readonly metrics: Measures;
  readonly log: Log;
  readonly samples: Set<Sample>;
  readonly startedAtMs: number;
  readonly now: () => number;
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { datasets, codes, now, messagingSystem: system = 'vigia' } = options;
  const routes = new Set([UNMATCHED_ROUTE]);
  const live = new Metrics({ datasets, codes, routes });
  const lines = openLog({
    level: options.logLevel,
    destination: { file: options.logFile, bytesMax: options.logFileBytesMax, filesMax: options.logFilesMax },
    now,
  });
  const harmless = new Harmless({ now, tell: (failed) => lines.write('telemetryFailed', failed) });
  const metrics = harmlessMeasures(live, harmless);
  const log = harmlessLog(lines, harmless);
  const samples = new Set<Sample>();
  const onScrape = (sample: Sample): void => {
    samples.add(sample);
  };
  const parts = { metrics, log, samples, now, startedAtMs: now() };
  const records = recordTelemetry({ metrics, log, now, onScrape });
  metrics.set('buildInfo', buildLabels(options), 1);
  onScrape(ownAccounts({ metrics, log, harmless }));
  return {
    ...requestTelemetry({ metrics, log, routes }),
    ...messageTelemetry({ metrics, log, harmless, system }),
    ...records,
    ...landingTelemetry({ metrics, log, records }),
    ...lifeTelemetry({ ...parts, build: buildLabels(options), announce: announcement(options) }),
    selfCheck,
    log: (event, fields) => log.write(event, fields),
    harmlessly: (tell) => void harmless.attempt(tell),
    onScrape,
    listen: (address) => openMetricsListener({ metrics: live, log, samples }, address),
    render: () => live.render(),
    shutdown: ({ timeoutMs }) => shutdown(log, timeoutMs),
  };
}

/** For a person: on a terminal, and where the line itself goes to a file or is below the level. Silent means silent. */
function announcement({ logLevel, logFile }: TelemetryOptions): (text: string) => void {
  const onStandardOutput = logFile === '' && ['trace', 'debug', 'info'].includes(logLevel);
  if (logLevel === 'silent' || (onStandardOutput && !process.stdout.isTTY)) return () => undefined;
  return (text) => void process.stdout.write(text);
}

function buildLabels({ version, role = 'all' }: TelemetryOptions) {
  return {
    version,
    role,
    node: process.version,
    tracing: tracing.exporting ? 'exported' : tracing.enabled ? 'ids' : 'off',
  };
}

interface LifeParts extends Parts {
  readonly build: ReturnType<typeof buildLabels>;
  readonly announce: (text: string) => void;
}

/** The start-up line is waited for by whoever started the process. */
const START_LINE_TIMEOUT_MS = 1000;

function lifeTelemetry({ metrics, log, now, startedAtMs, build, announce }: LifeParts) {
  let stoppingAtMs = startedAtMs;
  return {
    started: ({ url, docs, metrics: metricsUrl, dataDir }) => {
      const startMs = now() - startedAtMs;
      log.write('serviceStarted', { ...build, url, docsUrl: docs, metricsUrl, dataDir, startMs });
      void log.destination
        .flush(START_LINE_TIMEOUT_MS)
        .then(() =>
          announce(`Vigía serves ${url}\n  docs    ${docs}\n  metrics ${metricsUrl}\n  data    ${dataDir}\n`),
        );
    },
    readiness: ({ ready, reason }) => {
      metrics.set('ready', {}, ready ? 1 : 0);
      if (ready) log.write('serviceReady', { startMs: now() - startedAtMs });
      else log.write('serviceNotReady', { reason });
    },
    stopping: ({ reason }) => {
      stoppingAtMs = now();
      metrics.set('ready', {}, 0);
      log.write('serviceStopping', { signal: reason });
    },
    stopped: () => log.write('serviceStopped', { durationMs: now() - stoppingAtMs }),
    failed: ({ reason, error }) => {
      log.write('serviceFailed', { reason, error });
      log.destination.flushSync();
    },
    warehouseBroken: ({ error, file }) => log.write('warehouseBroken', { error, file }),
    observationFailed: ({ error, look = 'watcher' }) => {
      metrics.add('sampleFailures', {});
      log.write('sampleFailed', { sample: look, error });
    },
    samplesLoaded: ({ rows, dataset }) => log.write('samplesLoaded', { records: rows, dataset }),
  } satisfies Partial<ServiceTelemetry>;
}

/** Telemetry's accounts of itself. They are running totals elsewhere; a counter may only be added to. */
function ownAccounts({
  metrics,
  log,
  harmless,
}: Pick<Parts, 'metrics' | 'log'> & { readonly harmless: Harmless }): Sample {
  const seen = new Map<string, number>();
  const grown = (name: string, total: number): number => {
    const by = total - (seen.get(name) ?? 0);
    seen.set(name, total);
    return by;
  };
  return function ownAccounts() {
    const { ended, exported, dropped } = tracing.spans;
    metrics.add('spansEnded', {}, grown('ended', ended));
    metrics.add('telemetryFailures', {}, grown('failures', harmless.failures));
    metrics.add('spansExported', {}, grown('exported', exported));
    for (const reason of SPAN_DROPS) metrics.add('spansDropped', { reason }, grown(reason, dropped[reason]));
    for (const level of LEVELS) metrics.add('logLines', { level }, grown(level, log.lines[level]));
    for (const reason of LINE_DROPS)
      metrics.add('logLinesDropped', { reason }, grown(reason, log.destination.dropped[reason]));
  };
}

/** Shares of the deadline: a collector that does not answer must leave time to say so. */
const SPANS_SHARE = 0.7;
const LINES_SHARE = 0.15;

async function shutdown(log: Log, timeoutMs: number): Promise<void> {
  await log.destination.flush(timeoutMs * LINES_SHARE);
  const { error } = await shutdownTracing(timeoutMs * SPANS_SHARE);
  const spans = SPAN_DROPS.reduce((sum, reason) => sum + tracing.spans.dropped[reason], 0);
  const lines = LINE_DROPS.reduce((sum, reason) => sum + log.destination.dropped[reason], 0);
  const lost = spans > 0 || lines > 0 || error !== undefined;
  if (lost) log.write('telemetryLost', { spans, lines, reason: 'shutdown', error });
  await log.destination.flush(timeoutMs * LINES_SHARE);
  log.destination.close();
}
