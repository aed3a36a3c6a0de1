/**
 * Proofs that an exclusion hides exactly its own time: a fault inside it is nobody's, a fault right after it pages as
 * soon as any other. They run on the rules as they would be with one more exclusion.
 */
import { decimal } from '../../decimal.ts';
import { firingBand } from '../../math/band.ts';
import { BASE_WINDOW_SECONDS, type Environment, type Objective } from '../../model.ts';
import { appearsAndGoes, burnSeries, EVENTS, firstGroup, type ProofContext } from './burn-proofs.ts';
import { feed } from './feed.ts';
import type { Proof } from './proof.ts';
import { onSeeds, SEED_SECONDS, seeds } from './seeded-proofs.ts';

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
export function excludedPageProofs({ environment, objective }: ProofContext): readonly Proof[] {
  return objective.tiers
    .filter(({ windows }) => windows === 'raw')
    .map((tier) => {
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
export function excludedTicketProofs({ objective }: ProofContext): readonly Proof[] {
  const derived = objective.tiers.filter(({ windows }) => windows === 'derived');
  const longest = Math.max(0, ...derived.map(({ longSeconds }) => longSeconds));
  if (longest === 0) return [];
  const rate = 1000;
  // The rates of an outage end one base window after it.
  const outage = { seconds: EXCLUDED_SECONDS + BASE_WINDOW_SECONDS, rate, errorRatio: 1 };
  const begin = onSeeds(longest);
  const quiet = { seconds: begin, rate, errorRatio: 0 };
  return [
    {
      name: `${objective.name}: an excluded outage opens no ticket while it is in the window, nor when it leaves`,
      startSeconds: START_SECONDS - begin,
      intervalSeconds: SEED_SECONDS,
      series: seeds(objective, [quiet, outage, { seconds: onSeeds(longest) + SEED_SECONDS * 24, rate, errorRatio: 0 }]),
      checks: derived.map((tier) => ({
        kind: 'silent',
        alert: burnSeries(objective, tier),
        fromSeconds: 0,
        toSeconds: begin + outage.seconds + onSeeds(longest) + SEED_SECONDS * 24,
      })),
    },
    ...derived.map((tier) => faultAfter({ objective, tier, begin, outage })),
  ];
}

/** A second outage an hour after the first: by the formula, as if the first had not been. */
function faultAfter(options: {
  readonly objective: Objective;
  readonly tier: Objective['tiers'][number];
  readonly begin: number;
  readonly outage: { readonly seconds: number; readonly rate: number; readonly errorRatio: number };
}): Proof {
  const { begin, objective, outage, tier } = options;
  const { rate } = outage;
  const gap = 3600;
  const grid: Environment = { scrapeSeconds: 0, evaluationSeconds: SEED_SECONDS, retentionSeconds: 0 };
  const fires = firingBand({
    tier: { ...tier, windows: 'raw' },
    indicator: { kind: 'bad-ratio', bad: { metric: 'bad', matchers: [] }, total: { metric: 'total', matchers: [] } },
    // What is excluded is missing from the window's traffic too, so the fault is a little larger than it looks.
    fault: { errorRatio: decimal('0.5'), eventsPerSecond: decimal(rate) },
    environment: grid,
  });
  if (fires === undefined) throw new Error(`${objective.name} ${tier.name} never fires`);
  const again = begin + outage.seconds + gap;
  const share = 1 - outage.seconds / tier.longSeconds;
  const lasts = onSeeds(fires.latestSeconds) + 2 * SEED_SECONDS;
  return {
    name: `${objective.name}, ${tier.name}: a fault after an excluded outage opens its ticket`,
    startSeconds: START_SECONDS - begin,
    intervalSeconds: SEED_SECONDS,
    series: seeds(objective, [
      { seconds: begin, rate, errorRatio: 0 },
      outage,
      { seconds: gap, rate, errorRatio: 0 },
      { seconds: lasts, rate, errorRatio: 0.5 },
    ]),
    checks: appearsAndGoes({
      alert: burnSeries(objective, tier),
      evaluationSeconds: SEED_SECONDS,
      appears: { earliestSeconds: again + fires.earliestSeconds * share, latestSeconds: again + fires.latestSeconds },
      goes: { earliestSeconds: again + lasts, latestSeconds: Number.POSITIVE_INFINITY },
      untilSeconds: 0,
    }),
  };
}
