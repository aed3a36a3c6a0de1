/**
 * Names of recorded series, in one place, and the labels they carry: `service` and `slo`, and the grouping label where
 * an objective has one.
 *
 * | series | is |
 * |---|---|
 * | `slo:evaluated` | 1 at every evaluation: tells idle time from missing rules |
 * | `slo:expected` | 1 for each group that must report (grouped objectives) |
 * | `slo:bad:slice`, `slo:total:slice` | 0 or 1: this slice (slice objectives) |
 * | `slo:bad:rate5m`, `slo:total:rate5m` … | events a second over a raw window |
 * | `slo:error:ratio5m` … | their ratio, over raw windows; absent without traffic, never NaN |
 * | `slo:error:weighted2h` … `weighted3d` | ratio over a derived window; long ones without what is excluded |
 * | `slo:error:weighted30d` | the same over the objective's period |
 * | `slo:bad:events1d` | bad events in a derived tier's long window, exclusions subtracted |
 * | `slo:objective:target`, `slo:budget:ratio` | the promise and what it leaves |
 * | `slo:budget:remaining` | 1 whole, 0 spent, negative overspent |
 * | `slo:coverage:ratio` | share of the period's quarters of an hour in which rules ran |
 * | `slo:excluded:seconds` | excluded time inside the period |
 * | `slo:traffic:baseline`, `slo:traffic:baseline_known` | what traffic is compared with; 0 while nobody knows |
 */
import { durationText } from './duration.ts';
import type { Objective, Tier } from './model.ts';
import { BASE_WINDOW_SECONDS } from './model.ts';

export const SERIES = {
  evaluated: 'slo:evaluated',
  expected: 'slo:expected',
  badSlice: 'slo:bad:slice',
  totalSlice: 'slo:total:slice',
  target: 'slo:objective:target',
  budget: 'slo:budget:ratio',
  remaining: 'slo:budget:remaining',
  coverage: 'slo:coverage:ratio',
  excludedSeconds: 'slo:excluded:seconds',
  baseline: 'slo:traffic:baseline',
  baselineKnown: 'slo:traffic:baseline_known',
} as const;

export function badRate(windowSeconds: number): string {
  return `slo:bad:rate${durationText(windowSeconds)}`;
}

export function totalRate(windowSeconds: number): string {
  return `slo:total:rate${durationText(windowSeconds)}`;
}

export function rawRatio(windowSeconds: number): string {
  return `slo:error:ratio${durationText(windowSeconds)}`;
}

export function weightedRatio(windowSeconds: number): string {
  return `slo:error:weighted${durationText(windowSeconds)}`;
}

export function badEvents(windowSeconds: number): string {
  return `slo:bad:events${durationText(windowSeconds)}`;
}

/** The recorded ratio that a tier compares, over one of its windows. */
export function tierRatio(tier: Tier, windowSeconds: number): string {
  return tier.windows === 'raw' ? rawRatio(windowSeconds) : weightedRatio(windowSeconds);
}

/** Windows read from raw series, shortest first: the base and both windows of each raw tier. */
export function rawWindows(objective: Objective): readonly number[] {
  const raw = objective.tiers.filter((tier) => tier.windows === 'raw');
  return sorted([BASE_WINDOW_SECONDS, ...raw.flatMap((tier) => [tier.longSeconds, tier.shortSeconds])]);
}

/** Windows made of recorded rates, shortest first, without the period. */
export function derivedWindows(objective: Objective): readonly number[] {
  const derived = objective.tiers.filter((tier) => tier.windows === 'derived');
  return sorted(derived.flatMap((tier) => [tier.longSeconds, tier.shortSeconds]));
}

function sorted(seconds: readonly number[]): readonly number[] {
  return [...new Set(seconds)].sort((a, b) => a - b);
}
