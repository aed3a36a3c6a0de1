/**
 * Decimal arithmetic on whole numbers, so that a cent is never a matter of binary rounding.
 * Rounds half to even, as accountants do: 0.125 is 0.12, 0.135 is 0.14.
 */

/** digits / 10 ** scale */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

const CENTS_SCALE = 2;

/** Takes decimal text, or a number as its shortest text: 656.565 is 656.565, not the binary neighbour. */
export function decimal(value: string | number): Decimal {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(String(value));
  if (match === null) throw new RangeError('not a decimal number');
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const scale = fraction.length - Number(exponent);
  return scale < 0 ? { digits: digits * 10n ** BigInt(-scale), scale: 0 } : { digits, scale };
}

export function toCents(value: Decimal): bigint {
  return divideHalfEven(value.digits * 10n ** BigInt(CENTS_SCALE), 10n ** BigInt(value.scale));
}

/** The mean in cents from an exact sum. `count` is over 0. */
export function meanCents(sum: Decimal, count: bigint): bigint {
  return divideHalfEven(sum.digits * 10n ** BigInt(CENTS_SCALE), count * 10n ** BigInt(sum.scale));
}

/** Two decimals. A number carries 15 digits without loss, 10 billion euros and more; beyond that it is text. */
export function centsValue(cents: bigint): number | string {
  const sign = cents < 0n ? '-' : '';
  const digits = (cents < 0n ? -cents : cents).toString().padStart(CENTS_SCALE + 1, '0');
  const text = `${sign}${digits.slice(0, -CENTS_SCALE)}.${digits.slice(-CENTS_SCALE)}`;
  return digits.length <= 15 ? Number(text) : text;
}

/** `divisor` is over 0. */
function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const negative = dividend < 0n;
  const magnitude = negative ? -dividend : dividend;
  const quotient = magnitude / divisor;
  const twice = (magnitude % divisor) * 2n;
  const up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  const rounded = up ? quotient + 1n : quotient;
  return negative ? -rounded : rounded;
}
