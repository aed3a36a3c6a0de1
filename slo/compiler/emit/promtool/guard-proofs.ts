/**
 * Proofs of what an alert must not be fooled by: no traffic, series that do not exist, a cold start, traffic that
 * collapses with the fault, instances that do not live long enough to be counted.
 */
import { decimal, decimalNumber } from '../../decimal.ts';
import { firingBand, resetBand } from '../../math/band.ts';
import type { Tier } from '../../model.ts';
import { badRate, rawRatio, totalRate } from '../../series.ts';
import { absenceProofs } from './absence-proofs.ts';
import {
  appearsAndGoes,
  burnSeries,
  EVENTS,
  firstGroup,
  type ProofContext,
  shifted,
  wholeMinutes,
} from './burn-proofs.ts';
import { feed, type Span } from './feed.ts';
import type { Check, Proof } from './proof.ts';
import { proof, reads, silentNoData, silentTiers, windowsOf } from './proof-parts.ts';

const HOUR_SECONDS = 3600;

export function guardProofs(context: ProofContext): readonly Proof[] {
  const counted = [hourlyError, collapsing, restarting];
  const isSlices = context.objective.indicator.kind === 'slices';
  return [
    ...(isSlices ? [] : counted.flatMap((prove) => prove(context))),
    ...absenceProofs(context),
    ...patientProofs(context),
  ];
}

/** What each tier needs besides its windows: traffic, bad events enough, and history. */
export function patientProofs(context: ProofContext): readonly Proof[] {
  const counted = [noTraffic, noSeries, missingPart, lowTraffic];
  const isSlices = context.objective.indicator.kind === 'slices';
  return [...(isSlices ? [] : counted.flatMap((prove) => prove(context))), ...coldStart(context)];
}

function noTraffic(context: ProofContext): Proof {
  const seconds = HOUR_SECONDS;
  return proof(context, {
    what: 'no traffic is no alert, no NaN and not missing data',
    spans: [{ seconds, events: 0, bad: 0 }],
    checks: [
      ...silentTiers(context, { untilSeconds: seconds }),
      ...silentNoData(context, { fromSeconds: 0, toSeconds: seconds }),
      ...windowsOf(context).flatMap((window) => [
        reads(context, { series: totalRate(window), atSeconds: seconds, value: 0 }),
        reads(context, { series: badRate(window), atSeconds: seconds, value: 0 }),
        reads(context, { series: rawRatio(window), atSeconds: seconds, value: null }),
      ]),
    ],
  });
}

/** Without a series there is nothing to record, not even a 0; the neighbours have plenty. */
function noSeries(context: ProofContext): Proof {
  const seconds = 600;
  return proof(context, {
    what: `without any series nothing is recorded (${context.tiers.map(({ name }) => name).join()})`,
    spans: [{ seconds, events: null, bad: 0 }],
    checks: windowsOf(context).flatMap((window) =>
      [totalRate(window), badRate(window), rawRatio(window)].map((series) =>
        reads(context, { series, atSeconds: seconds, value: null }),
      ),
    ),
  });
}

/** A service that never failed may have no series for failures. */
function missingPart(context: ProofContext): readonly Proof[] {
  if (context.objective.indicator.kind !== 'bad-ratio') return [];
  const gone = 600;
  const atSeconds = HOUR_SECONDS;
  const ofLong = (tier: Tier): Check =>
    reads(context, { series: badRate(tier.longSeconds), atSeconds: atSeconds + gone, value: 0 });
  return [
    proof(context, {
      what: 'a service that never failed has an error ratio of 0, not none, also while it is gone',
      spans: [
        { seconds: atSeconds, events: EVENTS, bad: 0 },
        { seconds: gone, events: null, bad: 0 },
      ],
      withoutBadSeries: true,
      checks: [
        ...silentTiers(context, { untilSeconds: atSeconds }),
        ...windowsOf(context).map((window) => reads(context, { series: rawRatio(window), atSeconds, value: 0 })),
        ...context.tiers.map(ofLong),
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
    // At least five scrapes apart and an odd number, so that evaluations see every phase and one event more is late.
    const least = Math.floor((1.5 * burnSeconds) / (tier.badEventsMin * scrapeSeconds)) + 1;
    const every = Math.max(5, least + 1 - (least % 2));
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
  const patient = context.tiers.filter((tier) => tier.longSeconds / HOUR_SECONDS + 1 < tier.badEventsMin);
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
  const [tier] = context.tiers;
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
  const [tier] = context.tiers;
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
