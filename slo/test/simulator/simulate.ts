/**
 * The alerts of an objective evaluated a second time, without Prometheus and without the compiler's rules: from the
 * lowered objective and a traffic shape to the evaluations at which each alert fires. It shares nothing with the
 * emitted text but the model, so a rule that says something else than the model is found by comparison.
 *
 * One group, one instance. Time starts at 0 with the first scrape and the first evaluation.
 */
import { decimalNumber } from '../../compiler/decimal.ts';
import {
  BASE_WINDOW_SECONDS,
  type Environment,
  NO_DATA_AFTER_SECONDS,
  type Objective,
  type Tier,
} from '../../compiler/model.ts';
import { CounterSeries } from './counter-series.ts';

/** What one scrape interval brought; null: the target did not answer. */
export type Scrape = { readonly good: number; readonly bad: number } | null;

export interface Simulation {
  readonly evaluationSeconds: number;
  /** Evaluation (from 0) → names of what fires: tiers, and `no-data`. */
  readonly firing: readonly ReadonlySet<string>[];
}

/** Scrape i happens at i × scrapeSeconds and sees all events of scrapes up to i. */
export function simulateRatio(options: {
  readonly objective: Objective;
  readonly environment: Environment;
  readonly scrapes: readonly Scrape[];
}): Simulation {
  const { objective, environment, scrapes } = options;
  const { evaluationSeconds, scrapeSeconds } = environment;
  const counters = countersOf(scrapes, scrapeSeconds);
  const endSeconds = (scrapes.length - 1) * scrapeSeconds;
  const evaluations = Math.floor(endSeconds / evaluationSeconds) + 1;
  const bases: Pair[] = [];
  const firing: ReadonlySet<string>[] = [];
  for (let index = 0; index < evaluations; index += 1) {
    const atSeconds = index * evaluationSeconds;
    const base = ratesAt(counters, atSeconds, BASE_WINDOW_SECONDS);
    bases.push(base ?? { bad: 0, total: 0 });
    const names = objective.tiers.filter((tier) => {
      const pairOver =
        tier.windows === 'raw'
          ? (windowSeconds: number) => ratesAt(counters, atSeconds, windowSeconds)
          : (windowSeconds: number) => summed({ bases, index, evaluationSeconds, windowSeconds });
      return tierHolds({ tier, atSeconds, pairOver });
    });
    const silent = base === undefined && atSeconds >= NO_DATA_AFTER_SECONDS && objective.noData.choice === 'alert';
    firing.push(new Set([...names.map((tier) => tier.name), ...(silent ? ['no-data'] : [])]));
  }
  return { evaluationSeconds, firing };
}

/** First evaluation at or after `fromSeconds` at which it fires, in seconds; undefined when it never does. */
export function firstFiring(simulation: Simulation, name: string, fromSeconds = 0): number | undefined {
  const { evaluationSeconds, firing } = simulation;
  const index = firing.findIndex((names, at) => at * evaluationSeconds >= fromSeconds && names.has(name));
  return index < 0 ? undefined : index * evaluationSeconds;
}

/** Events a second. */
interface Pair {
  readonly bad: number;
  readonly total: number;
}

interface Counters {
  readonly bad: CounterSeries;
  readonly total: CounterSeries;
}

function countersOf(scrapes: readonly Scrape[], scrapeSeconds: number): Counters {
  const counters = { bad: new CounterSeries(), total: new CounterSeries() };
  let bad = 0;
  let total = 0;
  for (const [index, scrape] of scrapes.entries()) {
    if (scrape === null) continue;
    bad += scrape.bad;
    total += scrape.bad + scrape.good;
    counters.bad.append(index * scrapeSeconds, bad);
    counters.total.append(index * scrapeSeconds, total);
  }
  return counters;
}

function ratesAt(counters: Counters, atSeconds: number, windowSeconds: number): Pair | undefined {
  const total = counters.total.rate(atSeconds, windowSeconds);
  return total === undefined ? undefined : { bad: counters.bad.rate(atSeconds, windowSeconds) ?? 0, total };
}

/** Sums of recorded 5-minute rates over (at − window, at]: the mean rate of the window. */
function summed(options: {
  readonly bases: readonly Pair[];
  readonly index: number;
  readonly evaluationSeconds: number;
  readonly windowSeconds: number;
}): Pair {
  const { bases, index, evaluationSeconds, windowSeconds } = options;
  const from = Math.max(0, index - Math.ceil(windowSeconds / evaluationSeconds) + 1);
  let bad = 0;
  let total = 0;
  for (let at = from; at <= index; at += 1) {
    bad += bases[at]?.bad ?? 0;
    total += bases[at]?.total ?? 0;
  }
  return { bad: (bad * evaluationSeconds) / windowSeconds, total: (total * evaluationSeconds) / windowSeconds };
}

function tierHolds(options: {
  readonly tier: Tier;
  readonly atSeconds: number;
  readonly pairOver: (windowSeconds: number) => Pair | undefined;
}): boolean {
  const { tier, atSeconds, pairOver } = options;
  if (tier.warmUpSeconds !== null && atSeconds < tier.warmUpSeconds) return false;
  const long = pairOver(tier.longSeconds);
  const short = pairOver(tier.shortSeconds);
  if (long === undefined || short === undefined || long.total === 0 || short.total === 0) return false;
  const threshold = decimalNumber(tier.threshold);
  return (
    long.bad / long.total > threshold &&
    short.bad / short.total > threshold &&
    long.bad * tier.longSeconds >= tier.badEventsMin
  );
}
