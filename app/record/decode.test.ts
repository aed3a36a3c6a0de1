import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { AppError, type ErrorCode } from '../errors.ts';
import { type DecodedRow, type DecodeLimits, type DecodeOptions, decodeBody } from './decode.ts';
import { ANONYMOUS, EVERYTHING, GOOD } from './everything.fixture.ts';

const LIMITS: DecodeLimits = {
  recordBytesMax: 1000,
  arrayBodyBytesMax: 5000,
  bodyBytesMax: 20_000,
  rowsMax: 100,
  jsonDepthMax: 4,
};
const HEADER = 'code,count,amount,at,note';

type Body = Buffer | string | readonly (Buffer | string)[];

async function* chunksOf(body: Body): AsyncGenerator<Buffer> {
  for (const chunk of Array.isArray(body) ? body : [body]) yield Buffer.from(chunk);
}

async function decode(format: DecodeOptions['format'], body: Body, options: Partial<DecodeOptions> = {}) {
  const rows: DecodedRow[] = [];
  const decoded = await decodeBody(
    chunksOf(body),
    { format, gzip: false, contract: ANONYMOUS, limits: LIMITS, ...options },
    (row) => rows.push(row),
  );
  return { ...decoded, all: rows, values: rows.map((row) => ('verdict' in row ? row.verdict.code : row.value)) };
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  throw new Error('nothing was thrown');
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const bounds = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return bounds.slice(1).map((end, index) => bytes.subarray(bounds[index] ?? 0, end));
}

const places = fc.array(fc.nat(5000), { maxLength: 30 });
const lineEnd = fc.constantFrom('\n', '\r\n');

describe('decodeBody, NDJSON', () => {
  it('never loses or invents a row under any chunking, line ends and blank lines', async () => {
    const line = fc.oneof(fc.json({ maxDepth: 1 }), fc.constantFrom('{"a":', 'nope', '\u00a0', '"', '', ' ', '\t'));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(line, lineEnd)), fc.boolean(), places, async (lines, ended, cuts) => {
        const text = lines.map(([one, end], index) => one + (index < lines.length - 1 || ended ? end : '')).join('');
        const expected = lines.map(([one]) => one).filter((one) => !/^[ \t]*$/.test(one));
        if (expected.length === 0) return;
        const { all, rows } = await decode('ndjson', cut(Buffer.from(text), cuts));
        assert.equal(rows, expected.length);
        assert.deepEqual(
          all.map((row) => row.text),
          expected,
        );
        assert.deepEqual(
          all.map((row) => row.index),
          [...expected.keys()],
        );
        for (const row of all) {
          if ('verdict' in row) assert.throws(() => JSON.parse(row.text));
          else assert.deepEqual(row.value, JSON.parse(row.text));
        }
      }),
    );
  });

  it('refuses an oversized line by itself, whatever the chunks, with its length and hash', async () => {
    const big = `{"note":"${'é'.repeat(600)}"}\r`;
    const record = big.slice(0, -1);
    const body = Buffer.from(`{"a":1}\n${big}\n{"a":2}`);
    const expected = { bytes: Buffer.byteLength(record), hash: createHash('sha256').update(record).digest('hex') };
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        const { values, all } = await decode('ndjson', cut(body, cuts));
        assert.deepEqual(values, [{ a: 1 }, 'RECORD_TOO_LARGE', { a: 2 }]);
        assert.deepEqual(all[1], { ...all[1], whole: expected });
        assert.ok((all[1]?.text.length ?? 0) > 0 && record.startsWith(all[1]?.text ?? 'x'));
      }),
      { numRuns: 50 },
    );
  });

  it('takes a line of exactly the limit, also with CRLF, and refuses one byte more', async () => {
    const fits = `"${'x'.repeat(LIMITS.recordBytesMax - 2)}"`;
    assert.deepEqual((await decode('ndjson', [`${fits}\r`, '\n'])).values, [JSON.parse(fits)]);
    assert.equal(
      (await decode('ndjson', `${fits}\r\n${fits}\n`)).values.filter((one) => one === 'RECORD_TOO_LARGE').length,
      0,
    );
    assert.deepEqual((await decode('ndjson', [`"x${fits.slice(1, -1)}`, '"\r', '\n'])).values, ['RECORD_TOO_LARGE']);
  });

  it('passes over runs of blank lines, and refuses a blank line over the limit, whatever the chunks', async () => {
    const long = LIMITS.recordBytesMax;
    const run = ' \r\n\n\t\r\n'.repeat(40);
    const body = [
      run,
      '{"a":1}',
      run,
      ' '.repeat(long),
      `${'\t'.repeat(long)}\r`,
      ' '.repeat(long + 1),
      ' {"a":2} ',
      run,
    ];
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        const { values, all } = await decode('ndjson', cut(Buffer.from(body.join('\n')), cuts));
        assert.deepEqual(values, [{ a: 1 }, 'RECORD_TOO_LARGE', { a: 2 }]);
        assert.deepEqual([all[2]?.text, all[2]?.index], [' {"a":2} ', 2]);
      }),
      { numRuns: 50 },
    );
  });

  it('counts brackets outside strings only', async () => {
    const { values } = await decode(
      'ndjson',
      '{"a":{"b":{"c":{}}}}\n{"a":{"b":{"c":{"d":[]}}}}\n{"a":"[[[[[[\\"[[[["}\n',
    );
    assert.deepEqual(values, [{ a: { b: { c: {} } } }, 'RECORD_TOO_DEEP', { a: '[[[[[["[[[[' }]);
  });

  it('refuses a megabyte of brackets without recursing', async () => {
    const limits = { ...LIMITS, recordBytesMax: 2 ** 21, bodyBytesMax: 2 ** 21 };
    assert.deepEqual((await decode('ndjson', '['.repeat(2 ** 20), { limits })).values, ['RECORD_TOO_DEEP']);
  });

  it('shows a malformed line, except where the contract has personal fields', async () => {
    const [open] = (await decode('ndjson', 'secret')).all;
    const [masked] = (await decode('ndjson', 'secret', { contract: EVERYTHING })).all;
    assert.ok(open !== undefined && 'verdict' in open && open.verdict.got === 'secret' && open.text === 'secret');
    assert.ok(masked !== undefined && 'verdict' in masked && masked.verdict.got === '•••');
  });

  it('keeps the last of two equal keys, as JSON.parse has it', async () => {
    assert.deepEqual((await decode('ndjson', '{"a":1,"a":2}')).values, [{ a: 2 }]);
  });
});

