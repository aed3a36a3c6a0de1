/**
 * The lowered form of an objective: what every emitter reads, and all it reads. Whatever a specification says (ratio,
 * latency, gauge by time slice, age of a timestamp), here it is a pair of recorded series, bad and total, in events a
 * second, so that everything downstream (tiers, budget, dashboards, proofs) has one form.
 *
 * Pure data: exact decimals, whole seconds, no PromQL beyond selectors. The text of rules is made in
 * `emit/prometheus.ts`, the names of recorded series in `series.ts`.
 */
import type { Decimal } from './decimal.ts';

export interface Model {
  readonly objectives: readonly Objective[];
  readonly environment: Environment;
}

/** What the rules are run by. Lints, proofs and `explain` need it; no expression holds it. */
export interface Environment {
  readonly scrapeSeconds: number;
  readonly evaluationSeconds: number;
  /** How far back queries can look. */
  readonly retentionSeconds: number;
}

export interface Objective {
  /** The file's name without extension, and the value of the label `slo`. Unique. */
  readonly name: string;
  /** The label `service`. */
  readonly service: string;
  /** The label `owner`: the team an alert goes to. */
  readonly owner: string;
  readonly title: string;
  readonly description: string;
  /** Share of good events or slices, between 0 and 1: 0.999. */
  readonly target: Decimal;
  /** 1 − target: 0.001. */
  readonly budget: Decimal;
  /** The rolling window of the budget. */
  readonly periodSeconds: number;
  readonly indicator: Indicator;
  /**
   * One budget for each of these, or one in all (null). Every recorded series and alert then carries the label, and a
   * value of `expected` that never reported is named.
   */
  readonly grouping: Grouping | null;
  /** Fastest first. Tiers that no error ratio can reach were refused by a lint. */
  readonly tiers: readonly Tier[];
  readonly noData: NoData;
  readonly collapse: Collapse | null;
  readonly expectation: Expectation | null;
  /** Time that the budget and the alerts leave out; recorded series do not. Ordered by start. */
  readonly exclusions: readonly Exclusion[];
  /** Events a second that the owner expects on a normal day; lints and `explain` measure it against the budget. */
  readonly expectedRate: Decimal | null;
  /** Where it was written: `slo/objectives/api-latency.yaml`. */
  readonly file: string;
  /** `slo/objectives/api-latency.runbook.md`. */
  readonly runbook: string;
}

/** One metric with matchers: `http_requests_total{job="vigia"}`. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Matcher {
  readonly label: string;
  readonly op: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

/**
 * How bad and total come from metrics. For the two counter kinds they are `sum(rate(…[W]))`; bad is `… or 0 * total`,
 * so it is 0 while no error series exists and absent when there is no data at all.
 */
export type Indicator =
  | { readonly kind: 'bad-ratio'; readonly bad: Selector; readonly total: Selector }
  /** bad = total − good, never below 0 (two scrapes may fall between the two). */
  | {
      readonly kind: 'good-ratio';
      readonly good: Selector;
      readonly total: Selector;
      /** Set when good is a bucket of a classic histogram: the bound is the promise (k6 and Google read it). */
      readonly latency: LatencyBucket | null;
    }
  | SliceIndicator;

export interface LatencyBucket {
  /** Without `_bucket` and `_count`: `http_server_request_duration_seconds`. */
  readonly histogram: string;
  /** The bucket's upper bound, in seconds. */
  readonly thresholdSeconds: Decimal;
}

/**
 * Time in slices: a slice is bad when the worst measurement in it breaks the comparison. `slo:bad:slice` and
 * `slo:total:slice` hold 0 or 1 at every evaluation; the windows count them once a slice, so `slo:bad:rate1h × 3600`
 * is the number of bad slices, whatever the evaluation interval is.
 */
export interface SliceIndicator {
  readonly kind: 'slices';
  readonly measure: Selector;
  /** `age`: the metric is a Unix time and what is compared is the time since. */
  readonly transform: 'none' | 'age';
  /** The measurement is good while `measure op threshold`. */
  readonly good: Comparison;
  readonly threshold: SliceThreshold;
  readonly sliceSeconds: number;
}
export type Comparison = 'lt' | 'lte' | 'gt' | 'gte';
/** A number, or that many times a gauge, group by group (the promise of each contract). */
export type SliceThreshold =
  | { readonly kind: 'number'; readonly value: Decimal }
  | { readonly kind: 'metric'; readonly selector: Selector; readonly times: Decimal };

