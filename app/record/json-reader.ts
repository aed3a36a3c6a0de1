/**
 * A JSON body: one record, or an array of records.
 *
 * Elements of an array are cut out and parsed one by one, so that each keeps its own text for quarantine, its own size
 * and its own depth. The body is one JSON document: a syntax error anywhere refuses all of it. Of a key that comes
 * twice in one object the last value counts, as JSON.parse has it; numbers are read as doubles.
 */
import { AppError } from '../errors.ts';
import { isBlank, walkArray } from './json-depth.ts';
import type { RowSink } from './row-sink.ts';

/** JSON's own white space (RFC 8259), not JavaScript's: a no-break space around a record is not JSON. */
const JSON_BLANKS = ' \t\n\r';

export class JsonReader {
  readonly #sink: RowSink;
  #text = '';

  constructor(sink: RowSink) {
    this.#sink = sink;
  }

  /** Size is limited by the caller: nothing can be judged before the end. */
  push(text: string): void {
    this.#text = this.#text === '' ? text : this.#text + text;
  }

  end(): void {
    const text = this.#text;
    if (isBlank(text)) return;
    const start = text.search(/[^ \t\r\n]/);
    if (text[start] === '[') this.#array(text, start);
    else this.#record(text, 0);
  }

  #array(text: string, start: number): void {
    const end = walkArray(text, start, (from, to) => this.#record(text.slice(from, to), from));
    if (end < 0) throw malformed('the array is not closed by a bracket', text.length);
    if (!isBlank(text, end)) throw malformed('something follows the end of the array', end);
  }

  /** `offset` is where the record starts in the body, for the message. */
  #record(text: string, offset: number): void {
    let leading = 0;
    while (leading < text.length && JSON_BLANKS.includes(text.charAt(leading))) leading += 1;
    let end = text.length;
    while (end > leading && JSON_BLANKS.includes(text.charAt(end - 1))) end -= 1;
    const error = this.#sink.json(text.slice(leading, end));
    if (error === undefined) return;
    throw malformed('a value is malformed', offset + leading + (errorPosition(error) ?? 0));
  }
}

/**
 * The engine's message also quotes the text, so it goes no further than here: only the position is taken from it.
 * Some messages have none.
 */
export function errorPosition(error: SyntaxError): number | undefined {
  const match = /at position (\d+)/.exec(error.message);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

function malformed(reason: string, position: number): AppError {
  return new AppError({
    code: 'MALFORMED_JSON',
    publicMessage: `MALFORMED_JSON: ${reason}, at or after character ${position} of the body; nothing of it was taken. Mend it and send it again, or send NDJSON, where one bad line refuses only itself.`,
  });
}
