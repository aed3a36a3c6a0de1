import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  canonicalDate,
  canonicalDecimal,
  canonicalInteger,
  canonicalPoint,
  canonicalTimestamp,
  compareDecimals,
  PATTERNS,
} from './canonical.ts';

const FORMAT = { code: 'FIELD_FORMAT' };
const RANGE = { code: 'FIELD_RANGE' };

describe('canonicalTimestamp', () => {
  const table: readonly (readonly [string, string | object])[] = [
    ['2024-03-09T15:04:05Z', '2024-03-09T15:04:05.000000Z'],
    ['2024-03-09t15:04:05.12z', '2024-03-09T15:04:05.120000Z'],
    ['2024-03-09T15:04:05.123456+02:00', '2024-03-09T13:04:05.123456Z'],
    ['2024-03-01T00:30:00+01:00', '2024-02-29T23:30:00.000000Z'],
    ['2023-12-31T23:30:00-01:30', '2024-01-01T01:00:00.000000Z'],
    ['2024-03-09T15:04:05-00:00', '2024-03-09T15:04:05.000000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000000Z'],
    ['0099-06-01T12:00:00+01:00', '0099-06-01T11:00:00.000000Z'],
    ['0000-12-31T23:59:59Z', RANGE],
    ['0001-01-01T00:00:00+00:01', RANGE],
    ['0000-12-31T23:59:00-00:01', '0001-01-01T00:00:00.000000Z'],
    ['9999-12-31T23:59:59-00:01', RANGE],
    ['2023-02-29T00:00:00Z', FORMAT],
    ['2100-02-29T00:00:00Z', FORMAT],
    ['2024-04-31T00:00:00Z', FORMAT],
    ['2024-13-01T00:00:00Z', FORMAT],
    ['2024-00-01T00:00:00Z', FORMAT],
    ['2024-01-00T00:00:00Z', FORMAT],
    ['2024-01-01T24:00:00Z', FORMAT],
    ['2024-01-01T00:60:00Z', FORMAT],
    ['2016-12-31T23:59:60Z', FORMAT],
    ['2024-01-01T00:00:00+24:00', FORMAT],
    ['2024-01-01T00:00:00+01:60', FORMAT],
  ];
  for (const [text, expected] of table) {
    it(`${text} → ${JSON.stringify(expected)}`, () => {
      assert.match(text, new RegExp(PATTERNS.timestamp));
      assert.deepEqual(canonicalTimestamp(text), expected);
    });
  }

  it('is the same instant for every offset', () => {
    const instant = fc.date({
      min: new Date('0001-01-03T00:00:00Z'),
      max: new Date('9999-12-29T00:00:00Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instant, fc.integer({ min: -1439, max: 1439 }), (date, minutes) => {
        const local = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, -1);
        const clock = new Date(Math.abs(minutes) * 60_000).toISOString().slice(11, 16);
        const canonical = canonicalTimestamp(`${local}${minutes < 0 ? '-' : '+'}${clock}`);
        assert.equal(canonical, date.toISOString().replace('Z', '000Z'));
      }),
    );
  });
});

describe('canonicalDate', () => {
  it('takes exactly the days that exist', () => {
    const text = fc.tuple(
      fc.integer({ min: 0, max: 9999 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
    );
    fc.assert(
      fc.property(text, ([year, month, day]) => {
        const date = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        const parsed = new Date(`${date}T00:00:00Z`);
        const exists = !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(date);
        assert.deepEqual(canonicalDate(date), exists ? (year === 0 ? RANGE : date) : FORMAT);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('canonicalDecimal', () => {
  const shape = { precision: 12, scale: 2 };
  const table: readonly (readonly [number | string, string | object])[] = [
    [1, '1.00'],
    [1.5, '1.50'],
    [-0, '0.00'],
    ['-0.0', '0.00'],
    ['-0', '0.00'],
    [656.56, '656.56'],
    ['656.5', '656.50'],
    ['-12.34', '-12.34'],
    [0.005, FORMAT],
    ['0.005', FORMAT],
    ['1.500', FORMAT],
    [0.1 + 0.2, FORMAT],
    [9_999_999_999.99, '9999999999.99'],
    [10_000_000_000, RANGE],
    ['10000000000', RANGE],
    [1e21, RANGE],
    [Number.MAX_VALUE, RANGE],
  ];
  for (const [value, expected] of table) {
    it(`${JSON.stringify(value)} → ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(canonicalDecimal(value, shape), expected));
  }

  it('takes numbers of 15 significant digits and no more', () => {
    const wide = { precision: 38, scale: 10 };
    assert.equal(canonicalDecimal(12345.6789012345, wide), '12345.6789012345');
    assert.deepEqual(canonicalDecimal(0.12345678901234566, { precision: 38, scale: 20 }), FORMAT);
    assert.equal(canonicalDecimal(1e20, wide), '100000000000000000000.0000000000');
    assert.deepEqual(canonicalDecimal(123_456_789_012_345_680, wide), FORMAT);
  });

  it('gives a number and its text the same spelling', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -99_999_999, max: 99_999_999 }),
        fc.integer({ min: 0, max: 6 }),
        (unscaled, scale) => {
          const number = Number(`${unscaled}e-${scale}`);
          const canonical = canonicalDecimal(number, { precision: 20, scale });
          assert.equal(canonical, canonicalDecimal(number.toFixed(scale), { precision: 20, scale }));
          assert.equal(Number(canonical), number);
        },
      ),
    );
  });

  it('needs no whole digits where precision equals scale', () => {
    assert.equal(canonicalDecimal('0.25', { precision: 2, scale: 2 }), '0.25');
    assert.deepEqual(canonicalDecimal('10.25', { precision: 2, scale: 2 }), RANGE);
  });
});

describe('compareDecimals', () => {
  it('orders as exact numbers do, whatever the scales', () => {
    const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), fc.integer({ min: 0, max: 8 }));
    const textOf = ([unscaled, scale]: readonly [bigint, number]): string => {
      const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
      const whole = digits.slice(0, digits.length - scale);
      return `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
    };
    fc.assert(
      fc.property(decimal, decimal, (left, right) => {
        const difference = left[0] * 10n ** BigInt(8 - left[1]) - right[0] * 10n ** BigInt(8 - right[1]);
        assert.equal(
          Math.sign(compareDecimals(textOf(left), textOf(right))),
          difference < 0n ? -1 : Number(difference > 0n),
        );
      }),
    );
  });
});

describe('canonicalPoint and canonicalInteger', () => {
  it('give one place one spelling', () => {
    for (const text of ['POINT (7.5 -0)', 'POINT(7.50 0)', 'POINT (75e-1 -0.0)'])
      assert.equal(canonicalPoint(text), 'POINT (7.5 0)');
    assert.equal(
      canonicalPoint('POINT (7.672837913286881 44.9957109242058)'),
      'POINT (7.672837913286881 44.9957109242058)',
    );
    assert.deepEqual(canonicalPoint('POINT (180.1 0)'), RANGE);
    assert.deepEqual(canonicalPoint('POINT (0 -90.1)'), RANGE);
    assert.deepEqual(canonicalPoint('POINT (0  1)'), FORMAT);
  });

  it('keep digits as text exactly where a number would lose them', () => {
    assert.equal(canonicalInteger('9007199254740991'), 9007199254740991);
    assert.equal(canonicalInteger('9007199254740993'), '9007199254740993');
    assert.ok(Object.is(canonicalInteger('-0'), 0));
  });
});