export interface Grouping {
  readonly label: string;
  /** Values that must report, sorted. Constant in the rules, so that one that never reported is known. */
  readonly expected: readonly string[];
}

export type TierName = 'fast' | 'medium' | 'slow' | 'drain';
export type Severity = 'page' | 'ticket';

/**
 * One alert: bad/total over the long window and over the short one both above `threshold`, and at least `badEventsMin`
 * bad events in the long one. No `for`.
 */
export interface Tier {
  readonly name: TierName;
  readonly severity: Severity;
  /** k: how many times faster than sustainable the budget burns. */
  readonly factor: Decimal;
  /** k × (1 − target): the error ratio that fires, as it stands in the rule. */
  readonly threshold: Decimal;
  readonly longSeconds: number;
  readonly shortSeconds: number;
  /**
   * `raw`: both windows are rates of the metrics themselves; muted during an exclusion and its own short window after.
   * `derived`: both are sums of recorded 5-minute rates, weighted by traffic; exclusions are subtracted.
   */
  readonly windows: 'raw' | 'derived';
  /** The floor m: fewer bad events (or slices) in the long window fire nothing. */
  readonly badEventsMin: number;
  /**
   * Silent until rules were evaluated this long ago (0.9 of the long window); null where an early page is better than
   * none: the fast tier, whose floor keeps it quiet on scraps of data.
   */
  readonly warmUpSeconds: number | null;
}

/** No total at all, or (grouped) none for an expected group, once rules have run for NO_DATA_AFTER_SECONDS. */
export type NoData =
  | { readonly choice: 'alert'; readonly severity: Severity }
  /** Only for slices: an expected group without a measurement counts as bad. */
  | { readonly choice: 'bad' }
  | { readonly choice: 'ignore' };

/**
 * Traffic far below the smaller of yesterday's and last week's same half hour. `slo:traffic:baseline` is absent, and
 * `slo:traffic:baseline_known` 0, until rules have run for a day.
 */
export interface Collapse {
  readonly severity: Severity;
  /** Fires below this share of the baseline. */
  readonly ratio: Decimal;
  /** Events a second; a smaller baseline raises nothing. */
  readonly baselineMin: Decimal;
}

/** A gauge above another gauge that promises its limit, where the limit is above 0; always a ticket, by group. */
export interface Expectation {
  readonly measure: Selector;
  readonly limit: Selector;
}

export interface Exclusion {
  readonly id: string;
  /** Unix seconds, half open. */
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly reason: string;
  readonly author: string;
}

/** Every alert that an objective raises; `alertsOf` in alerts.ts lists them, in the order they stand in the rules. */
export type Alert =
  | { readonly kind: 'burn'; readonly name: 'SLOBurn'; readonly severity: Severity; readonly tier: Tier }
  | { readonly kind: 'no-data'; readonly name: 'SLONoData'; readonly severity: Severity }
  | {
      readonly kind: 'collapse';
      readonly name: 'SLOTrafficCollapse';
      readonly severity: Severity;
      readonly collapse: Collapse;
    }
  | {
      readonly kind: 'expectation';
      readonly name: 'SLOExpectationMissed';
      readonly severity: 'ticket';
      readonly expectation: Expectation;
    };

/** Rates over this window are what all derived windows are made of. */
export const BASE_WINDOW_SECONDS = 300;
/** The longest window that is read from raw series; a tier with a longer one is derived. */
export const RAW_WINDOW_SECONDS_MAX = 6 * 3600;
/** A start without data is no fault: two scrapes must pass, and a deployment. */
export const NO_DATA_AFTER_SECONDS = 600;
/** How wide the look back is that decides "rules ran then": survives a missed evaluation or a restart. */
export const EVALUATED_RANGE_SECONDS = 900;
/** Baseline: the 30 minutes around this time of yesterday and of a week ago, both with half of them before it. */
export const BASELINE_RANGE_SECONDS = 1800;
export const BASELINE_OFFSETS_SECONDS = [24 * 3600 - 900, 7 * 24 * 3600 - 900] as const;
/** Fewer bad slices than this are one blip, not a page. */
export const BAD_SLICES_MIN = 3;
