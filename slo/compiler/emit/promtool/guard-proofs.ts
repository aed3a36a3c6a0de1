/**
 * Proofs of what an alert must not be fooled by: no traffic, series that do not exist, a target that is gone, a cold
 * start, traffic that collapses with the fault, instances that do not live long enough to be counted.
 */
import { alertsOf } from '../../alerts.ts';
import { decimal, decimalNumber } from '../../decimal.ts';
import { firingBand, resetBand } from '../../math/band.ts';
import { BASE_WINDOW_SECONDS, NO_DATA_AFTER_SECONDS, type Tier } from '../../model.ts';
import { badRate, rawRatio, totalRate } from '../../series.ts';
import {
  alertSeries,
  appearsAndGoes,
  burnSeries,
  EVENTS,
  firstGroup,
  type ProofContext,
  shifted,
  wholeMinutes,
} from './burn-proofs.ts';
import { feed, type Span } from './feed.ts';
import { type Check, labelText, type Proof } from './proof.ts';
import { identityOf } from './seeded-proofs.ts';

const HOUR_SECONDS = 3600;

export function guardProofs(context: ProofContext): readonly Proof[] {
  const counted = [noTraffic, missingPart, hourlyError, collapsing, restarting];
  const isSlices = context.objective.indicator.kind === 'slices';
  return [
    ...(isSlices ? [] : counted.flatMap((prove) => prove(context))),
    nothingAtAll(context),
    vanishing(context),
    ...patientProofs(context),
  ];
}

/** What each tier waits for besides its windows: bad events enough, and history. */
export function patientProofs(context: ProofContext): readonly Proof[] {
  const floors = context.objective.indicator.kind === 'slices' ? [] : lowTraffic(context);
  return [...floors, ...coldStart(context)];
}

function rawTiers({ objective }: ProofContext): readonly Tier[] {
  return objective.tiers.filter(({ windows }) => windows === 'raw');
}

function silentTiers(context: ProofContext, options: { readonly untilSeconds: number }): readonly Check[] {
  return rawTiers(context).map((tier) => ({
    kind: 'silent',
    alert: burnSeries(context.objective, tier),
    fromSeconds: 0,
    toSeconds: options.untilSeconds,
  }));
}

function silentNoData(
  context: ProofContext,
  range: { readonly fromSeconds: number; readonly toSeconds: number },
): readonly Check[] {
  return noDataAlerts(context).map((alert) => ({ kind: 'silent', alert, ...range }));
}

function noDataAlerts({ objective }: ProofContext): readonly Readonly<Record<string, string>>[] {
  const groups = objective.grouping?.expected ?? [undefined];
  return alertsOf(objective)
    .filter(({ kind }) => kind === 'no-data')
    .flatMap((alert) => groups.map((group) => alertSeries(objective, alert, group)));
}

function proof(
  context: ProofContext,
  options: {
    readonly what: string;
    readonly spans: readonly Span[];
    readonly checks: readonly Check[];
    readonly instances?: readonly string[];
    readonly withoutBadSeries?: boolean;
  },
): Proof {
  const { objective, environment } = context;
  const { checks, what, ...fed } = options;
  return {
    name: `${objective.name}: ${what}`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, ...firstGroup(objective), ...fed }),
    checks,
  };
}

function noTraffic(context: ProofContext): Proof {
  const identity = labelText(identityOf(context.objective));
  const seconds = HOUR_SECONDS;
  const query = (series: string, values: readonly number[]): Check => ({
    kind: 'query',
    query: `${series}${identity}`,
    atSeconds: seconds,
    samples: values.map((value) => ({ labels: `${series}${identity}`, value })),
  });
  return proof(context, {
    what: 'no traffic is no alert, no NaN and not missing data',
    spans: [{ seconds, events: 0, bad: 0 }],
    checks: [
      ...silentTiers(context, { untilSeconds: seconds }),
      ...silentNoData(context, { fromSeconds: 0, toSeconds: seconds }),
      query(totalRate(BASE_WINDOW_SECONDS), [0]),
      query(badRate(BASE_WINDOW_SECONDS), [0]),
      query(rawRatio(BASE_WINDOW_SECONDS), []),
    ],
  });
}

