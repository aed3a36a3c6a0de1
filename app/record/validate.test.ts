import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { Contract, Field } from '../datasets/contract.ts';
import type { ErrorCode } from '../errors.ts';
import { ANONYMOUS, EVERYTHING, GOOD, goodRecord } from './everything.fixture.ts';
import { jsonSchemaOf, zodOf } from './schema.ts';
import { compileValidator, maskPersonal, type Verdict } from './validate.ts';

const validator = compileValidator(EVERYTHING);

function rowOf(value: unknown, source: 'json' | 'csv' = 'json') {
  const judged = validator.judge(value, source);
  assert.ok(judged.ok, judged.ok ? '' : JSON.stringify(judged.verdict));
  return judged.row;
}

function verdictOf(value: unknown, source: 'json' | 'csv' = 'json', by = validator): Verdict {
  const judged = by.judge(value, source);
  assert.ok(!judged.ok, 'the row was taken');
  return judged.verdict;
}

describe('Validator.judge, a good row', () => {
  it('gives the canonical row, in contract order, without absent fields', () => {
    const row = rowOf({
      at: '2024-03-09T16:04:05+01:00',
      amount: 1.5,
      note: null,
      place: 'POINT(7.50 44)',
      count: 7,
      code: 'ABC',
    });
    assert.equal(
      JSON.stringify(row),
      '{"code":"ABC","count":7,"amount":"1.50","at":"2024-03-09T15:04:05.000000Z","place":"POINT (7.5 44)"}',
    );
  });

  it('judges its own output as the same row', () => {
    fc.assert(fc.property(goodRecord, (record) => assert.deepEqual(rowOf(rowOf(record)), rowOf(record))));
  });

  it('gives a CSV row the row of the JSON that it stands for', () => {
    const cell = (value: unknown): string => (value === undefined ? '' : String(value));
    fc.assert(
      fc.property(goodRecord, (record) => {
        const cells = Object.fromEntries(
          Object.keys(EVERYTHING.fields).map((name) => [name, cell((record as Record<string, unknown>)[name])]),
        );
        const { note, ...rest } = record;
        const { at: _, ...sent } = { ...rest, ...(note === '' || note === undefined ? {} : { note }) };
        // As text: -0 and 0 are one row.
        assert.equal(JSON.stringify(rowOf(cells, 'csv')), JSON.stringify(rowOf({ ...sent, at: record.at })));
      }),
    );
  });

  it('keeps integers beyond 2^53 exact, as text', () => {
    assert.equal(rowOf({ ...GOOD, big: '9223372036854775807' })['big'], '9223372036854775807');
    assert.equal(rowOf({ ...GOOD, big: '42' })['big'], 42);
    assert.equal(rowOf({ ...GOOD, big: 42 })['big'], 42);
  });
});

