/**
 * From a body to rows, as a stream.
 *
 * Every record of a body comes out exactly once, in order, with its position, however the bytes were cut into chunks:
 * as a value, or as a verdict when that one record cannot be read. What is wrong with the body as a whole (its encoding,
 * its end, its size, its header) is thrown; rows taken before that must be thrown away by the caller. NDJSON and CSV
 * never hold more than one record and one chunk; a JSON body, which has no records to cut at before it ended, is limited
 * as a whole.
 */
import { createHash } from 'node:crypto';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { CsvReader } from './csv-reader.ts';
import { inflate } from './inflate.ts';
import { JsonReader } from './json-reader.ts';
import type { BodyFormat } from './media-type.ts';
import { NdjsonReader } from './ndjson-reader.ts';
import { type DecodedRow, RowSink } from './row-sink.ts';
import { Utf8Gate } from './utf8-gate.ts';

export type { DecodedRow } from './row-sink.ts';

export interface DecodeLimits {
  /** One record, as it came. */
  readonly recordBytesMax: number;
  /** A JSON body, object or array. */
  readonly arrayBodyBytesMax: number;
  /** Any body, after inflation. */
  readonly bodyBytesMax: number;
  readonly rowsMax: number;
  readonly jsonDepthMax: number;
}

export interface DecodeOptions {
  readonly format: BodyFormat;
  readonly gzip: boolean;
  readonly contract: Contract;
  readonly limits: DecodeLimits;
  /** Called for each chunk after inflation, before it is held; what it throws ends the body. */
  readonly onBytes?: (bytes: number) => void;
  /** Also compute the SHA-256 of the decoded body. */
  readonly hash?: boolean;
}

export interface Decoded {
  readonly rows: number;
  /** After inflation. */
  readonly bytes: number;
  /** SHA-256, hex, of the body after inflation. */
  readonly bodyHash?: string;
}

/** What a format does with the text of a body. */
interface BodyReader {
  push(text: string): void;
  end(): void;
}

/** Throws AppError for the body as a whole, and whatever `take`, `onBytes` or the source throw as AppError. */
export async function decodeBody(
  source: AsyncIterable<Buffer>,
  options: DecodeOptions,
  take: (row: DecodedRow) => void,
): Promise<Decoded> {
  const sink = new RowSink(options.contract, options.limits, take);
  const reader = readerOf(options.format, sink);
  const gate = new Utf8Gate();
  const hash = options.hash === true ? createHash('sha256') : undefined;
  const bytesMax = bodyBytesMax(options);
  let bytes = 0;
  for await (const chunk of options.gzip ? inflate(received(source)) : received(source)) {
    bytes += chunk.length;
    if (bytes > bytesMax.limit) throw tooLarge(bytesMax);
    options.onBytes?.(chunk.length);
    hash?.update(chunk);
    const text = gate.push(chunk);
    if (text !== '') reader.push(text);
  }
  gate.end();
  reader.end();
  if (sink.count === 0) throw empty();
  return { rows: sink.count, bytes, ...(hash === undefined ? {} : { bodyHash: hash.digest('hex') }) };
}

function readerOf(format: BodyFormat, sink: RowSink): BodyReader {
  switch (format) {
    case 'json':
      return new JsonReader(sink);
    case 'ndjson':
      return new NdjsonReader(sink);
    case 'csv':
      return new CsvReader(sink);
  }
}

/** A connection that breaks is the sender's broken body; an AppError already says what it is. */
async function* received(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* source;
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError({
      code: 'BODY_INCOMPLETE',
      publicMessage: 'BODY_INCOMPLETE: the body broke off before its end; nothing of it was taken. Send it again.',
      cause,
    });
  }
}

interface BytesMax {
  readonly limit: number;
  readonly name: string;
}

function bodyBytesMax({ format, limits }: DecodeOptions): BytesMax {
  return format === 'json' && limits.arrayBodyBytesMax < limits.bodyBytesMax
    ? { limit: limits.arrayBodyBytesMax, name: 'ARRAY_BODY_BYTES_MAX' }
    : { limit: limits.bodyBytesMax, name: 'BODY_BYTES_MAX' };
}

function tooLarge({ limit, name }: BytesMax): AppError {
  const remedy =
    name === 'ARRAY_BODY_BYTES_MAX' ? 'Send NDJSON, which may be larger, or send it in parts.' : 'Send it in parts.';
  return new AppError({
    code: 'BODY_TOO_LARGE',
    publicMessage: `BODY_TOO_LARGE: the body is over ${limit} bytes (${name}) after inflation; nothing of it was taken. ${remedy}`,
  });
}

function empty(): AppError {
  return new AppError({
    code: 'BODY_EMPTY',
    publicMessage: 'BODY_EMPTY: the body holds no record. Send at least one; a CSV needs a row below its header.',
  });
}
