/**
 * Why one row was refused, in the words its sender reads.
 *
 * Every text in a verdict is bounded, whatever was sent: a megabyte of field name must not come back as a megabyte of
 * answer. What a personal field held never enters one.
 */
import type { Contract } from '../datasets/contract.ts';
import type { ErrorCode } from '../errors.ts';

export interface Verdict {
  readonly code: ErrorCode;
  /** RFC 6901; empty for the record as a whole. */
  readonly pointer: string;
  readonly expected: string;
  readonly got: string;
}

/** Every reason a row can be refused or set apart for; codes of whole requests and messages are others. */
export const ROW_CODES = [
  'RECORD_NOT_OBJECT',
  'RECORD_MALFORMED',
  'RECORD_TOO_LARGE',
  'RECORD_TOO_DEEP',
  'FIELD_MISSING',
  'FIELD_UNKNOWN',
  'FIELD_TYPE',
  'FIELD_RANGE',
  'FIELD_FORMAT',
  'KEY_CONFLICT',
  'CHECK_FAILED',
] as const satisfies readonly ErrorCode[];

/** What stands where a personal value stood. */
export const MASK = '•••';

const GOT_CHARACTERS_MAX = 64;
const POINTER_CHARACTERS_MAX = 128;

/** RFC 6901, one level: `~` and `/` of a name are escaped. */
export function pointerTo(name: string): string {
  return cut(`/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, POINTER_CHARACTERS_MAX);
}

/** A value as short text: JSON for what is not text itself. */
export function gotText(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return cut(value, GOT_CHARACTERS_MAX);
  // JSON has no word for these; a number too large for a double was read as one of them.
  if (typeof value === 'number') return String(value);
  return cut(JSON.stringify(value), GOT_CHARACTERS_MAX);
}

/** True when any field is personal: then text that cannot be taken apart by field is masked whole. */
export function holdsPersonal(contract: Contract): boolean {
  return Object.values(contract.fields).some((field) => field.personal === true);
}

/** Cuts on a code point boundary, so that the text stays valid UTF-8. */
function cut(text: string, charactersMax: number): string {
  const kept = text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 1)}…`;
  return kept.isWellFormed() ? kept : kept.toWellFormed();
}
