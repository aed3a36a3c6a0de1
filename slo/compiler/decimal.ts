/**
 * Exact decimals. Every number that a person wrote in a specification and every number that reaches a generated file
 * is one of these: 1 − 0.999 is 0.001 and 14.4 × 0.001 is 0.0144, without the residue of binary fractions. Addition,
 * subtraction and multiplication stay exact; there is no division, because its result need not be a decimal.
 */

/** units × 10^−scale, normalised: no trailing zero while scale > 0. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;
/** Beyond this a specification holds a mistake, not a target. */
const DIGITS_MAX = 30;

/** Reads `0.999`, `14.4`, `300`; undefined for anything else (an exponent, hexadecimal, too many digits). */
export function readDecimal(text: string): Decimal | undefined {
  const [, sign, whole, fraction = ''] = DECIMAL.exec(text) ?? [];
  if (whole === undefined || whole.length + fraction.length > DIGITS_MAX) return undefined;
  const units = BigInt(whole + fraction);
  return normalised(sign === '-' ? -units : units, fraction.length);
}

/** For constants of the program; throws where the text is not a decimal. */
export function decimal(text: string | number | bigint): Decimal {
  const value = readDecimal(String(text));
  if (value === undefined) throw new Error(`${text} is not a decimal`);
  return value;
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return normalised(unitsAt(a, scale) + unitsAt(b, scale), scale);
}

export function subtract(a: Decimal, b: Decimal): Decimal {
  return add(a, { units: -b.units, scale: b.scale });
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  return normalised(a.units * b.units, a.scale + b.scale);
}

/** Negative, zero or positive, as a sort expects. */
export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = unitsAt(a, scale) - unitsAt(b, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The shortest text that reads back as the same number; never an exponent. */
export function decimalText({ units, scale }: Decimal): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const sign = units < 0n ? '-' : '';
  const whole = digits.slice(0, digits.length - scale);
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`;
}

/** For estimates that people read (times, rates), never for what is written into a rule. */
export function decimalNumber(value: Decimal): number {
  return Number(decimalText(value));
}

function unitsAt({ units, scale }: Decimal, wanted: number): bigint {
  return units * 10n ** BigInt(wanted - scale);
}

function normalised(units: bigint, scale: number): Decimal {
  let left = units;
  let places = scale;
  while (places > 0 && left % 10n === 0n) {
    left /= 10n;
    places -= 1;
  }
  return { units: left, scale: places };
}
