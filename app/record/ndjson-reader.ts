/**
 * NDJSON: one record a line, lines ending in LF or CRLF, the last one also in nothing; blank lines are ignored.
 * A line that is not JSON refuses only itself.
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
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.#lineEnd(text.slice(start, end));
      start = end + 1;
    }
    this.#lineBegin(start === 0 ? text : text.slice(start));
  }

  end(): void {
    this.#lineEnd('');
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
    // A record starts with `{`; only a line that starts with white space (or nothing) can be blank.
    if (!(line.charCodeAt(0) > 32) && isBlank(line)) return;
    const error = this.#sink.json(line);
    if (error === undefined) return;
    const position = errorPosition(error);
    const place = position === undefined ? '' : `; this line fails at character ${position}`;
    this.#sink.malformed(line, { expected: `one JSON object a line${place}` });
  }
}
