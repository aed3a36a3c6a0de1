/**
 * Judges one value against one field, for the examples in contracts: a second opinion that shares no code with the
 * validator of records, so that a mistake in either is seen.
 */
import type { DecimalField, Field, StringField } from './contract.ts';

const WALLCLOCK = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$/;
const POINT = /^POINT \((-?\d+(?:\.\d+)?) (-?\d+(?:\.\d+)?)\)$/;

/** What is wrong with the field's example, as the end of a sentence; undefined when nothing is. */
export function exampleProblem(field: Field): string | undefined {
  return valueProblem(field, field.example);
}

export function valueProblem(field: Field, value: unknown): string | undefined {
  switch (field.type) {
    case 'string':
      return typeof value === 'string' ? stringProblem(field, value) : 'is not text';
    case 'integer':
      if (!Number.isSafeInteger(value)) return 'is not a whole number';
      return rangeProblem(Number(value), field);
    case 'float':
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'is not a number';
      return rangeProblem(value, field);
    case 'decimal':
      return decimalProblem(field, value);
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'is not true or false';
    case 'timestamp':
      return isInstant(value, TIMESTAMP) ? undefined : 'is not an RFC 3339 instant with an offset';
    case 'wallclock':
      return isInstant(value, WALLCLOCK) ? undefined : 'is not a wall clock as 2018-05-21 02:54:04';
    case 'date':
      return isInstant(value, /^\d{4}-\d\d-\d\d$/) ? undefined : 'is not a date as 2018-05-21';
    case 'point':
      return pointProblem(value);
    case 'counts':
      // An example of a list cannot be written as one value: its text form stands for it.
      return typeof value === 'string' || Array.isArray(value) ? undefined : 'is not a list of names and counts';
  }
}

function stringProblem(field: StringField, value: string): string | undefined {
  const { lengthMin = 1, lengthMax = 255 } = field;
  if (value.length < lengthMin || value.length > lengthMax)
    return `is not ${lengthMin} to ${lengthMax} characters long`;
  if (field.values !== undefined && !field.values.includes(value)) return `is not one of ${field.values.join(', ')}`;
  if (field.pattern !== undefined && !new RegExp(field.pattern, 'u').test(value))
    return `does not match ${field.pattern}`;
  return undefined;
}

function rangeProblem(value: number, range: { readonly min: number; readonly max: number }): string | undefined {
  return value < range.min || value > range.max ? `is outside ${range.min} … ${range.max}` : undefined;
}

function decimalProblem(field: DecimalField, value: unknown): string | undefined {
  const text = String(value);
  const match = /^-?(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null || (typeof value !== 'string' && typeof value !== 'number')) return 'is not a decimal number';
  const [, whole = '', fraction = ''] = match;
  if (fraction.length > field.scale || whole.length > field.precision - field.scale) {
    return `does not fit DECIMAL(${field.precision},${field.scale})`;
  }
  return rangeProblem(Number(text), { min: Number(field.min), max: Number(field.max) });
}

function pointProblem(value: unknown): string | undefined {
  const match = typeof value === 'string' ? POINT.exec(value) : null;
  if (match === null) return 'is not POINT (lon lat)';
  const inside = Math.abs(Number(match[1])) <= 180 && Math.abs(Number(match[2])) <= 90;
  return inside ? undefined : 'lies outside -180 … 180, -90 … 90';
}

/** Shape, and a day that exists: Date rolls 2018-02-30 over into March, which the comparison sees. */
function isInstant(value: unknown, shape: RegExp): boolean {
  if (typeof value !== 'string' || !shape.test(value)) return false;
  const day = value.slice(0, 10);
  const midnight = new Date(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== day) return false;
  return value.length === 10 || !Number.isNaN(Date.parse(`${value.slice(0, 19).replace(' ', 'T')}Z`));
}
