/** SLI and budgeting method → a pair of bad and total. What has no pair is refused by name. */
import { annotationsOf } from './annotations.ts';
import { compare, decimal, readDecimal } from './decimal.ts';
import type { Comparison, Indicator, LatencyBucket, Selector, SliceIndicator } from './model.ts';
import type { Metadata, MetricSource, SliSpec, SloObjective } from './openslo.ts';
import type { Place, Problem } from './problems.ts';
import type { Located } from './read-objects.ts';
import type { References } from './references.ts';
import { readSelector } from './selector.ts';

/** An SLI, inline or referred to, with the parts of its SLO that decide what it means. */
export interface IndicatorSource {
  readonly sli: {
    readonly located: Located;
    readonly path: readonly PropertyKey[];
    readonly metadata: Metadata;
    readonly spec: SliSpec;
  };
  readonly slo: {
    readonly located: Located;
    readonly budgetingMethod: 'Occurrences' | 'Timeslices' | 'RatioTimeslices';
    readonly objective: SloObjective;
  };
}

/** Where each selector stands, for the lints that compare it with the catalogue. */
export interface SelectorPlace {
  readonly selector: Selector;
  readonly place: Place;
  readonly use: 'counter' | 'bucket' | 'gauge';
}

interface Lowered {
  readonly indicator?: Indicator;
  readonly selectors: readonly SelectorPlace[];
  readonly problems: readonly Problem[];
}

const LATENCY_BUCKET = /^(.+)_bucket$/;

export function lowerIndicator(source: IndicatorSource, references: References): Lowered {
  const { located, metadata, path } = source.sli;
  const { annotations, problems } = annotationsOf({ holder: 'SLI', located, metadata, path: [...path, 'metadata'] });
  const { ratioMetric, thresholdMetric } = source.sli.spec;
  if ((ratioMetric === undefined) === (thresholdMetric === undefined)) {
    const message = 'an indicator has either ratioMetric or thresholdMetric. Write one of both.';
    return none([...problems, { code: 'VALUE_REFUSED', place: located.place([...path, 'spec']), message }]);
  }
  const lowered =
    thresholdMetric === undefined
      ? lowerRatio(source, references)
      : lowerThreshold(source, { transform: annotations.get('transform'), annotations }, references);
  return { ...lowered, problems: [...problems, ...lowered.problems] };
}

function lowerRatio({ sli, slo }: IndicatorSource, references: References): Lowered {
  const ratio = sli.spec.ratioMetric ?? { counter: false };
  const at = [...sli.path, 'spec', 'ratioMetric'];
  const place = (key?: string): Place => sli.located.place(key === undefined ? at : [...at, key]);
  const refuse = (code: Problem['code'], where: Place, message: string): Lowered =>
    none([{ code, place: where, message }]);
  if (slo.budgetingMethod !== 'Occurrences') {
    const where = slo.located.place(['spec', 'budgetingMethod']);
    return refuse(
      'PART_UNSUPPORTED',
      where,
      `${slo.budgetingMethod} over a ratio is not compiled. Use Occurrences, or a thresholdMetric with Timeslices.`,
    );
  }
  if (ratio.raw !== undefined || ratio.rawType !== undefined) {
    return refuse(
      'PART_UNSUPPORTED',
      place('raw'),
      'a raw ratio has no event counts, so it cannot be weighted by traffic. Use good or bad, and total.',
    );
  }
  if (!ratio.counter) {
    return refuse(
      'PART_UNSUPPORTED',
      place('counter'),
      'a ratio of gauges is not compiled. Use counters (counter: true), or a thresholdMetric.',
    );
  }
  if (ratio.total === undefined || (ratio.good === undefined) === (ratio.bad === undefined)) {
    return refuse('VALUE_REFUSED', place(), 'a ratio has total and one of good and bad. Write these two.');
  }
  const partName = ratio.bad === undefined ? 'good' : 'bad';
  const part = ratio.bad ?? ratio.good;
  const read = [partName, 'total'].map((key) => {
    const metric = key === 'total' ? ratio.total : part;
    return readQuery({ located: sli.located, path: [...at, key], metric }, references);
  });
  const problems = read.flatMap((one) => one.problems);
  const [first, second] = read;
  if (first?.selector === undefined || second?.selector === undefined) return none(problems);
  const total = { selector: second.selector, place: second.place, use: 'counter' } as const;
  if (partName === 'bad') {
    const bad = { selector: first.selector, place: first.place, use: 'counter' } as const;
    return {
      indicator: { kind: 'bad-ratio', bad: bad.selector, total: total.selector },
      selectors: [bad, total],
      problems,
    };
  }
  const bucket = latencyOf(first.selector, total.selector, first.place);
  if (bucket.problem !== undefined) return none([...problems, bucket.problem]);
  const good: SelectorPlace = {
    selector: first.selector,
    place: first.place,
    use: bucket.latency === null ? 'counter' : 'bucket',
  };
  const indicator = {
    kind: 'good-ratio',
    good: good.selector,
    total: total.selector,
    latency: bucket.latency,
  } as const;
  return { indicator, selectors: [good, total], problems };
}

