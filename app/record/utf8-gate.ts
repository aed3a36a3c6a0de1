/**
 * From bytes to text, without guessing: bytes that are not UTF-8 end the body, a character cut by a chunk border is
 * put together, and a byte order mark counts only at the very start.
 *
 * Whole chunks are checked and converted by the engine's vector code; TextDecoder in streaming mode costs five times
 * as much for a row.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { AppError } from '../errors.ts';

const NOTHING = Buffer.alloc(0);
const BYTE_ORDER_MARK = '\uFEFF';

export class Utf8Gate {
  #started = false;
  /** The first bytes (at most 3) of a character whose rest has not come yet. */
  #tail = NOTHING;
  #passedBytes = 0;

  /** Throws AppError MALFORMED_UTF8, naming the byte. */
  push(chunk: Buffer): string {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    if (isAscii(bytes)) {
      this.#tail = NOTHING;
      this.#passedBytes += bytes.length;
      if (bytes.length > 0) this.#started = true;
      return bytes.toString('latin1');
    }
    return this.#withoutMark(this.#take(bytes).toString('utf8'));
  }

  /** As `push`, for who needs no text. */
  check(chunk: Buffer): void {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    this.#take(bytes);
  }

  /** Throws AppError MALFORMED_UTF8 when the body ends inside a character. */
  end(): void {
    if (this.#tail.length > 0) throw malformed(this.#passedBytes);
  }

  /** Judges the characters that are complete and keeps the rest; returns them. */
  #take(bytes: Buffer): Buffer {
    const whole = bytes.subarray(0, bytes.length - unfinishedBytes(bytes));
    if (!isUtf8(whole)) throw malformed(this.#passedBytes + firstWrongByte(whole));
    // A copy: the chunk must not live on for three bytes.
    this.#tail = Buffer.from(bytes.subarray(whole.length));
    this.#passedBytes += whole.length;
    return whole;
  }

  #withoutMark(text: string): string {
    if (this.#started || text === '') return text;
    this.#started = true;
    return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  }
}

/** How many bytes at the end belong to a character that needs more bytes than are there. */
function unfinishedBytes(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    return sequenceBytes(byte) > back ? back : 0;
  }
  return 0;
}

function sequenceBytes(lead: number): number {
  if (lead >= 0b1111_0000) return 4;
  if (lead >= 0b1110_0000) return 3;
  return lead >= 0b1100_0000 ? 2 : 1;
}

/** Only on the way to an error: the longest beginning that could still become valid, by bisection, then its valid part. */
function firstWrongByte(bytes: Buffer): number {
  let valid = 0;
  let wrong = bytes.length;
  while (wrong - valid > 1) {
    const middle = (valid + wrong) >> 1;
    const beginning = bytes.subarray(0, middle);
    if (isUtf8(beginning.subarray(0, middle - unfinishedBytes(beginning)))) valid = middle;
    else wrong = middle;
  }
  return valid - unfinishedBytes(bytes.subarray(0, valid));
}

function malformed(byte: number): AppError {
  return new AppError({
    code: 'MALFORMED_UTF8',
    publicMessage: `MALFORMED_UTF8: the body is not valid UTF-8 at byte ${byte}; nothing of it was taken. Encode it as UTF-8 and send it again.`,
  });
}
