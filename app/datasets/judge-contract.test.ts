import assert from 'node:assert/strict';
import type { Contract, Field } from './contract.ts';
import { contractProblems } from './judge-contract.ts';
import { valueProblem } from './judge-example.ts';

const SOUND: Contract = {
  name: 'tides',
  version: 1,
  title: 'Tides',
  description: 'One reading.',
  fields: {
    station: { type: 'string', description: 'Station.', example: 'LIS' },
    height: { type: 'float', description: 'Height.', example: 1.5, min: -20, max: 20 },
    place: { type: 'point', description: 'Place.', example: 'POINT (-9.1 38.7)' },
    note: { type: 'string', description: 'Note.', example: 'calm', optional: true },
    at: { type: 'timestamp', description: 'When.', example: '2024-02-29T12:00:00Z' },
  },
  derived: {
    fields: {
      words: { type: 'counts', description: 'Words.', example: '[]' },
      kind: { type: 'string', description: 'Kind of tide.', example: 'spring', optional: true },
    },
    derive: () => ({ words: [], kind: null }),
  },
  identity: { kind: 'key', fields: ['station'] },
  eventDate: 'at',
  checks: [{ name: 'odd', description: 'Differs.', left: 'station', op: 'ne', right: 'note' }],
  freshnessSeconds: 60,
  unclassified: { field: 'kind', sum: 'height' },
  retentionDays: { bronze: 10, silver: 10, quarantine: 1, deadLetters: 1, archive: 1 },
  gold: {
    by_day: {
      kind: 'aggregate',
      description: 'Daily.',
      measures: ['count', 'avg:height', 'min:place_lon'],
      by: ['station'],
      bucket: 'at:day',
    },
    fact_words: {
      kind: 'fact',
      description: 'Words.',
      list: 'words',
      nameColumn: 'word',
      countColumn: 'times',
      columns: ['station'],
    },
    dim_station: { kind: 'dimension', description: 'Stations.', field: 'station', column: 'station' },
  },
  sample: { file: 'sample.ndjson', source: 'invented', license: 'Apache-2.0' },
};

const station = (field: object): Partial<Contract> => ({
  fields: { ...SOUND.fields, station: { ...SOUND.fields['station'], ...field } as Field },
});
const unclassified = (change: object): Partial<Contract> => ({
  unclassified: { field: 'kind', sum: 'height', ...change },
});
const gold = (model: object): Partial<Contract> => ({
  gold: { m: { description: 'M.', ...model } as Contract['gold'][string] },
});

const BAD: readonly (readonly [what: string, change: Partial<Contract>, problem: RegExp])[] = [
  ['a name in capitals', { name: 'Tides' }, /^name: "Tides" is not a dataset name/],
  ['version 0', { version: 0 }, /^version: 0/],
  ['an empty title', { title: ' ' }, /^title: is empty/],
  ['an empty description', { description: '' }, /^description: is empty/],
  ['unclassified rows by a field that is sent', unclassified({ field: 'note' }), /^unclassified\.field: "note" is not/],
  [
    'unclassified rows by a field that is always there',
    unclassified({ field: 'words' }),
    /^unclassified\.field: "words"/,
  ],
  ['a sum of texts', unclassified({ sum: 'note' }), /^unclassified\.sum: "note" is not a number/],
  ['a promise of no seconds', { freshnessSeconds: 0 }, /^freshnessSeconds: 0/],
  ['an expectation of half a second', { expectEverySeconds: 0.5 }, /^expectEverySeconds: 0\.5/],
  ['a sample elsewhere', { sample: { ...SOUND.sample, file: '../x.csv' } }, /^sample\.file/],
  [
    'a field of the warehouse',
    { fields: { ...SOUND.fields, _id: { type: 'boolean', description: 'x', example: true } } },
    /^fields\._id: names that start with _/,
  ],
  [
    'a field with a capital',
    { fields: { ...SOUND.fields, Id: { type: 'boolean', description: 'x', example: true } } },
    /^fields\.Id: is not a field name/,
  ],
  ['a field that says nothing', station({ description: '' }), /^fields\.station\.description: is empty/],
  ['a wrong example', station({ pattern: '^[A-Z]{4}$' }), /^fields\.station\.example: "LIS" does not match/],
  ['a loose pattern', station({ pattern: 'LIS' }), /^fields\.station\.pattern: "LIS" is not anchored/],
  ['lengths the wrong way round', station({ lengthMin: 300 }), /lengthMin is over lengthMax/],
  ['a list with a value twice', station({ values: ['LIS', 'LIS'] }), /^fields\.station\.values/],
  ['a range the wrong way round', station({ type: 'integer', min: 2, max: 1, example: 1 }), /min 2 is over max 1/],
  [
    'a decimal without room',
    station({ type: 'decimal', precision: 2, scale: 2, min: '0', max: '1', example: '0.5' }),
    /DECIMAL\(2,2\) does not exist/,
  ],
  ['counts that are sent', station({ type: 'counts', example: '[]' }), /counts are derived, never sent/],
  [
    'a column twice',
    { fields: { ...SOUND.fields, place_lon: { type: 'boolean', description: 'x', example: true } } },
    /the column place_lon exists twice/,
  ],
  ['an event date that is no field', { eventDate: 'when' }, /^eventDate: "when" is not a field/],
  ['an event date that is text', { eventDate: 'station' }, /^eventDate: "station" is of type string/],
  [
    'an optional event date',
    { fields: { ...SOUND.fields, at: { ...SOUND.fields['at'], optional: true } as Field } },
    /^eventDate: "at" is optional/,
  ],
  ['an empty key', { identity: { kind: 'key', fields: [] } }, /^identity\.fields: is empty/],
  ['a key of no field', { identity: { kind: 'key', fields: ['id'] } }, /^identity\.fields: "id" is not a field/],
  ['an optional key', { identity: { kind: 'key', fields: ['note'] } }, /^identity\.fields: "note" is optional/],
  [
    'a check of no field',
    { checks: [{ name: 'c', description: 'C.', left: 'station', op: 'ne', right: 'x' }] },
    /^checks\[0\] \(c\): "x" is not a field/,
  ],
  [
    'a check across types',
    { checks: [{ name: 'c', description: 'C.', left: 'station', op: 'ne', right: 'height' }] },
    /compares string with float/,
  ],
  ['no retention', { retentionDays: { ...SOUND.retentionDays, archive: 0 } }, /^retentionDays\.archive: 0/],
  [
    'silver that outlives bronze',
    { retentionDays: { ...SOUND.retentionDays, silver: 11 } },
    /^retentionDays\.silver: 11 is over bronze/,
  ],
  [
    'a quarantine that outlives bronze',
    { retentionDays: { ...SOUND.retentionDays, quarantine: 11 } },
    /^retentionDays\.quarantine: 11 is over bronze/,
  ],
  [
    'a model with a capital',
    { gold: { Day: SOUND.gold['by_day'] as Contract['gold'][string] } },
    /^gold\.Day: is not a model name/,
  ],
  [
    'a dimension of no field',
    gold({ kind: 'aggregate', measures: ['count'], by: ['x'] }),
    /^gold\.m: "x" is not a field/,
  ],
  [
    'a measure nobody knows',
    gold({ kind: 'aggregate', measures: ['mode:height'], by: [] }),
    /^gold\.m: "mode:height" is not a measure/,
  ],
  ['a measure of no field', gold({ kind: 'aggregate', measures: ['avg'], by: [] }), /^gold\.m: "avg" names no field/],
  [
    'a bucket of text',
    gold({ kind: 'aggregate', measures: ['count'], by: [], bucket: 'station:day' }),
    /^gold\.m\.bucket/,
  ],
  [
    'a fact of no list',
    gold({ kind: 'fact', list: 'station', nameColumn: 'w', countColumn: 'n', columns: [] }),
    /^gold\.m\.list: "station" is not a counts field/,
  ],
  [
    'a fact with a column twice',
    gold({ kind: 'fact', list: 'words', nameColumn: 'station', countColumn: 'n', columns: ['station'] }),
    /"station" is not a free column name/,
  ],
  ['a dimension without a name', gold({ kind: 'dimension', field: 'station', column: '' }), /^gold\.m\.column/],
];

