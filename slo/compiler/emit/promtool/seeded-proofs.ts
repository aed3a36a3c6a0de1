/**
 * Proofs of what reads days: fed with recorded 5-minute rates, because raw samples of three days are more than promtool
 * loads. One evaluation and one sample every 5 or 10 minutes: no rule knows the interval. What the seeds leave out, that these rates are made of raw
 * series, is proved by `joiningProof`.
 */
import { decimal, decimalNumber } from '../../decimal.ts';
import { durationText } from '../../duration.ts';
import { firingBand, resetBand } from '../../math/band.ts';
import { BASE_WINDOW_SECONDS, type Environment, type Indicator, type Objective, type Tier } from '../../model.ts';
import { badRate, totalRate, weightedRatio } from '../../series.ts';
import { appearsAndGoes, burnSeries, EVENTS, percent, type ProofContext, rawOutage, shifted } from './burn-proofs.ts';
import { type FedSeries, labelText, type Proof } from './proof.ts';

/** What the proofs below feed: the rules that record these stay out. */
export const SEEDED = new Set([badRate(BASE_WINDOW_SECONDS), totalRate(BASE_WINDOW_SECONDS)]);

/** Seeds are rates already, so a derived tier sees a step where raw metrics make a ramp; and no scrape delays them. */
export function seedGrid(evaluationSeconds: number): Environment {
  return { scrapeSeconds: 0, evaluationSeconds, retentionSeconds: 0 };
}
/** Any pair of counters: on recorded rates every indicator is one. */
export const RATES: Indicator = {
  kind: 'bad-ratio',
  bad: { metric: 'bad', matchers: [] },
  total: { metric: 'total', matchers: [] },
};

/** Seconds of recorded rates: events a second, and the share of them that is bad. */
export interface SeedSpan {
  readonly seconds: number;
  readonly rate: number;
  readonly errorRatio: number;
}

export function seededBurnProofs(context: ProofContext): readonly Proof[] {
  const { tiers: derived } = context;
  if (derived.length === 0) return [];
  return [
    ...derived.flatMap((tier) => [
      seededStep({ context, tier, errorRatio: 1, rate: RATE, what: 'everything fails' }),
      seededFault(context, tier),
      seededBelow(context, tier),
      seededFloor(context, tier),
    ]),
  ];
}

/** Many: the floor never decides. */
const RATE = 1000;

function seededFault(context: ProofContext, tier: Tier): Proof {
  const threshold = decimalNumber(tier.threshold);
  const ratio = threshold * 4 < 1 ? threshold * 4 : (1 + threshold) / 2;
  const errorRatio = Math.round(ratio * EVENTS) / EVENTS;
  return seededStep({ context, tier, errorRatio, rate: RATE, what: `${percent(errorRatio)} fail` });
}

/** So little traffic that the floor takes twice as long as the burn. */
function seededFloor(context: ProofContext, tier: Tier): Proof {
  const rate = tier.badEventsMin / (2 * decimalNumber(tier.threshold) * tier.longSeconds);
  const rounded = Number(rate.toPrecision(3));
  return seededStep({
    context,
    tier,
    errorRatio: 1,
    rate: rounded,
    what: `everything fails at ${rounded} events/s, ${tier.badEventsMin} bad events are waited for`,
  });
}

function seededStep(options: {
  readonly context: ProofContext;
  readonly tier: Tier;
  readonly errorRatio: number;
  readonly rate: number;
  readonly what: string;
}): Proof {
  const { context, errorRatio, rate, tier } = options;
  const { environment, objective } = context;
  const { evaluationSeconds } = environment;
  const fault = { errorRatio: decimal(errorRatio), eventsPerSecond: decimal(rate) };
  const question = { tier: { ...tier, windows: 'raw' as const }, indicator: RATES, fault, environment };
  const fires = firingBand(question);
  if (fires === undefined) throw new Error(`${objective.name} ${tier.name}: ${errorRatio} never fires`);
  const resets = resetBand(question);
  const onGrid = (seconds: number): number => (Math.ceil(seconds / evaluationSeconds - 1e-9) + 2) * evaluationSeconds;
  const lastsSeconds = onGrid(fires.latestSeconds);
  const afterSeconds = onGrid(resets.latestSeconds);
  const endSeconds = tier.longSeconds + lastsSeconds;
  return {
    name: `${objective.name}, ${tier.name}: ${options.what}, and ${durationText(Math.ceil(fires.earliestSeconds))} later it fires`,
    intervalSeconds: evaluationSeconds,
    series: seeds(objective, evaluationSeconds, [
      { seconds: tier.longSeconds, rate, errorRatio: 0 },
      { seconds: lastsSeconds, rate, errorRatio },
      { seconds: afterSeconds, rate, errorRatio: 0 },
    ]),
    checks: appearsAndGoes({
      alert: burnSeries(objective, tier),
      evaluationSeconds,
      appears: shifted(fires, tier.longSeconds),
      goes: shifted(resets, endSeconds),
      untilSeconds: endSeconds + afterSeconds,
    }),
  };
}

