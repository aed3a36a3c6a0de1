/**
 * Where the records of a file lie: bytes in, bounds out, nothing decoded and at most one record held.
 *
 * It counts records exactly as app/record does (a property test compares the two): blank lines are no records, a CSV
 * record ends at a line end outside quotes, a byte order mark counts only at the very start, a record over the limit is
 * one record of which only the bounds are told. So a record's index is the same whether the file comes over HTTP or is
 * cut into ranges. It works on bytes because a file has millions of records and most of them are never looked at here:
 * no byte of an ASCII character occurs inside another one in UTF-8.
 */
import { AppError } from '../errors.ts';

/** One object for all records: read it in the call, keep nothing of it but the numbers. */
export interface RecordPlace {
  readonly bytes: Buffer;
  /** The record without its line end: `bytes[start]` to `bytes[end - 1]`. */
  readonly start: number;
  readonly end: number;
  /** Where the next line begins. */
  readonly next: number;
  /** A quote is in it. */
  readonly quoted: boolean;
  /** Where `bytes[0]` stands in the file. */
  readonly offset: number;
  /** The line on which the record begins, from 1 where the cutter began. */
  readonly line: number;
}

export interface CutTaker {
  /** The first record of a CSV. Called only by a cutter that was told to expect it. */
  header(place: RecordPlace): void;
  record(place: RecordPlace): void;
  /** A part of a record that is over the limit: `bytes[start]` to `bytes[end - 1]`, its CR included. */
  oversizedPart(place: RecordPlace): void;
  oversizedEnd(place: RecordPlace): void;
  /** All of `bytes` before `end` was told; the rest comes again with the next ones. */
  passed(place: RecordPlace): void;
}

export interface CutOptions {
  readonly format: 'csv' | 'ndjson';
  readonly recordBytesMax: number;
  /** Where the first pushed byte stands in the file; only at 0 may be a byte order mark and a header. */
  readonly offset: number;
}

const LF = 10;
const CR = 13;
const QUOTE = 34;
const NOTHING = Buffer.alloc(0);
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');

type Place = { -readonly [K in keyof RecordPlace]: RecordPlace[K] };

export class RecordCutter {
  readonly #taker: CutTaker;
  readonly #csv: boolean;
  readonly #bytesMax: number;
  readonly #place: Place;
  /** Nothing but a byte order mark, or less, has come. */
  #atStart: boolean;
  #headerPassed: boolean;
  /** The record that has begun and whose end has not come; what was searched in it already needs no second look. */
  #begun: Buffer = NOTHING;
  #inQuotes = false;
  #oversized = false;
  #line = 1;
  #begunLine = 1;

  constructor({ format, recordBytesMax, offset }: CutOptions, taker: CutTaker) {
    this.#taker = taker;
    this.#csv = format === 'csv';
    this.#bytesMax = recordBytesMax;
    this.#atStart = offset === 0;
    this.#headerPassed = !this.#csv || offset > 0;
    this.#place = { bytes: NOTHING, start: 0, end: 0, next: 0, quoted: false, offset, line: 1 };
  }

