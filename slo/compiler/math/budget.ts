/**
 * What an error ratio costs: share of the budget that is gone when a tier fires, time until it is spent, and the
 * traffic below which counting events says little. P is the period, B the budget (1 − target), k the tier's factor.
 */
import { decimal, type Decimal } from '../decimal.ts';
import type { Objective, Tier } from '../model.ts';
import { compareFractions, dividedBy, fraction, numberOf, times } from './fraction.ts';

/** e/B: how many times faster than sustainable the budget burns. */
export function burnRate(objective: Pick<Objective, 'budget'>, errorRatio: Decimal): number {
  return numberOf(dividedBy(fraction(errorRatio), fraction(objective.budget)));
}

/** k·W/P: what is gone when the tier fires, whatever the error ratio is. */
export function spentAtDetection(objective: Pick<Objective, 'periodSeconds'>, tier: Tier): number {
  return numberOf(
    dividedBy(times(fraction(tier.factor), fraction(tier.longSeconds)), fraction(objective.periodSeconds)),
  );
}

/** Share of the period's budget that `seconds` of the error ratio cost, on constant traffic: e·t ÷ (B·P). */
export function spentAfter(options: {
  readonly objective: Pick<Objective, 'budget' | 'periodSeconds'>;
  readonly errorRatio: Decimal;
  readonly seconds: number;
}): number {
  return (burnRate(options.objective, options.errorRatio) * options.seconds) / options.objective.periodSeconds;
}

/** B·P/e; undefined without errors. */
export function secondsUntilSpent(
  objective: Pick<Objective, 'budget' | 'periodSeconds'>,
  errorRatio: Decimal,
): number | undefined {
  if (compareFractions(fraction(errorRatio), fraction(0)) === 0) return undefined;
  const budgetSeconds = times(fraction(objective.budget), fraction(objective.periodSeconds));
  return numberOf(dividedBy(budgetSeconds, fraction(errorRatio)));
}

/** m ÷ (θ·W) events a second: below it m bad events are more than the threshold, so the floor alone decides. */
export function floorRate(tier: Tier): number {
  const window = times(fraction(tier.threshold), fraction(tier.longSeconds));
  return numberOf(dividedBy(fraction(tier.badEventsMin), window));
}

/** With fewer allowed bad events than this in a period, one more or less changes the verdict. */
const ALLOWED_BAD_EVENTS_MIN = 10;

/** 10 ÷ (B·P) events a second: below it a period allows fewer than 10 bad events and the budget is a lottery. */
export function meaningfulRate(objective: Pick<Objective, 'budget' | 'periodSeconds'>): number {
  const allowed = times(fraction(objective.budget), fraction(objective.periodSeconds));
  return numberOf(dividedBy(fraction(ALLOWED_BAD_EVENTS_MIN), allowed));
}

/** A service that keeps its promise exactly may page by chance once in this many windows. */
const CHANCE_PAGES_MAX = decimal('0.001');

/**
 * The lowest rate from which on a service that only just keeps its promise is paged by chance in at most one window of
 * a thousand: P(X ≥ max(m, θ·N)) for X Poisson with mean B·N, N = λ·W. 0 where the floor alone keeps chance
 * away; undefined where no rate is enough: a tier with k = 1 tells such a service half of the time, as it should. Searched downwards in steps of 5 %, because the tail is
 * not monotonic where θ·N crosses a whole number.
 */
export function trustworthyRate(objective: Pick<Objective, 'budget'>, tier: Tier): number | undefined {
  const budget = numberOf(fraction(objective.budget));
  const threshold = numberOf(fraction(tier.threshold));
  const allowed = numberOf(fraction(CHANCE_PAGES_MAX));
  const isNoisy = (rate: number): boolean => {
    const events = rate * tier.longSeconds;
    const needed = Math.max(tier.badEventsMin, Math.floor(threshold * events) + 1);
    return poissonTail(budget * events, needed) > allowed;
  };
  // From 1,000 expected errors a window down to one in a thousand windows.
  const highest = 1000 / (budget * tier.longSeconds);
  if (isNoisy(highest)) return undefined;
  let rate = highest;
  while (rate > highest / 1e6) {
    if (isNoisy(rate / SEARCH_STEP)) return rate;
    rate /= SEARCH_STEP;
  }
  return 0;
}
const SEARCH_STEP = 1.05;

/** P(X ≥ count) for X Poisson with this mean. */
export function poissonTail(mean: number, count: number): number {
  let below = 0;
  let logTerm = -mean;
  for (let index = 0; index < count; index += 1) {
    below += Math.exp(logTerm);
    logTerm += Math.log(mean) - Math.log(index + 1);
  }
  return Math.max(0, 1 - below);
}
