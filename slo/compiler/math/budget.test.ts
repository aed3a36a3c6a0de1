import assert from 'node:assert/strict';
import { decimal } from '../decimal.ts';
import type { Tier } from '../model.ts';
import {
  burnRate,
  floorRate,
  meaningfulRate,
  poissonTail,
  secondsUntilSpent,
  spentAfter,
  trustworthyRate,
} from './budget.ts';

const OBJECTIVE = { budget: decimal('0.001'), periodSeconds: 30 * 86_400 };
const FAST: Tier = {
  name: 'fast',
  severity: 'page',
  factor: decimal('14.4'),
  threshold: decimal('0.0144'),
  longSeconds: 3600,
  shortSeconds: 300,
  windows: 'raw',
  badEventsMin: 3,
  warmUpSeconds: null,
};

describe('budget', () => {
  it('burns a thousand times too fast in a total outage and is spent in 43 minutes', () => {
    assert.equal(burnRate(OBJECTIVE, decimal(1)), 1000);
    assert.equal(secondsUntilSpent(OBJECTIVE, decimal(1)), 2592);
    assert.equal(secondsUntilSpent(OBJECTIVE, decimal(0)), undefined);
    assert.equal(spentAfter({ objective: OBJECTIVE, errorRatio: decimal('0.1'), seconds: 2592 }), 0.1);
  });

  it('means something from ten allowed bad events a period on', () => {
    assert.equal(meaningfulRate(OBJECTIVE).toFixed(5), '0.00386');
    assert.equal((floorRate(FAST) * 3600).toFixed(1), '208.3');
  });

  it('sums the tail of a Poisson distribution', () => {
    assert.equal(poissonTail(0.06, 1).toFixed(4), '0.0582');
    assert.equal(poissonTail(0.06, 3).toFixed(6), '0.000034');
    assert.equal(poissonTail(1000, 1), 1);
  });

  it('finds the rate below which a service that keeps its promise is paged by chance', () => {
    const without = trustworthyRate(OBJECTIVE, { ...FAST, badEventsMin: 0 });
    const floored = trustworthyRate(OBJECTIVE, { ...FAST, badEventsMin: 5 });
    assert.ok(without !== undefined && floored !== undefined && floored < without, `${floored} ${without}`);
  });

  it('says that no rate is enough for a tier that fires at the promise itself', () => {
    assert.equal(trustworthyRate(OBJECTIVE, { ...FAST, factor: decimal(1), threshold: decimal('0.001') }), undefined);
  });
});