describe('decodeBody, JSON', () => {
  it('cuts an array into exactly its elements, each with its own text', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.json({ maxDepth: 2 }), { minLength: 1 }),
        fc.constantFrom('', ' ', '\n\t'),
        places,
        async (elements, space, cuts) => {
          const text = `${space}[${elements.map((one) => `${space}${one}${space}`).join(',')}]${space}`;
          const { values, all } = await decode('json', cut(Buffer.from(text), cuts), {
            limits: { ...LIMITS, arrayBodyBytesMax: 1e6, bodyBytesMax: 1e6, recordBytesMax: 1e6 },
          });
          assert.deepEqual(values, JSON.parse(text));
          assert.deepEqual(
            all.map((row) => row.text),
            elements.map((one) => one.trim()),
          );
        },
      ),
    );
  });

  it('takes an array exactly when JSON.parse does', async () => {
    const piece = fc.constantFrom('[', ']', '{', '}', ',', ':', '"', '\\', '1', '"a"', 'null', ' ', '{"a":1}');
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 10 }), async (pieces) => {
        const text = `[${pieces.join('')}`;
        let parsed: unknown;
        try {
          parsed = JSON.parse(text);
        } catch {
          assert.equal(
            await codeOf(decode('json', text, { limits: { ...LIMITS, jsonDepthMax: 100 } })),
            'MALFORMED_JSON',
          );
          return;
        }
        if (Array.isArray(parsed) && parsed.length === 0) return;
        assert.deepEqual((await decode('json', text, { limits: { ...LIMITS, jsonDepthMax: 100 } })).values, parsed);
      }),
      { numRuns: 1000 },
    );
  });

  it('judges size and depth of each element by itself', async () => {
    const { values } = await decode('json', `[{"a":1},"${'x'.repeat(1000)}",[[[[[1]]]]],{"a":2}]`);
    assert.deepEqual(values, [{ a: 1 }, 'RECORD_TOO_LARGE', 'RECORD_TOO_DEEP', { a: 2 }]);
  });

  it('takes one value that is not an array as one record', async () => {
    assert.deepEqual((await decode('json', ' {"a":1}\n')).values, [{ a: 1 }]);
    assert.deepEqual((await decode('json', '\uFEFFnull')).values, [null]);
  });
});