/** A service that never failed may have no series for failures. */
function missingPart(context: ProofContext): readonly Proof[] {
  const { objective } = context;
  if (objective.indicator.kind !== 'bad-ratio') return [];
  const identity = labelText(identityOf(objective));
  return [
    proof(context, {
      what: 'a service that never failed has an error ratio of 0, not none',
      spans: [{ seconds: HOUR_SECONDS, events: EVENTS, bad: 0 }],
      withoutBadSeries: true,
      checks: [
        ...silentTiers(context, { untilSeconds: HOUR_SECONDS }),
        {
          kind: 'query',
          query: `${rawRatio(BASE_WINDOW_SECONDS)}${identity}`,
          atSeconds: HOUR_SECONDS,
          samples: [{ labels: `${rawRatio(BASE_WINDOW_SECONDS)}${identity}`, value: 0 }],
        },
      ],
    }),
  ];
}

/** One event every few scrapes, so that the floor takes longer than the burn. */
function lowTraffic(context: ProofContext): readonly Proof[] {
  const { environment, objective } = context;
  const { scrapeSeconds } = environment;
  return context.tiers.map((tier) => {
    const burnSeconds = decimalNumber(tier.threshold) * tier.longSeconds;
    const every = Math.floor((1.5 * burnSeconds) / (tier.badEventsMin * scrapeSeconds)) + 1;
    const fault = { errorRatio: decimal(1), eventsPerSecond: null };
    const question = { tier, indicator: objective.indicator, fault, environment };
    const firesSeconds = tier.badEventsMin * every * scrapeSeconds;
    const fires = {
      earliestSeconds: firesSeconds,
      latestSeconds: firesSeconds + scrapeSeconds + environment.evaluationSeconds,
    };
    // Events come every few scrapes, and so late the last one leaves the short window.
    const resets = resetBand(question);
    const begin = Math.ceil(tier.longSeconds / (every * scrapeSeconds)) * every * scrapeSeconds;
    const lasts = Math.ceil((fires.latestSeconds + 300) / (every * scrapeSeconds)) * every * scrapeSeconds;
    const after = wholeMinutes(tier.shortSeconds + 300);
    return proof(context, {
      what: `${tier.name} waits for ${tier.badEventsMin} bad events at one event in ${every * scrapeSeconds} s`,
      instances: ['a'],
      spans: [
        { seconds: begin, events: 1, bad: 0, every },
        { seconds: lasts, events: 1, bad: 1, every },
        { seconds: after, events: 1, bad: 0, every },
      ],
      checks: appearsAndGoes({
        alert: burnSeries(objective, tier),
        evaluationSeconds: environment.evaluationSeconds,
        appears: shifted(fires, begin),
        goes: {
          earliestSeconds: begin + lasts,
          latestSeconds: begin + lasts + resets.latestSeconds + every * scrapeSeconds,
        },
        untilSeconds: begin + lasts + after,
      }),
    });
  });
}

function hourlyError(context: ProofContext): Proof {
  const perMinute = 60 / context.environment.scrapeSeconds;
  const hour: readonly Span[] = [
    { seconds: HOUR_SECONDS - 60, events: 1, bad: 0, every: perMinute },
    { seconds: 60, events: 1, bad: 1, every: perMinute },
  ];
  const patient = rawTiers(context).filter((tier) => tier.longSeconds / HOUR_SECONDS + 1 < tier.badEventsMin);
  return proof(context, {
    what: `one error an hour at one event a minute does not wake anyone (${patient.map(({ name }) => name).join()})`,
    instances: ['a'],
    spans: [...hour, ...hour, ...hour],
    checks: patient.map((tier) => ({
      kind: 'silent',
      alert: burnSeries(context.objective, tier),
      fromSeconds: 0,
      toSeconds: 3 * HOUR_SECONDS,
    })),
  });
}

