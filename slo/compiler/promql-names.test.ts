import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { promqlNames } from './promql-names.ts';

describe('the metrics of a PromQL text', () => {
  it('are found inside functions, windows, offsets and both sides of an operator', () => {
    const text =
      'sum by (a) (rate(x_total{b="c"}[5m] offset 1d)) / on (a) (slo:total:rate5m > 0) unless absent(up) or vector(1)';
    assert.deepEqual(promqlNames(text), { metrics: ['slo:total:rate5m', 'up', 'x_total'], unreadable: null });
  });

  for (const text of ['sum(rate(x[5m])', 'x{a=}', 'x[', '', 'a b', '{job="x"}', '$x']) {
    it(`are refused where the text is not PromQL: ${text}`, () => {
      const { metrics, unreadable } = promqlNames(text);
      assert.deepEqual(metrics, []);
      assert.notEqual(unreadable, null);
    });
  }
});
