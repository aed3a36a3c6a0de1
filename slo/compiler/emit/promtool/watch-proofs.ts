/**
 * Proofs of the alerts that compare with a baseline or with another gauge: traffic that collapses, by day and never by
 * night, and rows that were expected and did not come.
 */
import { alertsOf } from '../../alerts.ts';
import { decimalNumber } from '../../decimal.ts';
import type { Collapse, Expectation, Objective, Selector } from '../../model.ts';
import { SERIES } from '../../series.ts';
import { alertSeries, appearsAndGoes, type ProofContext } from './burn-proofs.ts';
import { gaugeValues } from './fed-values.ts';
import { breaking, matchingLabels, seriesText } from './matching-labels.ts';
import { type Check, type FedSeries, labelText, type Proof } from './proof.ts';
import { identityOf, type SeedSpan, seeds } from './seeded-proofs.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

export function trafficProofs(context: ProofContext): readonly Proof[] {
  const { collapse } = context.objective;
  return collapse === null ? [] : [tenDays(context, collapse)];
}

/** Traffic by day, and 50 times less by night; from 100 times the least baseline that counts. */
const NIGHT_SHARE = 0.02;
/** Day of the run, hour, share of traffic that is left. The first is before there is a yesterday to compare with. */
const FIRST_DAY = { day: 0, hour: 12, left: 0.01 };
const COLLAPSES = [
  { day: 3, hour: 14, left: 0.5 },
  { day: 8, hour: 11, left: 0.9 },
] as const;

/**
 * Ten days with nights and two collapses, one to half of the alerting ratio and one to 0.9 of it: both are found within
 * one evaluation and end with it; no night, no morning after and no first day raises anything.
 */
function tenDays({ environment, objective }: ProofContext, collapse: Collapse): Proof {
  const intervalSeconds = environment.evaluationSeconds;
  const ratio = decimalNumber(collapse.ratio);
  const dayRate = 100 * decimalNumber(collapse.baselineMin);
  const shares = [FIRST_DAY, ...COLLAPSES.map((one) => ({ ...one, left: ratio * one.left }))];
  const spans = Array.from({ length: 10 * 24 }, (_, index): SeedSpan => {
    const [day, hour] = [Math.floor(index / 24), index % 24];
    const left = shares.find((one) => one.day === day && one.hour === hour)?.left ?? 1;
    const isNight = hour < 6 || hour >= 22;
    return { seconds: HOUR, rate: dayRate * left * (isNight ? NIGHT_SHARE : 1), errorRatio: 0 };
  });
  const alert = alertsOf(objective).find(({ kind }) => kind === 'collapse');
  if (alert === undefined) throw new Error(`${objective.name} has no alert for its collapse`);
  const series = alertSeries(objective, alert);
  const begins = COLLAPSES.map(({ day, hour }) => day * DAY + hour * HOUR);
  // Seeds of an hour are its twelve samples after its beginning.
  const checks = begins.flatMap((begin, index): readonly Check[] => [
    { kind: 'silent', alert: series, fromSeconds: index === 0 ? 0 : (begins[index - 1] ?? 0) + HOUR, toSeconds: begin },
    { kind: 'firing', alert: series, fromSeconds: begin, toSeconds: begin + HOUR },
  ]);
  return {
    name: `${objective.name}: ten days with nights and two collapses raise two alarms`,
    intervalSeconds,
    series: seeds(objective, intervalSeconds, spans),
    checks: [
      ...checks,
      { kind: 'silent', alert: series, fromSeconds: (begins.at(-1) ?? 0) + HOUR, toSeconds: 10 * DAY },
      known(objective, { atSeconds: 12 * HOUR, value: 0 }),
      known(objective, { atSeconds: 26 * HOUR, value: 1 }),
    ],
  };
}

function known(objective: Objective, options: { readonly atSeconds: number; readonly value: number }): Check {
  const query = `${SERIES.baselineKnown}${labelText(identityOf(objective))}`;
  return { kind: 'query', query, atSeconds: options.atSeconds, samples: [{ labels: query, value: options.value }] };
}

/** The limit of the first group in proofs, in seconds; groups with a limit of 0 expect nothing. */
const LIMIT = 3600;
const STEADY = 600;

export function expectationProofs({ environment, objective }: ProofContext): readonly Proof[] {
  const { expectation, grouping } = objective;
  const alert = alertsOf(objective).find(({ kind }) => kind === 'expectation');
  if (expectation === null || grouping === null || alert === undefined) return [];
  const { scrapeSeconds, evaluationSeconds } = environment;
  const phase = STEADY / scrapeSeconds;
  const lag = scrapeSeconds + evaluationSeconds;
  const checks = grouping.expected.flatMap((group, index) =>
    index === 0
      ? appearsAndGoes({
          alert: alertSeries(objective, alert, group),
          evaluationSeconds,
          appears: { earliestSeconds: STEADY, latestSeconds: STEADY + lag },
          goes: { earliestSeconds: 2 * STEADY, latestSeconds: 2 * STEADY + lag },
          untilSeconds: 3 * STEADY,
        })
      : [
          {
            kind: 'silent' as const,
            alert: alertSeries(objective, alert, group),
            fromSeconds: 0,
            toSeconds: 3 * STEADY,
          },
        ],
  );
  return [
    {
      name: `${objective.name}: rows that were expected and did not come are missed, where any were expected`,
      intervalSeconds: scrapeSeconds,
      series: grouping.expected.flatMap((group, index) =>
        expectationSeries({ expectation, labels: { [grouping.label]: group }, isFirst: index === 0, phase }),
      ),
      checks,
    },
  ];
}

function expectationSeries(options: {
  readonly expectation: Expectation;
  readonly labels: Readonly<Record<string, string>>;
  readonly isFirst: boolean;
  readonly phase: number;
}): readonly FedSeries[] {
  const { expectation, isFirst, labels, phase } = options;
  const ages = isFirst ? [LIMIT, LIMIT + 1, 0] : [LIMIT, LIMIT, LIMIT];
  const values = (of: readonly number[]): string =>
    gaugeValues(of.map((value, at) => ({ value, count: at === 0 ? phase + 1 : phase })));
  const limits = isFirst ? [LIMIT, LIMIT, LIMIT] : [0, 0, 0];
  const fed = (selector: Selector, of: readonly number[]): FedSeries => ({
    series: seriesText({ metric: selector.metric, labels: { ...matchingLabels(selector.matchers), ...labels } }),
    values: values(of),
  });
  const decoys = (selector: Selector, value: number): readonly FedSeries[] =>
    selector.matchers.map((matcher) => ({
      series: seriesText({
        metric: selector.metric,
        labels: { ...breaking(matchingLabels(selector.matchers), matcher), ...labels },
      }),
      values: values([value, value, value]),
    }));
  return [
    fed(expectation.measure, ages),
    fed(expectation.limit, limits),
    ...decoys(expectation.measure, 100 * LIMIT),
    ...decoys(expectation.limit, 10 * LIMIT),
  ];
}
