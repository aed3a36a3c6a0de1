/** PromQL that reads what the rules recorded of one objective, and the metrics it is made of: one text for every reader. */
import { METRICS, type MetricDefinition } from '../../../app/telemetry/catalogue.ts';
import { decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import {
  BASE_WINDOW_SECONDS,
  type Indicator,
  type Matcher,
  type Objective,
  type Selector,
  type SliceIndicator,
  type SliceThreshold,
} from '../model.ts';
import { quoted, selectorText } from '../selector.ts';
import { badRate } from '../series.ts';
import { bucketText } from './promql.ts';

/** Objective names are unique, so one matcher finds all that is recorded of one. */
export function ofObjective({ name }: Pick<Objective, 'name'>): string {
  return `{slo=${quoted(name)}}`;
}

/** Labels of a metric that tell its series apart under a selector: those of the catalogue that it does not pin. */
function breakdownLabels(selector: Selector): readonly string[] {
  const known: readonly MetricDefinition[] = Object.values(METRICS);
  const base = selector.metric.replace(/_(?:bucket|count|sum)$/, '');
  const metric = known.find(({ kind, name }) => name === (kind === 'histogram' ? base : selector.metric));
  const pinned = new Set(selector.matchers.filter(({ op }) => op === '=').map(({ label }) => label));
  // Metrics of other exporters: the labels that every scrape adds.
  const labels = metric === undefined ? ['job', 'instance'] : Object.keys(metric.labels);
  return labels.filter((label) => !pinned.has(label));
}

/** A PromQL duration and the same in seconds, or a dashboard's variables for the two. */
export interface QueryWindow {
  readonly duration: string;
  readonly seconds: string;
}
export const DASHBOARD_RANGE: QueryWindow = { duration: '$__range', seconds: '$__range_s' };

/** Bad events in a window, told apart by `labels`: what spent the budget. Of slices the recorded ones, by group. */
export function spentBy(
  objective: Objective,
  { labels, window }: { readonly labels: readonly string[]; readonly window: QueryWindow },
): string {
  const { indicator } = objective;
  const by = labels.length === 0 ? '' : ` by (${labels.join(', ')})`;
  const increase = (selector: Selector): string => `sum${by} (increase(${bucketText(selector)}[${window.duration}]))`;
  switch (indicator.kind) {
    case 'bad-ratio':
      return increase(indicator.bad);
    case 'good-ratio':
      return `${increase(indicator.total)} - ${increase(indicator.good)}`;
    case 'slices':
      return `sum${by} (${recordedBad(objective, window)})`;
  }
}

/** Bad events (or slices) in a window, from the recorded rates: exact while rules ran, exclusions not subtracted. */
function recordedBad(objective: Objective, { duration, seconds }: QueryWindow): string {
  return `avg_over_time(${badRate(BASE_WINDOW_SECONDS)}${ofObjective(objective)}[${duration}]) * ${seconds}`;
}

/** What `spentBy` can tell apart for this objective. */
export function spenders({ grouping, indicator }: Objective): readonly string[] {
  switch (indicator.kind) {
    case 'bad-ratio':
      return breakdownLabels(indicator.bad);
    case 'good-ratio':
      return breakdownLabels(indicator.total);
    case 'slices':
      return grouping === null ? [] : [grouping.label];
  }
}

/** The measurement as it is compared: a gauge, or the age of a timestamp. */
export function measurement({ measure, transform }: SliceIndicator): string {
  return transform === 'age' ? `time() - ${selectorText(measure)}` : selectorText(measure);
}

export function thresholdQuery(threshold: SliceThreshold): string {
  if (threshold.kind === 'number') return `vector(${decimalText(threshold.value)})`;
  const times = decimalText(threshold.times);
  return times === '1' ? selectorText(threshold.selector) : `${times} * ${selectorText(threshold.selector)}`;
}

/** An estimate between buckets, for people; nothing is judged by it. */
export function latencyQuantile(indicator: Extract<Indicator, { kind: 'good-ratio' }>, percentile: number): string {
  const { good } = indicator;
  const buckets = { metric: good.metric, matchers: good.matchers.filter(({ label }) => label !== 'le') };
  return `histogram_quantile(${percentile / 100}, sum by (le) (rate(${selectorText(buckets)}[${durationText(BASE_WINDOW_SECONDS)}])))`;
}

/** The same selector with one label pinned to another value; a selector without the label gains it. */
export function repinned(selector: Selector, matcher: Matcher): Selector {
  return {
    ...selector,
    matchers: [...selector.matchers.filter(({ label }) => label !== matcher.label), matcher],
  };
}
