/**
 * Where the readers of all formats put their rows: numbers them, stops at the row limit, and knows the limits and words
 * of the verdicts that every format can give.
 */
import { createHash } from 'node:crypto';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { depthExceeds } from './json-depth.ts';
import { gotText, holdsPersonal, MASK, type Verdict } from './verdict.ts';

export type DecodedRow =
  | {
      readonly index: number;
      readonly value: unknown;
      /** The row as it came; a CSV row as a JSON object of its cells, because its header is not beside it later. */
      readonly text: string;
      readonly source: 'json' | 'csv';
    }
  | {
      readonly index: number;
      readonly verdict: Verdict;
      readonly text: string;
      /** Set when `text` is only the beginning: what the whole record was. */
      readonly whole?: WholeRecord;
    };

export interface WholeRecord {
  readonly bytes: number;
  /** SHA-256, hex. */
  readonly hash: string;
}

export interface SinkLimits {
  readonly recordBytesMax: number;
  readonly rowsMax: number;
  readonly jsonDepthMax: number;
}

export class RowSink {
  readonly contract: Contract;
  readonly limits: SinkLimits;
  readonly #take: (row: DecodedRow) => void;
  readonly #masked: boolean;
  count = 0;

  constructor(contract: Contract, limits: SinkLimits, take: (row: DecodedRow) => void) {
    this.contract = contract;
    this.limits = limits;
    this.#take = take;
    this.#masked = holdsPersonal(contract);
  }

  /** Takes the text of one JSON record. Returns the parser's error, if any, for the caller to judge by its format. */
  json(text: string): SyntaxError | undefined {
    if (this.isTooLarge(text)) {
      this.#oversizedText(text);
      return undefined;
    }
    if (depthExceeds(text, this.limits.jsonDepthMax)) {
      this.tooDeep(text);
      return undefined;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      if (error instanceof SyntaxError) return error;
      throw error;
    }
    this.#take({ index: this.#next(), value, text, source: 'json' });
    return undefined;
  }

  csv(cells: Readonly<Record<string, string>>): void {
    this.#take(new CsvRow(this.#next(), cells));
  }

  /** `expected` and `got` say what is wrong with the form; `got` is masked when it may hold a personal value. */
  malformed(text: string, verdict: { readonly expected: string; readonly got?: string }): void {
    const got = verdict.got ?? (this.#masked ? MASK : gotText(text));
    this.#refuse({ code: 'RECORD_MALFORMED', pointer: '', expected: verdict.expected, got }, text);
  }

  tooDeep(text: string): void {
    const expected = `at most ${this.limits.jsonDepthMax} levels of nesting (JSON_DEPTH_MAX)`;
    this.#refuse({ code: 'RECORD_TOO_DEEP', pointer: '', expected, got: 'more' }, text);
  }

  oversized(record: OversizedRecord): void {
    const whole = record.finish();
    const expected = `at most ${this.limits.recordBytesMax} bytes (RECORD_BYTES_MAX)`;
    this.#refuse(
      { code: 'RECORD_TOO_LARGE', pointer: '', expected, got: `${whole.bytes} bytes` },
      record.beginning,
      whole,
    );
  }

  isTooLarge(text: string): boolean {
    const { recordBytesMax } = this.limits;
    // A UTF-16 code unit is one to three bytes of UTF-8: most records need no count.
    if (text.length * 3 <= recordBytesMax) return false;
    return text.length > recordBytesMax || Buffer.byteLength(text) > recordBytesMax;
  }

  #oversizedText(text: string): void {
    const record = new OversizedRecord(this.limits.recordBytesMax);
    record.push(text);
    this.oversized(record);
  }

  #refuse(verdict: Verdict, text: string, whole?: WholeRecord): void {
    this.#take({ index: this.#next(), verdict, text, ...(whole === undefined ? {} : { whole }) });
  }

  #next(): number {
    const { rowsMax } = this.limits;
    if (this.count >= rowsMax) {
      throw new AppError({
        code: 'TOO_MANY_ROWS',
        publicMessage: `TOO_MANY_ROWS: the body holds more than ${rowsMax} rows (ROWS_PER_REQUEST_MAX); nothing of it was taken. Send it in parts.`,
      });
    }
    this.count += 1;
    return this.count - 1;
  }
}

/** A record that is over the limit: hashed and counted as it passes, never held beyond its beginning. */
export class OversizedRecord {
  readonly #hash = createHash('sha256');
  readonly #keptMax: number;
  #kept = '';
  #bytes = 0;
  /** A carriage return is the record's own unless the line ends right after it. */
  #heldReturn = false;

  constructor(recordBytesMax: number) {
    this.#keptMax = recordBytesMax;
  }

  get beginning(): string {
    return this.#kept.isWellFormed() ? this.#kept : this.#kept.toWellFormed();
  }

  push(part: string): void {
    if (part === '') return;
    const endsInReturn = part.endsWith('\r');
    const text = `${this.#heldReturn ? '\r' : ''}${endsInReturn ? part.slice(0, -1) : part}`;
    this.#heldReturn = endsInReturn;
    this.#hash.update(text, 'utf8');
    this.#bytes += Buffer.byteLength(text);
    if (this.#kept.length < this.#keptMax) this.#kept += text.slice(0, this.#keptMax - this.#kept.length);
  }

  finish(): WholeRecord {
    return { bytes: this.#bytes, hash: this.#hash.digest('hex') };
  }
}

/** Its text is made only when the row is refused: one in a thousand, but each row would pay for it. */
class CsvRow {
  readonly index: number;
  readonly value: Readonly<Record<string, string>>;
  readonly source = 'csv';

  constructor(index: number, value: Readonly<Record<string, string>>) {
    this.index = index;
    this.value = value;
  }

  get text(): string {
    return JSON.stringify(this.value);
  }
}