function seededBelow({ environment, objective }: ProofContext, tier: Tier): Proof {
  const { evaluationSeconds } = environment;
  const errorRatio = decimalNumber(tier.threshold) * 0.95;
  const seconds = Math.ceil((tier.longSeconds * 1.1) / evaluationSeconds) * evaluationSeconds;
  return {
    name: `${objective.name}, ${tier.name}: is silent at 0.95 of its threshold`,
    intervalSeconds: environment.evaluationSeconds,
    series: seeds(objective, evaluationSeconds, [
      { seconds, rate: RATE, errorRatio: Number(errorRatio.toPrecision(6)) },
    ]),
    checks: [{ kind: 'silent', alert: burnSeries(objective, tier), fromSeconds: 0, toSeconds: seconds }],
  };
}

/**
 * 23 hours at 1 event a second without errors, an hour at 100 with 2 %: the truth is 1.626 % (a mean of ratios says
 * 0.083 %). Then 15 quiet minutes, after which there is still a number.
 */
export function weightedProof({ environment, objective }: ProofContext): Proof {
  const [quiet, busy] = [82_800, 3600];
  const truth = (busy * 100 * 0.02) / (quiet + busy * 100);
  const ratio = `${weightedRatio(objective.periodSeconds)}${labelText(identityOf(objective))}`;
  const isNear = `abs(${ratio} / ${truth.toFixed(6)} - 1) < bool 0.01`;
  const at = quiet + busy;
  return {
    name: `${objective.name}: the period's ratio is weighted by traffic and survives a quiet quarter of an hour`,
    intervalSeconds: environment.evaluationSeconds,
    series: seeds(objective, environment.evaluationSeconds, [
      { seconds: quiet, rate: 1, errorRatio: 0 },
      { seconds: busy, rate: 100, errorRatio: 0.02 },
      { seconds: 900, rate: 0, errorRatio: 0 },
    ]),
    checks: [at, at + 900].map((atSeconds) => ({
      kind: 'query',
      query: isNear,
      atSeconds,
      samples: [{ labels: labelText(identityOf(objective)), value: 1 }],
    })),
  };
}

/** The slowest page that a derived tier can make of raw metrics: from counters to the alert, over the ramp. */
export function joiningProof(objective: Objective): Proof | undefined {
  const tier = objective.tiers.find(({ windows }) => windows === 'derived');
  if (tier === undefined || objective.indicator.kind === 'slices') return undefined;
  return rawOutage({ objective, environment: JOINING_GRID, tiers: [tier] }, tier);
}

/** Coarser than production, for a day of raw samples. */
export const JOINING_GRID: Environment = { scrapeSeconds: 60, evaluationSeconds: 60, retentionSeconds: 0 };

export function seeds(objective: Objective, intervalSeconds: number, spans: readonly SeedSpan[]): readonly FedSeries[] {
  const groups = objective.grouping?.expected ?? [null];
  return groups.flatMap((group, index) => {
    const labels = labelText({ ...identityOf(objective), ...groupLabel(objective, group) });
    // A space between is all that joins spans; the sample at 0 belongs to none.
    const values = (of: (span: SeedSpan) => number): string =>
      ['0', ...spans.map((span) => `${of(span)}x${span.seconds / intervalSeconds - 1}`)].join(' ');
    return [
      {
        series: `${badRate(BASE_WINDOW_SECONDS)}${labels}`,
        values: values(({ errorRatio, rate }) => (index === 0 ? Number((errorRatio * rate).toPrecision(12)) : 0)),
      },
      { series: `${totalRate(BASE_WINDOW_SECONDS)}${labels}`, values: values(({ rate }) => rate) },
    ];
  });
}

/** Labels of a recorded series; of the first group where there are groups. */
export function identityOf(objective: Objective): Readonly<Record<string, string>> {
  const { grouping, name, service } = objective;
  return { service, slo: name, ...groupLabel(objective, grouping?.expected[0] ?? null) };
}

function groupLabel({ grouping }: Objective, group: string | null): Readonly<Record<string, string>> {
  return grouping === null || group === null ? {} : { [grouping.label]: group };
}
