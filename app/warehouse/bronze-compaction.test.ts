import assert from 'node:assert/strict';
import { type Candidate, Compaction, COMPACTION_FILES_MAX } from './bronze-compaction.ts';

const MIB = 1024 * 1024;
let order = 0;
const file = (bytes: number, given: Partial<Candidate> = {}): Candidate => {
  order += 1;
  return { hash: `h${order}`, kind: 'rows', dataset: 'a', path: `/a/day/h${order}.parquet`, bytes, order, ...given };
};
const many = (count: number, bytes: number, given: Partial<Candidate> = {}) =>
  Array.from({ length: count }, () => file(bytes, given));
const compactionOf = (files: readonly Candidate[]): Compaction => {
  const compaction = new Compaction();
  for (const one of files) compaction.add(one);
  return compaction;
};

describe('the choice of files to put together', () => {
  it('leaves as many small files alone as its limit says, and takes all of them at the next, once', () => {
    const files = many(COMPACTION_FILES_MAX, 3_000);
    const compaction = compactionOf(files);
    assert.deepEqual(compaction.take(), []);
    const next = file(3_000);
    compaction.add(next);
    assert.deepEqual(compaction.take(), [...files, next]);
    assert.deepEqual(compaction.take(), []);
  });

  it('puts only files of one folder and of about one size together', () => {
    const path = (at: number) => ({ path: `/b/${at}.parquet` });
    const elsewhere = Array.from({ length: COMPACTION_FILES_MAX }, (_, at) => file(3_000, path(at)));
    const compaction = compactionOf([
      ...elsewhere,
      ...many(COMPACTION_FILES_MAX, 3_000),
      ...many(COMPACTION_FILES_MAX, MIB / 2),
    ]);
    assert.deepEqual(compaction.take(), []);
  });

  it('takes the oldest first, and never more bytes than it may read', () => {
    const files = many(COMPACTION_FILES_MAX + 1, 2.5 * MIB);
    assert.deepEqual(compactionOf([...files].reverse()).take(), files.slice(0, 3));
  });

  it('leaves full files and tombstones alone', () => {
    const many20 = [...many(20, 4 * MIB), ...many(20, 10, { kind: 'tombstones' })];
    assert.deepEqual(compactionOf(many20).take(), []);
  });
});
