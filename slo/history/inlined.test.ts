import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ruleGroups } from '../compiler/emit/prometheus.ts';
import { promqlNames } from '../compiler/promql-names.ts';
import { ratioObjective } from '../test/objective-fixture.ts';
import { inlined } from './inlined.ts';

const RULES = [
  { record: 'slo:bad:rate5m', expr: 'sum(rate(bad[5m])) or on () 0 * slo:total:rate5m{slo="a"}', labels: {} },
  { record: 'slo:total:rate5m', expr: 'sum(rate(all[5m]))', labels: {} },
];

describe('inlined expressions', () => {
  it('put in what a series is recorded from, and what that is recorded from', () => {
    assert.equal(
      inlined('slo:bad:rate5m{slo="a"} > 1', RULES),
      '(sum(rate(bad[5m])) or on () 0 * (sum(rate(all[5m])))) > 1',
    );
  });

  it('read a range as a subquery, and leave offsets and other series alone', () => {
    assert.equal(
      inlined('sum_over_time(slo:total:rate5m{slo="a"}[1d] offset 1h) + other', RULES),
      'sum_over_time((sum(rate(all[5m])))[1d:5m] offset 1h) + other',
    );
  });

  it('leave nothing recorded in any rule of an objective', () => {
    const rules = ruleGroups(ratioObjective()).flatMap((group) => group.rules);
    for (const { expr } of rules) {
      const { metrics, unreadable } = promqlNames(inlined(expr, rules));
      assert.equal(unreadable, null);
      assert.deepEqual(
        metrics.filter((name) => name.startsWith('slo:')),
        [],
      );
    }
  });
});
