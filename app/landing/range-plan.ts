/**
 * The first look at a file: is it sound as a whole, and where can it be cut?
 *
 * What would refuse a body over HTTP as a whole refuses a file here with the same code, before anything of it is stored:
 * bytes that are not UTF-8, a wrong header, a quote in the wrong place, no record at all. The plan cuts at record ends
 * only, so each range can be read alone, and carries a checksum of each range's bytes, so that a file which changed
 * between this look and the second one is noticed. Memory is one record, one chunk and the plan: 60 bytes for a range.
 */
import { crc32 } from 'node:zlib';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { CsvReader } from '../record/csv-reader.ts';
import { RowSink } from '../record/row-sink.ts';
import { Utf8Gate } from '../record/utf8-gate.ts';
import { quotesStandRight } from './csv-quotes.ts';
import { type CutTaker, malformedCsv, RecordCutter, type RecordPlace } from './record-cutter.ts';

export type RecordFormat = 'csv' | 'ndjson';

export interface PlannedRange {
  /** Bytes of the file, `end` exclusive: whole records with their line ends and the blank lines before them. */
  readonly start: number;
  readonly end: number;
  /** Index in the file of the first record. */
  readonly firstIndex: number;
  readonly records: number;
  readonly crc32: number;
}

export interface RangePlan {
  readonly records: number;
  /** Of the CSV header, in its order; empty for NDJSON. */
  readonly columns: readonly string[];
  readonly ranges: readonly PlannedRange[];
}

export interface PlanOptions {
  readonly format: RecordFormat;
  readonly contract: Contract;
  readonly recordBytesMax: number;
  /** A range is closed by the record that reaches one of these. */
  readonly rangeRowsMax: number;
  readonly rangeBytesMax: number;
  /** A range ends before this index too. */
  readonly cutAt?: number;
}

/** An index is an INTEGER in the warehouse. */
const RECORDS_MAX = 2 ** 31 - 1;

/** Throws AppError MALFORMED_UTF8, MALFORMED_CSV, CSV_HEADER_WRONG, BODY_EMPTY, TOO_MANY_ROWS, or what the source throws. */
export async function planRanges(source: AsyncIterable<Buffer>, options: PlanOptions): Promise<RangePlan> {
  const planner = new RangePlanner(options);
  const { format, recordBytesMax } = options;
  const cutter = new RecordCutter({ format, recordBytesMax, offset: 0 }, planner);
  const gate = new Utf8Gate();
  for await (const chunk of source) {
    gate.check(chunk);
    cutter.push(chunk);
  }
  gate.end();
  cutter.end();
  return planner.finish();
}

class RangePlanner implements CutTaker {
  readonly #options: PlanOptions;
  readonly #ranges: PlannedRange[] = [];
  #columns: readonly string[] = [];
  #start: number;
  /** Where the last record ended that was counted, and up to where the checksum reaches. */
  #end = 0;
  #summedTo = 0;
  #crc32 = 0;
  #firstIndex = 0;
  #records = 0;

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#start = 0;
  }

  header({ bytes, start, end, next, offset }: RecordPlace): void {
    this.#columns = headerColumns(bytes.toString('utf8', start, end), this.#options.contract);
    this.#start = offset + next;
    this.#end = this.#start;
    this.#summedTo = this.#start;
    this.#crc32 = 0;
  }

  record(place: RecordPlace): void {
    if (place.quoted && this.#options.format === 'csv') {
      if (!quotesStandRight(place.bytes, place.start, place.end)) {
        throw malformedCsv('a quote stands where none may stand, or something follows a closing quote,', place.line);
      }
    }
    this.#count(place);
  }

  oversizedPart(): void {}

  oversizedEnd(place: RecordPlace): void {
    this.#count(place);
  }

  passed({ bytes, end, offset }: RecordPlace): void {
    this.#sum(bytes, offset, end);
  }

  finish(): RangePlan {
    if (this.#records > 0) this.#close();
    if (this.#ranges.length === 0) throw empty();
    return { records: this.#firstIndex, columns: this.#columns, ranges: this.#ranges };
  }

  #count({ bytes, next, offset }: RecordPlace): void {
    this.#records += 1;
    this.#end = offset + next;
    const { rangeRowsMax, rangeBytesMax, cutAt } = this.#options;
    const isCut = this.#firstIndex + this.#records === cutAt;
    if (!isCut && this.#records < rangeRowsMax && this.#end - this.#start < rangeBytesMax) return;
    this.#sum(bytes, offset, next);
    this.#close();
  }

  #sum(bytes: Buffer, offset: number, end: number): void {
    const from = this.#summedTo - offset;
    if (from >= end) return;
    this.#crc32 = crc32(bytes.subarray(Math.max(0, from), end), this.#crc32);
    this.#summedTo = offset + end;
  }

  #close(): void {
    const range = { start: this.#start, end: this.#summedTo, firstIndex: this.#firstIndex, records: this.#records };
    this.#ranges.push({ ...range, crc32: this.#crc32 });
    this.#firstIndex += this.#records;
    if (this.#firstIndex > RECORDS_MAX) throw tooMany();
    this.#start = this.#summedTo;
    this.#records = 0;
    this.#crc32 = 0;
  }
}

/** Judged by the reader of HTTP bodies. A field's name holds neither quote nor comma, so a sound header is easily split. */
function headerColumns(text: string, contract: Contract): readonly string[] {
  const limits = { recordBytesMax: text.length * 3 + 1, rowsMax: 0, jsonDepthMax: 1 };
  const reader = new CsvReader(new RowSink(contract, limits, () => undefined));
  reader.push(text);
  reader.end();
  return text.replaceAll('"', '').split(',');
}

function empty(): AppError {
  return new AppError({
    code: 'BODY_EMPTY',
    publicMessage: 'BODY_EMPTY: the file holds no record. It needs at least one; a CSV needs a row below its header.',
  });
}

function tooMany(): AppError {
  return new AppError({
    code: 'TOO_MANY_ROWS',
    publicMessage: `TOO_MANY_ROWS: the file holds more than ${RECORDS_MAX} records; nothing of it was taken. Cut it into parts.`,
  });
}
