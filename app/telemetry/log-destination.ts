/**
 * Where log lines go: standard output, or a file that is rotated by size. Writing never waits for the disk; lines are
 * gathered, written at 4 Ki characters or after a second, and flushed when asked and at exit. Every lost line is
 * counted.
 *
 * The file is pino's own destination (sonic-boom) with rename and reopen around it, not a rotating library: the two
 * well-kept ones lack a synchronous flush (rotating-file-stream) or rotate inside a worker thread whose lines a crash
 * loses (pino-roll). Rotation renames first and reopens after, so a line lands in the old file or the new one.
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { openToOthers } from '../private-files.ts';
import type { LINE_DROPS } from './catalogue.ts';

/** Lines are gathered up to here. Done before the library: it measures all it holds again at every line (3 µs). */
const GATHER_CHARS = 4096;
/** The library's own gathering, off; 0 would make its flush answer before anything is written. */
const LIBRARY_GATHER_BYTES = 1;
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

export function openLogDestination(options: LogDestinationOptions): LogDestination {
  return new Destination(options);
}

/** One listener for all of them: what is still gathered when the process ends is written. */
const openDestinations = new Set<Destination>();
process.on('exit', () => {
  for (const destination of openDestinations) destination.flushSync();
});

class Destination implements LogDestination {
  readonly dropped = { buffer_full: 0, write_failed: 0 };
  readonly #options: LogDestinationOptions;
  readonly #stream: Stream;
  readonly #timer: NodeJS.Timeout;
  #gathered = '';
  #fileBytes = 0;
  #broken = false;

  constructor(options: LogDestinationOptions) {
    const { file } = options;
    this.#options = options;
    if (file !== '') {
      makeLogFile(file);
      this.#fileBytes = existsSync(file) ? statSync(file).size : 0;
    }
    const dest = file === '' ? STANDARD_OUTPUT : file;
    this.#stream = pino.destination({
      dest,
      sync: false,
      minLength: LIBRARY_GATHER_BYTES,
      maxLength: WAITING_BYTES_MAX,
    });
    this.#stream.on('drop', (chunk: string) => {
      this.dropped.buffer_full += linesIn(chunk);
    });
    // Without a listener a full disk would end the process. What was not written stays in the buffer and is tried
    // again, except after a broken pipe: the library then throws everything away without a word.
    this.#stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') this.#broken = true;
      warnOnce(error);
    });
    this.#timer = setInterval(() => this.#handOver(), FLUSH_INTERVAL_MS);
    this.#timer.unref();
    openDestinations.add(this);
  }

  write(line: string): void {
    this.#gathered += line;
    if (this.#gathered.length >= GATHER_CHARS) this.#handOver();
  }

  async flush(timeoutMs: number): Promise<void> {
    this.#handOver();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#stream.flush(() => resolve());
    await promise;
    clearTimeout(timer);
  }

  flushSync(): void {
    this.#handOver();
    try {
      this.#stream.flushSync();
    } catch (error) {
      // "Not ready": the file is still being opened, in the first milliseconds of a process.
      warnOnce(error);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    openDestinations.delete(this);
    this.#handOver();
    this.#stream.end();
  }

  #handOver(): void {
    const chunk = this.#gathered;
    if (chunk === '') return;
    this.#gathered = '';
    if (this.#broken) this.dropped.write_failed += linesIn(chunk);
    else this.#stream.write(chunk);
    const { file, bytesMax, filesMax } = this.#options;
    if (file === '') return;
    this.#fileBytes += Buffer.byteLength(chunk);
    if (this.#fileBytes < bytesMax) return;
    this.#fileBytes = 0;
    rotate({ stream: this.#stream, file, filesMax });
  }
}

const STANDARD_OUTPUT = 1;

function linesIn(chunk: string): number {
  return chunk.split('\n').length - 1;
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
    makeLogFile(file);
    stream.reopen();
  } catch (error) {
    // The old file stays open and takes the lines; the next try is one file size later.
    warnOnce(error);
  }
}

/** Others may read it, as a collector does that is no user of ours. */
function makeLogFile(file: string): void {
  const folder = dirname(file);
  const made = mkdirSync(folder, { recursive: true });
  for (let path = folder; made !== undefined && path.length >= made.length; path = dirname(path)) {
    openToOthers(path, 'folder');
  }
  if (existsSync(file)) return;
  closeSync(openSync(file, 'a'));
  openToOthers(file, 'file');
}

const warned = new Set<string>();

/** On standard error, because the log itself is what fails; once for each reason. */
function warnOnce(error: unknown): void {
  const reason = error instanceof Error ? ('code' in error ? String(error.code) : error.message) : 'unknown';
  if (warned.has(reason)) return;
  warned.add(reason);
  process.emitWarning(`Log lines cannot be written: ${reason}. They are kept up to ${WAITING_BYTES_MAX} bytes.`);
}