/** Everything fails and callers go away: to a tenth, to a hundredth. Later, and by the formula. */
function collapsing(context: ProofContext): readonly Proof[] {
  const { environment, objective } = context;
  const [tier] = rawTiers(context);
  if (tier === undefined) return [];
  return [10, 100].map((divisor) => {
    const fault = { errorRatio: decimal(1), trafficRatio: decimal(1 / divisor), eventsPerSecond: null };
    const fires = firingBand({ tier, indicator: objective.indicator, fault, environment });
    if (fires === undefined) throw new Error(`${objective.name} ${tier.name} never fires on a collapse`);
    const lasts = wholeMinutes(fires.latestSeconds) + 300;
    const events = EVENTS / divisor;
    return proof(context, {
      what: `${tier.name} sees a fault that takes the traffic down to 1/${divisor}`,
      spans: [
        { seconds: tier.longSeconds, events: EVENTS, bad: 0 },
        { seconds: lasts, events, bad: events },
      ],
      checks: appearsAndGoes({
        alert: burnSeries(objective, tier),
        evaluationSeconds: environment.evaluationSeconds,
        appears: shifted(fires, tier.longSeconds),
        goes: { earliestSeconds: tier.longSeconds + lasts, latestSeconds: Number.POSITIVE_INFINITY },
        untilSeconds: 0,
      }),
    });
  });
}

/**
 * Every instance dies after a minute and only ever failed. Each is born at 0, so three of its four scrapes count: three
 * quarters of the errors at least are seen, and the page is later by no more than that.
 */
function restarting(context: ProofContext): readonly Proof[] {
  const { environment, objective } = context;
  const { scrapeSeconds } = environment;
  const [tier] = rawTiers(context);
  if (tier === undefined) return [];
  const lives = 12;
  const life = 4 * scrapeSeconds;
  const fault = { errorRatio: decimal(1), eventsPerSecond: null };
  const question = { tier, indicator: objective.indicator, environment };
  const soonest = firingBand({ ...question, fault });
  const latest = firingBand({ ...question, fault: { ...fault, trafficRatio: decimal('0.5') } });
  if (soonest === undefined || latest === undefined) throw new Error(`${objective.name} ${tier.name} never fires`);
  const untilSeconds = tier.longSeconds + lives * life;
  if (latest.latestSeconds > lives * life) return [];
  const steady: Span = { seconds: tier.longSeconds, events: EVENTS, bad: 0 };
  const healthy = feed({ objective, scrapeSeconds, ...firstGroup(objective), spans: [steady] });
  const born = Array.from({ length: lives }, (_, at) =>
    feed({
      objective,
      scrapeSeconds,
      ...firstGroup(objective),
      instances: [`a${at}`, `b${at}`],
      withDecoys: false,
      spans: [{ seconds: 3 * scrapeSeconds, events: EVENTS, bad: EVENTS }],
      delaySamples: tier.longSeconds / scrapeSeconds + 1 + 4 * at,
    }),
  );
  return [
    {
      name: `${objective.name}: ${tier.name} fires also when every instance is restarted each minute`,
      intervalSeconds: scrapeSeconds,
      series: [...healthy, ...born.flat()],
      checks: appearsAndGoes({
        alert: burnSeries(objective, tier),
        evaluationSeconds: environment.evaluationSeconds,
        appears: { earliestSeconds: tier.longSeconds, latestSeconds: tier.longSeconds + latest.latestSeconds },
        goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
        untilSeconds: 0,
      }),
    },
  ];
}

/** Nothing of the service was ever seen; its neighbours are. */
function nothingAtAll(context: ProofContext): Proof {
  const { environment, objective } = context;
  const untilSeconds = 2 * NO_DATA_AFTER_SECONDS;
  const counted = objective.noData.choice === 'bad' ? [] : silentTiers(context, { untilSeconds });
  return proof(context, {
    what: 'data that never came is missed after ten minutes, and is not an error',
    spans: [{ seconds: untilSeconds, events: null, bad: 0 }],
    checks: [
      ...counted,
      ...noDataAlerts(context).flatMap((alert) =>
        appearsAndGoes({
          alert,
          evaluationSeconds: environment.evaluationSeconds,
          appears: {
            earliestSeconds: NO_DATA_AFTER_SECONDS,
            latestSeconds: NO_DATA_AFTER_SECONDS + environment.evaluationSeconds,
          },
          goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
          untilSeconds: 0,
        }),
      ),
    ],
  });
}

