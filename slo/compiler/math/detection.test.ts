import assert from 'node:assert/strict';
import { decimal, multiply } from '../decimal.ts';
import type { Indicator, Tier } from '../model.ts';
import { spentAtDetection } from './budget.ts';
import { detection, isReachable, resetSeconds } from './detection.ts';

const RATIO: Indicator = {
  kind: 'bad-ratio',
  bad: { metric: 'bad_total', matchers: [] },
  total: { metric: 'all_total', matchers: [] },
};
const SLICES: Indicator = {
  kind: 'slices',
  measure: { metric: 'probe_success', matchers: [] },
  transform: 'none',
  good: 'gte',
  threshold: { kind: 'number', value: decimal(1) },
  sliceSeconds: 60,
};

function tier(options: Partial<Tier> & { readonly factorText: string; readonly budget?: string }): Tier {
  const factor = decimal(options.factorText);
  return {
    name: 'fast',
    severity: 'page',
    factor,
    threshold: multiply(factor, decimal(options.budget ?? '0.001')),
    longSeconds: 3600,
    shortSeconds: 300,
    windows: 'raw',
    badEventsMin: 0,
    warmUpSeconds: null,
    ...options,
  };
}

const FAST = tier({ factorText: '14.4' });
const MEDIUM = tier({ factorText: '6', longSeconds: 21_600, shortSeconds: 1800 });
const SLOW = tier({ factorText: '3', longSeconds: 86_400, shortSeconds: 7200, windows: 'derived' });
const DRAIN = tier({ factorText: '1', longSeconds: 259_200, shortSeconds: 21_600, windows: 'derived' });

function seconds(
  of: Tier,
  errorRatio: string,
  more: { traffic?: string; before?: string; rate?: string } = {},
): unknown {
  const found = detection({
    tier: of,
    indicator: RATIO,
    fault: {
      errorRatio: decimal(errorRatio),
      eventsPerSecond: more.rate === undefined ? null : decimal(more.rate),
      ...(more.traffic === undefined ? {} : { trafficRatio: decimal(more.traffic) }),
      ...(more.before === undefined ? {} : { errorRatioBefore: decimal(more.before) }),
    },
  });
  return found.kind === 'fires' ? Number(found.seconds.toFixed(2)) : found;
}

describe('detection time', () => {
  it('is W·θ/e for raw tiers, to the hundredth of a second', () => {
    assert.deepEqual(
      ['1', '0.1', '0.02'].map((ratio) => seconds(FAST, ratio)),
      [51.84, 518.4, 2592],
    );
    assert.deepEqual(
      ['1', '0.1', '0.01'].map((ratio) => seconds(MEDIUM, ratio)),
      [129.6, 1296, 12_960],
    );
  });

  it('is later for derived tiers by the ramp of the 5-minute rates they add up', () => {
    assert.equal(seconds(SLOW, '1'), 259.2 + 150);
    assert.equal(seconds(SLOW, '0.01'), 25_920 + 150);
    assert.equal(
      seconds(tier({ factorText: '3', budget: '0.0001', longSeconds: 86_400, windows: 'derived' }), '1'),
      124.71,
    );
    assert.equal(seconds(DRAIN, '0.0015'), 172_800 + 150);
  });

  it('grows when the fault takes the traffic with it, and shrinks when callers retry', () => {
    assert.deepEqual(
      ['10', '0.5', '0.1', '0.01'].map((traffic) => seconds(FAST, '1', { traffic })),
      [5.25, 102.21, 458.92, 2137.2],
    );
  });

  it('shrinks with errors that were there before', () => {
    assert.equal(seconds(FAST, '0.1', { before: '0.001' }), Number(((3600 * 0.0134) / 0.099).toFixed(2)));
    assert.deepEqual(seconds(FAST, '0.1', { before: '0.02' }), { kind: 'already' });
  });

  it('is never at the threshold or below it', () => {
    assert.deepEqual(seconds(FAST, '0.0144'), { kind: 'never', because: 'threshold' });
    assert.equal(typeof seconds(FAST, '0.01441'), 'number');
  });

  it('waits for the floor of bad events where traffic is low, for ever where a window holds fewer', () => {
    const floored = { ...FAST, badEventsMin: 5 };
    assert.equal(seconds(floored, '1', { rate: '0.016' }), 312.5);
    assert.deepEqual(seconds(floored, '1', { rate: '0.001' }), { kind: 'never', because: 'floor' });
  });

  it('comes in whole slices, at least the floor of them', () => {
    const fault = { errorRatio: decimal(1), eventsPerSecond: null };
    const floored = { ...FAST, badEventsMin: 3 };
    assert.deepEqual(detection({ tier: floored, indicator: SLICES, fault }), {
      kind: 'fires',
      seconds: 180,
      decidedBy: 'floor',
    });
    const wide = tier({ factorText: '14.4', budget: '0.005', badEventsMin: 3 });
    // More than 7.2 % of 60 slices: 5.
    assert.deepEqual(detection({ tier: wide, indicator: SLICES, fault }), {
      kind: 'fires',
      seconds: 300,
      decidedBy: 'slices',
    });
  });

  it('always comes with the same share of the budget gone', () => {
    const shares = [FAST, MEDIUM, SLOW, DRAIN].map((each) => spentAtDetection({ periodSeconds: 30 * 86_400 }, each));
    assert.deepEqual(shares, [0.02, 0.05, 0.1, 0.1]);
  });
});

describe('reset time', () => {
  const reset = (of: Tier, errorRatio: string): number =>
    resetSeconds({ tier: of, indicator: RATIO, fault: { errorRatio: decimal(errorRatio), eventsPerSecond: null } });

  it('is the short window less what of it may be bad', () => {
    assert.deepEqual([reset(FAST, '1'), reset(FAST, '0.1'), reset(MEDIUM, '0.01')].map(Math.round), [296, 257, 720]);
  });

  it('is later for derived tiers: 5-minute rates fall as slowly as they rose', () => {
    assert.equal(reset(SLOW, '0.01'), 7200 + 150 - 2160);
    assert.equal(reset(SLOW, '1').toFixed(2), (7200 + 300 - Math.sqrt(600 * 21.6)).toFixed(2));
  });
});

describe('reachability', () => {
  it('ends exactly at a target of 1 − 1/k', () => {
    assert.equal(isReachable(tier({ factorText: '10', budget: '0.1' })), false);
    assert.equal(isReachable(tier({ factorText: '10', budget: '0.0999' })), true);
  });
});