describe('contractProblems', () => {
  it('finds none in a sound contract', () => {
    assert.deepEqual(contractProblems(SOUND), []);
    assert.deepEqual(contractProblems({ ...SOUND, identity: { kind: 'occurrence' } }), []);
  });

  for (const [what, change, problem] of BAD) {
    it(`refuses ${what}`, () => {
      const problems = contractProblems({ ...SOUND, ...change });
      assert.ok(
        problems.some((text) => problem.test(text)),
        problems.join('\n'),
      );
    });
  }

  it('refuses a table too wide to read', () => {
    const fields = Object.fromEntries(
      Array.from({ length: 201 }, (_, index) => [
        `f${index}`,
        { type: 'boolean', description: 'x', example: true } as const,
      ]),
    );
    assert.match(
      contractProblems({ ...SOUND, fields: { ...SOUND.fields, ...fields } }).join('\n'),
      /206 fields, limit is 200/,
    );
    assert.match(contractProblems({ ...SOUND, fields: {} }).join('\n'), /fields: is empty/);
  });
});

const text = { description: 'x', example: 'x' } as const;
const VALUES: readonly (readonly [field: Field, good: unknown, bad: readonly unknown[]])[] = [
  [{ type: 'string', lengthMax: 3, values: ['abc'], ...text }, 'abc', ['', 'abcd', 'xyz', 1]],
  [{ type: 'integer', min: 0, max: 9, ...text }, 9, [10, -1, 1.5, '1']],
  [{ type: 'float', min: 0, max: 9, ...text }, 8.5, [9.1, Number.NaN, '1']],
  [
    { type: 'decimal', precision: 5, scale: 2, min: '0.01', max: '100', ...text },
    '99.99',
    ['0', '1.234', '1234', 'x', true],
  ],
  [{ type: 'boolean', ...text }, false, ['false']],
  [
    { type: 'timestamp', ...text },
    '2024-02-29T23:59:59.5+01:00',
    ['2023-02-29T00:00:00Z', '2024-01-01T25:00:00Z', '2024-01-01T00:00:00', 1],
  ],
  [
    { type: 'wallclock', ...text },
    '2018-05-21 02:54:04',
    ['2018-05-21T02:54:04', '2018-02-30 00:00:00', '2018-13-01 00:00:00'],
  ],
  [{ type: 'date', ...text }, '2018-05-21', ['2018-05-32', '21.5.2018']],
  [{ type: 'point', ...text }, 'POINT (7.67 44.99)', ['POINT (181 0)', 'POINT (0 91)', 'POINT (1,2)', 5]],
  [{ type: 'counts', ...text }, [], [5]],
];

describe('valueProblem', () => {
  for (const [field, good, bad] of VALUES) {
    it(`takes a valid ${field.type} and refuses what is none`, () => {
      assert.equal(valueProblem(field, good), undefined);
      for (const value of bad) assert.equal(typeof valueProblem(field, value), 'string', String(value));
    });
  }
});