describe('decodeBody, CSV', () => {
  const cell = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom('', 'a,b', 'say "hi"', 'two\nlines', 'two\r\nlines', '"', 'é'),
  );
  const quoted = (text: string, always: boolean): string =>
    always || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

  it('never loses or invents a row under any chunking, quoting and line ends', async () => {
    const row = fc.tuple(fc.tuple(cell, cell, cell, cell, cell), fc.boolean(), lineEnd);
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1 }), fc.boolean(), places, async (rows, ended, cuts) => {
        const lines = rows.map(
          ([cells, always, end], index) =>
            cells.map((one) => quoted(one, always)).join(',') + (index < rows.length - 1 || ended ? end : ''),
        );
        const { values } = await decode('csv', cut(Buffer.from(`${HEADER}\r\n${lines.join('')}`), cuts));
        assert.deepEqual(
          values,
          rows.map(([[code, count, amount, at, note]]) => ({ code, count, amount, at, note })),
        );
      }),
    );
  });

  it('passes over an oversized record, also one of many quoted lines, and goes on after it', async () => {
    const big = `ABC,1,1,x,"${'a\n'.repeat(600)}"`;
    const body = Buffer.from(`${HEADER}\nABC,1,1,x,first\n${big}\r\nABC,2,2,x,last\n`);
    const expected = { bytes: Buffer.byteLength(big), hash: createHash('sha256').update(big).digest('hex') };
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        const { values, all } = await decode('csv', cut(body, cuts));
        assert.deepEqual(
          values.map((one) => (typeof one === 'string' ? one : (one as { note: string }).note)),
          ['first', 'RECORD_TOO_LARGE', 'last'],
        );
        assert.deepEqual(all[1], { ...all[1], whole: expected });
      }),
      { numRuns: 50 },
    );
    assert.deepEqual((await decode('csv', `${HEADER}\n${big}`)).values, ['RECORD_TOO_LARGE'], 'also as the last one');
  });

  it('takes a record of exactly the limit with its CR at the end of a chunk', async () => {
    const fits = `ABC,1,1,x,${'n'.repeat(LIMITS.recordBytesMax - 10)}`;
    assert.equal((await decode('csv', [`${HEADER}\n`, `${fits}\r`, '\n'])).values[0] === 'RECORD_TOO_LARGE', false);
    assert.deepEqual((await decode('csv', [`${HEADER}\n`, `${fits}n\r`, '\n'])).values, ['RECORD_TOO_LARGE']);
  });

  it('refuses a ragged row by itself', async () => {
    const { values, all } = await decode('csv', `${HEADER}\nABC,1\n\n\r\nABC,1,1,x,y,z\nABC,1,1,x,y`);
    assert.deepEqual(values.slice(0, 2), ['RECORD_MALFORMED', 'RECORD_MALFORMED']);
    assert.equal(all.length, 3);
    assert.equal(all[0]?.text, '["ABC","1"]');
  });

  it('keeps a row as JSON text of its cells', async () => {
    assert.equal(
      (await decode('csv', `${HEADER}\nABC,1,2,x,y`)).all[0]?.text,
      '{"code":"ABC","count":"1","amount":"2","at":"x","note":"y"}',
    );
  });

  it('takes the header in any order, with or without optional fields', async () => {
    assert.deepEqual((await decode('csv', 'at,amount,count,code\nx,2,1,ABC')).values, [
      { at: 'x', amount: '2', count: '1', code: 'ABC' },
    ]);
  });

  it('names the line of a broken quote, counted over chunks and quoted lines', async () => {
    await assert.rejects(
      decode('csv', [`${HEADER}\nABC,1,1,x,"two\nlines"\n`, 'ABC,1,1,x,a"b\n']),
      (error) => error instanceof AppError && error.code === 'MALFORMED_CSV' && error.publicMessage.includes('line 4'),
    );
  });

  it('names the line of a broken quote also behind blank lines, whatever the chunks', async () => {
    const blank = '\n\r\n'.repeat(3);
    const body = Buffer.from(`${blank}${HEADER}\n${blank}ABC,1,1,x,ab\n${blank}ABC,1,1,x,a"b\n`);
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        await assert.rejects(decode('csv', cut(body, cuts)), /line 21; /);
      }),
      { numRuns: 50 },
    );
  });
});

