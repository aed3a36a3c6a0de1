/**
 * The check of a whole file: its id, and its plan. What cannot be cut as it lies there is first made into a work file
 * that can: gzip is inflated once, Parquet is made into NDJSON. The id is always of the file's own bytes.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Contract } from '../datasets/contract.ts';
import { inflate } from '../record/inflate.ts';
import type { LandingPlan } from '../state/landing-file.ts';
import { fileTooLarge } from './file-problems.ts';
import type { NamedFile } from './landing-name.ts';
import { planRanges, type RecordFormat } from './range-plan.ts';

/** Some thousand records: half a millisecond of the thread that answers requests. */
const CHUNK_BYTES = 256 * 1024;

/** A Parquet file as NDJSON, in the order of the file, with values as the contract's reader takes them. */
export type ReadParquet = (options: {
  readonly path: string;
  readonly folder: string;
  readonly contract: Contract;
}) => AsyncIterable<Buffer>;

export interface CheckOptions {
  readonly handle: FileHandle;
  /** Of the same file, for a reader that opens it itself, and the folder that it lies in. */
  readonly path: string;
  readonly folder: string;
  readonly named: NamedFile;
  readonly contract: Contract;
  /** Where the work file is made when one is needed. */
  readonly workPath: string;
  readonly recordBytesMax: number;
  readonly rangeRowsMax: number;
  readonly rangeBytesMax: number;
  readonly inflatedBytesMax: number;
  /** A range ends before this index too. */
  readonly cutAt?: number;
  readonly readParquet?: ReadParquet;
  /** Throws when the service stops. */
  readonly onBytes: (bytes: number) => void;
}

/** Ranges are read from the work file when there is one, else from the file itself. */
export function needsWorkFile({ format, gzip }: NamedFile): boolean {
  return gzip || format === 'parquet';
}

export function recordFormat({ format }: NamedFile): RecordFormat {
  return format === 'csv' ? 'csv' : 'ndjson';
}

/** Throws AppError for what refuses the file as a whole (range-plan.ts, inflate.ts, FILE_TOO_LARGE). */
export async function checkFile(options: CheckOptions): Promise<LandingPlan> {
  const hash = createHash('sha256');
  const plan = await planRanges(contentOf(options, hash), { ...options, format: recordFormat(options.named) });
  return { fileId: hash.digest('hex'), ...plan };
}

/** The file's own bytes from `start` up to `end`, in chunks that nothing else holds. */
export async function* bytesOf(
  handle: FileHandle,
  { start, end, onBytes }: { readonly start: number; readonly end: number; readonly onBytes?: (bytes: number) => void },
): AsyncGenerator<Buffer> {
  for (let at = start; at < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    onBytes?.(bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}

function contentOf(options: CheckOptions, hash: Hash): AsyncIterable<Buffer> {
  const { handle, named, onBytes } = options;
  const whole = hashed(bytesOf(handle, { start: 0, end: Number.POSITIVE_INFINITY, onBytes }), hash);
  if (named.format === 'parquet') return fromParquet(options, whole);
  return named.gzip ? kept(inflate(whole), options) : whole;
}

async function* hashed(source: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

async function* kept(
  source: AsyncIterable<Buffer>,
  { workPath, inflatedBytesMax }: CheckOptions,
): AsyncGenerator<Buffer> {
  const work = await open(workPath, 'w');
  try {
    let bytes = 0;
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > inflatedBytesMax) throw fileTooLarge(inflatedBytesMax);
      await work.appendFile(chunk);
      yield chunk;
    }
  } finally {
    await work.close();
  }
}

async function* fromParquet(options: CheckOptions, whole: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { path, folder, contract, readParquet } = options;
  if (readParquet === undefined) throw new Error('nobody reads Parquet here');
  for await (const _chunk of whole);
  yield* kept(readParquet({ path, folder, contract }), options);
}
