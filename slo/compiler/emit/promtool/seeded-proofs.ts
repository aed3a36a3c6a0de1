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
import { type Check, type FedSeries, labelText, type Proof } from './proof.ts';

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
      seededShortWindow(context, tier),
      seededMemory(context, tier),
      seededUneven(context, tier),
      seededColdStart(context, tier),
      seededNoTraffic(context, tier),
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

/** So little traffic that the floor takes twice as long as the burn, and ten evaluations at least. */
function seededFloor(context: ProofContext, tier: Tier): Proof {
  const burnSeconds = decimalNumber(tier.threshold) * tier.longSeconds;
  const rate = tier.badEventsMin / Math.max(2 * burnSeconds, 10 * context.environment.evaluationSeconds);
  // Rounded up: the floor is never later than a whole number of evaluations.
  const rounded = Math.ceil(rate * 1e6) / 1e6;
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

/** Spans one after another, and checks at their ends. */
function seededRun(options: {
  readonly context: ProofContext;
  readonly what: string;
  readonly spans: readonly SeedSpan[];
  readonly checks: (ends: readonly number[]) => readonly Check[];
}): Proof {
  const { context, spans, what } = options;
  const { environment, objective } = context;
  const ends = spans.map((_, index) => spans.slice(0, index + 1).reduce((sum, { seconds }) => sum + seconds, 0));
  return {
    name: `${objective.name}, ${what}`,
    intervalSeconds: environment.evaluationSeconds,
    series: seeds(objective, environment.evaluationSeconds, spans),
    checks: options.checks(ends),
  };
}

/** As for raw windows: below is silent and above fires, while the long window holds an outage. */
function seededShortWindow(context: ProofContext, tier: Tier): Proof {
  const { longSeconds, shortSeconds } = tier;
  const { evaluationSeconds } = context.environment;
  const threshold = decimalNumber(tier.threshold);
  const below = Number((threshold * 0.95).toPrecision(6));
  const above = Number((threshold * 1.1).toPrecision(6));
  const outageSeconds = Math.ceil((1.5 * threshold * longSeconds) / evaluationSeconds) * evaluationSeconds;
  const alert = burnSeries(context.objective, tier);
  const at = (seconds: number, errorRatio: number, rate = RATE): SeedSpan => ({ seconds, errorRatio, rate });
  return seededRun({
    context,
    what: `${tier.name}: after an outage 0.95 of the threshold is silent, 1.1 of it fires`,
    spans: [
      at(longSeconds, 0),
      at(outageSeconds, 1),
      at(2 * shortSeconds, below),
      at(shortSeconds / 2, below, 4 * RATE),
      at(shortSeconds, below),
      ...unevenSpans({ seconds: 2 * shortSeconds, tier }),
      at(2 * shortSeconds, above),
    ],
    checks: (ends) => {
      const [, outageEnd = 0] = ends;
      const [aboveBegin = 0, end = 0] = ends.slice(-2);
      return [
        { kind: 'silent', alert, fromSeconds: outageEnd + shortSeconds + evaluationSeconds, toSeconds: aboveBegin },
        { kind: 'firing', alert, fromSeconds: aboveBegin + shortSeconds + evaluationSeconds, toSeconds: end },
      ];
    },
  });
}

/** As for raw windows, at a rate where each burst has 0.6 of the floor's bad events too. */
function seededMemory(context: ProofContext, tier: Tier): Proof {
  const { evaluationSeconds } = context.environment;
  const { longSeconds } = tier;
  const badSeconds = 0.6 * decimalNumber(tier.threshold) * longSeconds;
  const seconds = Math.ceil(badSeconds / evaluationSeconds) * evaluationSeconds;
  const rate = Number(((0.6 * tier.badEventsMin) / badSeconds).toPrecision(6));
  const burst: SeedSpan = { seconds, rate, errorRatio: Number((badSeconds / seconds).toPrecision(6)) };
  const quiet = (share: number): SeedSpan => {
    const whole = Math.round((longSeconds * share) / evaluationSeconds) * evaluationSeconds;
    return { seconds: whole - seconds, rate, errorRatio: 0 };
  };
  const alert = burnSeries(context.objective, tier);
  return seededRun({
    context,
    what: `${tier.name}: two bursts within ${durationText(longSeconds)} fire, one alone does not`,
    spans: [quiet(0.25), burst, quiet(1.3), burst, quiet(0.75), burst],
    checks: ([, , , , thirdBegin = 0, thirdEnd = 0]) => [
      { kind: 'silent', alert, fromSeconds: 0, toSeconds: thirdBegin },
      { kind: 'firing', alert, fromSeconds: thirdEnd - evaluationSeconds, toSeconds: thirdEnd },
    ],
  });
}

/** Errors where there is hardly any traffic, none where there is: only a mean of ratios calls that a fault. */
function seededUneven(context: ProofContext, tier: Tier): Proof {
  const alert = burnSeries(context.objective, tier);
  const threshold = decimalNumber(tier.threshold);
  return seededRun({
    context,
    what: `${tier.name}: errors of quiet hours weigh as much as their traffic`,
    spans: [
      ...unevenSpans({ seconds: tier.longSeconds, tier }),
      { seconds: tier.shortSeconds, rate: RATE, errorRatio: Number((2 * threshold).toPrecision(6)) },
    ],
    checks: (ends) => [{ kind: 'silent', alert, fromSeconds: 0, toSeconds: ends.at(-1) ?? 0 }],
  });
}

/** Hours by turns: all of the traffic without an error, a hundredth of it with twenty times the threshold. */
function unevenSpans({ seconds, tier }: { readonly seconds: number; readonly tier: Tier }): readonly SeedSpan[] {
  const errorRatio = Math.min(0.5, Number((20 * decimalNumber(tier.threshold)).toPrecision(6)));
  return Array.from({ length: seconds / 3600 }, (_, hour) =>
    hour % 2 === 0 ? { seconds: 3600, rate: RATE, errorRatio: 0 } : { seconds: 3600, rate: RATE / 100, errorRatio },
  );
}

/** A fault older than the rules: silent until they ran for 0.9 of the window. */
function seededColdStart(context: ProofContext, tier: Tier): Proof {
  const { evaluationSeconds } = context.environment;
  const warmUp = Math.ceil((tier.warmUpSeconds ?? 0) / evaluationSeconds) * evaluationSeconds;
  const alert = burnSeries(context.objective, tier);
  return seededRun({
    context,
    what: `${tier.name}: waits for 0.9 of its window of history`,
    spans: [{ seconds: warmUp + 4 * evaluationSeconds, rate: RATE, errorRatio: 1 }],
    checks: ([end = 0]) => [
      { kind: 'silent', alert, fromSeconds: 0, toSeconds: warmUp - evaluationSeconds },
      { kind: 'firing', alert, fromSeconds: warmUp, toSeconds: end },
    ],
  });
}

/** Without traffic a ratio is absent: neither 0, nor NaN. */
function seededNoTraffic(context: ProofContext, tier: Tier): Proof {
  const identity = labelText(identityOf(context.objective));
  return seededRun({
    context,
    what: `${tier.name}: without traffic there is no ratio`,
    spans: [{ seconds: 3600, rate: 0, errorRatio: 0 }],
    checks: ([end = 0]) =>
      [tier.longSeconds, tier.shortSeconds].map((window) => ({
        kind: 'query',
        query: `${weightedRatio(window)}${identity}`,
        atSeconds: end,
        samples: [],
      })),
  });
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