/** The target stops answering: missed when the shortest window is empty. Where silence is bad, it burns instead. */
function vanishing(context: ProofContext): Proof {
  const { environment, objective } = context;
  const { evaluationSeconds, scrapeSeconds } = environment;
  const { indicator, noData } = objective;
  const gone = HOUR_SECONDS;
  const lasts = 1800;
  const sliceSeconds = indicator.kind === 'slices' ? indicator.sliceSeconds : 0;
  // rate() needs two samples, so a window is empty one scrape before it is; slices look back one slice more.
  const missed = BASE_WINDOW_SECONDS + sliceSeconds;
  const appears = {
    earliestSeconds: gone + missed - scrapeSeconds - sliceSeconds,
    latestSeconds: gone + missed + scrapeSeconds + evaluationSeconds,
  };
  const back = gone + lasts;
  return proof(context, {
    what: 'a target that is gone is missed after five minutes, and no more when it is back',
    spans: [
      { seconds: gone, events: EVENTS, bad: 0 },
      { seconds: lasts, events: null, bad: 0 },
      { seconds: 600, events: EVENTS, bad: 0 },
    ],
    checks: [
      ...(noData.choice === 'bad'
        ? goneIsBad(context, { gone, sliceSeconds })
        : silentTiers(context, { untilSeconds: back })),
      ...noDataAlerts(context).flatMap((alert) =>
        appearsAndGoes({
          alert,
          evaluationSeconds,
          appears,
          goes: { earliestSeconds: back, latestSeconds: back + sliceSeconds + 2 * scrapeSeconds + evaluationSeconds },
          untilSeconds: back + 600,
        }),
      ),
    ],
  });
}

function goneIsBad(
  context: ProofContext,
  { gone, sliceSeconds }: { readonly gone: number; readonly sliceSeconds: number },
): readonly Check[] {
  const { environment, objective } = context;
  const [tier] = rawTiers(context);
  if (tier === undefined) return [];
  const fault = { errorRatio: decimal(1), eventsPerSecond: null };
  const fires = firingBand({ tier, indicator: objective.indicator, fault, environment });
  if (fires === undefined) return [];
  // The slice in which the last measurement lies is still good.
  const appears = shifted(fires, gone + sliceSeconds);
  return appearsAndGoes({
    alert: burnSeries(objective, tier),
    evaluationSeconds: environment.evaluationSeconds,
    appears: { ...appears, earliestSeconds: appears.earliestSeconds - sliceSeconds },
    goes: { earliestSeconds: gone + 1800, latestSeconds: Number.POSITIVE_INFINITY },
    untilSeconds: 0,
  });
}

/** A fault older than the rules: a tier that waits for history is silent until it has 0.9 of its window. */
function coldStart(context: ProofContext): readonly Proof[] {
  const { environment, objective } = context;
  return context.tiers.flatMap((tier) => {
    if (tier.warmUpSeconds === null) return [];
    const appears = {
      earliestSeconds: tier.warmUpSeconds,
      latestSeconds: tier.warmUpSeconds + environment.evaluationSeconds,
    };
    const untilSeconds = wholeMinutes(appears.latestSeconds) + 300;
    return [
      proof(context, {
        what: `${tier.name} waits for 0.9 of its window of history`,
        spans: [{ seconds: untilSeconds, events: EVENTS, bad: EVENTS }],
        checks: appearsAndGoes({
          alert: burnSeries(objective, tier),
          evaluationSeconds: environment.evaluationSeconds,
          appears,
          goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
          untilSeconds: 0,
        }),
      }),
    ];
  });
}
