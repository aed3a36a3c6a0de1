/**
 * The second look at a file: one range of it, as the work file that the warehouse reads and as the judge of what the
 * warehouse leaves.
 *
 * Into the work file goes each record of one line, preceded by its index: without NUL and CR, because what another
 * reader makes of those is not certain, and of a size that it reads thousands of at once. All other records are judged here, by the very reader and validator that
 * bodies over HTTP meet, fed with the records' own bytes. The range's bytes are held meanwhile (at most
 * LANDING_RANGE_BYTES_MAX and a record); records over the limit pass by and leave only their verdict.
 */
import type { FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { EnvelopeReject } from '../bus/envelope.ts';
import { CsvReader } from '../record/csv-reader.ts';
import { eventIdInFile } from '../record/identity.ts';
import { NdjsonReader } from '../record/ndjson-reader.ts';
import { rejectOf } from '../record/reject-text.ts';
import { type DecodedRow, OversizedRecord, RowSink } from '../record/row-sink.ts';
import type { Validator } from '../record/validate.ts';
import { type JudgedRecord, WORK_RECORD_BYTES_MAX } from '../warehouse/file-range.ts';
import { fileChanged } from './file-problems.ts';
import type { PlannedRange, RecordFormat } from './range-plan.ts';
import { type CutTaker, RecordCutter, type RecordPlace } from './record-cutter.ts';

export interface RangeCutOptions {
  readonly range: PlannedRange;
  readonly format: RecordFormat;
  readonly columns: readonly string[];
  readonly validator: Validator;
  readonly recordBytesMax: number;
  readonly rejectBytesMax: number;
  readonly jsonDepthMax: number;
}

/** Reads the range from `source`, which gives its bytes and no more, and writes its plain records into `work`. */
export async function cutRange(
  source: AsyncIterable<Buffer>,
  work: FileHandle,
  options: RangeCutOptions,
): Promise<CutRange> {
  const { range, format, recordBytesMax } = options;
  const cut = new CutRange(options);
  const cutter = new RecordCutter({ format, recordBytesMax, offset: range.start }, cut);
  let sum = 0;
  for await (const chunk of source) {
    sum = crc32(chunk, sum);
    cutter.push(chunk);
    await work.appendFile(cut.takeLines());
  }
  if (sum !== range.crc32) throw fileChanged();
  cutter.end();
  await work.appendFile(cut.takeLines());
  if (cut.records !== range.records) throw fileChanged();
  return cut;
}

const LF = 10;
const CR = 13;
const TAB = 9;
const COMMA = 44;
/** Some 5 ms of the thread that answers requests; a larger record is judged alone. */
const JUDGED_BYTES_AT_ONCE = 256 * 1024;
/** 2^31 has as many digits, and the separator and LF. */
const LINE_EXTRA_BYTES = 12;

export class CutRange implements CutTaker {
  readonly #options: RangeCutOptions;
  readonly #unusual: readonly UnusualByte[];
  /** Of each record that was kept: which piece of the range, and where in it the record begins and its line ends. */
  readonly #pieces: Buffer[] = [];
  readonly #pieceOf: Uint32Array;
  readonly #startOf: Uint32Array;
  readonly #nextOf: Uint32Array;
  readonly #oversized = new Map<number, EnvelopeReject>();
  #passing: { readonly record: OversizedRecord; readonly decoder: StringDecoder } | undefined;
  #lines = Buffer.alloc(0);
  #linesEnd = 0;
  records = 0;

  constructor(options: RangeCutOptions) {
    this.#options = options;
    // A tab would end a cell where the NDJSON line stands behind its index.
    const bytes = options.format === 'csv' ? [0, CR] : [0, CR, TAB];
    this.#unusual = bytes.map((byte) => new UnusualByte(byte));
    const { records } = options.range;
    this.#pieceOf = new Uint32Array(records);
    this.#startOf = new Uint32Array(records);
    this.#nextOf = new Uint32Array(records);
  }

  /** The lines of what was cut since the last call. */
  takeLines(): Buffer {
    const lines = this.#lines.subarray(0, this.#linesEnd);
    this.#linesEnd = 0;
    this.#lines = Buffer.alloc(0);
    return lines;
  }

  header(): void {
    throw new Error('a range has no header');
  }

  record(place: RecordPlace): void {
    const { bytes, start, end, next } = place;
    if (this.#pieces.at(-1) !== bytes) this.#pieces.push(bytes);
    const at = this.records;
    this.#pieceOf[at] = this.#pieces.length - 1;
    this.#startOf[at] = start;
    this.#nextOf[at] = next;
    this.records += 1;
    if (this.#isPlain(place)) this.#writeLine(this.#options.range.firstIndex + at, bytes, { start, end });
  }

  oversizedPart({ bytes, start, end }: RecordPlace): void {
    this.#passing ??= { record: new OversizedRecord(this.#options.recordBytesMax), decoder: new StringDecoder('utf8') };
    // The plan has judged the bytes: they are UTF-8.
    this.#passing.record.push(this.#passing.decoder.write(bytes.subarray(start, end)));
  }

  oversizedEnd(): void {
    const { recordBytesMax, rejectBytesMax, range, validator } = this.#options;
    const index = range.firstIndex + this.records;
    const record = this.#passing?.record;
    this.#passing = undefined;
    if (record === undefined) throw new Error('a record without parts ended');
    const sink = new RowSink(validator.contract, { recordBytesMax, rowsMax: 1, jsonDepthMax: 1 }, (row) => {
      if (!('verdict' in row)) throw new Error('a record over the limit was read');
      const { verdict, text, whole } = row;
      this.#oversized.set(index, rejectOf({ index, verdict, text, whole, bytesMax: rejectBytesMax }));
    });
    sink.oversized(record);
    this.records += 1;
  }

  passed(): void {}

  /** As JudgeRecords has it; gives way to requests before each slice of JUDGED_BYTES_AT_ONCE. */
  async judge(indexes: readonly number[]): Promise<readonly JudgedRecord[]> {
    const judged: JudgedRecord[] = [];
    const kept: number[] = [];
    for (const index of indexes) {
      const reject = this.#oversized.get(index);
      if (reject === undefined) kept.push(index);
      else judged.push({ kind: 'reject', ...reject });
    }
    for (const slice of this.#slices(kept)) {
      await nextTurn();
      judged.push(...this.#judgeKept(slice));
    }
    return judged.length === kept.length ? judged : judged.sort((one, other) => one.index - other.index);
  }

  #slices(indexes: readonly number[]): readonly (readonly number[])[] {
    const slices: number[][] = [];
    let bytes = 0;
    for (const index of indexes) {
      const own = this.#bytesOf(index).length;
      const open = slices.at(-1);
      if (open === undefined || bytes + own > JUDGED_BYTES_AT_ONCE) {
        slices.push([index]);
        bytes = own;
      } else {
        open.push(index);
        bytes += own;
      }
    }
    return slices;
  }

  #judgeKept(indexes: readonly number[]): JudgedRecord[] {
    const { format, columns, validator, recordBytesMax, jsonDepthMax } = this.#options;
    const judged: JudgedRecord[] = [];
    const limits = { recordBytesMax, rowsMax: indexes.length, jsonDepthMax };
    const sink = new RowSink(validator.contract, limits, (row) => {
      judged.push(this.#judgeRow(row, indexes[row.index] ?? Number.NaN));
    });
    const text = Buffer.concat(indexes.map((index) => this.#bytesOf(index))).toString('utf8');
    const reader = format === 'csv' ? new CsvReader(sink) : new NdjsonReader(sink);
    reader.push(format === 'csv' ? `${columns.join(',')}\n${text}` : text);
    reader.end();
    if (judged.length !== indexes.length) throw new Error(`${indexes.length} records were read as ${judged.length}`);
    return judged;
  }

  #judgeRow(row: DecodedRow, index: number): JudgedRecord {
    const { validator, rejectBytesMax: bytesMax } = this.#options;
    const { text } = row;
    if ('verdict' in row) {
      return { kind: 'reject', ...rejectOf({ index, verdict: row.verdict, text, whole: row.whole, bytesMax }) };
    }
    const judged = validator.judge(row.value, row.source);
    if (judged.ok) {
      return { kind: 'row', index, eventId: eventIdInFile(validator.contract, judged.row, 1), row: judged.row };
    }
    return { kind: 'reject', ...rejectOf({ index, verdict: judged.verdict, text, whole: undefined, bytesMax }) };
  }

  #bytesOf(index: number): Buffer {
    const at = index - this.#options.range.firstIndex;
    const piece = this.#pieces[this.#pieceOf[at] ?? -1];
    if (piece === undefined || at < 0 || at >= this.records) throw new Error(`record ${index} is not of this range`);
    return piece.subarray(this.#startOf[at], this.#nextOf[at]);
  }

  #isPlain({ bytes, start, end, quoted }: RecordPlace): boolean {
    if (end - start > WORK_RECORD_BYTES_MAX) return false;
    for (const byte of this.#unusual) if (byte.isIn(bytes, start, end)) return false;
    return !quoted || bytes.subarray(start, end).indexOf(LF) < 0;
  }

  #writeLine(index: number, bytes: Buffer, { start, end }: { readonly start: number; readonly end: number }): void {
    const needed = end - start + LINE_EXTRA_BYTES;
    if (this.#lines.length - this.#linesEnd < needed) this.#growLines(needed);
    const lines = this.#lines;
    let at = this.#linesEnd + lines.write(String(index), this.#linesEnd, 'latin1');
    lines[at] = this.#options.format === 'csv' ? COMMA : TAB;
    at += 1 + bytes.copy(lines, at + 1, start, end);
    lines[at] = LF;
    this.#linesEnd = at + 1;
  }

  #growLines(needed: number): void {
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#lines.length, needed, LINES_BYTES));
    this.#lines.copy(grown, 0, 0, this.#linesEnd);
    this.#lines = grown;
  }
}

/** A chunk of records with their indexes usually fits. */
const LINES_BYTES = 512 * 1024;

/** Finds a byte that most files never hold, with one search a chunk instead of one a record. */
class UnusualByte {
  readonly #byte: number;
  #bytes: Buffer | undefined;
  #at = -1;

  constructor(byte: number) {
    this.#byte = byte;
  }

  /** Asked of places that rise within one buffer. */
  isIn(bytes: Buffer, start: number, end: number): boolean {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#at = bytes.indexOf(this.#byte, start);
    }
    while (this.#at >= 0 && this.#at < start) this.#at = bytes.indexOf(this.#byte, this.#at + 1);
    return this.#at >= 0 && this.#at < end;
  }
}
