/**
 * The expressions of recorded series and alerts, each one a function of the lowered objective. Nothing here holds the
 * evaluation interval: counts come from rates × seconds, from slices of their own length, or are divided by how often
 * `slo:evaluated` was recorded.
 */
import { add, type Decimal, decimal, decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import {
  BASE_WINDOW_SECONDS,
  BASELINE_OFFSETS_SECONDS,
  BASELINE_RANGE_SECONDS,
  type Collapse,
  EVALUATED_RANGE_SECONDS,
  type Exclusion,
  type Expectation,
  type Grouping,
  type Matcher,
  NO_DATA_AFTER_SECONDS,
  type Objective,
  type Selector,
  type SliceIndicator,
  type Tier,
} from '../model.ts';
import { quoted, selectorText } from '../selector.ts';
import { badEvents, badRate, SERIES, tierRatio, totalRate } from '../series.ts';

/** `{service="api",slo="api-latency"}`: what tells an objective's recorded series from all others. */
export function ids({ name, service }: Objective): string {
  return `{service=${quoted(service)},slo=${quoted(name)}}`;
}

/** One series for each group that must report, or none. */
export function expectedGroups({ expected, label }: Grouping): string {
  return expected.map((group) => `label_replace(vector(1), ${quoted(label)}, ${quoted(group)}, "", "")`).join(' or ');
}

/** Events a second, all of them. */
export function totalOver(objective: Objective, windowSeconds: number): string {
  const { indicator } = objective;
  if (indicator.kind === 'slices') return slicesOver(SERIES.totalSlice, objective, indicator, windowSeconds);
  return summedRate(objective, indicator.total, windowSeconds);
}

/** Bad events a second: 0 while there are none, absent while there is no total. */
export function badOver(objective: Objective, windowSeconds: number): string {
  const { indicator } = objective;
  const none = `0 * ${totalRate(windowSeconds)}${ids(objective)}`;
  switch (indicator.kind) {
    case 'bad-ratio':
      return `${summedRate(objective, indicator.bad, windowSeconds)} or ${onGroup(objective)} ${none}`;
    case 'good-ratio': {
      const good = summedRate(objective, indicator.good, windowSeconds);
      const total = `${totalRate(windowSeconds)}${ids(objective)}`;
      return `clamp_min(${total} - ${onGroup(objective)} (${good} or ${onGroup(objective)} ${none}), 0)`;
    }
    case 'slices':
      return slicesOver(SERIES.badSlice, objective, indicator, windowSeconds);
  }
}

/** 1 while the slice is bad; the worst measurement of the slice decides. */
export function badSlice(objective: Objective, indicator: SliceIndicator): string {
  const { good, measure, sliceSeconds, threshold, transform } = indicator;
  const by = byGroup(objective);
  const worst = good === 'lt' || good === 'lte' ? 'max' : 'min';
  const range = `[${durationText(sliceSeconds)}]`;
  const measured =
    transform === 'age'
      ? `(time() - max${by}(${selectorText(measure)}))`
      : `${worst}${by}(${worst}_over_time(${selectorText(measure)}${range}))`;
  const limit =
    threshold.kind === 'number'
      ? decimalText(threshold.value)
      : `${onGroup(objective)} ${timesText(threshold.times)}max${by}(${selectorText(threshold.selector)})`;
  const broken = `${measured} ${BROKEN[good]} bool ${limit}`;
  if (objective.noData.choice !== 'bad') return broken;
  if (objective.grouping === null) return `(${broken}) or vector(1)`;
  return `(${broken}) or ${onGroup(objective)} ${SERIES.expected}${ids(objective)}`;
}
const BROKEN = { lt: '>=', lte: '>', gt: '<=', gte: '<' } as const;

export function totalSlice(objective: Objective): string {
  return `${SERIES.badSlice}${ids(objective)} * 0 + 1`;
}

/** bad/total of one raw window: absent without traffic. */
export function ratioOver(objective: Objective, windowSeconds: number): string {
  return `${badRate(windowSeconds)}${ids(objective)} / (${totalRate(windowSeconds)}${ids(objective)} > 0)`;
}

/**
 * bad/total over a derived window, weighted by traffic: absent without traffic. Long windows and the period subtract
 * exclusions; a short window stays as recorded, because an exclusion may fill it and leave nothing to divide by, and
 * the alert needs both.
 */
export function weightedOver(objective: Objective, windowSeconds: number): string {
  const bad = keptSum(objective, badRate(BASE_WINDOW_SECONDS), windowSeconds);
  const total = keptSum(objective, totalRate(BASE_WINDOW_SECONDS), windowSeconds);
  return `${bad} / (${total} > 0)`;
}

/** Bad events in a long window: the mean over all evaluations, those without data too, times its seconds. */
export function eventsOver(objective: Objective, windowSeconds: number): string {
  const bad = keptSum(objective, badRate(BASE_WINDOW_SECONDS), windowSeconds);
  const evaluations = `count_over_time(${SERIES.evaluated}${ids(objective)}[${durationText(windowSeconds)}])`;
  return `${bad} / on (service, slo) group_left () ${evaluations} * ${windowSeconds}`;
}

/** The smaller of yesterday's and last week's quietest moment around this time, whichever are known. */
export function trafficBaseline(objective: Objective): string {
  const total = `${totalRate(BASE_WINDOW_SECONDS)}${ids(objective)}`;
  const [yesterday, lastWeek] = BASELINE_OFFSETS_SECONDS.map(
    (offset) => `min_over_time(${total}[${durationText(BASELINE_RANGE_SECONDS)}] offset ${durationText(offset)})`,
  );
  return `(${yesterday} < ${lastWeek}) or ${lastWeek} or ${yesterday}`;
}

export function trafficBaselineKnown(objective: Objective): string {
  return `(${SERIES.baseline}${ids(objective)} * 0 + 1) or on (service, slo) 0 * ${SERIES.evaluated}${ids(objective)}`;
}

export function remainingBudget(objective: Objective, periodRatio: string): string {
  return `1 - ${periodRatio}${ids(objective)} / ${decimalText(objective.budget)}`;
}

/** Share of the period's quarters of an hour in which rules ran at all. */
export function coverage(objective: Objective): string {
  const slot = durationText(EVALUATED_RANGE_SECONDS);
  const ran = `present_over_time(${SERIES.evaluated}${ids(objective)}[${slot}])`;
  const slots = objective.periodSeconds / EVALUATED_RANGE_SECONDS;
  return `sum_over_time(${ran}[${durationText(objective.periodSeconds)}:${slot}]) / ${slots}`;
}

/** Seconds of exclusions inside the period. */
export function excludedSeconds(objective: Objective): string {
  const parts = objective.exclusions.map((exclusion) => {
    const seconds = exclusion.endSeconds - exclusion.startSeconds;
    const gone = `(time() - ${exclusion.startSeconds}) / ${seconds}`;
    const begun = `clamp(vector(${gone}), 0, 1)`;
    const left = `clamp(vector((${exclusion.endSeconds + objective.periodSeconds} - time()) / ${seconds}), 0, 1)`;
    return `${seconds} * ${begun} * ${left}`;
  });
  return parts.length === 0 ? 'vector(0)' : parts.join(' + ');
}

export function burnAlert(objective: Objective, tier: Tier): string {
  const threshold = decimalText(tier.threshold);
  const events =
    tier.windows === 'raw'
      ? `${badRate(tier.longSeconds)}${ids(objective)} * ${tier.longSeconds}`
      : `${badEvents(tier.longSeconds)}${ids(objective)}`;
  const lines = [
    `${tierRatio(tier, tier.longSeconds)}${ids(objective)} > ${threshold}`,
    `and ${tierRatio(tier, tier.shortSeconds)}${ids(objective)} > ${threshold}`,
    `and ${events} >= ${decimalText(add(decimal(tier.badEventsMin), FLOOR_SLACK))}`,
  ];
  if (tier.warmUpSeconds !== null) lines.push(`and on (service, slo) ${ranSince(objective, tier.warmUpSeconds)}`);
  // Derived tiers subtract exclusions; a raw window cannot, so it is silent until its short window is past the end.
  if (tier.windows === 'raw') lines.push(...muted(objective.exclusions, tier.shortSeconds));
  return lines.join('\n');
}
/** Events are whole, sums of rates are not: 5 of them may read 4.999999. */
const FLOOR_SLACK = decimal('-0.01');

export function noDataAlert(objective: Objective): string {
  const total = `${totalRate(BASE_WINDOW_SECONDS)}${ids(objective)}`;
  const ran = ranSince(objective, NO_DATA_AFTER_SECONDS);
  const { grouping } = objective;
  const lines =
    grouping === null
      ? [`(${ran})`, `unless on (service, slo) ${total}`]
      : [
          `${SERIES.expected}${ids(objective)}`,
          `unless on (service, slo, ${grouping.label}) ${total}`,
          `and on (service, slo) ${ran}`,
        ];
  return [...lines, ...muted(objective.exclusions, BASE_WINDOW_SECONDS)].join('\n');
}

export function collapseAlert(objective: Objective, { baselineMin, ratio }: Collapse): string {
  const baseline = `${SERIES.baseline}${ids(objective)}`;
  return [
    `${totalRate(BASE_WINDOW_SECONDS)}${ids(objective)} < ${decimalText(ratio)} * ${baseline}`,
    `and ${baseline} > ${decimalText(baselineMin)}`,
    ...muted(objective.exclusions, BASE_WINDOW_SECONDS),
  ].join('\n');
}

export function expectationAlert(objective: Objective, { limit, measure }: Expectation): string {
  const by = byGroup(objective);
  return `max${by}(${selectorText(measure)}) > ${onGroup(objective)} (max${by}(${selectorText(limit)}) > 0)`;
}

/** Whether rules were evaluated this long ago: tells a cold start from a quiet time. */
function ranSince(objective: Objective, agoSeconds: number): string {
  const range = durationText(EVALUATED_RANGE_SECONDS);
  return `present_over_time(${SERIES.evaluated}${ids(objective)}[${range}] offset ${durationText(agoSeconds)})`;
}

/** Silent from each exclusion's start to this long after its end. */
function muted(exclusions: readonly Exclusion[], afterSeconds: number): readonly string[] {
  return exclusions.map(
    ({ endSeconds, startSeconds }) =>
      `unless on () (vector(time()) >= ${startSeconds} <= ${endSeconds + afterSeconds})`,
  );
}

/**
 * Sum of a recorded rate over a window, less what exclusions hold of it. The rates of an exclusion reach one base window
 * past its end. While it leaves the window at the far side its share falls in proportion, so that nothing jumps.
 */
function keptSum(objective: Objective, series: string, windowSeconds: number): string {
  const all = `sum_over_time(${series}${ids(objective)}[${durationText(windowSeconds)}])`;
  if (objective.exclusions.length === 0 || !subtractsExclusions(objective, windowSeconds)) return all;
  const excluded = objective.exclusions.map(({ endSeconds, startSeconds }) => {
    const lastSeconds = endSeconds + BASE_WINDOW_SECONDS;
    const seconds = lastSeconds - startSeconds;
    const inside = `sum_over_time(${series}${ids(objective)}[${durationText(seconds)}] @ ${lastSeconds})`;
    const share = `scalar(clamp(vector((${lastSeconds + windowSeconds} - time()) / ${seconds}), 0, 1))`;
    return ` - (${inside} * ${share} or 0 * ${all})`;
  });
  return `clamp_min(${all}${excluded.join('')}, 0)`;
}

function subtractsExclusions({ periodSeconds, tiers }: Objective, windowSeconds: number): boolean {
  if (windowSeconds === periodSeconds) return true;
  return tiers.some(({ longSeconds, windows }) => windows === 'derived' && longSeconds === windowSeconds);
}

function slicesOver(
  series: string,
  objective: Objective,
  { sliceSeconds }: SliceIndicator,
  windowSeconds: number,
): string {
  const range = `[${durationText(windowSeconds)}:${durationText(sliceSeconds)}]`;
  return `sum_over_time(${series}${ids(objective)}${range}) / ${windowSeconds}`;
}

function summedRate(objective: Objective, selector: Selector, windowSeconds: number): string {
  return `sum${byGroup(objective)}(rate(${bucketText(selector)}[${durationText(windowSeconds)}]))`;
}

/** prom-client writes le="5", Prometheus 3 stores "5.0": a whole bound is matched in both spellings. */
export function bucketText(selector: Selector): string {
  const matchers = selector.matchers.map((matcher): Matcher => {
    const whole = matcher.label === 'le' && matcher.op === '=' && /^\d+$/.test(matcher.value);
    return whole ? { label: 'le', op: '=~', value: `${matcher.value}(\\.0)?` } : matcher;
  });
  return selectorText({ metric: selector.metric, matchers });
}

function byGroup({ grouping }: Objective): string {
  return grouping === null ? '' : ` by (${grouping.label}) `;
}

function onGroup({ grouping }: Objective): string {
  return `on (${grouping?.label ?? ''})`;
}

function timesText(times: Decimal): string {
  return decimalText(times) === '1' ? '' : `${decimalText(times)} * `;
}
