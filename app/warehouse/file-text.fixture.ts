/** Files as people, programs and opponents write them, for any contract: mostly good records, each field now and then odd. */
import fc from 'fast-check';
import type { Contract } from '../datasets/contract.ts';

/** What some records have at least. */
export const LONG_RECORD_BYTES = 2_000;

/** What people and programs write where a value is expected. */
const odd = fc.constantFrom(
  ...[
    '',
    ' ',
    '0',
    '-0',
    '00',
    '01',
    '+1',
    '1.',
    '.5',
    '1.0',
    '1.50',
    '-1.5',
    '1e3',
    '1E-7',
    '1e400',
    '5e-324',
    '0.1',
    '0.30000000000000004',
  ],
  ...[
    '9007199254740993',
    '-9223372036854775808',
    '9223372036854775808',
    '123456789012345678901234',
    '1_000',
    '0x10',
    'NaN',
    'Infinity',
    'inf',
    'nan',
  ],
  ...[
    'true',
    'false',
    'TRUE',
    't',
    'null',
    'NULL',
    '\\N',
    'NA',
    '#N/A',
    '"',
    '""',
    '\\',
    "'",
    '\t',
    ' 7',
    '7 ',
    '７',
    '٣',
  ],
  ...[
    '2018-02-30',
    '2018-02-28',
    '2024-02-29',
    '2023-02-29',
    '0000-01-01',
    '0001-01-01',
    '9999-12-31',
    '10000-01-01',
    '2018-5-21',
    '2018-05-21T',
    'epoch',
    'infinity',
  ],
  ...[
    '2018-05-21 02:54:04',
    '2018-05-21 24:00:00',
    '2018-05-21 23:59:60',
    '2018-05-21T02:54:04',
    '2018-05-21 02:54:04Z',
    '2018-05-21 02:54:04 BC',
  ],
  ...[
    '2024-03-09T15:04:05Z',
    '2024-03-09t15:04:05z',
    '2024-03-09T15:04:05.1Z',
    '2024-03-09T15:04:05.123456Z',
    '2024-03-09T15:04:05.1234567Z',
    '2024-03-09T15:04:05+02:00',
    '2024-12-31T23:59:59-00:30',
  ],
  ...[
    'POINT (7 45)',
    'POINT(7 45)',
    'POINT (7.60 45.0)',
    'POINT (-0 0)',
    'POINT (1e2 1e1)',
    'POINT (181 0)',
    'POINT (7  45)',
    'POINT (7 45 1)',
    'POINT (0.00001 1)',
    'point (7 45)',
    'POINT (7.672837913286881 44.9957109242058)',
  ],
  ...[
    'red',
    'green',
    'Red',
    'ABC',
    'AB',
    'ABCD',
    'abc',
    'ÄBC',
    'a@b.c',
    'BS-000001',
    'AR',
    'SMF',
    'SAN',
    '9780306406157',
    'é',
    '☕',
    '😀',
    'a😀',
    '\u2028',
    '\u0085',
    '\u00a0',
    '\ufeff',
    '\u0000',
    '\u0001',
    '\u007f',
  ],
);
const numeric = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.double({ min: -200, max: 200, noNaN: true }).map(String),
  fc.integer({ min: -2000, max: 20_000 }).map(String),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
  fc
    .tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 9 }))
    .map(([n, digits]) => (n / 10 ** digits).toFixed(digits)),
);
const degrees = (limit: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.double({ min: -limit, max: limit, noNaN: true }) },
    { weight: 8, arbitrary: fc.double({ min: 1, max: limit - 1, noNaN: true }) },
    {
      weight: 4,
      arbitrary: fc.integer({ min: -limit * 1000, max: limit * 1000 }).map((thousandths) => thousandths / 1000),
    },
  );
const pair = fc.tuple(degrees(181), degrees(91));
const day = fc
  .tuple(fc.integer({ min: 0, max: 9999 }), fc.integer({ min: 0, max: 13 }), fc.integer({ min: 0, max: 32 }))
  .map(
    ([year, month, date]) =>
      `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(date).padStart(2, '0')}`,
  );
const clock = fc
  .tuple(fc.integer({ min: 0, max: 24 }), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 60 }))
  .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'));
const fraction = fc.oneof(fc.constant(''), fc.stringMatching(/^[.][0-9]{1,7}$/));

