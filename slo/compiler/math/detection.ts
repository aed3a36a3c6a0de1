/**
 * When an alert comes and when it goes: closed formulas for a fault that starts at once, on traffic that is constant
 * before and constant after. Proofs are made of these numbers, `explain` prints them, a simulator and Prometheus itself
 * are compared with them.
 *
 * W long window, w short window, θ = k × budget the threshold, e error ratio of the fault, e₀ before it, r traffic of
 * the fault ÷ traffic before, λ events a second before, m the floor of bad events.
 *
 * Sources: Google's SRE workbook, chapter 5 (multiwindow alerts); the rest follows from the shape of the windows and
 * stands beside each formula. None of it knows scrapes and evaluations: a page comes in [T, T + scrape + evaluation].
 */
import { type Decimal, decimal } from '../decimal.ts';
import { BASE_WINDOW_SECONDS, type Indicator, type Objective, type Tier } from '../model.ts';
import {
  compareFractions,
  dividedBy,
  type Fraction,
  floorOf,
  fraction,
  larger,
  minus,
  numberOf,
  plus,
  times,
} from './fraction.ts';

export interface Fault {
  /** Share of events (or of slices) that are bad while it lasts. */
  readonly errorRatio: Decimal;
  /** The same before it; 0 where left out. */
  readonly errorRatioBefore?: Decimal;
  /** Traffic during ÷ traffic before; 1 where left out. Slices do not see traffic. */
  readonly trafficRatio?: Decimal;
  /** Events a second before it; null: so many that the floor never decides. */
  readonly eventsPerSecond: Decimal | null;
}

export type Detection =
  | { readonly kind: 'fires'; readonly seconds: number; readonly decidedBy: 'burn' | 'floor' | 'slices' }
  /** `threshold`: the ratio never rises above it; `floor`: a whole window holds too few bad events. */
  | { readonly kind: 'never'; readonly because: 'threshold' | 'floor' }
  /** Firing already before the fault. */
  | { readonly kind: 'already' };

type TierWindows = Pick<Tier, 'threshold' | 'longSeconds' | 'shortSeconds' | 'windows' | 'badEventsMin'>;

const ONE = fraction(1);
const HALF_BASE_SECONDS = BASE_WINDOW_SECONDS / 2;

/** Seconds from the fault's start to the first moment at which the tier's condition holds. */
export function detection(options: {
  readonly tier: TierWindows;
  readonly indicator: Indicator;
  readonly fault: Fault;
}): Detection {
  const { tier, indicator, fault } = options;
  return indicator.kind === 'slices'
    ? sliceDetection({ tier, sliceSeconds: indicator.sliceSeconds, fault })
    : rateDetection(tier, fault);
}

function rateDetection(tier: TierWindows, fault: Fault): Detection {
  const errorRatio = fraction(fault.errorRatio);
  const before = fraction(fault.errorRatioBefore ?? decimal(0));
  const traffic = fraction(fault.trafficRatio ?? decimal(1));
  const threshold = fraction(tier.threshold);
  if (compareFractions(before, threshold) > 0) return { kind: 'already' };
  if (compareFractions(errorRatio, threshold) <= 0) return { kind: 'never', because: 'threshold' };
  const burn = burnSeconds({ tier, errorRatio, before, traffic, threshold });
  const floor = floorSeconds({ tier, fault, traffic, errorRatio, before });
  if (floor === undefined) return { kind: 'never', because: 'floor' };
  return {
    kind: 'fires',
    seconds: asSeen(tier, numberOf(larger(burn, floor))),
    decidedBy: compareFractions(floor, burn) > 0 ? 'floor' : 'burn',
  };
}

/**
 * T solves (e·r·T + e₀·(W − T)) ÷ (r·T + (W − T)) = θ: T = W(θ − e₀) ÷ (r(e − θ) + θ − e₀).
 * With r = 1 and e₀ = 0 that is W·θ/e = f·P·B/e. Only the long window counts: the short one crosses first.
 */
function burnSeconds(options: {
  readonly tier: TierWindows;
  readonly errorRatio: Fraction;
  readonly before: Fraction;
  readonly traffic: Fraction;
  readonly threshold: Fraction;
}): Fraction {
  const { tier, errorRatio, before, traffic, threshold } = options;
  const rise = minus(threshold, before);
  return dividedBy(times(fraction(tier.longSeconds), rise), plus(times(traffic, minus(errorRatio, threshold)), rise));
}

/** m bad events at λ(e·r·T + e₀·(W − T)) = m; undefined where a whole window of the fault holds fewer. */
function floorSeconds(options: {
  readonly tier: TierWindows;
  readonly fault: Fault;
  readonly traffic: Fraction;
  readonly errorRatio: Fraction;
  readonly before: Fraction;
}): Fraction | undefined {
  const { tier, fault, traffic, errorRatio, before } = options;
  if (fault.eventsPerSecond === null) return fraction(0);
  const rate = fraction(fault.eventsPerSecond);
  const window = fraction(tier.longSeconds);
  const badRate = times(rate, times(errorRatio, traffic));
  const badRateBefore = times(rate, before);
  const needed = fraction(tier.badEventsMin);
  if (compareFractions(times(badRateBefore, window), needed) >= 0) return fraction(0);
  if (compareFractions(times(badRate, window), needed) < 0) return undefined;
  return dividedBy(minus(needed, times(badRateBefore, window)), minus(badRate, badRateBefore));
}

