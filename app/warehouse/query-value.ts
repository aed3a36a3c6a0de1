/**
 * Values in queries: text from a caller, judged by the type of the field it is compared with.
 *
 * What passes is exact (no float stands in for money, an instant or a 64-bit integer) and has one canonical text, so
 * that equal filters make equal cache keys. What does not pass is answered PARAMETER_INVALID with the rule.
 */
import type { DecimalField, Field } from '../datasets/contract.ts';
import { AppError, type ErrorCode } from '../errors.ts';

/** The types that can be compared, grouped and measured; a point is asked for as two floats, counts not at all. */
export type ScalarKind = 'string' | 'integer' | 'float' | 'decimal' | 'boolean' | 'timestamp' | 'wallclock' | 'date';

/** A value on its way to a warehouse as a parameter. Instants and wall clocks count microseconds since 1970, dates days. */
export type QueryValue =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'decimal'; readonly value: string; readonly precision: number; readonly scale: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'timestamp' | 'wallclock'; readonly micros: bigint }
  | { readonly kind: 'date'; readonly days: number }
  | { readonly kind: 'event_id'; readonly hex: string };

export const DAY_MS = 86_400_000;
/** Longer filter values match nothing that a contract can hold. */
const VALUE_CHARACTERS_MAX = 4_096;
/** How much of a refused value is shown. */
const GOT_CHARACTERS_MAX = 64;
const INTEGER_MAX = 2n ** 63n - 1n;

const INTEGER_SHAPE = /^-?\d{1,19}$/;
const FLOAT_SHAPE = /^-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$/;
const DECIMAL_SHAPE = /^(-?)(\d{1,38})(?:\.(\d{1,38}))?$/;
const DATE_SHAPE = /^\d{4}-\d\d-\d\d$/;
const WALLCLOCK_SHAPE = /^(\d{4}-\d\d-\d\d)[ T]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)$/;
const TIMESTAMP_SHAPE =
  /^(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,6}))?(?:[Zz]|([+-])((?:[01]\d|2[0-3])):([0-5]\d))$/;

/** Throws AppError PARAMETER_INVALID that names the parameter, the value and the rule. */
export function parseQueryValue(
  text: string,
  target: { readonly name: string; readonly field: Field; readonly parameter: string },
): QueryValue {
  const value = readValue(text, target.field);
  if (typeof value !== 'string') return value;
  throw parameterError({ parameter: target.parameter, got: text, expected: `${target.name} is ${value}` });
}

/** One text for each value: what a filter is stored, cached and compared as. Parses again to the same value. */
export function canonicalText(value: QueryValue): string {
  switch (value.kind) {
    case 'string':
    case 'decimal':
      return value.value;
    case 'integer':
    case 'float':
    case 'boolean':
      return String(value.value);
    case 'timestamp':
      return instantText(value.micros);
    case 'wallclock':
      return wallclockText(value.micros);
    case 'date':
      return dateText(value.days);
    case 'event_id':
      return value.hex;
  }
}

/** RFC 3339 in UTC: no fraction for whole seconds, else milliseconds, else microseconds. */
export function instantText(micros: bigint): string {
  const text = isoMillis(micros);
  const below = ((micros % 1_000n) + 1_000n) % 1_000n;
  if (below !== 0n) return `${text}${String(below).padStart(3, '0')}Z`;
  return text.endsWith('.000') ? `${text.slice(0, -4)}Z` : `${text}Z`;
}

/** `YYYY-MM-DD HH:MM:SS`. */
export function wallclockText(micros: bigint): string {
  return isoMillis(micros).slice(0, 19).replace('T', ' ');
}

export function dateText(days: number): string {
  return new Date(days * DAY_MS).toISOString().slice(0, 10);
}

interface ParameterErrorOptions {
  readonly code?: ErrorCode;
  readonly parameter: string;
  readonly got: string;
  /** The rule and what is allowed, as the end of a sentence. */
  readonly expected: string;
}

export function parameterError({
  code = 'PARAMETER_INVALID',
  parameter,
  got,
  expected,
}: ParameterErrorOptions): AppError {
  const shown = got.length > GOT_CHARACTERS_MAX ? `${got.slice(0, GOT_CHARACTERS_MAX)}…` : got;
  return new AppError({
    code,
    publicMessage: `${code}: ${parameter}=${shown}: ${expected}.`,
    // The value stays out of `detail`, which is logged.
    detail: `${parameter}: ${expected}`,
    errors: [{ code, parameter, expected, got: shown }],
  });
}

