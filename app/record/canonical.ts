/**
 * The one spelling of each value. Two records that mean the same must have the same text, because identity, duplicates
 * and conflicts compare texts; and a text must be one that both warehouses read without loss.
 *
 * The patterns are the grammar, written so that JavaScript and RE2 (DuckDB, BigQuery) read them alike.
 */

/** Why a text that has the right type is still refused. */
export interface Refusal {
  readonly code: 'FIELD_FORMAT' | 'FIELD_RANGE';
}
const WRONG_FORMAT: Refusal = { code: 'FIELD_FORMAT' };
const OUT_OF_RANGE: Refusal = { code: 'FIELD_RANGE' };

const DAY = '[0-9]{4}-[0-9]{2}-[0-9]{2}';
const CLOCK = '[0-9]{2}:[0-9]{2}:[0-9]{2}';
const NUMBER = '-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?';

export const PATTERNS = {
  /** A 64-bit integer as digits. */
  integer: '^-?(?:0|[1-9][0-9]{0,18})$',
  /** How a CSV cell writes a double. */
  float: `^${NUMBER}$`,
  decimal: '^-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?$',
  timestamp: `^${DAY}[Tt]${CLOCK}(?:[.][0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$`,
  wallclock: `^${DAY} ${CLOCK}$`,
  date: `^${DAY}$`,
  point: `^POINT ?[(](${NUMBER}) (${NUMBER})[)]$`,
} as const;

const POINT = new RegExp(PATTERNS.point);
const NUMBER_SIGNIFICANT_DIGITS_MAX = 15;
const MINUTE_MS = 60_000;

/**
 * `YYYY-MM-DDTHH:MM:SS.ffffffZ`, from a text that matches the pattern. A leap second (`:60`) is refused: neither
 * warehouse has that instant, and moving it would be a silent change.
 */
export function canonicalTimestamp(text: string): string | Refusal {
  if (!isDay(text) || !isClock(text)) return WRONG_FORMAT;
  const zone = text.charCodeAt(text.length - 1);
  const isUtc = zone === 90 || zone === 122;
  const fraction = text.slice(20, isUtc ? -1 : -6).padEnd(6, '0');
  if (isUtc) return isYear(text) ? `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z` : OUT_OF_RANGE;
  const sign = text.charCodeAt(text.length - 6) === 45 ? -1 : 1;
  const hours = Number(text.slice(-5, -3));
  const minutes = Number(text.slice(-2));
  if (hours > 23 || minutes > 59) return WRONG_FORMAT;
  return inUtc(text, sign * (hours * 60 + minutes) * MINUTE_MS, fraction);
}

function inUtc(text: string, offsetMs: number, fraction: string): string | Refusal {
  const instant = new Date(0);
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  instant.setUTCFullYear(digits(text, 0, 4), digits(text, 5, 7) - 1, digits(text, 8, 10));
  instant.setUTCHours(digits(text, 11, 13), digits(text, 14, 16), digits(text, 17, 19), -offsetMs);
  // Outside 0000 … 9999 the engine writes six digits and a sign.
  const moved = instant.toISOString();
  return moved.length === 24 && isYear(moved) ? `${moved.slice(0, 19)}.${fraction}Z` : OUT_OF_RANGE;
}

export function canonicalWallclock(text: string): string | Refusal {
  if (!isDay(text) || !isClock(text)) return WRONG_FORMAT;
  return isYear(text) ? text : OUT_OF_RANGE;
}

export function canonicalDate(text: string): string | Refusal {
  if (!isDay(text)) return WRONG_FORMAT;
  return isYear(text) ? text : OUT_OF_RANGE;
}

