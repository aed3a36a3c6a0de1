/** The real service as a process of its own, for what pushes it from outside: kills, benchmarks, drills. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const START_TIMEOUT_MS = 60_000;
/** Of what the process wrote, the newest part is kept for a failure's message. */
const OUTPUT_CHARACTERS_MAX = 65_536;

export interface ServiceProcess {
  readonly url: string;
  readonly metricsUrl: string;
  readonly pid: number;
  /** Resolves with how it ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** What it has written so far. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
}

/** It ended before it listened. */
export class ServiceEnded extends Error {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;

  constructor(end: { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly output: string }) {
    super(`the service ended before it listened (${end.signal ?? end.code}):\n${end.output}`);
    this.code = end.code;
    this.signal = end.signal;
    this.output = end.output;
  }
}

interface StartOptions {
  readonly dataDir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the node binary: `['strace', '-f', …]`. */
  readonly wrapper?: readonly string[];
  /** Where the service's source lies; default: this repository. */
  readonly root?: string;
}

/** Resolves when it listens; rejects with ServiceEnded when it ends before that. */
export async function startService({
  dataDir,
  env = {},
  wrapper = [],
  root = ROOT,
}: StartOptions): Promise<ServiceProcess> {
  const [program = process.execPath, ...rest] = [
    ...wrapper,
    process.execPath,
    '--import',
    './app/telemetry/start.ts',
    'app/main.ts',
  ];
  const child = spawn(program, rest, {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: '0',
      METRICS_PORT: '0',
      SAMPLE_DATA: 'off',
      DATA_DIR: dataDir,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = new Output(child);
  const ended = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  const { url, metricsUrl } = await listening(child, output);
  return {
    url,
    metricsUrl,
    pid: child.pid ?? 0,
    ended,
    output: () => output.text,
    kill: (signal) => child.kill(signal),
  };
}

class Output {
  text = '';

  constructor(child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (more: string) => {
        this.text = (this.text + more).slice(-OUTPUT_CHARACTERS_MAX);
      });
    }
  }
}

/** The start-up line names both addresses. */
function listening(
  child: ChildProcess,
  output: Output,
): Promise<{ readonly url: string; readonly metricsUrl: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`did not listen within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    const settle = (): void => {
      clearTimeout(timer);
      child.stdout?.off('data', look);
    };
    const fail = (why: string): void => {
      settle();
      reject(new Error(`the service ${why}:\n${output.text}`));
    };
    const look = (): void => {
      const metrics = /(http:\/\/[^\s"]+)\/metrics\b/.exec(output.text)?.[1];
      const docs = /(http:\/\/[^\s"]+)\/docs\b/.exec(output.text)?.[1];
      if (metrics === undefined || docs === undefined) return;
      settle();
      resolve({ url: docs, metricsUrl: `${metrics}/metrics` });
    };
    child.stdout?.on('data', look);
    child.once('error', (error) => fail(`could not be started (${error.message})`));
    // The pipes may still hold its last words when it exits; 'close' comes after them.
    child.once('close', (code, signal) => {
      settle();
      reject(new ServiceEnded({ code, signal, output: output.text }));
    });
  });
}
