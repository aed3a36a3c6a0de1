/**
 * How deep a JSON text is nested, found before anything recurses into it, and where the elements of an array lie.
 * Both only count brackets outside strings; whether the text is JSON at all is JSON.parse's to say.
 */

const QUOTE = 34;
const COMMA = 44;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** Cheap for flat records: a text with no second opening bracket needs no walk. */
export function depthExceeds(text: string, depthMax: number): boolean {
  if (depthMax >= 1 && text.indexOf('{', 1) < 0 && text.indexOf('[', 1) < 0) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = stringEnd(text, at);
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1;
        if (depth > depthMax) return true;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth -= 1;
        break;
    }
  }
  return false;
}

/**
 * Walks the elements of a JSON array whose `[` stands at `start`, calling back with each one's bounds. Returns the
 * position after the closing `]`, or -1 when there is none. An empty array calls back never; a missing element
 * (`[1,]`) calls back with blank text.
 */
export function walkArray(text: string, start: number, element: (from: number, to: number) => void): number {
  let depth = 0;
  let from = start + 1;
  let elements = 0;
  for (let at = from; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = stringEnd(text, at);
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1;
        break;
      case COMMA:
        if (depth > 0) break;
        element(from, at);
        elements += 1;
        from = at + 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth -= 1;
        if (depth >= 0) break;
        if (text.charCodeAt(at) === CLOSE_BRACE) return -1;
        if (elements > 0 || !isBlank(text, from, at)) element(from, at);
        return at + 1;
    }
  }
  return -1;
}

/** JSON's own white space, which is less than what `trim` takes away. */
export function isBlank(text: string, from = 0, to = text.length): boolean {
  for (let at = from; at < to; at += 1) {
    const character = text.charCodeAt(at);
    if (character !== 32 && character !== 9 && character !== 10 && character !== 13) return false;
  }
  return true;
}

/** Position of the closing quote of the string that opens at `at`; the text's end when it never closes. */
function stringEnd(text: string, at: number): number {
  let quote = text.indexOf('"', at + 1);
  while (quote >= 0 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
  return quote < 0 ? text.length : quote;
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