describe('decodeBody, any body', () => {
  const long = 'x'.repeat(1001);
  const whole: readonly (readonly [string, DecodeOptions['format'], Body, ErrorCode])[] = [
    ['an empty JSON body', 'json', '', 'BODY_EMPTY'],
    ['an empty array', 'json', ' [ ] ', 'BODY_EMPTY'],
    ['blank lines', 'ndjson', ' \n\r\n\t', 'BODY_EMPTY'],
    ['no chunk at all', 'ndjson', [], 'BODY_EMPTY'],
    ['a CSV header alone', 'csv', `${HEADER}\n`, 'BODY_EMPTY'],
    ['an empty CSV', 'csv', '', 'BODY_EMPTY'],
    ['NaN', 'json', '{"a":NaN}', 'MALFORMED_JSON'],
    ['Infinity', 'json', '[-Infinity]', 'MALFORMED_JSON'],
    ['a trailing comma', 'json', '[1,]', 'MALFORMED_JSON'],
    ['an open array', 'json', '[{"a":1}', 'MALFORMED_JSON'],
    ['something after an array', 'json', '[1] 2', 'MALFORMED_JSON'],
    ['two objects', 'json', '{}{}', 'MALFORMED_JSON'],
    ['a no-break space after an object', 'json', '{}\u00a0', 'MALFORMED_JSON'],
    ['an unclosed string', 'json', '["a', 'MALFORMED_JSON'],
    ['crossed brackets', 'json', '[{"a":1]}', 'MALFORMED_JSON'],
    ['latin-1', 'ndjson', Buffer.from([0x22, 0xe9, 0x22]), 'MALFORMED_UTF8'],
    ['an overlong slash', 'json', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'MALFORMED_UTF8'],
    ['a UTF-8 surrogate', 'csv', Buffer.from([0xed, 0xa0, 0x80]), 'MALFORMED_UTF8'],
    ['half a character at the end', 'ndjson', Buffer.from([0x31, 0xe2, 0x82]), 'MALFORMED_UTF8'],
    ['a JSON body over its limit', 'json', ' '.repeat(5001), 'BODY_TOO_LARGE'],
    ['an NDJSON body over its limit', 'ndjson', ['1\n'.repeat(90), ' '.repeat(20_000)], 'BODY_TOO_LARGE'],
    ['a row over the limit', 'ndjson', '1\n'.repeat(101), 'TOO_MANY_ROWS'],
    ['a row over the limit in an array', 'json', `[${'1,'.repeat(100)}1]`, 'TOO_MANY_ROWS'],
    ['a header with an unknown field', 'csv', `${HEADER},wings\n`, 'CSV_HEADER_WRONG'],
    ['a header with __proto__', 'csv', '__proto__,code,count,amount,at\n1,2,3,4,5', 'CSV_HEADER_WRONG'],
    ['a header that lacks a field', 'csv', 'code,count,amount\n', 'CSV_HEADER_WRONG'],
    ['a header that repeats a field', 'csv', `${HEADER},code\n`, 'CSV_HEADER_WRONG'],
    ['a header with spaces', 'csv', 'code, count,amount,at\n', 'CSV_HEADER_WRONG'],
    ['a semicolon CSV', 'csv', 'code;count;amount;at\n', 'CSV_HEADER_WRONG'],
    ['a header over the record limit', 'csv', `${long}\n`, 'CSV_HEADER_WRONG'],
    ['a header that never ends', 'csv', long.repeat(2), 'CSV_HEADER_WRONG'],
    ['a quote that never closes', 'csv', `${HEADER}\nABC,1,1,x,"open\nABC,1,1,x,y\n`, 'MALFORMED_CSV'],
    ['a long quote that never closes', 'csv', `${HEADER}\nABC,1,1,x,"${long}`, 'MALFORMED_CSV'],
    ['a quote inside a cell', 'csv', `${HEADER}\nABC,1,1,x,a"b"\n`, 'MALFORMED_CSV'],
    ['text after a closing quote', 'csv', `${HEADER}\nABC,1,1,x,"a"b\n`, 'MALFORMED_CSV'],
  ];
  for (const [name, format, body, code] of whole) {
    it(`refuses ${name} with ${code}`, async () => assert.equal(await codeOf(decode(format, body)), code));
  }

  it('hashes and counts the body as it was before gzip', async () => {
    const plain = await decode('ndjson', '1\n2\n', { hash: true });
    const zipped = await decode('ndjson', gzipSync('1\n2\n'), { hash: true, gzip: true });
    assert.equal(plain.bodyHash, createHash('sha256').update('1\n2\n').digest('hex'));
    assert.deepEqual([zipped.bodyHash, zipped.bytes], [plain.bodyHash, 4]);
    assert.equal((await decode('ndjson', '1')).bodyHash, undefined);
  });

  it('tells each chunk before it is held, and ends with what that throws', async () => {
    const seen: number[] = [];
    await decode('ndjson', ['1\n', '22\n'], { onBytes: (bytes) => seen.push(bytes) });
    assert.deepEqual(seen, [2, 3]);
    const full = new AppError({ code: 'BODY_BYTES_EXHAUSTED', publicMessage: 'full' });
    const onBytes = () => {
      throw full;
    };
    assert.equal(await codeOf(decode('ndjson', '1', { onBytes })), 'BODY_BYTES_EXHAUSTED');
    assert.equal(await codeOf(decode('ndjson', gzipSync('1'), { onBytes, gzip: true })), 'BODY_BYTES_EXHAUSTED');
  });

  for (const gzip of [false, true]) {
    it(`answers BODY_INCOMPLETE when the source breaks, and passes an AppError on (gzip: ${gzip})`, async () => {
      async function* breaking(error: Error): AsyncGenerator<Buffer> {
        yield gzip ? gzipSync('1\n2\n').subarray(0, 12) : Buffer.from('1\n');
        throw error;
      }
      const options = { format: 'ndjson', gzip, contract: ANONYMOUS, limits: LIMITS } as const;
      assert.equal(
        await codeOf(decodeBody(breaking(new Error('aborted')), options, () => undefined)),
        'BODY_INCOMPLETE',
      );
      const late = new AppError({ code: 'STOPPING', publicMessage: 'stopping' });
      assert.equal(await codeOf(decodeBody(breaking(late), options, () => undefined)), 'STOPPING');
    });
  }

  it('does not blame the body for an error of the taker', async () => {
    const options = { format: 'ndjson', gzip: false, contract: ANONYMOUS, limits: LIMITS } as const;
    const bug = new TypeError('bug');
    await assert.rejects(
      decodeBody(chunksOf('1'), options, () => {
        throw bug;
      }),
      bug,
    );
  });

  it('closes the source when the body is refused midway', async () => {
    let closed = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (;;) yield Buffer.from('1\n');
      } finally {
        closed = true;
      }
    }
    assert.equal(
      await codeOf(
        decodeBody(endless(), { format: 'ndjson', gzip: false, contract: ANONYMOUS, limits: LIMITS }, () => undefined),
      ),
      'TOO_MANY_ROWS',
    );
    assert.ok(closed);
  });

  it('never pollutes a prototype', async () => {
    await decode('ndjson', '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
});

describe('decodeBody, gzip', () => {
  const zipped = gzipSync(JSON.stringify(GOOD));
  const unzip = (body: Body) => decode('ndjson', body, { gzip: true });

  it('reads several members as one body, under any chunking', async () => {
    const body = Buffer.concat([gzipSync('{"a":1}\n{"a"'), gzipSync(':2}\n')]);
    await fc.assert(
      fc.asyncProperty(places, async (cuts) => {
        assert.deepEqual((await unzip(cut(body, cuts).filter((chunk) => chunk.length > 0))).values, [
          { a: 1 },
          { a: 2 },
        ]);
      }),
      { numRuns: 20 },
    );
  });

  it('takes zero bytes after the end as padding', async () => {
    assert.deepEqual((await unzip(Buffer.concat([zipped, Buffer.alloc(9)]))).values, [GOOD]);
  });

  const broken: readonly (readonly [string, Body, ErrorCode])[] = [
    ['plain text', 'hello', 'MALFORMED_GZIP'],
    ['something after the end', Buffer.concat([zipped, Buffer.from('xx')]), 'MALFORMED_GZIP'],
    ['something after the end in a later chunk', [zipped, Buffer.from('xx')], 'MALFORMED_GZIP'],
    ['a wrong checksum', Buffer.concat([zipped.subarray(0, -8), Buffer.alloc(8, 1)]), 'MALFORMED_GZIP'],
    ['a truncated stream', zipped.subarray(0, -9), 'BODY_INCOMPLETE'],
    ['a stream that lacks its trailer', zipped.subarray(0, -4), 'BODY_INCOMPLETE'],
    ['a truncated second member', Buffer.concat([zipped, zipped.subarray(0, 15)]), 'BODY_INCOMPLETE'],
    ['nothing', [], 'BODY_INCOMPLETE'],
  ];
  for (const [name, body, code] of broken) {
    it(`refuses ${name} with ${code}`, async () => assert.equal(await codeOf(unzip(body)), code));
  }

  it('stops a bomb at the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(8 * 2 ** 20, 0x20));
    let inflated = 0;
    const limits = { ...LIMITS, bodyBytesMax: 100_000 };
    assert.equal(
      await codeOf(decode('ndjson', bomb, { gzip: true, limits, onBytes: (bytes) => (inflated += bytes) })),
      'BODY_TOO_LARGE',
    );
    assert.ok(inflated <= 100_000);
  });
});
