/**
 * The zod schema of a contract: what one JSON record may be, and what it becomes. The judge runs it, the published JSON
 * Schema is made from it, so that neither can say what the other does not.
 *
 * Input is what a producer sends; output is the canonical spelling. A string's length is counted in code points by both.
 * JSON Schema cannot say that a day exists, that decimals and integers beyond 2^53 are in range, or that text must hold
 * neither NUL nor a lone surrogate.
 */
import { z } from 'zod';
import type { Contract, DecimalField, Field, IntegerField, StringField } from '../datasets/contract.ts';
import {
  canonicalDate,
  canonicalDecimal,
  canonicalInteger,
  canonicalPoint,
  canonicalTimestamp,
  canonicalWallclock,
  compareDecimals,
  PATTERNS,
  type Refusal,
} from './canonical.ts';

export type RecordSchema = z.ZodObject<Readonly<Record<string, z.ZodType>>, z.core.$strict>;

const STRING_LENGTH_MIN = 1;
const STRING_LENGTH_MAX = 255;
/** Signed 64 bits: what BIGINT and INT64 hold. */
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

export function zodOf(contract: Contract): RecordSchema {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, field] of Object.entries(contract.fields)) shape[name] = described(field);
  return z.strictObject(shape).meta({ title: contract.title, description: contract.description });
}

/** Draft 2020-12, of what may be sent. */
export function jsonSchemaOf(contract: Contract): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(zodOf(contract), { io: 'input' });
}

/** An integer whose range leaves the safe numbers: then digits as text are taken too. */
export function isWide(field: IntegerField): boolean {
  return !Number.isSafeInteger(field.min) || !Number.isSafeInteger(field.max);
}

function described(field: Field): z.ZodType {
  const schema = typed(field);
  return (field.optional === true ? schema.nullish() : schema).meta({
    description: field.description,
    examples: [field.example],
    ...(field.unit === undefined ? {} : { unit: field.unit }),
    ...(field.personal === undefined ? {} : { personal: true }),
  });
}

function typed(field: Field): z.ZodType {
  switch (field.type) {
    case 'string':
      return stringOf(field);
    case 'integer':
      return isWide(field) ? wideIntegerOf(field) : z.int().min(field.min).max(field.max);
    case 'float':
      return z.number().min(field.min).max(field.max);
    case 'decimal':
      return decimalOf(field);
    case 'boolean':
      return z.boolean();
    case 'timestamp':
      return textOf(PATTERNS.timestamp, canonicalTimestamp);
    case 'wallclock':
      return textOf(PATTERNS.wallclock, canonicalWallclock);
    case 'date':
      return textOf(PATTERNS.date, canonicalDate);
    case 'point':
      return textOf(PATTERNS.point, canonicalPoint);
    case 'counts':
      throw new Error('counts are derived, never sent: move the field to derived.fields of the contract');
  }
}

function stringOf(field: StringField): z.ZodType {
  if (field.values !== undefined) return z.enum(field.values);
  const { lengthMin = STRING_LENGTH_MIN, lengthMax = STRING_LENGTH_MAX, pattern } = field;
  const sized = z.string().min(lengthMin).max(lengthMax);
  return (pattern === undefined ? sized : sized.regex(new RegExp(pattern, 'u'))).check((payload) => {
    if (!isStorable(payload.value)) refuse(payload, 'FIELD_FORMAT');
  });
}

/** Both warehouses refuse NUL in text, and a lone surrogate has no UTF-8. */
function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

// What follows settles a value in a check, not in a transform: a check that replaces the value costs a third.

function textOf(pattern: string, canonical: (text: string) => string | Refusal): z.ZodType {
  return grammarOf(pattern).check((payload) => {
    const outcome = canonical(payload.value);
    if (typeof outcome === 'string') payload.value = outcome;
    else refuse(payload, outcome.code);
  });
}

function decimalOf(field: DecimalField): z.ZodType {
  const inRange = decimalRange(field);
  return z.union([z.number(), grammarOf(PATTERNS.decimal)]).check((payload) => {
    const outcome = canonicalDecimal(payload.value, field);
    if (typeof outcome !== 'string') refuse(payload, outcome.code);
    else if (inRange(outcome)) payload.value = outcome;
    else refuse(payload, 'FIELD_RANGE');
  });
}

/** Up to 15 digits decimals compare as numbers do, which is ten times as fast. */
function decimalRange({ precision, min, max }: DecimalField): (text: string) => boolean {
  if (precision > 15) return (text) => compareDecimals(text, min) >= 0 && compareDecimals(text, max) <= 0;
  const [from, to] = [Number(min), Number(max)];
  return (text) => Number(text) >= from && Number(text) <= to;
}

function wideIntegerOf(field: IntegerField): z.ZodType {
  const min = field.min <= Number(INT64_MIN) ? INT64_MIN : BigInt(field.min);
  const max = field.max >= Number(INT64_MAX) ? INT64_MAX : BigInt(field.max);
  return z.union([z.int(), grammarOf(PATTERNS.integer)]).check((payload) => {
    const exact = BigInt(payload.value);
    if (exact < min || exact > max) refuse(payload, 'FIELD_RANGE');
    else if (typeof payload.value === 'string') payload.value = canonicalInteger(payload.value);
  });
}

/** `abort`: what follows may rely on the grammar. */
function grammarOf(pattern: string): z.ZodString {
  return z.string().regex(new RegExp(pattern), { abort: true });
}

function refuse(payload: z.core.ParsePayload, code: Refusal['code']): void {
  payload.issues.push({ code: 'custom', input: payload.value, params: { code } });
}
