/**
 * Starts the real service as a process of its own with everything it tells caught here: its lines on standard output,
 * its spans in an OTLP sink, its metrics by scraping it. For tests of what leaves the process.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type OtlpSink, openOtlpSink, type ReceivedSpan } from './telemetry/otlp-sink.ts';

export const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

export type Line = Readonly<Record<string, unknown>>;

/** Exposition lines without comments: `name{labels}` → value and exemplar. */
export type Samples = ReadonlyMap<string, { readonly value: number; readonly exemplar: string }>;

export interface ObservedService {
  readonly child: ChildProcess;
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly lines: readonly Line[];
  readonly sink: OtlpSink;
  scrape(): Promise<Samples>;
  /** Scrapes until it is so; each scrape is a round trip, so this neither sleeps nor spins. */
  scrapeUntil(satisfied: (samples: Samples) => boolean): Promise<Samples>;
  /** The text of the last scrape. */
  exposition(): string;
  /** Resolves with the first line of this event that was or will be written. */
  line(event: string): Promise<Line>;
  /** SIGTERM; resolves with the exit code when everything it wrote was read. */
  stop(): Promise<number | null>;
  /** After `stop`, or after a failure: nothing stays behind. */
  dispose(): Promise<void>;
}

interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is run in place of the service's own entry. */
  readonly entry?: string;
}

const SETTINGS = {
  PORT: '0',
  METRICS_PORT: '0',
  SAMPLE_DATA: 'off',
  NODE_ENV: 'test',
  WAREHOUSE_MEMORY_MIB: '256',
  // A busy machine is no part of what is tested.
  QUEUE_TIME_TARGET_MS: '10000',
  // Looks at once, whatever else happens.
  ACCOUNTING_INTERVAL_MS: '100',
};
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SCRAPES_MAX = 3000;
/** A line that does not come must fail its test, not keep the runner waiting. */
const LINE_TIMEOUT_MS = 10_000;

export async function startObserved({ env = {}, entry = 'app/main.ts' }: StartOptions = {}): Promise<ObservedService> {
  const dataDir = await mkdtemp(join(tmpdir(), 'vigia-observed-'));
  const sink = await openOtlpSink();
  const child = spawn(process.execPath, ['--import', './app/telemetry/start.ts', entry], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      // Coverage of a process that ends by itself is written where the runner looks for it.
      ...(process.env.NODE_V8_COVERAGE === undefined ? {} : { NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE }),
      ...SETTINGS,
      DATA_DIR: dataDir,
      OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const output = new Output(child);
  const { url, metrics_url: metricsUrl } = await output.line('service.started');
  let exposition = '';
  const scrape = async (): Promise<Samples> => {
    exposition = await (await fetch(String(metricsUrl))).text();
    return samplesOf(exposition);
  };
  return {
    child,
    url: String(url),
    port: Number(new URL(String(url)).port),
    dataDir,
    lines: output.lines,
    sink,
    scrape,
    scrapeUntil: async (satisfied) => {
      for (let tries = 0; tries < SCRAPES_MAX; tries += 1) {
        const samples = await scrape();
        if (satisfied(samples)) return samples;
      }
      return assert.fail(`never so in ${SCRAPES_MAX} scrapes; the last was\n${exposition}`);
    },
    exposition: () => exposition,
    line: (event) => output.line(event),
    stop: async () => {
      child.kill('SIGTERM');
      await output.ended;
      return child.exitCode;
    },
    dispose: async () => {
      child.kill('SIGKILL');
      await output.ended;
      await sink.close();
      await rm(dataDir, { recursive: true });
    },
  };
}

class Output {
  readonly lines: Line[] = [];
  readonly ended: Promise<unknown>;
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcess) {
    // 'close' comes after the last line.
    this.ended = once(child, 'close').finally(() => this.#wake());
    createInterface({ input: child.stdout ?? assert.fail('no standard output') }).on('line', (text) => {
      this.lines.push(JSON.parse(text));
      this.#wake();
    });
  }

  async line(event: string): Promise<Line> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const fail = (why: string): void => reject(new Error(`${why} without the line ${event}`));
    const timer = setTimeout(() => fail(`${LINE_TIMEOUT_MS} ms passed`), LINE_TIMEOUT_MS);
    void this.ended.then(() => fail('the process ended'));
    // Nobody waits for it once the line is there.
    late.catch(() => undefined);
    try {
      for (;;) {
        const found = this.lines.find(({ msg }) => msg === event);
        if (found !== undefined) return found;
        const { promise: next, resolve } = Promise.withResolvers<void>();
        this.#waiting.add(resolve);
        await Promise.race([next, late]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

export function samplesOf(exposition: string): Samples {
  const samples = new Map<string, { value: number; exemplar: string }>();
  for (const line of exposition.split('\n')) {
    const sample = /^([a-z][^{ ]*(?:\{.*?\})?) (\S+)(?: # (\{.*?\}) .*)?$/.exec(line);
    if (sample?.[1] === undefined || line.startsWith('#')) continue;
    samples.set(sample[1], { value: Number(sample[2]), exemplar: sample[3] ?? '' });
  }
  return samples;
}

/** Sum over the series of a metric whose labels include all of these. */
export function total(samples: Samples, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const [series, { value }] of samples) {
    const isIt = series === name || series.startsWith(`${name}{`);
    if (isIt && parts.every((part) => series.includes(part))) sum += value;
  }
  return sum;
}

export function spansOf(spans: readonly ReceivedSpan[], kind: keyof typeof KIND): readonly ReceivedSpan[] {
  return spans.filter((span) => span.kind === KIND[kind]);
}