describe('Validator.judge, a bad row', () => {
  const table: readonly (readonly [string, unknown, ErrorCode, string])[] = [
    ['null', null, 'RECORD_NOT_OBJECT', ''],
    ['an array', [GOOD], 'RECORD_NOT_OBJECT', ''],
    ['a text', 'x', 'RECORD_NOT_OBJECT', ''],
    ['an unknown field', { ...GOOD, wings: 2 }, 'FIELD_UNKNOWN', '/wings'],
    ['an unknown field before a wrong one', { ...GOOD, code: 1, wings: 2 }, 'FIELD_UNKNOWN', '/wings'],
    ['a field name to escape', { ...GOOD, 'a/b~c': 2 }, 'FIELD_UNKNOWN', '/a~1b~0c'],
    [
      '__proto__',
      JSON.parse('{"__proto__":{"code":"ABC"},"code":"ABC","count":7,"amount":1,"at":"2024-03-09T15:04:05Z"}'),
      'FIELD_UNKNOWN',
      '/__proto__',
    ],
    ['constructor', { ...GOOD, constructor: 1 }, 'FIELD_UNKNOWN', '/constructor'],
    ['nothing', {}, 'FIELD_MISSING', '/code'],
    ['a missing field', { ...GOOD, amount: undefined }, 'FIELD_MISSING', '/amount'],
    ['null for a required field', { ...GOOD, code: null }, 'FIELD_TYPE', '/code'],
    ['the first of two wrong fields', { ...GOOD, count: 'x', at: 1 }, 'FIELD_TYPE', '/count'],
    ['a number for text', { ...GOOD, code: 1 }, 'FIELD_TYPE', '/code'],
    ['an object for text', { ...GOOD, note: {} }, 'FIELD_TYPE', '/note'],
    ['text that is too long', { ...GOOD, note: 'x'.repeat(21) }, 'FIELD_RANGE', '/note'],
    ['text that is too short', { ...GOOD, code: '' }, 'FIELD_RANGE', '/code'],
    ['text off the pattern', { ...GOOD, code: 'abc' }, 'FIELD_FORMAT', '/code'],
    ['NUL in text', { ...GOOD, note: 'a\0b' }, 'FIELD_FORMAT', '/note'],
    ['a lone surrogate', { ...GOOD, note: 'a\ud800b' }, 'FIELD_FORMAT', '/note'],
    ['a value off the list', { ...GOOD, colour: 'blue' }, 'FIELD_RANGE', '/colour'],
    ['a number off the list', { ...GOOD, colour: 1 }, 'FIELD_TYPE', '/colour'],
    ['digits for a number', { ...GOOD, count: '7' }, 'FIELD_TYPE', '/count'],
    ['a fraction for an integer', { ...GOOD, count: 1.5 }, 'FIELD_TYPE', '/count'],
    ['an integer over its range', { ...GOOD, count: 1001 }, 'FIELD_RANGE', '/count'],
    ['2^53', { ...GOOD, count: 2 ** 53 }, 'FIELD_RANGE', '/count'],
    [
      '1e999',
      JSON.parse('{"code":"ABC","count":1e999,"amount":1,"at":"2024-03-09T15:04:05Z"}'),
      'FIELD_RANGE',
      '/count',
    ],
    ['2^53 as a number in a wide field', { ...GOOD, big: 2 ** 53 }, 'FIELD_RANGE', '/big'],
    ['digits over 64 bits', { ...GOOD, big: '9223372036854775808' }, 'FIELD_RANGE', '/big'],
    ['digits under 64 bits', { ...GOOD, big: '-9223372036854775809' }, 'FIELD_RANGE', '/big'],
    ['digits with a leading zero', { ...GOOD, big: '007' }, 'FIELD_FORMAT', '/big'],
    ['a boolean for a wide integer', { ...GOOD, big: true }, 'FIELD_TYPE', '/big'],
    ['NaN', { ...GOOD, ratio: Number.NaN }, 'FIELD_TYPE', '/ratio'],
    ['an infinite float', { ...GOOD, ratio: Number.POSITIVE_INFINITY }, 'FIELD_RANGE', '/ratio'],
    ['a float under its range', { ...GOOD, ratio: -1.5 }, 'FIELD_RANGE', '/ratio'],
    ['a boolean for a decimal', { ...GOOD, amount: true }, 'FIELD_TYPE', '/amount'],
    ['words for a decimal', { ...GOOD, amount: 'ten' }, 'FIELD_FORMAT', '/amount'],
    ['a decimal with an exponent', { ...GOOD, amount: '1e2' }, 'FIELD_FORMAT', '/amount'],
    ['a decimal with three fraction digits', { ...GOOD, amount: '1.005' }, 'FIELD_FORMAT', '/amount'],
    ['a decimal over its range', { ...GOOD, amount: '1000000.01' }, 'FIELD_RANGE', '/amount'],
    ['a long decimal over its range', { ...GOOD, huge: '99999999999999999999.500001' }, 'FIELD_RANGE', '/huge'],
    ['a word for a boolean', { ...GOOD, flag: 'true' }, 'FIELD_TYPE', '/flag'],
    ['an instant without offset', { ...GOOD, at: '2024-03-09T15:04:05' }, 'FIELD_FORMAT', '/at'],
    ['an instant with 7 digits of a second', { ...GOOD, at: '2024-03-09T15:04:05.1234567Z' }, 'FIELD_FORMAT', '/at'],
    ['an impossible day', { ...GOOD, at: '2023-02-29T00:00:00Z' }, 'FIELD_FORMAT', '/at'],
    ['a leap second', { ...GOOD, at: '2016-12-31T23:59:60Z' }, 'FIELD_FORMAT', '/at'],
    ['year 0', { ...GOOD, at: '0000-01-01T00:00:00Z' }, 'FIELD_RANGE', '/at'],
    ['epoch seconds', { ...GOOD, at: 1_710_000_000 }, 'FIELD_TYPE', '/at'],
    ['a wall clock with T', { ...GOOD, local: '2018-05-21T02:54:04' }, 'FIELD_FORMAT', '/local'],
    ['a wall clock at 25 h', { ...GOOD, local: '2018-05-21 25:54:04' }, 'FIELD_FORMAT', '/local'],
    ['a date in another order', { ...GOOD, day: '21-05-2018' }, 'FIELD_FORMAT', '/day'],
    ['a point without brackets', { ...GOOD, place: '7 44' }, 'FIELD_FORMAT', '/place'],
    ['a point off the globe', { ...GOOD, place: 'POINT (7 91)' }, 'FIELD_RANGE', '/place'],
    ['a failed check', { ...GOOD, day: '2018-05-22', local: '2018-05-21 10:00:00' }, 'CHECK_FAILED', '/day'],
  ];
  for (const [name, value, code, pointer] of table) {
    it(`answers ${name} with ${code}`, () => {
      const verdict = verdictOf(value);
      assert.deepEqual([verdict.code, verdict.pointer], [code, pointer]);
      assert.ok(verdict.expected.length > 0 && verdict.got.length <= 64 && verdict.pointer.length <= 128);
    });
  }

  const cells: readonly (readonly [string, Record<string, string>, ErrorCode, string])[] = [
    ['an empty required cell', { code: '' }, 'FIELD_MISSING', '/code'],
    ['a word for an integer', { count: 'x' }, 'FIELD_TYPE', '/count'],
    ['a fraction for an integer', { count: '1.5' }, 'FIELD_TYPE', '/count'],
    ['a fraction for a wide integer', { big: '1.5' }, 'FIELD_TYPE', '/big'],
    ['2^53', { count: '9007199254740993' }, 'FIELD_RANGE', '/count'],
    ['NaN', { ratio: 'NaN' }, 'FIELD_TYPE', '/ratio'],
    ['1e999', { ratio: '1e999' }, 'FIELD_RANGE', '/ratio'],
    ['yes', { flag: 'yes' }, 'FIELD_TYPE', '/flag'],
    ['a comma in a decimal', { amount: '1,5' }, 'FIELD_FORMAT', '/amount'],
    ['a space before a number', { count: ' 7' }, 'FIELD_TYPE', '/count'],
    ['a formula', { code: '=A1' }, 'FIELD_FORMAT', '/code'],
  ];
  for (const [name, wrong, code, pointer] of cells) {
    it(`answers ${name} in a CSV cell with ${code}`, () => {
      const verdict = verdictOf({ code: 'ABC', count: '7', amount: '1.5', at: GOOD.at, ...wrong }, 'csv');
      assert.deepEqual([verdict.code, verdict.pointer], [code, pointer]);
    });
  }

  it('counts a text in code points, as the published schema does', () => {
    const longest = '😀'.repeat(20);
    assert.equal(rowOf({ ...GOOD, note: longest })['note'], longest);
    const { code, pointer } = verdictOf({ ...GOOD, note: `${longest}x` });
    assert.deepEqual([code, pointer], ['FIELD_RANGE', '/note']);
  });

  it('says what was expected and got, with limits and unit', () => {
    const { expected, got } = verdictOf({ ...GOOD, amount: '1.005' });
    assert.equal(
      expected,
      'a decimal from -100.00 to 1000000.00 with at most 2 digits after the point, as a number of up to 15 digits or as text (EUR)',
    );
    assert.equal(got, '1.005');
    assert.equal(verdictOf({ ...GOOD, count: 'x'.repeat(100) }).got, `${'x'.repeat(63)}…`);
    assert.equal(verdictOf({}).got, 'nothing');
  });

  it('cuts a field name that is a megabyte long', () => {
    assert.ok(
      verdictOf({ ...GOOD, ['x'.repeat(2 ** 20)]: 1 }, 'json', compileValidator(ANONYMOUS)).pointer.length <= 128,
    );
  });

  it('never shows what a personal field held, nor what may be one', () => {
    const secret = 'no-at-sign-here';
    for (const value of [{ ...GOOD, email: secret }, { ...GOOD, emial: secret }, secret]) {
      assert.ok(!JSON.stringify(verdictOf(value)).includes(secret));
    }
    assert.equal(verdictOf({ ...GOOD, wings: 'shown' }, 'json', compileValidator(ANONYMOUS)).got, 'shown');
  });

  it('leaves the prototype alone', () => {
    verdictOf(JSON.parse('{"__proto__":{"polluted":1}}'));
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
});

describe('checks', () => {
  const field = (type: 'integer' | 'string', optional?: true): Field =>
    type === 'integer'
      ? { type, description: 'd', example: 1, min: -(2 ** 63), max: 2 ** 63, ...(optional ? { optional } : {}) }
      : { type, description: 'd', example: 'a', ...(optional ? { optional } : {}) };
  const contractWith = (type: 'integer' | 'string', op: 'lt' | 'lte' | 'ne' | 'eq'): Contract => ({
    ...ANONYMOUS,
    fields: { left: field(type), right: field(type, true) },
    checks: [{ name: 'check', description: 'd', left: 'left', op, right: 'right' }],
  });
  const passes = (contract: Contract, value: object): boolean => compileValidator(contract).judge(value, 'json').ok;

  it('compare integers exactly, also beyond 2^53', () => {
    const wide = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -3n, max: 3n }));
    const contracts = {
      lt: contractWith('integer', 'lt'),
      lte: contractWith('integer', 'lte'),
      eq: contractWith('integer', 'eq'),
      ne: contractWith('integer', 'ne'),
    };
    fc.assert(
      fc.property(wide, wide, (left, right) => {
        const value = { left: String(left), right: String(right) };
        assert.deepEqual(
          [
            passes(contracts.lt, value),
            passes(contracts.lte, value),
            passes(contracts.eq, value),
            passes(contracts.ne, value),
          ],
          [left < right, left <= right, left === right, left !== right],
        );
      }),
    );
  });

  it('compare text by code points, as the warehouses do', () => {
    const text = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 4 })
      .filter((one) => one.isWellFormed() && !one.includes('\0'));
    const contract = contractWith('string', 'lt');
    fc.assert(
      fc.property(text, text, (left, right) => {
        assert.equal(passes(contract, { left, right }), Buffer.compare(Buffer.from(left), Buffer.from(right)) < 0);
      }),
      { numRuns: 500 },
    );
    assert.ok(passes(contract, { left: '\uffff', right: '\u{1f600}' }));
  });

  it('hold when a side is absent', () => assert.ok(passes(contractWith('integer', 'eq'), { left: 1 })));
});

