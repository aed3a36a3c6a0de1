/**
 * Whether the quotes of one CSV record stand where RFC 4180 lets them, as csv-parse judges it: a cell begins with a
 * quote or has none, and after the closing one comes a comma or the end. A record that breaks this refuses its whole
 * file, because the ends of all records behind it are uncertain.
 */
const QUOTE = 34;
const COMMA = 44;

/** `start` and `end` are the record's without its line end; the number of quotes between them is even. */
export function quotesStandRight(bytes: Buffer, start: number, end: number): boolean {
  let cellStart = true;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === COMMA) {
      cellStart = true;
    } else if (byte !== QUOTE) {
      cellStart = false;
    } else {
      if (!cellStart) return false;
      const after = afterClosingQuote(bytes, at, end);
      if (after < end && bytes[after] !== COMMA && bytes[after] !== 0) return false;
      // csv-parse takes a NUL for the end of its text and then goes on: what follows is a cell without quotes.
      cellStart = false;
      at = after - 1;
    }
  }
  return true;
}

function afterClosingQuote(bytes: Buffer, opening: number, end: number): number {
  for (let at = opening + 1; at < end; at += 1) {
    if (bytes[at] !== QUOTE) continue;
    if (at + 1 < end && bytes[at + 1] === QUOTE) at += 1;
    else return at + 1;
  }
  return end;
}
