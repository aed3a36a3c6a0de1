import assert from 'node:assert/strict';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { csvLine } from './csv-out.ts';

describe('csvLine', () => {
  it('writes what a CSV parser reads back, but for the apostrophe before formulas', () => {
    const cell = fc.oneof(fc.string(), fc.constantFrom('a,b', 'say "hi"', 'two\r\nlines', '=1+1', '\tx'));
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1 }), (cells) => {
        const [read] = parse(csvLine(cells), { record_delimiter: '\r\n', relax_column_count: true });
        const safe = cells.map((one) => (/^[=+\-@\t\r]/.test(one) && !/^-\d+(\.\d+)?$/.test(one) ? `'${one}` : one));
        assert.deepEqual(read, safe);
      }),
    );
  });

  for (const start of ['=', '+', '-', '@', '\t', '\r']) {
    it(`disarms a text that starts with ${JSON.stringify(start)}`, () => assert.match(csvLine([`${start}A1`]), /^"?'/));
  }

  it('leaves numbers, also decimals as text, and absent values alone', () => {
    assert.equal(csvLine([-1.5, '-12.50', true, null, undefined, 'x']), '-1.5,-12.50,true,,,x\r\n');
    assert.equal(csvLine(['-1+1']), "'-1+1\r\n");
  });

  it('writes a list as its JSON text', () => {
    assert.equal(csvLine([[{ name: 'Sam', count: 2 }]]), '"[{""name"":""Sam"",""count"":2}]"\r\n');
  });
});
