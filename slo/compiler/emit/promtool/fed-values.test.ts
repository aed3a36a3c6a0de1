import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { counterValues, gaugeValues } from './fed-values.ts';

/** promtool's notation written out: `a+bxn` is n + 1 samples, `_xn` n times nothing. */
function samples(values: string): readonly (number | null)[] {
  return values.split(' ').flatMap((part) => {
    const [, start = '', step, count = ''] = /^([^+x]+)(?:\+(\d+))?x(\d+)$/.exec(part) ?? [];
    if (start === '_') return Array.from({ length: Number(count) }, () => null);
    if (start === '') return [Number(part)];
    return Array.from({ length: Number(count) + 1 }, (_, at) => Number(start) + at * Number(step ?? 0));
  });
}

describe('fed values', () => {
  it('begin a counter at 0 and count on over every phase, silence included', () => {
    const values = counterValues([
      { count: 2, increment: 10 },
      { count: 2, increment: null },
      { count: 1, increment: 5 },
    ]);
    assert.deepEqual(samples(values), [0, 10, 20, null, null, 25]);
  });

  it('count every n-th sample only, from the n-th on', () => {
    assert.deepEqual(samples(counterValues([{ count: 5, increment: 1, every: 2 }])), [0, 0, 1, 1, 2, 2]);
  });

  it('leave out phases of no length', () => {
    assert.equal(
      gaugeValues([
        { count: 0, value: 1 },
        { count: 3, value: 2 },
        { count: 1, value: null },
      ]),
      '2x2 _x1',
    );
  });
});
