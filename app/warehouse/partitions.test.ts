import assert from 'node:assert/strict';
import { Partitions } from './partitions.ts';

const DAY_MS = 86_400_000;
const commit = (commitNumber: number) => ({ commitNumber, committedAtMs: commitNumber * 1_000 });

describe('partition versions', () => {
  let partitions: Partitions;
  beforeEach(() => {
    partitions = new Partitions('g1');
    partitions.touch({ dataset: 'a', days: [10, 11], commit: commit(1) });
    partitions.touch({ dataset: 'a', days: [11, -3], commit: commit(2) });
  });

  it('names the newest commit among the days that a range touches', () => {
    const at = (fromMs?: number, toMs?: number): number =>
      partitions.version('a', { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) })
        .commitNumber;
    assert.equal(at(), 2);
    assert.equal(at(10 * DAY_MS, 11 * DAY_MS), 1);
    assert.equal(at(10 * DAY_MS, 11 * DAY_MS + 1), 2);
    assert.equal(at(11 * DAY_MS - 1, 11 * DAY_MS), 1);
    assert.equal(at(undefined, -2 * DAY_MS), 2);
    assert.equal(at(undefined, -3 * DAY_MS), 0);
    assert.equal(at(12 * DAY_MS), 0);
    assert.equal(at(11 * DAY_MS, 11 * DAY_MS), 0);
  });

  it('never goes back when an older commit is told later', () => {
    partitions.touch({ dataset: 'a', days: [11], commit: commit(1) });
    assert.equal(partitions.version('a', {}).commitNumber, 2);
    assert.equal(partitions.version('a', { fromMs: 11 * DAY_MS }).commitNumber, 2);
  });

  it('knows which days hold rows, and nothing of other datasets', () => {
    assert.deepEqual(partitions.present('a', [9, 10, -3]), [10, -3]);
    assert.deepEqual(partitions.present('b', [10]), []);
    assert.deepEqual(partitions.days('b'), []);
    partitions.touch({ dataset: 'b', days: [], commit: commit(3) });
    assert.deepEqual(partitions.version('b', {}), { generation: 'g1', commitNumber: 0, committedAtMs: undefined });
  });
});
