/**
 * NDJSON: one record a line, lines ending in LF or CRLF, the last one also in nothing; blank lines are ignored, and
 * a body of nothing else costs no more than reading it. A line that is not JSON refuses only itself.
 */
import { isBlank } from './json-depth.ts';
import { errorPosition } from './json-reader.ts';
import { OversizedRecord, type RowSink } from './row-sink.ts';

export class NdjsonReader {
  readonly #sink: RowSink;
  /** The line that has begun. */
  #begun = '';
  #oversized: OversizedRecord | undefined;

  constructor(sink: RowSink) {
    this.#sink = sink;
  }

  push(text: string): void {
    let start = this.#isBetweenLines() ? this.#passBlankLines(text, 0) : 0;
    for (let end = text.indexOf('\n', start); end >= 0; end = text.indexOf('\n', start)) {
      this.#lineEnd(text.slice(start, end));
      start = this.#passBlankLines(text, end + 1);
    }
    this.#lineBegin(start === 0 ? text : text.slice(start));
  }

  end(): void {
    this.#lineEnd('');
  }

  #isBetweenLines(): boolean {
    return this.#begun === '' && this.#oversized === undefined;
  }

  /** Where the first line begins that is not blank, or that is too long to be passed over. Makes no text. */
  #passBlankLines(text: string, from: number): number {
    const lengthMax = this.#sink.limits.recordBytesMax;
    let start = from;
    for (let at = from; at < text.length && at - start <= lengthMax; at += 1) {
      const character = text.charCodeAt(at);
      if (character === 10) start = at + 1;
      else if (character !== 32 && character !== 9 && character !== 13) break;
    }
    return start;
  }

  #lineBegin(part: string): void {
    if (this.#oversized !== undefined) {
      this.#oversized.push(part);
      return;
    }
    this.#begun = this.#begun === '' ? part : this.#begun + part;
    // One character more than the limit: it may be the CR of a line that just fits.
    if (this.#begun.length > this.#sink.limits.recordBytesMax + 1) {
      this.#oversized = new OversizedRecord(this.#sink.limits.recordBytesMax);
      this.#oversized.push(this.#begun);
      this.#begun = '';
    }
  }

  #lineEnd(part: string): void {
    if (this.#oversized !== undefined) {
      this.#oversized.push(part);
      this.#sink.oversized(this.#oversized);
      this.#oversized = undefined;
      return;
    }
    const line = this.#begun === '' ? part : this.#begun + part;
    this.#begun = '';
    this.#record(line.charCodeAt(line.length - 1) === 13 ? line.slice(0, -1) : line);
  }

  #record(line: string): void {
    // A record starts with `{`; only a line that starts with white space (or nothing) can be blank. One over the limit
    // is refused like any other: cut into chunks, its beginning was not kept.
    if (!(line.charCodeAt(0) > 32) && line.length <= this.#sink.limits.recordBytesMax && isBlank(line)) return;
    const error = this.#sink.json(line);
    if (error === undefined) return;
    const position = errorPosition(error);
    const place = position === undefined ? '' : `; this line fails at character ${position}`;
    this.#sink.malformed(line, { expected: `one JSON object a line${place}` });
  }
}
