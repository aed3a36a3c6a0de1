/**
 * Every metric an objective reads against the service's own catalogue: it exists, is of the right kind, has the labels
 * and values asked for, starts at zero and, for a latency, has the bucket. What is not the service's stands in
 * external-metrics.yaml.
 */
import { METRICS, type MetricDefinition, ZERO_STATUSES } from '../../app/telemetry/catalogue.ts';
import type { SelectorPlace } from './lower-indicator.ts';
import type { Matcher } from './model.ts';
import type { Problem, ProblemCode } from './problems.ts';
import { matches } from './selector.ts';
import type { ExternalMetrics } from './settings.ts';

/** What a scrape adds to every series. */
const SCRAPE_LABELS = ['job', 'instance'] as const;
/** How many neighbours of a missing bucket are named on each side. */
const NEIGHBOURS_SHOWN = 2;
const SUFFIX = /_(?:bucket|count|sum)$/;

export function catalogueProblems(selectors: readonly SelectorPlace[], external: ExternalMetrics): readonly Problem[] {
  return selectors.flatMap((one) => {
    const { metric } = one.selector;
    const definition = definitionOf(metric);
    if (definition !== undefined) return ownProblems(one, definition);
    const other = external[metric];
    if (other === undefined) {
      const near = nearest(metric);
      const message = `${metric} is neither in the service's catalogue nor in slo/external-metrics.yaml. ${near === undefined ? 'Add it to one of them' : `Did you mean ${near}?`}`;
      return [problem(one, 'METRIC_UNKNOWN', near === undefined ? `${message}.` : message)];
    }
    return [...kindProblems(one, other.kind), ...labelProblems(one, other.labels)];
  });
}

function ownProblems(one: SelectorPlace, definition: MetricDefinition): readonly Problem[] {
  const kinds = kindProblems(one, definition.kind);
  if (kinds.length > 0) return kinds;
  const labels = labelProblems(one, [...Object.keys(definition.labels), ...(one.use === 'bucket' ? ['le'] : [])]);
  if (labels.length > 0) return labels;
  return [...valueProblems(one, definition), ...zeroProblems(one, definition), ...bucketProblems(one, definition)];
}

function kindProblems(one: SelectorPlace, kind: MetricDefinition['kind']): readonly Problem[] {
  const { metric } = one.selector;
  const asked = one.use === 'gauge' ? 'gauge' : SUFFIX.test(metric) ? 'histogram' : 'counter';
  if (kind === asked) return [];
  const needed = one.use === 'gauge' ? 'a gauge' : 'a counter, or the count or bucket of a histogram';
  return [problem(one, 'METRIC_KIND', `${metric} is a ${kind}, but here is needed ${needed}. Read another metric.`)];
}

function labelProblems(one: SelectorPlace, labels: readonly string[]): readonly Problem[] {
  const known = [...labels, ...SCRAPE_LABELS];
  return one.selector.matchers
    .filter(({ label }) => !known.includes(label))
    .map(({ label }) =>
      problem(one, 'LABEL_UNKNOWN', `${label} is not a label of ${one.selector.metric}. It has: ${known.join(', ')}.`),
    );
}

/** For labels whose values are a closed set: each matcher must leave at least one of them. */
function valueProblems(one: SelectorPlace, definition: MetricDefinition): readonly Problem[] {
  return one.selector.matchers.flatMap((matcher) => {
    const values = definition.labels[matcher.label];
    if (values === undefined || typeof values === 'string' || values.some((value) => matches(matcher, value)))
      return [];
    const message = `no value of ${matcher.label} passes ${matcherText(matcher)}. Its values: ${values.join(', ')}.`;
    return [problem(one, 'LABEL_VALUE_UNKNOWN', message)];
  });
}

function zeroProblems(one: SelectorPlace, definition: MetricDefinition): readonly Problem[] {
  const status = one.selector.matchers.find(({ label }) => label === 'http_response_status_code');
  const { metric } = one.selector;
  if (definition.zero === 'none') {
    return [
      problem(
        one,
        'METRIC_NOT_ZERO',
        `${metric} does not exist on a fresh process. Make it start at 0 in the catalogue.`,
      ),
    ];
  }
  // Each route starts at zero with its own successes and with these.
  const starting = ['200', '202', ...ZERO_STATUSES];
  if (status === undefined || starting.some((code) => matches(status, code))) return [];
  const message = `no series of ${metric} with ${matcherText(status)} exists on a fresh process. Those that do: ${starting.join(', ')}.`;
  return [problem(one, 'METRIC_NOT_ZERO', message)];
}

function bucketProblems(one: SelectorPlace, definition: MetricDefinition): readonly Problem[] {
  const bound = one.selector.matchers.find(({ label }) => label === 'le');
  const buckets = definition.buckets ?? [];
  if (one.use !== 'bucket' || bound === undefined || buckets.includes(Number(bound.value))) return [];
  const after = buckets.findIndex((bucket) => bucket > Number(bound.value));
  const at = after === -1 ? buckets.length : after;
  const near = buckets.slice(Math.max(0, at - NEIGHBOURS_SHOWN), at + NEIGHBOURS_SHOWN);
  const message = `${bound.value} s is not a bucket of ${definition.name} (… ${near.join(', ')} …). Use a bucket bound.`;
  return [problem(one, 'BUCKET_UNKNOWN', message)];
}

function definitionOf(metric: string): MetricDefinition | undefined {
  const all: readonly MetricDefinition[] = Object.values(METRICS);
  return (
    all.find(({ name }) => name === metric) ??
    all.find(({ kind, name }) => kind === 'histogram' && name === metric.replace(SUFFIX, ''))
  );
}

/** The catalogue's name that differs in fewest places, where that is a few. */
function nearest(metric: string): string | undefined {
  const stem = metric.replace(SUFFIX, '');
  const ranked = Object.values(METRICS)
    .map(({ name }) => ({ name, distance: editDistance(name, stem) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= MISSPELT_MAX ? best.name : undefined;
}
const MISSPELT_MAX = 4;

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function matcherText({ label, op, value }: Matcher): string {
  return `${label}${op}${JSON.stringify(value)}`;
}

function problem(one: SelectorPlace, code: ProblemCode, message: string): Problem {
  return { code, place: one.place, message };
}
