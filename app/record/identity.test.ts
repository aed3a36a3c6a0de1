import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Row } from '../datasets/contract.ts';
import { ANONYMOUS, EVERYTHING } from './everything.fixture.ts';
import { eventDayOf, eventIdInFile, eventIdOf, FOREIGN, rowText } from './identity.ts';

const ROW: Row = { code: 'ABC', count: 7, amount: '1.50', at: '2024-03-09T15:04:05.000000Z' };
const SOURCE = { apiKeyId: 'k1', batchKey: 'request-1', index: 0 };

describe('eventIdOf', () => {
  it('is 32 hex digits and stays the same over releases', () => {
    // Changing either of these makes every stored row of every user a stranger.
    assert.equal(eventIdOf(EVERYTHING, ROW, SOURCE), '60ca9e815d0de5b48cb8366744f125c0');
    assert.equal(eventIdOf(ANONYMOUS, ROW, SOURCE), '5a1b9e2bd965e35067ca5f132167e6f1');
  });

  it('of a keyed row depends on key and event day alone', () => {
    const id = eventIdOf(EVERYTHING, ROW, SOURCE);
    const other = { apiKeyId: 'k2', batchKey: 'request-2', index: 5 };
    assert.equal(eventIdOf(EVERYTHING, { ...ROW, amount: '2.00', at: '2024-03-09T23:59:59.999999Z' }, other), id);
    assert.notEqual(eventIdOf(EVERYTHING, { ...ROW, at: '2024-03-10T00:00:00.000000Z' }, SOURCE), id);
    assert.notEqual(eventIdOf(EVERYTHING, { ...ROW, code: 'ABD' }, SOURCE), id);
    assert.notEqual(eventIdOf({ ...EVERYTHING, name: 'other' }, ROW, SOURCE), id);
    assert.equal(eventIdOf({ ...EVERYTHING, version: 4 }, ROW, SOURCE), id, 'the version is no part of it');
  });

  it('never lets neighbouring values run together', () => {
    const text = fc.string({ maxLength: 4, unit: fc.constantFrom('a', '"', ',', '\\', '1', '[') });
    fc.assert(
      fc.property(
        fc.tuple(text, text, fc.nat(20)),
        fc.tuple(text, text, fc.nat(20)),
        ([key, batch, index], [otherKey, otherBatch, otherIndex]) => {
          const equal = key === otherKey && batch === otherBatch && index === otherIndex;
          const one = eventIdOf(ANONYMOUS, ROW, { apiKeyId: key, batchKey: batch, index });
          const other = eventIdOf(ANONYMOUS, ROW, { apiKeyId: otherKey, batchKey: otherBatch, index: otherIndex });
          assert.equal(one === other, equal);
        },
      ),
    );
  });

  it('of an occurrence is one for each place and content, so that two equal rows are two and a retry is one', () => {
    const ids = new Set([0, 1, 2].map((index) => eventIdOf(ANONYMOUS, ROW, { ...SOURCE, index })));
    assert.equal(ids.size, 3);
    assert.equal(eventIdOf(ANONYMOUS, { ...ROW }, SOURCE), eventIdOf(ANONYMOUS, ROW, SOURCE));
    assert.notEqual(eventIdOf(ANONYMOUS, { ...ROW, amount: '2.00' }, SOURCE), eventIdOf(ANONYMOUS, ROW, SOURCE));
  });

  it('of a foreign row is message id and row number', () => {
    const source = { apiKeyId: FOREIGN, batchKey: 'm1', index: 3 };
    assert.equal(eventIdOf(ANONYMOUS, { ...ROW, amount: '2.00' }, source), eventIdOf(ANONYMOUS, ROW, source));
    assert.notEqual(eventIdOf(ANONYMOUS, ROW, { ...source, index: 4 }), eventIdOf(ANONYMOUS, ROW, source));
  });
});

describe('eventIdInFile', () => {
  it('is 32 hex digits and stays the same over releases', () => {
    // As with eventIdOf: a change makes every row that came in a file a stranger.
    assert.equal(eventIdInFile(ANONYMOUS, ROW, 1), 'a8faaf0af0f3d997a355460152a7414e');
    assert.equal(eventIdInFile(ANONYMOUS, ROW, 2), 'd3c67286a220a89e72dbcde7115fa2e3');
  });

  it('tells equal rows of one file apart by their number, and nothing else', () => {
    assert.notEqual(eventIdInFile(ANONYMOUS, ROW, 1), eventIdInFile(ANONYMOUS, ROW, 2));
    assert.notEqual(eventIdInFile(ANONYMOUS, { ...ROW, count: 8 }, 1), eventIdInFile(ANONYMOUS, ROW, 1));
    assert.equal(eventIdInFile(ANONYMOUS, { ...ROW }, 1), eventIdInFile(ANONYMOUS, ROW, 1));
  });

  it('of a keyed row is its id over HTTP, so that a file and a request are duplicates of one another', () => {
    assert.equal(eventIdInFile(EVERYTHING, ROW, 1), eventIdOf(EVERYTHING, ROW, SOURCE));
    assert.equal(eventIdInFile(EVERYTHING, ROW, 7), eventIdOf(EVERYTHING, ROW, SOURCE));
  });
});

describe('eventDayOf', () => {
  it('is the day in UTC, of the wall clock, or the date itself', () => {
    assert.equal(eventDayOf(EVERYTHING, ROW), '2024-03-09');
    assert.equal(eventDayOf({ ...EVERYTHING, eventDate: 'local' }, { local: '2018-05-21 02:54:04' }), '2018-05-21');
    assert.equal(eventDayOf({ ...EVERYTHING, eventDate: 'day' }, { day: '2018-05-21' }), '2018-05-21');
    assert.throws(() => eventDayOf(EVERYTHING, {}), /has no at/);
  });
});

describe('rowText', () => {
  it('is the text of the row it is given, also when rows alternate', () => {
    const other = { ...ROW, count: 8 };
    for (const row of [ROW, other, ROW, ROW, other]) assert.equal(rowText(row), JSON.stringify(row));
  });
});
