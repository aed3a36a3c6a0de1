import assert from 'node:assert/strict';
import fc from 'fast-check';
import { durationText, readDuration } from './duration.ts';

describe('durations', () => {
  it('are written as people write them', () => {
    const texts = [300, 3600, 5400, 86_400, 19_440, 2_592_000, 233_280, 0].map(durationText);
    assert.deepEqual(texts, ['5m', '1h', '1h30m', '1d', '5h24m', '30d', '2d16h48m', '0s']);
  });

  it('read back as the same number of seconds', () => {
    fc.assert(fc.property(fc.nat(10_000_000), (seconds) => readDuration(durationText(seconds)) === seconds));
  });

  it('are refused in any other spelling', () => {
    for (const text of ['', '5', '5 m', 'm', '1m1h', '1.5h', '-5m', '1M', '30 days']) {
      assert.equal(readDuration(text), undefined, text);
    }
  });
});
