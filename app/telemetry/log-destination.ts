/**
 * Where log lines go: standard output, or a file that is rotated by size. Writing never waits for the disk; lines are
 * gathered, written at 4 KiB or after a second, and flushed when asked. Every line is counted, and so is every lost one.
 *
 * The file is pino's own destination (sonic-boom) with rename and reopen around it, not a rotating library: the two
 * well-kept ones lack a synchronous flush (rotating-file-stream) or rotate inside a worker thread whose lines a crash
 * loses (pino-roll). Rotation renames first and reopens after, so a line lands in the old file or the new one.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import type { LINE_DROPS } from './catalogue.ts';

/** Below it lines are gathered. One page, as pino's own documentation measures best. */
const GATHER_BYTES = 4096;
const FLUSH_INTERVAL_MS = 1000;
/** Lines waiting for a destination that does not take them (a blocked pipe); then they are dropped and counted. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export interface LogDestinationOptions {
  /** Empty: standard output. */
  readonly file: string;
  readonly bytesMax: number;
  /** Old files kept beside the current one: `file.1` is the newest. */
  readonly filesMax: number;
}

export interface LogDestination {
  write(line: string): void;
  readonly dropped: Readonly<Record<(typeof LINE_DROPS)[number], number>>;
  /** Resolves when everything written so far was handed to the system, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  /** For the last moments of a process. */
  flushSync(): void;
  close(): void;
}

type Stream = ReturnType<typeof pino.destination>;

export function openLogDestination({ file, bytesMax, filesMax }: LogDestinationOptions): LogDestination {
  const toFile = file !== '';
  if (toFile) mkdirSync(dirname(file), { recursive: true });
  const stream = pino.destination({
    dest: toFile ? file : 1,
    sync: false,
    minLength: GATHER_BYTES,
    maxLength: WAITING_BYTES_MAX,
  });
  const dropped = { buffer_full: 0, write_failed: 0 };
  const state = { bytes: toFile && existsSync(file) ? statSync(file).size : 0, broken: false };
  stream.on('drop', () => {
    dropped.buffer_full += 1;
  });
  // Without a listener a full disk would end the process. What was not written stays in the buffer and is tried again,
  // except after a broken pipe: pino then throws lines away without a word.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') state.broken = true;
    warnOnce(error);
  });
  const timer = setInterval(() => stream.flush(), FLUSH_INTERVAL_MS);
  timer.unref();
  return {
    dropped,
    write: (line) => {
      if (state.broken) dropped.write_failed += 1;
      else stream.write(line);
      if (!toFile) return;
      state.bytes += Buffer.byteLength(line);
      if (state.bytes < bytesMax) return;
      state.bytes = 0;
      rotate({ stream, file, filesMax });
    },
    flush: (timeoutMs) => flush(stream, timeoutMs),
    flushSync: () => flushSync(stream),
    close: () => {
      clearInterval(timer);
      stream.end();
    },
  };
}

function rotate({
  stream,
  file,
  filesMax,
}: {
  readonly stream: Stream;
  readonly file: string;
  readonly filesMax: number;
}): void {
  try {
    rmSync(`${file}.${filesMax}`, { force: true });
    for (let age = filesMax - 1; age > 0; age--) {
      if (existsSync(`${file}.${age}`)) renameSync(`${file}.${age}`, `${file}.${age + 1}`);
    }
    renameSync(file, `${file}.1`);
    stream.reopen();
  } catch (error) {
    // The old file stays open and takes the lines; the next try is one file size later.
    warnOnce(error);
  }
}

/** At drain up to 4 KiB may still be gathered, so a synchronous flush of that rest ends it. */
async function flush(stream: Stream, timeoutMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  stream.flush(() => resolve());
  await promise;
  clearTimeout(timer);
  flushSync(stream);
}

function flushSync(stream: Stream): void {
  try {
    stream.flushSync();
  } catch (error) {
    // "Not ready": the file is still being opened, in the first milliseconds of a process.
    warnOnce(error);
  }
}

const warned = new Set<string>();

/** On standard error, because the log itself is what fails; once for each reason. */
function warnOnce(error: unknown): void {
  const reason = error instanceof Error ? ('code' in error ? String(error.code) : error.message) : 'unknown';
  if (warned.has(reason)) return;
  warned.add(reason);
  process.emitWarning(`Log lines cannot be written: ${reason}. They are kept up to ${WAITING_BYTES_MAX} bytes.`);
}
