/**
 * `generated/k6.json`: what a load test judges, for each objective that a client can see. The same requests count as in
 * the rules (same matchers, minus what only a scrape knows), on the exact bucket bound, as Rate metrics of bad events:
 * rates add up over machines and compare with the server's histogram, percentiles do neither.
 *
 * k6's thresholds only mark a run; the verdict comes from counts by the evidence rule (`evidence`), which is also given
 * as a table for those who judge elsewhere.
 */
import { METRICS } from '../../../app/telemetry/catalogue.ts';
import { decimal, decimalNumber, decimalText, multiply } from '../decimal.ts';
import { CONFIDENCE, failTotalMax, PASS_BUDGETS_MAX, passTotalMin } from '../evidence.ts';
import type { Matcher, Model, Objective, Selector } from '../model.ts';
import { type GeneratedFile, jsonFile } from './generated-file.ts';
import { repinned } from './objective-query.ts';
import { bucketText } from './promql.ts';

/** Labels that a scrape adds or that say who asks: a client neither knows nor needs them. */
const SERVER_LABELS: ReadonlySet<string> = new Set(['job', 'instance', 'vigia_load', 'le']);
/** Where a server query's window goes: the run's length, as a PromQL duration. */
const WINDOW = '$window';
/** Enough to see where each verdict begins; the rule itself has no such end. */
const TABLE_BAD_MAX = 20;

export interface K6Objective {
  readonly objective: string;
  readonly service: string;
  /** The Rate metric: true for a bad event. */
  readonly metric: string;
  /** `request`: each HTTP answer. `accept-to-readable`: from a 202 until the row is read. */
  readonly measured: 'request' | 'accept-to-readable';
  /** Counted when all match; labels are those of the histogram. No answer at all counts, as bad. */
  readonly counts: readonly Matcher[];
  /** `labels`: bad when these match too. `slower`: bad when it took longer than the bound, in ms. */
  readonly bad:
    | { readonly kind: 'labels'; readonly matchers: readonly Matcher[] }
    | { readonly kind: 'slower'; readonly boundMs: number };
  readonly target: number;
  readonly budget: number;
  /** By profile; a profile that is not here has none (smoke: checks only; breakpoint: finds the knee). */
  readonly thresholds: Readonly<Record<'average' | 'soak' | 'stress' | 'spike', readonly string[]>>;
  /** bad → the smallest total that passes, the largest that fails (0: none). */
  readonly evidence: readonly { readonly bad: number; readonly passTotalMin: number; readonly failTotalMax: number }[];
  /** The same from the server, over the run; `$window` is its length. Load marked as such where the metric knows it. */
  readonly server: { readonly badQuery: string; readonly totalQuery: string };
}

export function emitK6File(model: Model): readonly GeneratedFile[] {
  return [jsonFile('k6.json', k6Data(model))];
}

export function k6Data({ objectives }: Model) {
  const seen = objectives.map((objective) => ({ objective, entry: k6Objective(objective) }));
  return {
    evidence: {
      confidence: CONFIDENCE,
      passBudgetsMax: PASS_BUDGETS_MAX,
      rule: 'pass: upper bound at most passBudgetsMax × budget and observed within the budget; fail: lower bound above the budget; else inconclusive. One-sided exact binomial bounds.',
    },
    objectives: seen.flatMap(({ entry }) => (entry === null ? [] : [entry])),
    notMeasured: seen.flatMap(({ entry, objective }) =>
      entry === null ? [{ objective: objective.name, because: 'a client cannot count its events' }] : [],
    ),
  };
}

function k6Objective(objective: Objective): K6Objective | null {
  const { budget, grouping, indicator, name, service, target } = objective;
  if (indicator.kind === 'slices' || grouping !== null) return null;
  const measured = measuredBy(indicator.total);
  if (measured === null) return null;
  const bad = badOf(objective);
  if (bad === null) return null;
  const rate = decimalNumber(budget);
  return {
    objective: name,
    service,
    metric: `slo_${name.replaceAll('-', '_')}_bad`,
    measured,
    counts: clientMatchers(indicator.total),
    bad,
    target: decimalNumber(target),
    budget: rate,
    thresholds: thresholdsOf(objective),
    evidence: Array.from({ length: TABLE_BAD_MAX + 1 }, (_, count) => ({
      bad: count,
      passTotalMin: passTotalMin({ bad: count, budget: rate }),
      failTotalMax: failTotalMax({ bad: count, budget: rate }),
    })),
    server: serverQueries(objective),
  };
}

function measuredBy({ metric }: Selector): K6Objective['measured'] | null {
  const base = metric.replace(/_count$/, '');
  if (base === METRICS.httpServerRequestDuration.name) return 'request';
  return base === METRICS.acceptToReadable.name ? 'accept-to-readable' : null;
}

function badOf({ indicator }: Objective): K6Objective['bad'] | null {
  if (indicator.kind === 'bad-ratio') {
    const counted = new Set(clientMatchers(indicator.total).map((matcher) => JSON.stringify(matcher)));
    const matchers = clientMatchers(indicator.bad).filter((matcher) => !counted.has(JSON.stringify(matcher)));
    return { kind: 'labels', matchers };
  }
  if (indicator.kind === 'slices' || indicator.latency === null) return null;
  return { kind: 'slower', boundMs: decimalNumber(multiply(indicator.latency.thresholdSeconds, decimal(1000))) };
}

function clientMatchers({ matchers }: Selector): readonly Matcher[] {
  return matchers.filter(({ label }) => !SERVER_LABELS.has(label));
}

/** At the budget where load is as expected; where it is more than that, at what would page. */
function thresholdsOf({ budget, tiers }: Objective): K6Objective['thresholds'] {
  const page = tiers.find(({ severity }) => severity === 'page')?.threshold ?? budget;
  const within = [`rate<=${decimalText(budget)}`];
  const paged = [`rate<=${decimalText(page)}`];
  return { average: within, soak: within, stress: paged, spike: paged };
}

function serverQueries({ indicator }: Objective): K6Objective['server'] {
  if (indicator.kind === 'slices') throw new Error('slices have no events to count');
  const increase = (selector: Selector): string => `sum(increase(${bucketText(asLoad(selector))}[${WINDOW}]))`;
  const totalQuery = increase(indicator.total);
  return indicator.kind === 'bad-ratio'
    ? { badQuery: increase(indicator.bad), totalQuery }
    : { badQuery: `${totalQuery} - ${increase(indicator.good)}`, totalQuery };
}

/** The objective leaves load tests out; here they are what is asked for. */
function asLoad(selector: Selector): Selector {
  const marked = selector.matchers.some(({ label }) => label === 'vigia_load');
  return marked ? repinned(selector, { label: 'vigia_load', op: '=', value: 'yes' }) : selector;
}
