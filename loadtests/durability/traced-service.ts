/**
 * The real service under strace, and its system calls in the order in which they began and ended.
 *
 * strace traces as a grandchild (`-D`), so that the service stays our child: its signals and exit code are its own.
 * `-y` writes a descriptor's path beside it, which is how a sync is known to be the bus's or the warehouse's.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ServiceProcess, startService } from '../service-process.ts';

/** Of each buffer: a page of 4 KiB where every byte is written as four characters, several times over. */
const STRING_BYTES = 65_536;
const CALLS = 'openat,fdatasync,fsync,write,writev,pwrite64,pwritev';
/** strace writes its last lines after the service is gone. */
const TRACE_END_TIMEOUT_MS = 10_000;
const TAIL_BYTES = 4_096;
const LOOK_MS = 20;

export interface TracedService {
  readonly service: ServiceProcess;
  /** Once the service has ended: every call, complete. */
  calls(): Promise<readonly SystemCall[]>;
  remove(): Promise<void>;
}

export interface SystemCall {
  readonly name: string;
  /** The path or socket behind the first descriptor; the path given to openat. */
  readonly target: string;
  readonly descriptor: number;
  readonly text: string;
  /** Positions in the trace: B ended before A began when B.endedAt < A.beganAt. */
  readonly beganAt: number;
  readonly endedAt: number;
  readonly result: number;
}

interface TraceOptions {
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Rejects with the command that installs strace when there is none. */
export async function requireStrace(): Promise<void> {
  try {
    await promisify(execFile)('strace', ['-V']);
  } catch (error) {
    throw new Error('strace is missing: sudo apt-get install -y strace', { cause: error });
  }
}

export async function startTraced({ dataDir, env }: TraceOptions): Promise<TracedService> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-trace-'));
  const file = join(folder, 'trace');
  const service = await startService({
    dataDir,
    env,
    wrapper: ['strace', '-D', '-f', '-y', '-q', '-s', String(STRING_BYTES), '-o', file, '-e', `trace=${CALLS}`],
  });
  return {
    service,
    calls: async () => {
      await service.ended;
      await ended(file, service.pid);
      return parseTrace(await readFile(file, 'latin1'));
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

export interface Fault {
  readonly call: string;
  readonly error: 'EIO' | 'ENOSPC';
  /** As strace counts: the calls on this file, by each thread; `3+` is from the third on. */
  readonly when: string;
  /** Only calls on this file fail. */
  readonly path: string;
}

/** Starts the service so that the disk fails under it. One worker thread, because strace counts for each thread. */
export function startFailing({
  dataDir,
  env,
  fault,
}: TraceOptions & { readonly fault: Fault }): Promise<ServiceProcess> {
  const { call, error, when, path } = fault;
  const inject = [`trace=${call}`, `inject=${call}:error=${error}:when=${when}`].flatMap((one) => ['-e', one]);
  return startService({
    dataDir,
    env: { ...env, UV_THREADPOOL_SIZE: '1' },
    wrapper: ['strace', '-D', '-f', '-qq', '-o', '/dev/null', '-P', path, ...inject],
  });
}

async function ended(file: string, pid: number): Promise<void> {
  const last = new RegExp(`^${pid} +\\+\\+\\+ (exited|killed)`, 'm');
  const deadlineMs = performance.now() + TRACE_END_TIMEOUT_MS;
  while (!last.test(await tail(file))) {
    if (performance.now() > deadlineMs) throw new Error(`the trace of ${pid} has no end`);
    await pause(LOOK_MS);
  }
}

async function tail(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

const WHOLE = /^(\d+) +(\w+)\((.*)\) += (-?\d+)/s;
const BEGUN = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/s;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/s;
const DESCRIPTOR = /^(\d+)<([^>]*)>/;
const OPENED = /^[^"]*"([^"]*)"/;

/** One line is one call, or its beginning and later its end when another thread's came between. */
export function parseTrace(text: string): readonly SystemCall[] {
  const calls: SystemCall[] = [];
  const begun = new Map<string, { readonly at: number; readonly name: string; readonly parameters: string }>();
  for (const [at, line] of text.split('\n').entries()) {
    const [, thread = '', name = '', parameters = ''] = BEGUN.exec(line) ?? [];
    if (thread !== '') {
      begun.set(thread, { at, name, parameters });
      continue;
    }
    const resumed = RESUMED.exec(line);
    const whole = resumed === null ? WHOLE.exec(line) : null;
    if (whole) calls.push(callOf({ name: whole[2], parameters: whole[3], result: whole[4], beganAt: at, endedAt: at }));
    const start = resumed === null ? undefined : begun.get(resumed[1] ?? '');
    if (resumed === null || start === undefined) continue;
    const { name: called, parameters: first, at: beganAt } = start;
    calls.push(callOf({ name: called, parameters: first + resumed[3], result: resumed[4], beganAt, endedAt: at }));
  }
  return calls;
}

interface Parts {
  readonly name: string | undefined;
  readonly parameters: string | undefined;
  readonly result: string | undefined;
  readonly beganAt: number;
  readonly endedAt: number;
}

function callOf({ name = '', parameters = '', result, beganAt, endedAt }: Parts): SystemCall {
  const [, descriptor, path] = DESCRIPTOR.exec(parameters) ?? [];
  const opened = name === 'openat' ? OPENED.exec(parameters)?.[1] : undefined;
  return {
    name,
    target: opened ?? path ?? '',
    descriptor: Number(descriptor ?? -1),
    text: parameters,
    beganAt,
    endedAt,
    result: Number(result),
  };
}