/** A text for a field: mostly one that the validator takes, else nearly one, else anything. */
function textOf(name: string, contract: Contract): fc.Arbitrary<string> {
  const field = contract.fields[name];
  const wild = fc.oneof(odd, fc.string({ unit: 'binary', maxLength: 6 }), numeric);
  const likely = ((): fc.Arbitrary<string> => {
    switch (field?.type) {
      case 'string':
        if (field.values !== undefined) return fc.constantFrom(...field.values);
        if (field.pattern === undefined)
          return fc.oneof(
            fc.string({ unit: 'grapheme-ascii', maxLength: 12 }),
            fc.string({ unit: 'grapheme', maxLength: 4 }),
            fc.constantFrom('7', '-1.5', 'true', 'null'),
            // About as long as may be, in code units or in code points.
            fc
              .tuple(fc.constantFrom('', '😀'), fc.integer({ min: -2, max: 1 }))
              .map(([first, more]) => `${first}${'a'.repeat((field.lengthMax ?? 255) + more)}`),
          );
        return fc.oneof(fc.stringMatching(new RegExp(field.pattern)), fc.constant(String(field.example)));
      case 'integer':
      case 'float':
      case 'decimal':
        return fc.oneof(numeric, fc.constant(String(field.example)));
      case 'boolean':
        return fc.constantFrom('true', 'false');
      case 'timestamp':
        return fc.oneof(
          fc.tuple(day, clock, fraction).map(([date, time, rest]) => `${date}T${time}${rest}Z`),
          fc.constant(String(field.example)),
        );
      case 'wallclock':
        return fc.oneof(
          fc.tuple(day, clock).map((parts) => parts.join(' ')),
          fc.constant(String(field.example)),
        );
      case 'date':
        return day;
      default:
        return pair.map(([lon, lat]) => `POINT (${lon} ${lat})`);
    }
  })();
  return fc.oneof(
    { weight: 20, arbitrary: likely },
    { weight: 30, arbitrary: fc.constant(String(field?.example)) },
    { weight: 1, arbitrary: wild },
  );
}

function quotedCell(cell: string): string {
  return `"${cell.replaceAll('"', '""')}"`;
}

/** A cell as some program writes it; an unquoted one may be anything that needs no quotes. */
function cellOf(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(text, fc.nat(4))
    .map(([cell, kind]) => (kind === 0 || /[",\n\r]/.test(cell) ? quotedCell(cell) : cell));
}

export function csvFile(contract: Contract): fc.Arbitrary<string> {
  const names = Object.keys(contract.fields);
  const row = (header: readonly string[]): fc.Arbitrary<string> =>
    fc.oneof(
      {
        weight: 20,
        arbitrary: fc.tuple(...header.map((name) => cellOf(textOf(name, contract)))).map((cells) => cells.join(',')),
      },
      { weight: 1, arbitrary: fc.array(cellOf(odd), { maxLength: header.length + 2 }).map((cells) => cells.join(',')) },
      { weight: 1, arbitrary: fc.constantFrom('', ' ', ',', 'x'.repeat(LONG_RECORD_BYTES)) },
    );
  return fc.shuffledSubarray(names, { minLength: names.length }).chain((shuffled) => {
    const required = shuffled.filter((name, at) => contract.fields[name]?.optional !== true || at % 3 > 0);
    return fc
      .tuple(
        fc.constantFrom('', '\ufeff'),
        fc.array(fc.tuple(row(required), fc.constantFrom('\n', '\r\n', '\n\n')), { minLength: 1, maxLength: 30 }),
      )
      .map(([mark, rows]) => `${mark}${required.join(',')}\n${rows.flat().join('')}`);
  });
}

/** A JSON text of a value: of the field's type where it can be, now and then as it is, or of another type, or escaped. */
function jsonOf(name: string, contract: Contract): fc.Arbitrary<string> {
  const isBare = ['integer', 'float', 'boolean', 'decimal'].includes(contract.fields[name]?.type ?? '');
  return fc.tuple(textOf(name, contract), fc.nat(60)).map(([value, kind]) => {
    if (kind === 0) return value;
    if (kind === 1)
      return JSON.stringify(value).replace(/[a-z]/u, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
    if (kind === 2) return 'null';
    const isOther = kind < 6;
    return isBare !== isOther && /^(-?[0-9.eE+-]+|true|false)$/.test(value) ? value : JSON.stringify(value);
  });
}

export function ndjsonFile(contract: Contract): fc.Arbitrary<string> {
  const names = Object.keys(contract.fields);
  const member = (name: string): fc.Arbitrary<string> =>
    fc
      .tuple(jsonOf(name, contract), fc.constantFrom(...Array.from({ length: 20 }, () => ''), ' ', ' ', '\t'))
      .map(([value, space]) => `${JSON.stringify(name)}:${space}${value}`);
  const object = fc
    .tuple(
      fc.shuffledSubarray(names, { minLength: Math.max(1, names.length - 3) }),
      fc.nat(12),
      fc.constantFrom(',', ', '),
    )
    .chain(([members, kind, comma]) => {
      const extra = [...members, ...(kind === 0 ? [members[0] ?? ''] : []), ...(kind === 1 ? ['other'] : [])];
      return fc
        .tuple(...extra.map(member))
        .map((parts) => `{${parts.join(comma)}${kind === 2 ? ',' : ''}}${kind === 3 ? ' x' : ''}`);
    });
  const line = fc.oneof(
    { weight: 20, arbitrary: object },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        ' ',
        '[]',
        '{}',
        'null',
        '"x"',
        '{',
        `{"x":"${'x'.repeat(LONG_RECORD_BYTES)}"}`,
        '[[[[[[[[[1]]]]]]]]]',
      ),
    },
  );
  return fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\n\n')), { minLength: 1, maxLength: 30 })
    .map((lines) => lines.flat().join(''));
}