  /** The chunk is the cutter's: it may be held until the next one. Throws what the taker throws. */
  push(chunk: Buffer): void {
    const searched = this.#begun.length;
    const bytes = searched === 0 ? chunk : Buffer.concat([this.#begun, chunk]);
    if (this.#atStart && bytes.length < BYTE_ORDER_MARK.length) {
      this.#begun = bytes;
      return;
    }
    this.#cut(bytes, this.#atStart ? 0 : searched);
  }

  /** Throws MALFORMED_CSV when a quote is still open. */
  end(): void {
    if (this.#atStart) this.#cut(this.#begun, 0);
    if (this.#inQuotes) {
      throw malformedCsv('a quote is opened and never closed, in the record that begins', this.#begunLine);
    }
    const place = this.#place;
    place.bytes = this.#begun;
    place.start = 0;
    if (this.#oversized) {
      this.#endOversized(0, 0);
    } else if (place.bytes.length > 0) {
      place.next = place.bytes.length;
      this.#complete(place.bytes.length);
    }
    place.start = 0;
    place.end = place.bytes.length;
    this.#taker.passed(place);
    this.#begun = NOTHING;
  }

  #cut(bytes: Buffer, searchedBytes: number): void {
    const place = this.#place;
    place.bytes = bytes;
    place.start = 0;
    let from = searchedBytes;
    if (this.#atStart) {
      this.#atStart = false;
      if (bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)) place.start = BYTE_ORDER_MARK.length;
      from = place.start;
    }
    let quote = this.#csv ? bytes.indexOf(QUOTE, from) : -1;
    for (let end = bytes.indexOf(LF, from); end >= 0; end = bytes.indexOf(LF, end + 1)) {
      if (quote >= 0 && quote < end) quote = this.#passQuotes(quote, end);
      this.#line += 1;
      if (this.#inQuotes) continue;
      place.next = end + 1;
      if (this.#oversized) this.#endOversized(end, end + 1);
      else this.#complete(end);
      place.start = end + 1;
      place.quoted = false;
      this.#begunLine = this.#line;
    }
    if (quote >= 0) this.#passQuotes(quote, bytes.length);
    this.#keepRest(bytes);
  }

  #keepRest(bytes: Buffer): void {
    const place = this.#place;
    // One byte more than the limit: it may be the CR of a record that just fits.
    if (!this.#oversized && bytes.length - place.start > this.#bytesMax + 1) this.#beginOversized();
    if (this.#oversized) {
      place.end = bytes.length;
      place.line = this.#begunLine;
      this.#taker.oversizedPart(place);
      place.start = bytes.length;
    }
    place.end = place.start;
    this.#taker.passed(place);
    this.#begun = bytes.subarray(place.start);
    place.offset += place.start;
    place.start = 0;
  }

  /** Flips the quote state for each quote before `end`; returns the position of the next one, or -1. */
  #passQuotes(from: number, end: number): number {
    const { bytes } = this.#place;
    let quote = from;
    while (quote >= 0 && quote < end) {
      this.#inQuotes = !this.#inQuotes;
      quote = bytes.indexOf(QUOTE, quote + 1);
    }
    this.#place.quoted = true;
    return quote;
  }

  #complete(lineEnd: number): void {
    const place = this.#place;
    const { bytes, start, next } = place;
    const end = lineEnd > start && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    if (end - start > this.#bytesMax) {
      this.#beginOversized();
      this.#endOversized(lineEnd, next);
      return;
    }
    // A lone CR where the file ends is content of a CSV, and white space of NDJSON.
    place.end = this.#csv && next === lineEnd ? lineEnd : end;
    if (this.#csv ? place.end === start : isBlank(bytes, start, place.end)) return;
    place.line = this.#begunLine;
    if (this.#headerPassed) {
      this.#taker.record(place);
    } else {
      this.#headerPassed = true;
      this.#taker.header(place);
    }
  }

  #beginOversized(): void {
    if (!this.#headerPassed) {
      throw new AppError({
        code: 'CSV_HEADER_WRONG',
        publicMessage: `CSV_HEADER_WRONG: the first line is over ${this.#bytesMax} bytes (RECORD_BYTES_MAX). The first line must name the contract's fields, in any order, optional ones as wanted.`,
      });
    }
    this.#oversized = true;
  }

  #endOversized(lineEnd: number, next: number): void {
    const place = this.#place;
    place.end = lineEnd;
    place.line = this.#begunLine;
    this.#taker.oversizedPart(place);
    place.next = next;
    this.#oversized = false;
    this.#taker.oversizedEnd(place);
  }
}

export function malformedCsv(reason: string, line: number): AppError {
  return new AppError({
    code: 'MALFORMED_CSV',
    publicMessage: `MALFORMED_CSV: ${reason} on line ${line}; nothing of the file was taken. Quote the whole cell and double the quotes inside it.`,
  });
}

/** White space of JSON; most records show with their first byte that they are not blank. */
function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte !== 32 && byte !== 9 && byte !== CR) return false;
  }
  return true;
}