/** The value, or the rule it breaks. */
function readValue(text: string, field: Field): QueryValue | string {
  switch (field.type) {
    case 'string':
      return readString(text);
    case 'integer':
      return readInteger(text);
    case 'float':
      return readFloat(text);
    case 'decimal':
      return readDecimal(text, field);
    case 'boolean':
      return text === 'true' || text === 'false'
        ? { kind: 'boolean', value: text === 'true' }
        : 'a boolean: true or false';
    case 'timestamp':
      return readTimestamp(text);
    case 'wallclock':
      return readWallclock(text);
    case 'date':
      return readDate(text);
    case 'point':
    case 'counts':
      return 'not a single value and cannot be compared';
  }
}

function readString(text: string): QueryValue | string {
  // Neither can be stored: a warehouse refuses both, so the filter could only surprise.
  if (text.includes('\0') || !text.isWellFormed()) return 'text without NUL and without lone surrogates';
  if (text.length > VALUE_CHARACTERS_MAX) return `text of at most ${VALUE_CHARACTERS_MAX} characters here`;
  return { kind: 'string', value: text };
}

function readInteger(text: string): QueryValue | string {
  const rule = 'a whole number of at most 64 bits';
  if (!INTEGER_SHAPE.test(text)) return rule;
  const value = BigInt(text);
  return value > INTEGER_MAX || value < -INTEGER_MAX - 1n ? rule : { kind: 'integer', value };
}

function readFloat(text: string): QueryValue | string {
  const value = FLOAT_SHAPE.test(text) ? Number(text) : Number.NaN;
  // Adding 0 makes -0 into 0: they are equal, so their texts must be.
  return Number.isFinite(value) ? { kind: 'float', value: value + 0 } : 'a number as 1.5 or 2e3';
}

function readDecimal(text: string, { precision, scale }: DecimalField): QueryValue | string {
  const match = DECIMAL_SHAPE.exec(text);
  const rule = `a decimal number with at most ${precision - scale} digits before and ${scale} after the point`;
  if (match === null) return rule;
  const whole = (match[2] ?? '').replace(/^0+(?=\d)/, '');
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  if (fraction.length > scale || (whole !== '0' && whole.length > precision - scale)) return rule;
  const digits = fraction === '' ? whole : `${whole}.${fraction}`;
  return { kind: 'decimal', value: digits === '0' ? '0' : `${match[1]}${digits}`, precision, scale };
}

function readTimestamp(text: string): QueryValue | string {
  const rule =
    'an instant: RFC 3339 with an offset and at most 6 digits of fraction, as 2018-05-21T02:54:04Z (in a URL write + as %2B)';
  const match = TIMESTAMP_SHAPE.exec(text);
  if (match === null) return rule;
  const [, day = '', clock = '', fraction = '', sign = '+', hours = '0', minutes = '0'] = match;
  const localMs = calendarMs(day, clock);
  if (localMs === undefined) return rule;
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1);
  const utcMs = localMs - offsetMs;
  if (utcMs < Date.parse('0001-01-01T00:00:00Z') || utcMs >= Date.parse('9999-12-31T23:59:59Z') + 1_000) return rule;
  return { kind: 'timestamp', micros: BigInt(utcMs) * 1_000n + BigInt(fraction.padEnd(6, '0')) };
}

function readWallclock(text: string): QueryValue | string {
  const match = WALLCLOCK_SHAPE.exec(text);
  const localMs = match === null ? undefined : calendarMs(match[1] ?? '', match[2] ?? '');
  if (localMs === undefined) return 'a wall clock without zone as 2018-05-21 02:54:04';
  return { kind: 'wallclock', micros: BigInt(localMs) * 1_000n };
}

function readDate(text: string): QueryValue | string {
  const ms = DATE_SHAPE.test(text) ? calendarMs(text, '00:00:00') : undefined;
  return ms === undefined ? 'a day as 2018-05-21' : { kind: 'date', days: ms / DAY_MS };
}

/** Undefined for days that do not exist: Date would roll 2018-02-30 over into March. */
function calendarMs(day: string, clock: string): number | undefined {
  const ms = Date.parse(`${day}T${clock}Z`);
  if (Number.isNaN(ms) || day < '0001' || new Date(ms).toISOString().slice(0, 10) !== day) return undefined;
  return ms;
}

function isoMillis(micros: bigint): string {
  // BigInt division cuts towards zero; instants before 1970 need the floor.
  const millis = (micros - (((micros % 1_000n) + 1_000n) % 1_000n)) / 1_000n;
  return new Date(Number(millis)).toISOString().slice(0, -1);
}
