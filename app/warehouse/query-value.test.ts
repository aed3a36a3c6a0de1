import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Field } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { canonicalText, parseQueryValue } from './query-value.ts';

const about = { description: '', example: '' };
const fields = {
  string: { ...about, type: 'string' },
  integer: { ...about, type: 'integer', min: 0, max: 1 },
  float: { ...about, type: 'float', min: 0, max: 1 },
  decimal: { ...about, type: 'decimal', precision: 6, scale: 2, min: '0', max: '1' },
  boolean: { ...about, type: 'boolean' },
  timestamp: { ...about, type: 'timestamp' },
  wallclock: { ...about, type: 'wallclock' },
  date: { ...about, type: 'date' },
  point: { ...about, type: 'point' },
  counts: { ...about, type: 'counts' },
} as const satisfies Record<string, Field>;

function canonical(type: keyof typeof fields, text: string): string {
  return canonicalText(parseQueryValue(text, { name: type, field: fields[type], parameter: 'where' }));
}

describe('query values', () => {
  const good: readonly (readonly [keyof typeof fields, string, string])[] = [
    ['string', "'; DROP", "'; DROP"],
    ['string', '', ''],
    ['integer', '-0', '0'],
    ['integer', '007', '7'],
    ['integer', '9223372036854775807', '9223372036854775807'],
    ['integer', '-9223372036854775808', '-9223372036854775808'],
    ['float', '1e3', '1000'],
    ['float', '.5', '0.5'],
    ['float', '-0', '0'],
    ['decimal', '0010.50', '10.5'],
    ['decimal', '-0.00', '0'],
    ['decimal', '-9999.99', '-9999.99'],
    ['boolean', 'true', 'true'],
    ['timestamp', '2018-05-21T02:54:04+02:00', '2018-05-21T00:54:04Z'],
    ['timestamp', '2018-05-21t02:54:04.100z', '2018-05-21T02:54:04.100Z'],
    ['timestamp', '1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
    ['timestamp', '0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['wallclock', '2018-05-21T02:54:04', '2018-05-21 02:54:04'],
    ['date', '2020-02-29', '2020-02-29'],
  ];
  for (const [type, text, expected] of good) {
    it(`reads ${type} ${JSON.stringify(text)} as ${expected}`, () => {
      assert.equal(canonical(type, text), expected);
      assert.equal(canonical(type, expected), expected);
    });
  }

  const bad: readonly (readonly [keyof typeof fields, string])[] = [
    ['string', 'a\0b'],
    ['string', 'a\ud800'],
    ['string', 'a'.repeat(5_000)],
    ['integer', '1.0'],
    ['integer', '9223372036854775808'],
    ['integer', '0x10'],
    ['integer', ' 1'],
    ['integer', ''],
    ['float', 'NaN'],
    ['float', 'Infinity'],
    ['float', '1e999'],
    ['float', ''],
    ['decimal', '1.005'],
    ['decimal', '10000'],
    ['decimal', '1e2'],
    ['boolean', 'TRUE'],
    ['timestamp', '2018-05-21T02:54:04'],
    ['timestamp', '2018-05-21T02:54:04 01:00'],
    ['timestamp', '2018-02-30T00:00:00Z'],
    ['timestamp', '2018-05-21T24:00:00Z'],
    ['timestamp', '2018-05-21T02:54:60Z'],
    ['timestamp', '2018-05-21T02:54:04.1234567Z'],
    ['timestamp', '0001-01-01T00:00:00+01:00'],
    ['timestamp', '0000-01-01T00:00:00Z'],
    ['wallclock', '2018-05-21 02:54:04Z'],
    ['date', '2018-02-29'],
    ['date', '2018-5-1'],
    ['point', 'POINT (1 2)'],
    ['counts', '[]'],
  ];
  for (const [type, text] of bad) {
    it(`refuses ${type} ${JSON.stringify(text).slice(0, 40)}, naming parameter and rule`, () => {
      assert.throws(
        () => canonical(type, text),
        (error) => {
          assert.ok(error instanceof AppError);
          const [detail] = error.errors;
          assert.equal(error.code, 'PARAMETER_INVALID');
          assert.equal(detail?.parameter, 'where');
          assert.ok(detail.expected?.startsWith(type));
          assert.ok(error.publicMessage.includes(String(detail.expected)));
          return true;
        },
      );
    });
  }

  it('keeps the refused value out of what is logged', () => {
    assert.throws(
      () => canonical('integer', 'sécret'),
      (error) => error instanceof AppError && !error.message.includes('sécret'),
    );
  });

  it('gives one text to one value, whatever offset an instant is written in', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1900-01-01'), max: new Date('2100-01-01'), noInvalidDate: true }),
        fc.integer({ min: -23, max: 23 }),
        (date, hours) => {
          const local = new Date(date.getTime() + hours * 3_600_000).toISOString().slice(0, -1);
          const offset = `${hours < 0 ? '-' : '+'}${String(Math.abs(hours)).padStart(2, '0')}:00`;
          assert.equal(canonical('timestamp', `${local}${offset}`), canonical('timestamp', date.toISOString()));
        },
      ),
    );
  });
});
