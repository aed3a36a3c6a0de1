import assert from 'node:assert/strict';
import fc from 'fast-check';
import { centsValue, decimal, meanCents, toCents } from './decimal.ts';

const round = (value: string | number) => centsValue(toCents(decimal(value)));

describe('decimal', () => {
  it('rounds half to even, on either side of zero', () => {
    assert.deepEqual(
      ['0.125', '0.135', '0.1251', '-0.125', '-0.135', '2.5'].map(round),
      [0.12, 0.14, 0.13, -0.12, -0.14, 2.5],
    );
  });

  it('takes a number as its shortest text, not as its binary neighbour', () => {
    // 1.005 is stored below 1.005 and 656.565 above: rounding the stored value would differ.
    assert.equal(round(1.005), 1);
    assert.equal(round(1.015), 1.02);
    assert.equal(round(656.565), 656.56);
  });

  it('reads exponents', () => {
    assert.deepEqual([1e-7, 1.5e21, '25e-3'].map(round), [0, '1500000000000000000000.00', 0.02]);
  });

  it('refuses what is no number', () => {
    for (const text of ['', 'abc', '1,5', 'NaN']) assert.throws(() => decimal(text), RangeError);
  });

  it('answers text where a number would lose a digit', () => {
    assert.equal(round('9999999999999.99'), 9999999999999.99);
    assert.equal(round('99999999999999.99'), '99999999999999.99');
  });

  it('divides a sum to the cent nearest the true mean, the even one of two', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
        fc.bigInt({ min: 1n, max: 10n ** 6n }),
        (digits, count) => {
          const cents = meanCents({ digits, scale: 2 }, count);
          const distance = digits - cents * count < 0n ? cents * count - digits : digits - cents * count;
          assert.ok(distance * 2n < count || (distance * 2n === count && cents % 2n === 0n));
        },
      ),
    );
  });
});
