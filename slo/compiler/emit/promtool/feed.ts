/**
 * From "so many events, so many of them bad" to the series of an objective's own metrics. Beside them, in every proof,
 * stand decoys: series that each break one matcher, full of errors and of traffic, which no rule may count.
 */
import { decimalNumber } from '../../decimal.ts';
import type { Indicator, Matcher, Objective, Selector, SliceIndicator } from '../../model.ts';
import { type CounterPhase, counterValues, gaugeValues } from './fed-values.ts';
import { breaking, type Labels, matchingLabels, type Series, selects, seriesText } from './matching-labels.ts';
import type { FedSeries } from './proof.ts';

/** Time in which an instance sees the same at every scrape; `events` null: the target does not answer. */
export interface Span {
  readonly seconds: number;
  /** Events of one scrape, whole. Slices are bad where `bad` is above 0. */
  readonly events: number | null;
  readonly bad: number;
  /** Events come only at every n-th scrape. */
  readonly every?: number;
}

export interface FeedOptions {
  readonly objective: Objective;
  readonly scrapeSeconds: number;
  readonly spans: readonly Span[];
  /** Whose spans these are; the other groups see the same traffic and no errors. Ignored without grouping. */
  readonly group?: string;
  /** Two where left out. */
  readonly instances?: readonly string[];
  /** The series that only a bad event makes was never born. */
  readonly withoutBadSeries?: boolean;
  readonly withDecoys?: boolean;
  /** Samples before the first one, at which the instances do not exist. */
  readonly delaySamples?: number;
}

const INSTANCES = ['a', 'b'] as const;
/** Per scrape: as many as ten instances of an ordinary span bring, half of them bad. */
const DECOY_EVENTS = 500_000;

export function feed(options: FeedOptions): readonly FedSeries[] {
  const groups = options.objective.grouping?.expected ?? [null];
  return groups.flatMap((group) => {
    const spans =
      group === null || options.group === undefined || group === options.group
        ? options.spans
        : options.spans.map((span) => ({ ...span, bad: 0 }));
    return feedGroup({ ...options, spans }, group);
  });
}

function feedGroup(options: FeedOptions, group: string | null): readonly FedSeries[] {
  const { instances = INSTANCES, objective, spans } = options;
  const { grouping, indicator } = objective;
  const grouped: Labels = grouping === null || group === null ? {} : { [grouping.label]: group };
  const real = instances.flatMap((instance) =>
    indicator.kind === 'slices'
      ? gauges({ ...options, labels: { ...grouped, instance }, indicator })
      : counters({ ...options, labels: { ...grouped, instance }, indicator }),
  );
  const samples = spans.reduce((sum, { seconds }) => sum + seconds, 0) / options.scrapeSeconds;
  if (options.withDecoys === false) return real;
  return [...real, ...decoys({ indicator, labels: grouped, samples })];
}

type RatioIndicator = Exclude<Indicator, SliceIndicator>;

interface Kind {
  readonly series: Series;
  /** Which events it counts. */
  readonly counts: 'good' | 'bad' | 'all';
}

/** Series of a ratio: one for each kind of event where a label tells them apart, else one for the part and one for all. */
function kindsOf(indicator: RatioIndicator, more: Labels): readonly Kind[] {
  const part = indicator.kind === 'bad-ratio' ? indicator.bad : indicator.good;
  const partCounts = indicator.kind === 'bad-ratio' ? 'bad' : 'good';
  const restCounts = partCounts === 'bad' ? 'good' : 'bad';
  const both = { ...part, matchers: [...part.matchers, ...indicator.total.matchers] };
  const partSeries = { metric: part.metric, labels: { ...matchingLabels(both.matchers), ...more } };
  if (!selects(indicator.total, partSeries)) {
    // A histogram: the bucket counts the good, the count counts all, and the widest bucket as many.
    const total = { metric: indicator.total.metric, labels: { ...matchingLabels(indicator.total.matchers), ...more } };
    const own = { metric: part.metric, labels: { ...matchingLabels(part.matchers), ...more } };
    const bound = part.matchers.find(({ label }) => label === 'le');
    const widest = bound === undefined ? [] : [{ ...own, labels: breaking(own.labels, bound) }];
    return [
      { series: own, counts: partCounts },
      { series: total, counts: 'all' },
      ...widest.map((series) => ({ series, counts: 'all' as const })),
    ];
  }
  return [
    { series: partSeries, counts: partCounts },
    { series: restSeries(part, indicator.total, more), counts: restCounts },
  ];
}

/** Counted by total and not by part. */
function restSeries(part: Selector, total: Selector, more: Labels): Series {
  const labels = { ...matchingLabels(total.matchers), ...more };
  const base = { metric: total.metric, labels };
  if (!selects(part, base)) return base;
  const only = part.matchers.filter((matcher) => !total.matchers.some((one) => sameMatcher(one, matcher)));
  for (const matcher of only) {
    const wider = total.matchers.filter(({ label }) => label === matcher.label);
    const candidates = [
      breaking(labels, matcher),
      ...alternatives(wider).map((value) => ({ ...labels, [matcher.label]: value })),
    ];
    const found = candidates
      .map((each) => ({ ...base, labels: each }))
      .find((each) => selects(total, each) && !selects(part, each));
    if (found !== undefined) return found;
  }
  throw new Error(`${total.metric}: no series is counted by total alone, so nothing can be told apart`);
}

