/**
 * What may become of a contract whose rows are stored: optional fields come, and what a field takes grows wider.
 *
 * Every row that was valid is valid still, and means the same. Anything else would leave rows behind that their
 * contract refuses: it stops the start, and the reason names the field.
 */
import type { Contract, Field } from '../datasets/contract.ts';

/** What is kept of a contract beside its rows. */
export type StoredContract = Pick<Contract, 'version' | 'fields' | 'identity' | 'eventDate' | 'checks'>;

export function storedContractOf({ version, fields, identity, eventDate, checks }: Contract): StoredContract {
  return { version, fields, identity, eventDate, ...(checks === undefined ? {} : { checks }) };
}

/** Why the rows of one do not all fit the other; empty when they do. */
export function refusalsOf(before: StoredContract, after: StoredContract): readonly string[] {
  const refusals: string[] = [];
  for (const [name, field] of Object.entries(before.fields)) {
    const next = after.fields[name];
    if (next === undefined) refusals.push(`${name} was taken away`);
    else refusals.push(...fieldRefusals(field, next).map((reason) => `${name} ${reason}`));
  }
  for (const [name, field] of Object.entries(after.fields)) {
    if (before.fields[name] === undefined && field.optional !== true) {
      refusals.push(`${name} is new and not optional, and stored rows have none`);
    }
  }
  if (JSON.stringify(before.identity) !== JSON.stringify(after.identity)) refusals.push('identity changed');
  if (before.eventDate !== after.eventDate)
    refusals.push(`eventDate was ${before.eventDate} and is ${after.eventDate}`);
  const known = new Set((before.checks ?? []).map(ruleOf));
  for (const check of after.checks ?? []) {
    if (!known.has(ruleOf(check))) refusals.push(`the check ${check.name} is new, and stored rows may fail it`);
  }
  return refusals;
}

function ruleOf({ left, op, right }: NonNullable<Contract['checks']>[number]): string {
  return `${left} ${op} ${right}`;
}

function fieldRefusals(before: Field, after: Field): readonly string[] {
  if (before.type !== after.type) return [`was ${before.type} and is ${after.type}`];
  const refusals = typeRefusals(before, after);
  if (before.optional === true && after.optional !== true) refusals.push('was optional and is not');
  if (before.unit !== after.unit) refusals.push(`was in ${before.unit ?? 'no unit'} and is in ${after.unit ?? 'none'}`);
  return refusals;
}

const LENGTH_MIN = 1;
const LENGTH_MAX = 255;

/** Both are of one type. */
function typeRefusals(before: Field, after: Field): string[] {
  switch (before.type) {
    case 'string': {
      if (after.type !== 'string') return [];
      const lengths = { min: before.lengthMin ?? LENGTH_MIN, max: before.lengthMax ?? LENGTH_MAX };
      const reasons = narrower('length', lengths, {
        min: after.lengthMin ?? LENGTH_MIN,
        max: after.lengthMax ?? LENGTH_MAX,
      });
      if (after.pattern !== undefined && after.pattern !== before.pattern) {
        reasons.push('has another pattern, and nobody can tell whether it takes all that the old one took');
      }
      const gone =
        after.values === undefined ? [] : (before.values ?? ['any text']).filter((one) => !after.values?.includes(one));
      if (gone.length > 0) reasons.push(`does not take ${gone.join(', ')} any more`);
      return reasons;
    }
    case 'integer':
    case 'float':
      return after.type === before.type ? narrower('range', before, after) : [];
    case 'decimal': {
      if (after.type !== 'decimal') return [];
      const reasons = narrower('range', unscaled(before), unscaled(after));
      if (after.scale !== before.scale) reasons.push(`had ${before.scale} decimals and has ${after.scale}`);
      if (after.precision < before.precision) reasons.push(`had ${before.precision} digits and has ${after.precision}`);
      return reasons;
    }
    case 'boolean':
    case 'timestamp':
    case 'wallclock':
    case 'date':
    case 'point':
    case 'counts':
      return [];
  }
}

interface Bounds<T> {
  readonly min: T;
  readonly max: T;
}

function narrower<T extends number | bigint>(what: string, before: Bounds<T>, after: Bounds<T>): string[] {
  if (after.min <= before.min && after.max >= before.max) return [];
  return [`has a narrower ${what} than before`];
}

/** Scales of up to 38 digits, so that texts of any scale compare exactly. */
const DIGITS = 38;

function unscaled({ min, max }: { readonly min: string; readonly max: string }): Bounds<bigint> {
  return { min: unscaledText(min), max: unscaledText(max) };
}

function unscaledText(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const digits = BigInt(whole + fraction.padEnd(DIGITS, '0'));
  return text.startsWith('-') ? -digits : digits;
}
