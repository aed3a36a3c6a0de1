import assert from 'node:assert/strict';
import fc from 'fast-check';
import { add, compare, type Decimal, decimal, decimalText, multiply, readDecimal, subtract } from './decimal.ts';

const decimals = fc
  .tuple(fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }), fc.integer({ min: 0, max: 9 }))
  .map(([units, scale]): Decimal => multiply({ units, scale }, decimal(1)));

describe('decimals', () => {
  it('leave no residue where binary fractions do', () => {
    assert.equal(decimalText(subtract(decimal(1), decimal('0.999'))), '0.001');
    assert.equal(decimalText(multiply(decimal('14.4'), decimal('0.001'))), '0.0144');
    assert.notEqual(String(14.4 * (1 - 0.999)), '0.0144');
  });

  it('are written as they are read, without an exponent', () => {
    for (const text of ['0', '1', '0.999', '-0.01', '14.4', '1000000', '0.0000001', '-12']) {
      assert.equal(decimalText(decimal(text)), text);
    }
    assert.equal(decimalText(decimal('1.500')), '1.5');
    assert.equal(decimalText(decimal('-0.0')), '0');
  });

  it('are nothing but plain digits: other spellings of numbers are refused', () => {
    for (const text of ['', '1e3', '.5', '5.', '0x10', '1_000', ' 1', 'NaN', '.inf', '1'.repeat(31)]) {
      assert.equal(readDecimal(text), undefined, text);
    }
  });

  it('add, subtract, multiply and compare as whole numbers of one scale do', () => {
    const scaled = ({ units, scale }: Decimal, to: number): bigint => units * 10n ** BigInt(to - scale);
    fc.assert(
      fc.property(decimals, decimals, (a, b) => {
        assert.equal(scaled(add(a, b), 18), scaled(a, 18) + scaled(b, 18));
        assert.deepEqual(subtract(add(a, b), b), a);
        assert.equal(scaled(multiply(a, b), 36), scaled(a, 18) * scaled(b, 18));
        assert.equal(compare(a, b), Math.sign(Number(scaled(a, 18) - scaled(b, 18))));
        assert.deepEqual(readDecimal(decimalText(a)), a);
      }),
    );
  });
});
