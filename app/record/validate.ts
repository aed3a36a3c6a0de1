/**
 * One row against its contract: the canonical row, or the first reason why not.
 *
 * The zod schema decides; this file says in words what it decided. Unknown fields come first (most are misspelt names,
 * and then the right one is "missing"), then fields in contract order, then the contract's checks. A CSV row is made
 * into the JSON it stands for and judged by the same schema, so that both give the same verdict.
 */
import type { z } from 'zod';
import type { Contract, Field, Row, RowValue } from '../datasets/contract.ts';
import { compileCells } from './csv-cells.ts';
import { expectedText } from './expected-text.ts';
import { compileChecks } from './row-checks.ts';
import { zodOf } from './schema.ts';
import { gotText, holdsPersonal, MASK, pointerTo, type Verdict } from './verdict.ts';

export type { Verdict } from './verdict.ts';

export type Judgement = { readonly ok: true; readonly row: Row } | { readonly ok: false; readonly verdict: Verdict };

export interface Validator {
  readonly contract: Contract;
  judge(value: unknown, source: 'json' | 'csv'): Judgement;
}

export function compileValidator(contract: Contract): Validator {
  const schema = zodOf(contract);
  const readCells = compileCells(contract);
  const firstFailure = compileChecks(contract);
  const rowOf = compileRow(contract);
  const explain = compileExplanation(contract);
  return {
    contract,
    judge(sent, source) {
      if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) return refused(notObject(contract, sent));
      const value = source === 'csv' ? readCells(sent) : sent;
      const parsed = schema.safeParse(value);
      if (!parsed.success) return refused(explain(parsed.error.issues, value));
      const row = rowOf(parsed.data);
      const failure = firstFailure?.(row);
      return failure === undefined ? { ok: true, row } : refused(failure);
    },
  };
}

/**
 * The body of a refused row as everybody but an admin may see it. Only values of known fields that are not personal are
 * shown; a text that cannot be taken apart by field (malformed, or cut) is masked whole.
 */
export function maskPersonal(contract: Contract, bodyText: string): string {
  if (!holdsPersonal(contract)) return bodyText;
  let body: unknown;
  try {
    body = JSON.parse(bodyText);
  } catch (error) {
    if (error instanceof SyntaxError) return MASK;
    throw error;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return MASK;
  const shown = Object.entries(body).map(([name, value]) => {
    const field = fieldOf(contract, name);
    return [name, field === undefined || field.personal === true ? MASK : value];
  });
  return JSON.stringify(Object.fromEntries(shown));
}

function refused(verdict: Verdict): Judgement {
  return { ok: false, verdict };
}

function notObject(contract: Contract, sent: unknown): Verdict {
  const got = holdsPersonal(contract) ? MASK : gotText(sent);
  return { code: 'RECORD_NOT_OBJECT', pointer: '', expected: 'a JSON object', got };
}

/** In contract order, which is the schema's; fields without a value are left out, not null. */
function compileRow(contract: Contract): (parsed: Readonly<Record<string, unknown>>) => Row {
  const names = Object.keys(contract.fields);
  const hasOptional = Object.values(contract.fields).some((field) => field.optional === true);
  if (!hasOptional) return (parsed) => parsed as Row;
  return (parsed) => {
    const row: Record<string, RowValue> = {};
    for (const name of names) {
      const value = parsed[name];
      if (value !== undefined && value !== null) row[name] = value as RowValue;
    }
    return row;
  };
}

type Issues = readonly z.core.$ZodIssue[];

function compileExplanation(contract: Contract): (issues: Issues, value: object) => Verdict {
  const order = new Map(Object.keys(contract.fields).map((name, index) => [name, index]));
  const masksUnknown = holdsPersonal(contract);
  return (issues, value) => {
    const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
    if (unknown !== undefined) {
      const name = unknown.keys[0] ?? '';
      const expected = `only fields of the contract: ${[...order.keys()].join(', ')}`;
      // Most unknown fields are misspelt known ones: where any of these is personal, so may this be.
      const got = masksUnknown ? MASK : gotText(Object.getOwnPropertyDescriptor(value, name)?.value);
      return { code: 'FIELD_UNKNOWN', pointer: pointerTo(name), expected, got };
    }
    const first = issues.reduce((one, other) => (place(order, other) < place(order, one) ? other : one));
    const name = String(first.path[0]);
    const field = fieldOf(contract, name);
    if (field === undefined) throw new Error(`the schema of ${contract.name} refused a field that it does not have`);
    return fieldVerdict(field, name, { issue: first, value: (value as Readonly<Record<string, unknown>>)[name] });
  };
}

function place(order: ReadonlyMap<string, number>, issue: z.core.$ZodIssue): number {
  return order.get(String(issue.path[0])) ?? order.size;
}

function fieldVerdict(
  field: Field,
  name: string,
  { issue, value }: { readonly issue: z.core.$ZodIssue; readonly value: unknown },
): Verdict {
  return {
    code: value === undefined ? 'FIELD_MISSING' : fieldCode(issue, value),
    pointer: pointerTo(name),
    expected: expectedText(field),
    got: field.personal === true && value !== undefined ? MASK : gotText(value),
  };
}

type FieldCode = 'FIELD_TYPE' | 'FIELD_RANGE' | 'FIELD_FORMAT';

function fieldCode(issue: z.core.$ZodIssue, value: unknown): FieldCode {
  switch (issue.code) {
    case 'too_small':
    case 'too_big':
      return 'FIELD_RANGE';
    case 'invalid_format':
      return 'FIELD_FORMAT';
    case 'invalid_value':
      return typeof value === 'string' ? 'FIELD_RANGE' : 'FIELD_TYPE';
    case 'custom':
      return issue.params?.['code'] === 'FIELD_RANGE' ? 'FIELD_RANGE' : 'FIELD_FORMAT';
    case 'invalid_union':
      // Text is one of the ways to write these fields, so text that fails is ill-formed, not of another type.
      return typeof value === 'string' ? 'FIELD_FORMAT' : 'FIELD_TYPE';
    default:
      // 1e999 is read as Infinity: a number, only too large.
      return value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY ? 'FIELD_RANGE' : 'FIELD_TYPE';
  }
}

function fieldOf(contract: Contract, name: string): Field | undefined {
  return Object.hasOwn(contract.fields, name) ? contract.fields[name] : undefined;
}
