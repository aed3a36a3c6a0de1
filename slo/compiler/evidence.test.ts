import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { failTotalMax, passTotalMin, verdictOf } from './evidence.ts';

describe('the evidence rule', () => {
  it('passes without a failure from the total at which 0.95 of runs at twice the budget would show one', () => {
    // (1 − 2 × 0.001)^n ≤ 0.05 ⇔ n ≥ ln 0.05 / ln 0.998 = 1496.4
    assert.equal(passTotalMin({ bad: 0, budget: 0.001 }), 1497);
    assert.deepEqual(
      [1496, 1497].map((total) => verdictOf({ bad: 0, total, budget: 0.001 })),
      ['inconclusive', 'pass'],
    );
  });

  it('agrees with the published exact bounds', () => {
    // Upper 95 % bound of 0 in 59 is 0.0495, of 0 in 58 is 0.0503; lower 95 % bound of 5 in 20 is 0.104.
    assert.equal(passTotalMin({ bad: 0, budget: 0.025 }), 59);
    assert.equal(verdictOf({ bad: 5, total: 20, budget: 0.104 }), 'fail');
    assert.equal(verdictOf({ bad: 5, total: 20, budget: 0.105 }), 'inconclusive');
  });

  it('never passes more than the budget, and passes the budget itself once there are 6 bad ones', () => {
    assert.equal(verdictOf({ bad: 6, total: 6000, budget: 0.001 }), 'pass');
    assert.equal(verdictOf({ bad: 6, total: 5999, budget: 0.001 }), 'inconclusive');
    assert.equal(verdictOf({ bad: 5, total: 5000, budget: 0.001 }), 'inconclusive', 'P(X ≤ 5 | mean 10) is 0.067');
  });

  it('says nothing about nothing, and about one failure in a handful', () => {
    assert.equal(verdictOf({ bad: 0, total: 0, budget: 0.01 }), 'inconclusive');
    assert.equal(verdictOf({ bad: 1, total: 10, budget: 0.01 }), 'inconclusive');
    assert.equal(verdictOf({ bad: 3, total: 3, budget: 0.01 }), 'fail');
  });

  it('names the totals at which verdicts change, exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 60 }), fc.constantFrom(0.0001, 0.001, 0.01, 0.05), (bad, budget) => {
        const pass = passTotalMin({ bad, budget });
        assert.equal(verdictOf({ bad, total: pass, budget }), 'pass');
        assert.notEqual(verdictOf({ bad, total: pass - 1, budget }), 'pass');
        const fail = failTotalMax({ bad, budget });
        if (fail > 0) assert.equal(verdictOf({ bad, total: fail, budget }), 'fail');
        if (fail + 1 > bad) assert.notEqual(verdictOf({ bad, total: fail + 1, budget }), 'fail');
        assert.ok(fail < pass);
      }),
      { numRuns: 60 },
    );
  });

  it('passes a service at twice its budget in at most one run of twenty', () => {
    // Exact: the probability of a passing count, over all counts, at every total.
    for (const total of [1497, 3000, 6000, 12_000]) {
      let probability = 0;
      let term = total * Math.log1p(-0.002);
      for (let bad = 0; bad <= 60; bad += 1) {
        if (bad > 0) term += Math.log(((total - bad + 1) / bad) * (0.002 / 0.998));
        if (verdictOf({ bad, total, budget: 0.001 }) === 'pass') probability += Math.exp(term);
      }
      assert.ok(probability <= 0.05, `${total}: ${probability}`);
    }
  });
});
