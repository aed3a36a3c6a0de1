import assert from 'node:assert/strict';
import { countsOf } from './counts.ts';

const ended = { exitCode: 0, lastLines: [], reported: undefined } as const;
const KILL_LINE = 'kills=5 sent=900 stored=900 lost=0 duplicated=0 seed=1';

describe('the counts of a suite', () => {
  it('are one pass or one failure where only the exit code speaks', () => {
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'exit code' }), { passed: 1, failed: 0 });
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'exit code', exitCode: 1 }), { passed: 0, failed: 1 });
  });

  it('are what mocha reported', () => {
    const reported = '{"passed":12,"failed":2}';
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'mocha', exitCode: 2, reported }), { passed: 12, failed: 2 });
  });

  it('hold a failure when mocha ran no test', () => {
    const reported = '{"passed":0,"failed":0}';
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'mocha', reported }), { passed: 0, failed: 1 });
  });

  it('hold a failure when mocha died before it reported', () => {
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'mocha', exitCode: 1 }), { passed: 0, failed: 1 });
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'mocha' }), { passed: 0, failed: 1 });
  });

  it('hold a failure when every test passed and the program still ended badly, as under a coverage bound', () => {
    const reported = '{"passed":12,"failed":0}';
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'mocha', exitCode: 1, reported }), { passed: 12, failed: 1 });
  });

  it('are the kills of a run that lost and doubled nothing', () => {
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'kill line', lastLines: ['…', KILL_LINE] }), {
      passed: 5,
      failed: 0,
    });
  });

  it('hold a failure when a kill run lost or doubled a record, killed nothing, or has no line', () => {
    const lines = [
      KILL_LINE.replace('lost=0', 'lost=1'),
      KILL_LINE.replace('duplicated=0', 'duplicated=10'),
      KILL_LINE.replace('kills=5', 'kills=0'),
      'done',
    ];
    for (const line of lines) {
      assert.deepEqual(
        countsOf({ ...ended, countsFrom: 'kill line', lastLines: [line] }),
        { passed: 0, failed: 1 },
        line,
      );
    }
    assert.deepEqual(countsOf({ ...ended, countsFrom: 'kill line' }), { passed: 0, failed: 1 });
  });
});
