/**
 * One line of a CSV answer (RFC 4180), safe to open in a spreadsheet: a text cell that would be read as a formula gets
 * an apostrophe in front. Numbers, and texts that are nothing but a number (decimals travel as text), stay as they are.
 */
import type { RowValue } from '../datasets/contract.ts';

const FORMULA_START = /^[=+\-@\t\r]/;
const PLAIN_NUMBER = /^-?[0-9]+(?:[.][0-9]+)?$/;
const NEEDS_QUOTES = /[",\r\n]/;

/** Ends in CRLF. An absent or null value is an empty cell; a list is its JSON text. */
export function csvLine(values: readonly (RowValue | undefined)[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

function cell(value: RowValue | undefined): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return quoted(typeof value === 'string' ? disarmed(value) : JSON.stringify(value));
}

function disarmed(text: string): string {
  return FORMULA_START.test(text) && !PLAIN_NUMBER.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