/** A good query that is a bucket: its bound is the promise, and total must be the same histogram's count. */
function latencyOf(
  good: Selector,
  total: Selector,
  place: Place,
): { readonly latency: LatencyBucket | null; readonly problem?: Problem } {
  const histogram = LATENCY_BUCKET.exec(good.metric)?.[1];
  if (histogram === undefined) return { latency: null };
  const bounds = good.matchers.filter((matcher) => matcher.label === 'le');
  const thresholdSeconds = bounds.length === 1 && bounds[0]?.op === '=' ? readDecimal(bounds[0].value) : undefined;
  if (thresholdSeconds === undefined) {
    const message = `${good.metric} needs one matcher le="SECONDS". Name the bucket that is the promise.`;
    return { latency: null, problem: { code: 'QUERY_UNREADABLE', place, message } };
  }
  if (total.metric !== `${histogram}_count`) {
    const message = `total of ${good.metric} is ${total.metric}. Use ${histogram}_count with the same matchers.`;
    return { latency: null, problem: { code: 'QUERY_UNREADABLE', place, message } };
  }
  return { latency: { histogram, thresholdSeconds } };
}

type SliAnnotations = ReturnType<typeof annotationsOf<'SLI'>>['annotations'];

function lowerThreshold(
  { sli, slo }: IndicatorSource,
  { annotations, transform }: { readonly annotations: SliAnnotations; readonly transform: string | undefined },
  references: References,
): Lowered {
  const { objective } = slo;
  const place = (...keys: readonly PropertyKey[]): Place => slo.located.place(['spec', ...keys]);
  const problems: Problem[] = [];
  if (slo.budgetingMethod !== 'Timeslices') {
    const message = `${slo.budgetingMethod} over a thresholdMetric has no events to count. Use Timeslices.`;
    return none([{ code: 'PART_UNSUPPORTED', place: place('budgetingMethod'), message }]);
  }
  const { op, timeSliceTarget, timeSliceWindow, value } = objective;
  if (op === undefined || value === undefined || typeof timeSliceWindow !== 'number' || timeSliceWindow === 0) {
    const message = 'a thresholdMetric by Timeslices needs op, value and timeSliceWindow. Add what is missing.';
    return none([{ code: 'KEY_MISSING', place: place('objectives', 0), message }]);
  }
  if (timeSliceTarget === undefined || compare(timeSliceTarget, decimal(1)) !== 0) {
    const message = 'timeSliceTarget below 1 is not compiled: a slice is as good as its worst measurement. Use 1.';
    problems.push({ code: 'PART_UNSUPPORTED', place: place('objectives', 0, 'timeSliceTarget'), message });
  }
  if (transform !== undefined && transform !== 'age') {
    problems.push(annotations.problem('transform', 'ANNOTATION_REFUSED', `is "${transform}". The only one is age.`));
  }
  const measure = readQuery(
    { located: sli.located, path: [...sli.path, 'spec', 'thresholdMetric'], metric: sli.spec.thresholdMetric },
    references,
  );
  const relative = relativeTo(annotations);
  problems.push(...measure.problems, ...relative.problems);
  if (measure.selector === undefined || problems.length > 0) return none(problems);
  const indicator: SliceIndicator = {
    kind: 'slices',
    measure: measure.selector,
    transform: transform === 'age' ? 'age' : 'none',
    good: op satisfies Comparison,
    threshold:
      relative.selector === undefined
        ? { kind: 'number', value }
        : { kind: 'metric', selector: relative.selector, times: value },
    sliceSeconds: timeSliceWindow,
  };
  const selectors: SelectorPlace[] = [{ selector: measure.selector, place: measure.place, use: 'gauge' }];
  if (relative.selector !== undefined) {
    selectors.push({ selector: relative.selector, place: annotations.place('relative-to'), use: 'gauge' });
  }
  return { indicator, selectors, problems };
}

function relativeTo(annotations: SliAnnotations): {
  readonly selector?: Selector;
  readonly problems: readonly Problem[];
} {
  const text = annotations.get('relative-to');
  if (text === undefined) return { problems: [] };
  const read = readSelector(text);
  if (read.kind === 'selector') return { selector: read.selector, problems: [] };
  return {
    problems: [
      annotations.problem(
        'relative-to',
        'QUERY_UNREADABLE',
        `cannot be used: ${read.why}. Write METRIC{LABEL="VALUE"}.`,
      ),
    ],
  };
}

function readQuery(
  {
    located,
    metric,
    path,
  }: { readonly located: Located; readonly path: readonly PropertyKey[]; readonly metric: MetricSource | undefined },
  references: References,
): { readonly selector?: Selector; readonly place: Place; readonly problems: readonly Problem[] } {
  const at = [...path, 'metricSource'];
  const place = located.place([...at, 'spec', 'query']);
  const { metricSourceRef, spec, type } = metric?.metricSource ?? { spec: { query: '' } };
  const problems: Problem[] = [];
  let backend = type;
  if (metricSourceRef !== undefined) {
    const found = references.find('DataSource', metricSourceRef, located.place([...at, 'metricSourceRef']));
    problems.push(...found.problems);
    backend ??= found.found?.object.spec.type ?? 'Prometheus';
  }
  if (backend !== 'Prometheus') {
    const message = `a metric source of type ${backend ?? '(none)'} is not compiled. Use type: Prometheus, or refer to a DataSource of that type.`;
    problems.push({ code: 'PART_UNSUPPORTED', place: located.place([...at, 'type']), message });
  }
  const read = readSelector(spec.query);
  if (read.kind === 'selector') return { selector: read.selector, place, problems };
  const message = `the query cannot be used: ${read.why}. Write METRIC{LABEL="VALUE"}; rate, window and sum are added.`;
  return { place, problems: [...problems, { code: 'QUERY_UNREADABLE', place, message }] };
}

function none(problems: readonly Problem[]): Lowered {
  return { selectors: [], problems };
}
