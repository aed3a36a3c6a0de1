import assert from 'node:assert/strict';
import type { Contract, Field } from '../datasets/contract.ts';
import { refusalsOf, type StoredContract } from './contract-evolution.ts';

const text = { type: 'string', description: 'Words.', example: 'a' } as const;
const count = { type: 'integer', description: 'Many.', example: 1, min: 0, max: 10 } as const;
const ratio = { type: 'float', description: 'Part.', example: 0.5, min: 0, max: 1 } as const;
const money = {
  type: 'decimal',
  description: 'Money.',
  example: '1.5',
  precision: 5,
  scale: 2,
  min: '-9.5',
  max: '9.50',
} as const;
const when = { type: 'date', description: 'Day.', example: '2024-01-01' } as const;
const listed: Field = { ...text, values: ['a', 'b'] };

const contractOf = (fields: Readonly<Record<string, Field>>, more: Partial<Contract> = {}): StoredContract => ({
  version: 1,
  fields: { when, ...fields },
  identity: { kind: 'occurrence' },
  eventDate: 'when',
  ...more,
});

const change = (before: Field, after: Field): readonly string[] =>
  refusalsOf(contractOf({ it: before }), contractOf({ it: after }));

describe('a contract whose rows are stored', () => {
  const taken: readonly (readonly [string, Field, Field])[] = [
    ['other words about a field', text, { ...text, description: 'Other.', example: 'b' }],
    ['personal', text, { ...text, personal: true }],
    ['required → optional', text, { ...text, optional: true }],
    ['a longer text', text, { ...text, lengthMin: 0, lengthMax: 256 }],
    ['a pattern that is gone', { ...text, pattern: '^a$' }, text],
    ['one more value', listed, { ...text, values: ['a', 'c', 'b'] }],
    ['any text where values were listed', listed, text],
    ['a wider range of integers', count, { ...count, min: -1, max: 2 ** 60 }],
    ['a wider range of floats', ratio, { ...ratio, max: 2 }],
    ['more digits', money, { ...money, precision: 38, min: '-9.51', max: '123.40' }],
    ['the same bounds spelt otherwise', money, { ...money, min: '-9.50', max: '9.5' }],
  ];
  for (const [what, before, after] of taken) {
    it(`takes ${what}`, () => assert.deepEqual(change(before, after), []));
  }

  it('takes new optional fields, a field order of another kind, and a check that is gone', () => {
    const check = { name: 'order', description: '', left: 'a', op: 'lt', right: 'b' } as const;
    const before = contractOf({ a: count, b: count }, { checks: [check] });
    const after = contractOf({ b: count, a: count, c: { ...text, optional: true } }, { version: 2 });
    assert.deepEqual(refusalsOf(before, after), []);
    assert.deepEqual(refusalsOf(before, { ...before, checks: [{ ...check, name: 'renamed' }] }), []);
  });

  const refused: readonly (readonly [string, Field, Field, RegExp])[] = [
    ['another type', count, ratio, /^it was integer and is float$/],
    ['optional → required', { ...text, optional: true }, text, /^it was optional and is not$/],
    ['another unit', { ...count, unit: 'min' }, { ...count, unit: 's' }, /^it was in min and is in s$/],
    ['a shorter text', text, { ...text, lengthMax: 254 }, /^it has a narrower length than before$/],
    ['a new pattern', text, { ...text, pattern: '^a$' }, /^it has another pattern/],
    ['another pattern', { ...text, pattern: '^a$' }, { ...text, pattern: '^a*$' }, /^it has another pattern/],
    ['fewer values', listed, { ...text, values: ['b'] }, /^it does not take a any more$/],
    ['values where any text was taken', text, listed, /^it does not take any text any more$/],
    ['a narrower range', count, { ...count, max: 9 }, /^it has a narrower range than before$/],
    ['a narrower range of decimals', money, { ...money, max: '9.49' }, /^it has a narrower range than before$/],
    ['fewer digits', money, { ...money, precision: 4 }, /^it had 5 digits and has 4$/],
    ['another scale', money, { ...money, scale: 3 }, /^it had 2 decimals and has 3$/],
  ];
  for (const [what, before, after, reason] of refused) {
    it(`refuses ${what}, naming field and reason`, () => {
      const reasons = change(before, after);
      assert.equal(reasons.length, 1);
      assert.match(reasons[0] ?? '', reason);
    });
  }

  it('refuses a field that is gone, a new one that is required, another identity or event date, a new check', () => {
    const check = { name: 'order', description: '', left: 'a', op: 'lt', right: 'b' } as const;
    const before = contractOf({ a: count });
    const after = contractOf(
      { b: count, day: when },
      {
        identity: { kind: 'key', fields: ['b'] },
        eventDate: 'day',
        checks: [check],
      },
    );
    assert.deepEqual(refusalsOf(before, after), [
      'a was taken away',
      'b is new and not optional, and stored rows have none',
      'day is new and not optional, and stored rows have none',
      'identity changed',
      'eventDate was when and is day',
      'the check order is new, and stored rows may fail it',
    ]);
  });
});