/**
 * Derived windows add up 5-minute rates, which rise to the fault's level over 300 s: after t seconds they have seen
 * t²/600 of it while t < 300, then t − 150. Solved for t.
 */
function asSeen(tier: TierWindows, seconds: number): number {
  if (tier.windows === 'raw') return seconds;
  return seconds < HALF_BASE_SECONDS ? Math.sqrt(2 * BASE_WINDOW_SECONDS * seconds) : seconds + HALF_BASE_SECONDS;
}

/** Bad slices that the window must hold: more than θ of its slices, and the floor. */
export function badSlicesNeeded(options: { readonly tier: TierWindows; readonly sliceSeconds: number }): number {
  const { tier, sliceSeconds } = options;
  const slices = dividedBy(fraction(tier.longSeconds), fraction(sliceSeconds));
  return Math.max(tier.badEventsMin, floorOf(times(fraction(tier.threshold), slices)) + 1);
}

/**
 * A slice is bad as a whole, so time comes in slices: n slices with a fault that makes each one bad, and as many whole
 * slices as hold n bad ones where only some are.
 */
function sliceDetection(options: {
  readonly tier: TierWindows;
  readonly sliceSeconds: number;
  readonly fault: Fault;
}): Detection {
  const { tier, sliceSeconds, fault } = options;
  const errorRatio = fraction(fault.errorRatio);
  if (compareFractions(fraction(fault.errorRatioBefore ?? decimal(0)), fraction(tier.threshold)) > 0) {
    return { kind: 'already' };
  }
  if (compareFractions(errorRatio, fraction(tier.threshold)) <= 0) return { kind: 'never', because: 'threshold' };
  const needed = badSlicesNeeded({ tier, sliceSeconds });
  const slices = Math.ceil(numberOf(dividedBy(fraction(needed), errorRatio)) - 1e-9);
  if (slices * sliceSeconds > tier.longSeconds) return { kind: 'never', because: 'floor' };
  const byBurn = floorOf(times(fraction(tier.threshold), fraction(tier.longSeconds / sliceSeconds))) + 1;
  return {
    kind: 'fires',
    seconds: asSeen(tier, slices * sliceSeconds),
    decidedBy: needed > byBurn ? 'floor' : 'slices',
  };
}

/**
 * Seconds from the fault's end until the condition no longer holds: w(1 − θ/e), the short window's, because the long
 * one stays above θ for longer. It holds for every fault that lasted until it was detected. Background e₀ and traffic
 * r as above: the bad seconds left in the short window solve the same equation.
 */
export function resetSeconds(options: {
  readonly tier: TierWindows;
  readonly indicator: Indicator;
  readonly fault: Fault;
}): number {
  const { tier, indicator, fault } = options;
  const threshold = fraction(tier.threshold);
  if (indicator.kind === 'slices') {
    const kept = floorOf(times(threshold, fraction(tier.shortSeconds / indicator.sliceSeconds)));
    return tier.shortSeconds - kept * indicator.sliceSeconds + (tier.windows === 'raw' ? 0 : HALF_BASE_SECONDS);
  }
  const left = numberOf(
    burnSeconds({
      tier: { ...tier, longSeconds: tier.shortSeconds },
      errorRatio: fraction(fault.errorRatio),
      before: fraction(fault.errorRatioBefore ?? decimal(0)),
      traffic: fraction(fault.trafficRatio ?? decimal(1)),
      threshold,
    }),
  );
  if (tier.windows === 'raw') return tier.shortSeconds - left;
  // The 5-minute rates fall over 300 s, as they rose: the mirror image of `asSeen`.
  return left < HALF_BASE_SECONDS
    ? tier.shortSeconds + BASE_WINDOW_SECONDS - Math.sqrt(2 * BASE_WINDOW_SECONDS * left)
    : tier.shortSeconds + HALF_BASE_SECONDS - left;
}

/** An error ratio of 1 must be above the threshold: target > 1 − 1/k. */
export function isReachable(tier: Pick<Tier, 'threshold'>): boolean {
  return compareFractions(fraction(tier.threshold), ONE) < 0;
}

/** What really decides the first page: the formula, or the grid on which anything can be seen at all. */
export function effectiveDetection(options: {
  readonly objective: Objective;
  readonly tier: Tier;
  readonly fault: Fault;
  readonly scrapeSeconds: number;
}): { readonly seconds: number; readonly decidedBy: 'burn' | 'floor' | 'slices' | 'scrape' } | undefined {
  const { objective, tier, fault, scrapeSeconds } = options;
  const found = detection({ tier, indicator: objective.indicator, fault });
  if (found.kind !== 'fires') return undefined;
  return found.seconds < scrapeSeconds ? { seconds: scrapeSeconds, decidedBy: 'scrape' } : found;
}