/** `POINT (lon lat)` with each number in its shortest spelling. */
export function canonicalPoint(text: string): string | Refusal {
  const match = POINT.exec(text);
  if (match === null) return WRONG_FORMAT;
  // Adding 0 turns -0 into 0: one place, one spelling.
  const longitude = Number(match[1]) + 0;
  const latitude = Number(match[2]) + 0;
  if (Math.abs(longitude) > 180 || Math.abs(latitude) > 90) return OUT_OF_RANGE;
  return `POINT (${longitude} ${latitude})`;
}

/** Digits of a 64-bit integer: a number when it is safe as one, else the text. */
export function canonicalInteger(text: string): number | string {
  const number = Number(text) + 0;
  return Number.isSafeInteger(number) ? number : text;
}

export interface DecimalShape {
  readonly precision: number;
  readonly scale: number;
}

/** Exactly `scale` fraction digits. A number may have 15 significant ones: more cannot be told from rounding. */
export function canonicalDecimal(value: number | string, shape: DecimalShape): string | Refusal {
  if (typeof value === 'string') return paddedDecimal(value, shape);
  const magnitude = Math.abs(value);
  // toFixed is exact in decimal up to here, and 1e21 is its own limit.
  if (magnitude >= 1e21) return OUT_OF_RANGE;
  const text = value.toFixed(shape.scale);
  if (Number(text) !== value || significantDigits(text) > NUMBER_SIGNIFICANT_DIGITS_MAX) return WRONG_FORMAT;
  return paddedDecimal(text, shape);
}

function paddedDecimal(text: string, { precision, scale }: DecimalShape): string | Refusal {
  const dot = text.indexOf('.');
  const fractionDigits = dot < 0 ? 0 : text.length - dot - 1;
  if (fractionDigits > scale) return WRONG_FORMAT;
  const wholeDigits = (dot < 0 ? text.length : dot) - (text.charCodeAt(0) === 45 ? 1 : 0);
  if (wholeDigits > Math.max(1, precision - scale)) return OUT_OF_RANGE;
  const zeros = scale - fractionDigits;
  const padded = zeros === 0 ? text : `${text}${dot < 0 ? '.' : ''}${'0'.repeat(zeros)}`;
  return padded.charCodeAt(0) === 45 && /^-[0.]+$/.test(padded) ? padded.slice(1) : padded;
}

/** Without leading zeros and trailing ones. */
function significantDigits(text: string): number {
  if (text.length <= NUMBER_SIGNIFICANT_DIGITS_MAX) return text.length;
  const digits = text.replace(/[-.]/g, '').replace(/^0+/, '');
  return text.includes('.') || digits.length > NUMBER_SIGNIFICANT_DIGITS_MAX
    ? digits.replace(/0+$/, '').length
    : digits.length;
}

/** Negative, zero or positive, as numbers compare; exact for any two decimal texts. */
export function compareDecimals(left: string, right: string): number {
  const scale = Math.max(fractionLength(left), fractionLength(right));
  const difference = unscaled(left, scale) - unscaled(right, scale);
  return difference < 0n ? -1 : Number(difference > 0n);
}

function unscaled(text: string, scale: number): bigint {
  return BigInt(text.replace('.', '') + '0'.repeat(scale - fractionLength(text)));
}

function fractionLength(text: string): number {
  const dot = text.indexOf('.');
  return dot < 0 ? 0 : text.length - dot - 1;
}

/** The first ten characters as a day of the proleptic Gregorian calendar. */
function isDay(text: string): boolean {
  const month = digits(text, 5, 7);
  const day = digits(text, 8, 10);
  if (month < 1 || month > 12 || day < 1) return false;
  return day <= 28 || day <= daysIn(digits(text, 0, 4), month);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function isClock(text: string): boolean {
  return digits(text, 11, 13) <= 23 && digits(text, 14, 16) <= 59 && digits(text, 17, 19) <= 59;
}

/** 1 … 9999: what BigQuery and RFC 3339 both have. */
function isYear(text: string): boolean {
  return !text.startsWith('0000');
}

function digits(text: string, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at += 1) number = number * 10 + text.charCodeAt(at) - 48;
  return number;
}
