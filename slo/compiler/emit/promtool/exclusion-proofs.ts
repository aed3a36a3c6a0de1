/**
 * Proofs that an exclusion hides exactly its own time: a fault inside it is nobody's, a fault right after it pages as
 * soon as any other. They run on the rules as they would be with one more exclusion.
 */
import { decimal } from '../../decimal.ts';
import { firingBand } from '../../math/band.ts';
import { BASE_WINDOW_SECONDS, type Objective, type Tier } from '../../model.ts';
import { appearsAndGoes, burnSeries, EVENTS, firstGroup, type ProofContext } from './burn-proofs.ts';
import { feed } from './feed.ts';
import type { Proof } from './proof.ts';
import { RATES, seeds } from './seeded-proofs.ts';

const EXCLUDED_SECONDS = 3600;
/** A date that is a whole number of slices, seeds and hours: 2026-01-10T00:00:00Z. */
const START_SECONDS = Date.UTC(2026, 0, 10) / 1000;

/** The objective with one exclusion and no other. */
export function withExclusion(objective: Objective): Objective {
  const exclusion = {
    id: 'proof',
    startSeconds: START_SECONDS,
    endSeconds: START_SECONDS + EXCLUDED_SECONDS,
    reason: 'The outage of a proof.',
    author: objective.owner,
  };
  return { ...objective, exclusions: [exclusion] };
}

/** The outage is as long as the exclusion; each tier is muted until its short window is past it, and then awake. */
export function excludedPageProofs({ environment, objective, tiers }: ProofContext): readonly Proof[] {
  return tiers.map((tier) => {
    const beforeSeconds = tier.warmUpSeconds === null ? tier.longSeconds : Math.ceil(tier.warmUpSeconds / 60) * 60;
    const healthySeconds = tier.shortSeconds + 60;
    const fault = { errorRatio: decimal(1), eventsPerSecond: null };
    const fires = firingBand({ tier, indicator: objective.indicator, fault, environment });
    if (fires === undefined) throw new Error(`${objective.name} ${tier.name} never fires`);
    const againSeconds = beforeSeconds + EXCLUDED_SECONDS + healthySeconds;
    const lastsSeconds = Math.ceil(fires.latestSeconds / 60) * 60 + 120;
    const untilSeconds = againSeconds + lastsSeconds;
    return {
      name: `${objective.name}, ${tier.name}: an excluded outage wakes nobody, a fault right after it does`,
      startSeconds: START_SECONDS - beforeSeconds,
      intervalSeconds: environment.scrapeSeconds,
      series: feed({
        objective,
        scrapeSeconds: environment.scrapeSeconds,
        spans: [
          { seconds: beforeSeconds, events: EVENTS, bad: 0 },
          { seconds: EXCLUDED_SECONDS, events: EVENTS, bad: EVENTS },
          { seconds: healthySeconds, events: EVENTS, bad: 0 },
          { seconds: lastsSeconds, events: EVENTS, bad: EVENTS },
        ],
        ...firstGroup(objective),
      }),
      checks: appearsAndGoes({
        alert: burnSeries(objective, tier),
        evaluationSeconds: environment.evaluationSeconds,
        // The long window still holds the outage, so the new fault is seen as soon as the short window sees it.
        appears: { earliestSeconds: againSeconds, latestSeconds: againSeconds + fires.latestSeconds },
        goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
        untilSeconds: 0,
      }),
    };
  });
}

/** Over days the exclusion is subtracted: what is left is as if it had not been. */
export function excludedTicketProofs(context: ProofContext): readonly Proof[] {
  return context.tiers.flatMap((tier) => [outageExcluded(context, tier), faultAfter(context, tier)]);
}

const RATE = 1000;

function outageExcluded({ environment, objective }: ProofContext, tier: Tier): Proof {
  const { evaluationSeconds } = environment;
  // The rates of an outage end one base window after it.
  const outageSeconds = Math.floor((EXCLUDED_SECONDS + BASE_WINDOW_SECONDS) / evaluationSeconds) * evaluationSeconds;
  // Leaving takes as long as the exclusion lasts; an hour more shows that nothing is left.
  const afterSeconds = tier.longSeconds + 2 * EXCLUDED_SECONDS;
  return {
    name: `${objective.name}, ${tier.name}: an excluded outage opens no ticket, neither in the window nor when it leaves`,
    startSeconds: START_SECONDS - tier.longSeconds,
    intervalSeconds: evaluationSeconds,
    series: seeds(objective, evaluationSeconds, [
      { seconds: tier.longSeconds, rate: RATE, errorRatio: 0 },
      { seconds: outageSeconds, rate: RATE, errorRatio: 1 },
      { seconds: afterSeconds, rate: RATE, errorRatio: 0 },
    ]),
    checks: [
      {
        kind: 'silent',
        alert: burnSeries(objective, tier),
        fromSeconds: 0,
        toSeconds: tier.longSeconds + outageSeconds + afterSeconds,
      },
    ],
  };
}

/** A second outage an hour after the first: by the formula, as if the first had not been. */
function faultAfter({ environment, objective }: ProofContext, tier: Tier): Proof {
  const { evaluationSeconds } = environment;
  const gapSeconds = 3600;
  const outageSeconds = Math.floor((EXCLUDED_SECONDS + BASE_WINDOW_SECONDS) / evaluationSeconds) * evaluationSeconds;
  const fires = firingBand({
    tier: { ...tier, windows: 'raw' },
    indicator: RATES,
    fault: { errorRatio: decimal('0.5'), eventsPerSecond: decimal(RATE) },
    environment,
  });
  if (fires === undefined) throw new Error(`${objective.name} ${tier.name} never fires`);
  const againSeconds = tier.longSeconds + outageSeconds + gapSeconds;
  // What is excluded is missing from the window's traffic too, so the fault weighs a little more.
  const share = 1 - (EXCLUDED_SECONDS + BASE_WINDOW_SECONDS) / tier.longSeconds;
  const lastsSeconds = (Math.ceil(fires.latestSeconds / evaluationSeconds) + 2) * evaluationSeconds;
  return {
    name: `${objective.name}, ${tier.name}: a fault an hour after an excluded outage opens its ticket`,
    startSeconds: START_SECONDS - tier.longSeconds,
    intervalSeconds: evaluationSeconds,
    series: seeds(objective, evaluationSeconds, [
      { seconds: tier.longSeconds, rate: RATE, errorRatio: 0 },
      { seconds: outageSeconds, rate: RATE, errorRatio: 1 },
      { seconds: gapSeconds, rate: RATE, errorRatio: 0 },
      { seconds: lastsSeconds, rate: RATE, errorRatio: 0.5 },
    ]),
    checks: appearsAndGoes({
      alert: burnSeries(objective, tier),
      evaluationSeconds,
      appears: {
        earliestSeconds: againSeconds + fires.earliestSeconds * share,
        latestSeconds: againSeconds + fires.latestSeconds,
      },
      goes: { earliestSeconds: againSeconds + lastsSeconds, latestSeconds: Number.POSITIVE_INFINITY },
      untilSeconds: 0,
    }),
  };
}
