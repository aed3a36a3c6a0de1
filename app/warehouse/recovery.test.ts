import assert from 'node:assert/strict';
import { clustersOf } from './recovery.ts';

const range = (hash: string, first: number, last: number) => ({
  file: { hash, kind: 'rows', dataset: 'a', path: `/${hash}` } as const,
  first,
  last,
});
const names = (...ranges: readonly ReturnType<typeof range>[]) =>
  clustersOf(ranges).map((files) => files.map(({ hash }) => hash));

describe('the order of a rebuild', () => {
  it('reads files one after another in the order of their commits, those that overlap together', () => {
    assert.deepEqual(names(range('c', 7, 9), range('a', 1, 3), range('b', 4, 6)), [['a'], ['b'], ['c']]);
    assert.deepEqual(names(range('a', 1, 8), range('b', 2, 3), range('c', 8, 9), range('d', 10, 10)), [
      ['a', 'b', 'c'],
      ['d'],
    ]);
    assert.deepEqual(names(range('a', 1, Number.POSITIVE_INFINITY), range('b', 4, 6)), [['a', 'b']]);
    assert.deepEqual(names(), []);
  });
});