describe('zodOf and jsonSchemaOf', () => {
  const ajv = new Ajv2020({ strict: false });
  const isValid = ajv.compile(jsonSchemaOf(EVERYTHING));
  const anyValue = fc.oneof(
    fc.constantFrom(
      null,
      true,
      '',
      'ABC',
      'red',
      '2024-03-09T15:04:05Z',
      'POINT (1 2)',
      '1.50',
      '12',
      1.5,
      7,
      2 ** 53,
      'a@b',
      '2018-05-21',
      '2018-05-21 02:54:04',
    ),
    fc.string({ maxLength: 25 }),
    fc.integer(),
    fc.double(),
    fc.constant([]),
  );
  const anyRecord = fc.tuple(
    goodRecord,
    fc.dictionary(fc.constantFrom(...Object.keys(EVERYTHING.fields), 'wings'), anyValue, {
      maxKeys: 2,
      noNullPrototype: true,
    }),
  );

  it('publish a schema that every accepted record meets', () => {
    let accepted = 0;
    fc.assert(
      fc.property(anyRecord, ([good, changed]) => {
        const value: unknown = JSON.parse(JSON.stringify({ ...good, ...changed }));
        const judged = validator.judge(value, 'json');
        assert.equal(zodOf(EVERYTHING).safeParse(value).success, judged.ok || judged.verdict.code === 'CHECK_FAILED');
        if (!judged.ok) return;
        accepted += 1;
        assert.ok(isValid(value), JSON.stringify([value, isValid.errors]));
      }),
      { numRuns: 200 },
    );
    assert.ok(accepted > 20);
  });

  it('refuse in the judge what the schema takes only where JSON Schema has no words for it', () => {
    const unspoken: readonly ErrorCode[] = ['FIELD_FORMAT', 'FIELD_RANGE', 'CHECK_FAILED'];
    fc.assert(
      fc.property(anyRecord, ([good, changed]) => {
        const value: unknown = JSON.parse(JSON.stringify({ ...good, ...changed }));
        const judged = validator.judge(value, 'json');
        if (judged.ok || !isValid(value)) return;
        assert.ok(unspoken.includes(judged.verdict.code), JSON.stringify([value, judged.verdict]));
      }),
      { numRuns: 500 },
    );
  });

  it('describe each field with its unit, example and whether it is personal', () => {
    const { properties, required, additionalProperties } = jsonSchemaOf(EVERYTHING) as Record<
      string,
      Record<string, Record<string, unknown>>
    >;
    assert.equal(additionalProperties, false);
    assert.deepEqual(required, ['code', 'count', 'amount', 'at']);
    assert.equal(properties?.['amount']?.['unit'], 'EUR');
    assert.deepEqual(properties?.['amount']?.['examples'], ['1.50']);
    assert.equal(properties?.['email']?.['personal'], true);
  });

  it('refuse a contract that lets counts be sent', () => {
    const counts: Field = { type: 'counts', description: 'd', example: 'x' };
    assert.throws(() => zodOf({ ...EVERYTHING, fields: { ...EVERYTHING.fields, counts } }), /derived/);
  });
});

describe('maskPersonal', () => {
  it('shows known fields that are not personal, and nothing else', () => {
    const body = '{"code":"ABC","email":"a@b.c","emial":"a@b.c","__proto__":"a@b.c","toString":"a@b.c"}';
    const masked = maskPersonal(EVERYTHING, body);
    assert.ok(masked.includes('"code":"ABC"') && !masked.includes('a@b.c'), masked);
  });

  it('masks whole what cannot be taken apart', () => {
    for (const body of ['{"email":"a@b.c', '["a@b.c"]', '"a@b.c"', ''])
      assert.equal(maskPersonal(EVERYTHING, body), '•••');
  });

  it('leaves bodies of contracts without personal fields as they came', () => {
    assert.equal(maskPersonal(ANONYMOUS, '{"broken'), '{"broken');
  });
});
