/** A contract with one field of every type that can be sent, and records for it: what the tests of this folder share. */
import fc from 'fast-check';
import type { Contract, Field } from '../datasets/contract.ts';

const FIELDS = {
  code: { type: 'string', description: 'A code.', example: 'ABC', pattern: '^[A-Z]{3}$', lengthMax: 3 },
  note: { type: 'string', description: 'Free text.', example: 'hello', lengthMin: 0, lengthMax: 20, optional: true },
  colour: { type: 'string', description: 'A colour.', example: 'red', values: ['red', 'green'], optional: true },
  count: { type: 'integer', description: 'A count.', example: 1, min: -10, max: 1000 },
  big: { type: 'integer', description: 'A wide one.', example: 1, min: -(2 ** 63), max: 2 ** 63, optional: true },
  ratio: { type: 'float', description: 'A ratio.', example: 0.5, min: -1, max: 1e6, optional: true },
  amount: {
    type: 'decimal',
    description: 'Money.',
    unit: 'EUR',
    example: '1.50',
    precision: 12,
    scale: 2,
    min: '-100.00',
    max: '1000000.00',
  },
  huge: {
    type: 'decimal',
    description: 'More than a double.',
    example: '1.5',
    precision: 30,
    scale: 6,
    min: '0',
    max: '99999999999999999999.5',
    optional: true,
  },
  flag: { type: 'boolean', description: 'A flag.', example: true, optional: true },
  at: { type: 'timestamp', description: 'When.', example: '2024-03-09T15:04:05Z' },
  local: { type: 'wallclock', description: 'Local.', example: '2018-05-21 02:54:04', optional: true },
  day: { type: 'date', description: 'A day.', example: '2018-05-21', optional: true },
  place: { type: 'point', description: 'Where.', example: 'POINT (7.6 44.9)', optional: true },
  email: {
    type: 'string',
    description: 'Whose.',
    example: 'a@b.c',
    pattern: '^[^@ ]+@[^@ ]+$',
    personal: true,
    optional: true,
  },
} as const satisfies Record<string, Field>;

export const EVERYTHING: Contract = {
  name: 'everything',
  version: 3,
  title: 'Everything',
  description: 'One field of every type.',
  fields: FIELDS,
  identity: { kind: 'key', fields: ['code', 'count'] },
  eventDate: 'at',
  checks: [
    { name: 'day_order', description: 'The day is not after the local clock.', left: 'day', op: 'lte', right: 'local' },
  ],
  freshnessSeconds: 5,
  retentionDays: { bronze: 1, silver: 1, quarantine: 1, deadLetters: 1, archive: 1 },
  gold: {},
  sample: { file: 'sample.json', source: 'none', license: 'none' },
};

/** The same without a personal field and without a key. */
export const ANONYMOUS: Contract = {
  ...EVERYTHING,
  name: 'anonymous',
  fields: Object.fromEntries(Object.entries(FIELDS).filter(([name]) => name !== 'email')),
  identity: { kind: 'occurrence' },
};

export const GOOD = { code: 'ABC', count: 7, amount: 1.5, at: '2024-03-09T15:04:05Z' } as const;

/** Records that the contract takes. */
export const goodRecord = fc.record(
  {
    code: fc.stringMatching(/^[A-Z]{3}$/),
    note: fc.string({ maxLength: 20, unit: 'grapheme-ascii' }),
    count: fc.integer({ min: -10, max: 1000 }),
    big: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)),
    ratio: fc.double({ min: -1, max: 1e6, noNaN: true }),
    amount: fc.integer({ min: -10_000, max: 100_000_000 }).map((cents) => cents / 100),
    flag: fc.boolean(),
    at: fc
      .date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    place: fc
      .tuple(fc.integer({ min: -180, max: 180 }), fc.integer({ min: -90, max: 90 }))
      .map(([lon, lat]) => `POINT (${lon} ${lat})`),
  },
  { requiredKeys: ['code', 'count', 'amount', 'at'], noNullPrototype: true },
);