function alternatives(matchers: readonly Matcher[]): readonly string[] {
  return matchers.flatMap(({ value }) => value.split('|'));
}

function sameMatcher(a: Matcher, b: Matcher): boolean {
  return a.label === b.label && a.op === b.op && a.value === b.value;
}

function counters(
  options: FeedOptions & { readonly labels: Labels; readonly indicator: RatioIndicator },
): readonly FedSeries[] {
  const { indicator, labels, scrapeSeconds, spans, withoutBadSeries = false } = options;
  const delay = options.delaySamples === undefined ? '' : `_x${options.delaySamples} `;
  return kindsOf(indicator, labels)
    .filter(({ counts }) => !(withoutBadSeries && counts === 'bad'))
    .map(({ counts, series }) => ({
      series: seriesText(series),
      values:
        delay +
        counterValues(
          spans.map(({ bad, events, every, seconds }): CounterPhase => {
            const increment =
              events === null ? null : counts === 'all' ? events : counts === 'bad' ? bad : events - bad;
            return { count: seconds / scrapeSeconds, increment, ...(every === undefined ? {} : { every }) };
          }),
        ),
    }));
}

function gauges(
  options: FeedOptions & { readonly labels: Labels; readonly indicator: SliceIndicator },
): readonly FedSeries[] {
  const { indicator, labels, scrapeSeconds, spans } = options;
  const { good, bad } = sliceValues(indicator);
  const first = { count: 1, value: (spans[0]?.events ?? null) === null ? null : good };
  const phases = spans.map((span) => ({
    count: span.seconds / scrapeSeconds,
    value: span.events === null ? null : span.bad > 0 ? bad : good,
  }));
  const { measure, threshold } = indicator;
  const measured = { metric: measure.metric, labels: { ...matchingLabels(measure.matchers), ...labels } };
  const samples = phases.reduce((sum, { count }) => sum + count, 1);
  const limit =
    threshold.kind === 'number'
      ? []
      : [
          {
            series: seriesText({
              metric: threshold.selector.metric,
              labels: { ...matchingLabels(threshold.selector.matchers), ...labels },
            }),
            values: gaugeValues([{ count: samples, value: LIMIT }]),
          },
        ];
  return [{ series: seriesText(measured), values: gaugeValues([first, ...phases]) }, ...limit];
}

/** What a contract promises in proofs, where the threshold is a metric. */
const LIMIT = 300;

/** Measurements just inside and just outside the promise, so that a changed comparison or factor is seen. */
function sliceValues({ good, threshold, transform }: SliceIndicator): {
  readonly good: number;
  readonly bad: number;
} {
  if (transform === 'age') throw new Error('a timestamp is fed by its own proofs');
  const limit = threshold.kind === 'number' ? decimalNumber(threshold.value) : LIMIT * decimalNumber(threshold.times);
  const step = limit === 1 ? 1 : limit / 100;
  switch (good) {
    case 'lte':
      return { good: limit, bad: limit + step };
    case 'lt':
      return { good: limit - step, bad: limit };
    case 'gte':
      return { good: limit, bad: limit - step };
    case 'gt':
      return { good: limit + step, bad: limit };
  }
}

/** One series for each matcher of each selector, breaking this matcher alone; those that something counts are left out. */
function decoys(options: {
  readonly indicator: Indicator;
  readonly labels: Labels;
  readonly samples: number;
}): readonly FedSeries[] {
  const { indicator, labels, samples } = options;
  if (indicator.kind === 'slices') {
    const { bad } = sliceValues(indicator);
    return indicator.measure.matchers
      .filter(({ label }) => !(label in labels))
      .map((matcher) => ({
        series: seriesText({
          metric: indicator.measure.metric,
          labels: { ...breaking(matchingLabels(indicator.measure.matchers), matcher), ...labels },
        }),
        values: gaugeValues([{ count: samples + 1, value: bad }]),
      }));
  }
  const part = indicator.kind === 'bad-ratio' ? indicator.bad : indicator.good;
  const found = kindsOf(indicator, labels).flatMap(({ counts, series }) =>
    [...part.matchers, ...indicator.total.matchers]
      .filter(({ label }) => label in series.labels && !(label in labels))
      .map((matcher) => ({ ...series, labels: breaking(series.labels, matcher) }))
      .filter((decoy) => !selects(part, decoy) && !selects(indicator.total, decoy))
      .map((decoy) => ({
        series: seriesText(decoy),
        values: counterValues([{ count: samples, increment: counts === 'all' ? 2 * DECOY_EVENTS : DECOY_EVENTS }]),
      })),
  );
  return found.filter(
    ({ series }, index) =>
      found.findIndex((other) => other.series === series) === index && !isFed(series, indicator, labels),
  );
}

function isFed(series: string, indicator: RatioIndicator, labels: Labels): boolean {
  return kindsOf(indicator, labels).some((kind) => seriesText(kind.series) === series);
}
