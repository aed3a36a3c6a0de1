/**
 * DuckDB's values as the JSON that is answered.
 *
 * Nothing changes its worth on the way: what a double cannot hold (integers beyond 2^53, decimals of more than 15
 * significant digits) is text; floats have 12 significant digits, below which sums differ from run to run; NaN and
 * Infinity are null. A point's text keeps every digit that came in.
 */
import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBStructValue,
  DuckDBTimestampValue,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import type { RowValue } from '../datasets/contract.ts';
import type { ResultColumn } from './compiled-query.ts';
import { dateText, instantText, wallclockText } from './query-value.ts';

const FLOAT_DIGITS = 12;
/** Every decimal of so many significant digits survives a double and back. */
const DECIMAL_DIGITS_MAX = 15;
/** Of degrees; 1e-20° is far below an atom. */
const PLAIN_DIGITS = 20;

export type AnsweredRow = Readonly<Record<string, RowValue>>;

export function answerRow(columns: readonly ResultColumn[], values: readonly DuckDBValue[]): AnsweredRow {
  const row: Record<string, RowValue> = {};
  let position = 0;
  for (const { name, kind } of columns) {
    const value = values[position];
    if (kind === 'point') {
      row[name] = pointText(value, values[position + 1]);
      position += 2;
    } else {
      row[name] = answerValue(kind, value);
      position += 1;
    }
  }
  return row;
}

export function answerValue(
  kind: Exclude<ResultColumn['kind'], 'point'> | 'exact',
  value: DuckDBValue | undefined,
): RowValue {
  if (value === null || value === undefined) return null;
  switch (kind) {
    case 'string':
      return typeof value === 'string' ? value : unexpected(kind, value);
    case 'boolean':
      return typeof value === 'boolean' ? value : unexpected(kind, value);
    case 'integer':
      return integerAnswer(value);
    case 'float':
      return floatAnswer(value);
    case 'decimal':
      return value instanceof DuckDBDecimalValue ? decimalAnswer(value) : unexpected(kind, value);
    case 'timestamp':
      return value instanceof DuckDBTimestampValue ? instantText(value.micros) : unexpected(kind, value);
    case 'wallclock':
      return value instanceof DuckDBTimestampValue ? wallclockText(value.micros) : unexpected(kind, value);
    case 'date':
      return value instanceof DuckDBDateValue ? dateText(value.days) : unexpected(kind, value);
    case 'counts':
      return value instanceof DuckDBListValue ? value.items.map(countAnswer) : unexpected(kind, value);
    case 'event_id':
      return value instanceof DuckDBUUIDValue ? value.toString().replaceAll('-', '') : unexpected(kind, value);
    case 'exact':
      return exactAnswer(value);
  }
}

function integerAnswer(value: DuckDBValue): number | string {
  const integer = typeof value === 'number' ? BigInt(value) : value;
  if (typeof integer !== 'bigint') return unexpected('integer', value);
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : String(integer);
}

function floatAnswer(value: DuckDBValue): number | null {
  if (typeof value !== 'number') return unexpected('float', value);
  // Adding 0 makes -0 into 0.
  return Number.isFinite(value) ? Number(value.toPrecision(FLOAT_DIGITS)) + 0 : null;
}

function decimalAnswer(value: DuckDBDecimalValue): number | string {
  const text = value.toString();
  const significant = text
    .replace(/^-?0*\.?0*/, '')
    .replace('.', '')
    .replace(/0+$/, '');
  return significant.length <= DECIMAL_DIGITS_MAX ? Number(text) + 0 : text;
}

/** Every digit, so that a page starts where the last one ended. */
function exactAnswer(value: DuckDBValue): number | string {
  if (typeof value === 'number') return value + 0;
  return value instanceof DuckDBDecimalValue ? value.toString() : unexpected('exact', value);
}

function pointText(longitude: DuckDBValue | undefined, latitude: DuckDBValue | undefined): string | null {
  if (typeof longitude !== 'number' || typeof latitude !== 'number') return null;
  return `POINT (${plainNumber(longitude)} ${plainNumber(latitude)})`;
}

/** The shortest text that is the same double, without the exponent that readers of coordinates do not know. */
function plainNumber(value: number): string {
  const text = String(value);
  return text.includes('e') ? value.toFixed(PLAIN_DIGITS).replace(/\.?0+$/, '') : text;
}

function countAnswer(item: DuckDBValue): { readonly name: string; readonly count: number } {
  if (!(item instanceof DuckDBStructValue)) return unexpected('counts', item);
  const { name, count } = item.entries;
  return { name: String(name), count: Number(count) };
}

/** A column of another type than the contract says: our bug, and a wrong answer would be worse than none. */
function unexpected(kind: string, value: DuckDBValue | undefined): never {
  throw new Error(`the warehouse answered ${typeof value} where a ${kind} was expected`);
}
