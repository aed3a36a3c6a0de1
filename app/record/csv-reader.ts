/**
 * CSV as RFC 4180 has it, with a header line: quotes, quoted line ends, LF and CRLF mixed; blank lines are ignored.
 *
 * Records are found by the parity of quotes before a line end, which is exact for valid CSV and lets one oversized
 * record be passed over without holding it; csv-parse then takes whole records apart. A quote in the wrong place makes
 * every later record end uncertain, so it refuses the whole body; a row with too few or too many cells refuses only
 * itself. An empty cell and a quoted empty cell are both "no value".
 */
import { CsvError, parse } from 'csv-parse/sync';
import { AppError } from '../errors.ts';
import { headerProblem } from './csv-header.ts';
import { OversizedRecord, type RowSink } from './row-sink.ts';

export class CsvReader {
  readonly #sink: RowSink;
  #header: readonly string[] | undefined;
  /** Text of the record that has begun and whose end has not come. */
  #begun = '';
  #oversized: OversizedRecord | undefined;
  #quoted = false;
  /** Lines of the body, from 1: the one being read, and the one on which `#begun` starts, or the batch without it. */
  #line = 1;
  #begunLine = 1;

  constructor(sink: RowSink) {
    this.#sink = sink;
  }

  push(text: string): void {
    // Complete records are gathered from `batch` on and parsed together: csv-parse's setup costs more than a row.
    let batch = 0;
    let record = 0;
    let recordLine = this.#begunLine;
    let quote = text.indexOf('"');
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) {
      quote = this.#passQuotes(text, quote, end);
      this.#line += 1;
      if (this.#quoted) continue;
      if (this.#isOversized(text, record, end)) {
        if (record > batch) this.#parse(text.slice(batch, record));
        this.#endOversized(text.slice(record, end));
        batch = end + 1;
      } else if (record === batch && this.#begun === '' && isEmptyLine(text, record, end)) {
        // Before a batch they are passed over here, three times as fast as csv-parse does.
        batch = end + 1;
        this.#begunLine = this.#line;
      }
      record = end + 1;
      recordLine = this.#line;
    }
    this.#passQuotes(text, quote, text.length);
    if (record > batch) this.#parse(text.slice(batch, record));
    this.#begunLine = recordLine;
    this.#begin(text.slice(record));
  }

  end(): void {
    if (this.#quoted) throw malformed('a quote is opened and never closed, in the record that begins', this.#begunLine);
    if (this.#isOversized('', 0, 0)) this.#endOversized('');
    else this.#parse('');
  }

  /** Flips the quote state for each quote before `end`; returns the position of the next one, or -1. */
  #passQuotes(text: string, from: number, end: number): number {
    let quote = from;
    while (quote >= 0 && quote < end) {
      this.#quoted = !this.#quoted;
      quote = text.indexOf('"', quote + 1);
    }
    return quote;
  }

  #begin(part: string): void {
    if (this.#oversized !== undefined) {
      this.#oversized.push(part);
      return;
    }
    this.#begun = this.#begun === '' ? part : this.#begun + part;
    // One character more than the limit: it may be the CR of a record that just fits.
    if (this.#begun.length > this.#sink.limits.recordBytesMax + 1) this.#beginOversized();
  }

  #isOversized(text: string, record: number, end: number): boolean {
    if (this.#oversized !== undefined) return true;
    const begun = record === 0 ? this.#begun : '';
    if ((begun.length + end - record) * 3 <= this.#sink.limits.recordBytesMax) return false;
    const whole = begun + text.slice(record, end);
    return this.#sink.isTooLarge(whole.endsWith('\r') ? whole.slice(0, -1) : whole);
  }

  #beginOversized(): OversizedRecord {
    const oversized = new OversizedRecord(this.#sink.limits.recordBytesMax);
    oversized.push(this.#begun);
    this.#begun = '';
    this.#oversized = oversized;
    return oversized;
  }

  #endOversized(part: string): void {
    const oversized = this.#oversized ?? this.#beginOversized();
    oversized.push(part);
    this.#oversized = undefined;
    this.#begunLine = this.#line;
    if (this.#header === undefined) {
      throw headerWrong(`the first line is over ${this.#sink.limits.recordBytesMax} bytes (RECORD_BYTES_MAX)`);
    }
    this.#sink.oversized(oversized);
  }

  /** Takes apart the record that had begun and the complete ones that follow it. */
  #parse(more: string): void {
    const text = this.#begun === '' ? more : this.#begun + more;
    this.#begun = '';
    if (text !== '') for (const cells of cellsOf(text, this.#begunLine)) this.#record(cells);
  }

  #record(cells: readonly string[]): void {
    const header = this.#header;
    if (header === undefined) {
      const problem = headerProblem(cells, this.#sink.contract);
      if (problem !== undefined) throw headerWrong(problem);
      this.#header = cells;
    } else if (cells.length !== header.length) {
      const expected = `${header.length} cells, as many as the header has`;
      this.#sink.malformed(JSON.stringify(cells), { expected, got: `${cells.length} cells` });
    } else {
      const value: Record<string, string> = {};
      for (let column = 0; column < header.length; column += 1) value[header[column] ?? ''] = cells[column] ?? '';
      this.#sink.csv(value);
    }
  }
}

function isEmptyLine(text: string, from: number, end: number): boolean {
  return end === from || (end === from + 1 && text.charCodeAt(from) === 13);
}

const PARSE_OPTIONS = {
  // Named, because discovery would take the first line's end for all: bodies mix them.
  record_delimiter: ['\r\n', '\n'],
  relax_column_count: true,
  skip_empty_lines: true,
};

function cellsOf(text: string, firstLine: number): string[][] {
  try {
    return parse(text, PARSE_OPTIONS);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    // Its message quotes cells, so only its code and line go on.
    const line = 'lines' in error && typeof error.lines === 'number' ? firstLine + error.lines - 1 : firstLine;
    throw malformed('a quote stands where none may stand, or something follows a closing quote,', line);
  }
}

function malformed(reason: string, line: number): AppError {
  return new AppError({
    code: 'MALFORMED_CSV',
    publicMessage: `MALFORMED_CSV: ${reason} on line ${line}; nothing of the body was taken. Quote the whole cell and double the quotes inside it.`,
  });
}

function headerWrong(problem: string): AppError {
  return new AppError({
    code: 'CSV_HEADER_WRONG',
    publicMessage: `CSV_HEADER_WRONG: ${problem}. The first line must name the contract's fields, in any order, optional ones as wanted.`,
  });
}
