/**
 * Proofs of burn alerts over raw windows, from the metrics themselves: each tier fires in [T, T + scrape + evaluation]
 * and not before, stays while the fault lasts, resolves on time, and is silent for ever just below its threshold.
 */
import { alertLabels, alertsOf } from '../../alerts.ts';
import { decimal, decimalNumber } from '../../decimal.ts';
import { durationText } from '../../duration.ts';
import { type Band, firingBand, resetBand } from '../../math/band.ts';
import { badSlicesNeeded } from '../../math/detection.ts';
import type { Alert, Environment, Objective, Tier } from '../../model.ts';
import { feed, type Span } from './feed.ts';
import type { AlertSeries, Check, Proof } from './proof.ts';

/** Events of one scrape of one instance. A power of ten, so that shares of it are exact decimals. */
export const EVENTS = 100_000;
/** How far below the threshold an alert must be silent for ever. */
const BELOW = 0.95;
/** How far above it the second fault is: the time to the page then depends on the factor as much as on the window. */
const ABOVE = 4;

export interface ProofContext {
  readonly objective: Objective;
  readonly environment: Environment;
  /** The tiers that are proved here. */
  readonly tiers: readonly Tier[];
}

export function rawBurnProofs(context: ProofContext): readonly Proof[] {
  const isSlices = context.objective.indicator.kind === 'slices';
  return context.tiers.flatMap((tier) => [
    rawOutage(context, tier),
    ...(isSlices
      ? [fewSlicesProof(context, tier)]
      : [faultProof(context, tier), belowProof(context, tier), unevenProof(context, tier)]),
    ...(isSlices ? [] : [shortWindowProof(context, tier)]),
    memoryProof(context, tier),
  ]);
}

export function rawOutage(context: ProofContext, tier: Tier): Proof {
  return stepProof({ context, tier, errorRatio: 1, what: 'everything fails' });
}

function faultProof(context: ProofContext, tier: Tier): Proof {
  const threshold = decimalNumber(tier.threshold);
  const ratio = threshold * ABOVE < 1 ? threshold * ABOVE : (1 + threshold) / 2;
  const errorRatio = Math.round(ratio * EVENTS) / EVENTS;
  return stepProof({ context, tier, errorRatio, what: `${percent(errorRatio)} fail` });
}

/** Clean for the long window, a fault, clean again. */
function stepProof(options: {
  readonly context: ProofContext;
  readonly tier: Tier;
  readonly errorRatio: number;
  readonly what: string;
}): Proof {
  const { context, errorRatio, tier } = options;
  const { environment, objective } = context;
  const fault = { errorRatio: decimal(errorRatio), eventsPerSecond: null };
  const question = { tier, indicator: objective.indicator, fault, environment };
  const fires = firingBand(question);
  if (fires === undefined) throw new Error(`${objective.name} ${tier.name}: ${errorRatio} never fires`);
  const resets = resetBand(question);
  const lastsSeconds = wholeMinutes(fires.latestSeconds) + 300;
  const afterSeconds = wholeMinutes(resets.latestSeconds) + 300;
  const spans: readonly Span[] = [
    { seconds: tier.longSeconds, events: EVENTS, bad: 0 },
    { seconds: lastsSeconds, events: EVENTS, bad: Math.round(errorRatio * EVENTS) },
    { seconds: afterSeconds, events: EVENTS, bad: 0 },
  ];
  const endSeconds = tier.longSeconds + lastsSeconds;
  return {
    name: `${objective.name}, ${tier.name}: ${options.what}, and ${durationText(Math.ceil(fires.earliestSeconds))} later it fires`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, spans, ...firstGroup(objective) }),
    checks: appearsAndGoes({
      alert: burnSeries(objective, tier),
      evaluationSeconds: environment.evaluationSeconds,
      appears: shifted(fires, tier.longSeconds),
      goes: shifted(resets, endSeconds),
      untilSeconds: endSeconds + afterSeconds,
    }),
  };
}

/** Just below the threshold for longer than the window: nothing, however long. */
function belowProof({ environment, objective }: ProofContext, tier: Tier): Proof {
  const bad = Math.floor(decimalNumber(tier.threshold) * BELOW * EVENTS);
  const seconds = wholeMinutes(tier.longSeconds * 1.1);
  return {
    name: `${objective.name}, ${tier.name}: is silent at ${percent(bad / EVENTS)}, ${BELOW} of its threshold`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({
      objective,
      scrapeSeconds: environment.scrapeSeconds,
      spans: [{ seconds, events: EVENTS, bad }],
      ...firstGroup(objective),
    }),
    checks: [{ kind: 'silent', alert: burnSeries(objective, tier), fromSeconds: 0, toSeconds: seconds }],
  };
}

/**
 * Busy at 0.9 of the threshold, then a quarter of the traffic at 1.05: the short window is above it, the long one, which
 * weighs by traffic, never is.
 */
function unevenProof({ environment, objective }: ProofContext, tier: Tier): Proof {
  const threshold = decimalNumber(tier.threshold);
  const seconds = wholeMinutes(0.55 * tier.longSeconds);
  const spans: readonly Span[] = [
    { seconds, events: BUSY * EVENTS, bad: Math.floor(0.9 * threshold * BUSY * EVENTS) },
    { seconds, events: EVENTS, bad: Math.ceil(1.05 * threshold * EVENTS) },
  ];
  return {
    name: `${objective.name}, ${tier.name}: weighs its long window by traffic`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, spans, ...firstGroup(objective) }),
    checks: [{ kind: 'silent', alert: burnSeries(objective, tier), fromSeconds: 0, toSeconds: 2 * seconds }],
  };
}

/**
 * The short window alone decides: after an outage, while the long window still holds it, an error ratio below the
 * threshold is silent however the traffic changes, and one above it is not.
 */
function shortWindowProof({ environment, objective }: ProofContext, tier: Tier): Proof {
  const threshold = decimalNumber(tier.threshold);
  const below = Math.floor(threshold * BELOW * EVENTS) / EVENTS;
  const above = Math.ceil(threshold * 1.1 * EVENTS) / EVENTS;
  const { longSeconds, shortSeconds } = tier;
  const outageSeconds = wholeMinutes(1.5 * threshold * longSeconds) + 300;
  const half = shortSeconds / 2;
  const at = (seconds: number, errorRatio: number, times = 1): Span => ({
    seconds,
    events: times * EVENTS,
    bad: Math.round(times * EVENTS * errorRatio),
  });
  const spans = [
    at(longSeconds, 0),
    at(outageSeconds, 1),
    at(2 * shortSeconds, below),
    at(half, below, BUSY),
    at(shortSeconds, below),
    at(2 * shortSeconds, above),
  ];
  const ends = spans.map((_, index) => spans.slice(0, index + 1).reduce((sum, { seconds }) => sum + seconds, 0));
  const [, outageEnd = 0, , , belowEnd = 0, end = 0] = ends;
  const alert = burnSeries(objective, tier);
  return {
    name: `${objective.name}, ${tier.name}: after an outage ${BELOW} of the threshold is silent, 1.1 of it fires`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, spans, ...firstGroup(objective) }),
    checks: [
      {
        kind: 'silent',
        alert,
        fromSeconds: outageEnd + shortSeconds + environment.evaluationSeconds,
        toSeconds: belowEnd,
      },
      { kind: 'firing', alert, fromSeconds: belowEnd + shortSeconds, toSeconds: end },
    ],
  };
}

/** Traffic that changes within a window; small enough that an outage before it stays in the long window's ratio. */
const BUSY = 4;

/**
 * The long window remembers its own length: of bursts of 0.6 of what fires, a second one 1.3 W after the first is
 * silent, a third one 0.75 W after the second fires.
 */
function memoryProof({ environment, objective }: ProofContext, tier: Tier): Proof {
  const { indicator } = objective;
  const sliceSeconds = indicator.kind === 'slices' ? indicator.sliceSeconds : 60;
  const burst = burstOf({ objective, tier, sliceSeconds });
  const quiet = (share: number): Span => ({
    seconds: Math.round((tier.longSeconds * share) / sliceSeconds) * sliceSeconds - burst.seconds,
    events: EVENTS,
    bad: 0,
  });
  // A tier that does not wait for history must have a whole window of it.
  const before = quiet(tier.warmUpSeconds === null ? 1 : 0.25);
  const spans = [before, burst, quiet(1.3), burst, quiet(0.75), burst, { seconds: 300, events: EVENTS, bad: 0 }];
  const ends = spans.map((_, index) => spans.slice(0, index + 1).reduce((sum, { seconds }) => sum + seconds, 0));
  const [, , , , thirdBegin = 0, thirdEnd = 0] = ends;
  const alert = burnSeries(objective, tier);
  const { evaluationSeconds } = environment;
  const fired = Math.ceil(thirdEnd / evaluationSeconds) * evaluationSeconds;
  return {
    name: `${objective.name}, ${tier.name}: two bursts within ${durationText(tier.longSeconds)} fire, one alone does not`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, spans, ...firstGroup(objective) }),
    checks: [
      { kind: 'silent', alert, fromSeconds: 0, toSeconds: thirdBegin },
      { kind: 'firing', alert, fromSeconds: fired, toSeconds: fired + evaluationSeconds },
    ],
  };
}

function burstOf(options: { readonly objective: Objective; readonly tier: Tier; readonly sliceSeconds: number }): Span {
  const { objective, sliceSeconds, tier } = options;
  const { indicator } = objective;
  if (indicator.kind === 'slices') {
    const needed = badSlicesNeeded({ tier, sliceSeconds });
    return { seconds: Math.ceil(0.6 * needed) * sliceSeconds, events: EVENTS, bad: EVENTS };
  }
  const badSeconds = 0.6 * decimalNumber(tier.threshold) * tier.longSeconds;
  const seconds = wholeMinutes(badSeconds);
  return { seconds, events: EVENTS, bad: Math.round((badSeconds / seconds) * EVENTS) };
}

/** One bad slice fewer than needed, spread over the short window, and the one that was missing. */
function fewSlicesProof({ environment, objective }: ProofContext, tier: Tier): Proof {
  const { indicator } = objective;
  if (indicator.kind !== 'slices') throw new Error(`${objective.name} has no slices`);
  const { sliceSeconds } = indicator;
  const share = Math.floor(decimalNumber(tier.threshold) * (tier.longSeconds / sliceSeconds)) + 1;
  const needed = Math.max(tier.badEventsMin, share);
  const good = (slices: number): Span => ({ seconds: slices * sliceSeconds, events: EVENTS, bad: 0 });
  const bad = (slices: number): Span => ({ seconds: slices * sliceSeconds, events: EVENTS, bad: EVENTS });
  const before = tier.longSeconds / sliceSeconds;
  const firesSeconds = (before + needed + 2) * sliceSeconds;
  const lag = environment.scrapeSeconds + environment.evaluationSeconds;
  const alert = burnSeries(objective, tier);
  return {
    name: `${objective.name}, ${tier.name}: ${needed - 1} bad slices are a blip, ${needed} fire`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({
      objective,
      scrapeSeconds: environment.scrapeSeconds,
      spans: [good(before), bad(needed - 1), good(2), bad(1), good(3)],
      ...firstGroup(objective),
    }),
    checks: [
      { kind: 'silent', alert, fromSeconds: 0, toSeconds: firesSeconds - sliceSeconds },
      { kind: 'firing', alert, fromSeconds: firesSeconds, toSeconds: firesSeconds + lag },
    ],
  };
}

/** The alert's life as three checks: nothing before, always during, nothing after. */
export function appearsAndGoes(options: {
  readonly alert: AlertSeries;
  readonly evaluationSeconds: number;
  readonly appears: Band;
  readonly goes: Band;
  readonly untilSeconds: number;
}): readonly Check[] {
  const { alert, appears, evaluationSeconds, goes, untilSeconds } = options;
  // The last evaluation strictly before a moment: ranges are left open, so it ends one range and begins the next.
  const before = (seconds: number): number => (Math.ceil(seconds / evaluationSeconds - 1e-9) - 1) * evaluationSeconds;
  return [
    { kind: 'silent', alert, fromSeconds: 0, toSeconds: before(appears.earliestSeconds) },
    { kind: 'firing', alert, fromSeconds: before(appears.latestSeconds), toSeconds: before(goes.earliestSeconds) },
    { kind: 'silent', alert, fromSeconds: before(goes.latestSeconds), toSeconds: untilSeconds },
  ];
}

/** The labels of an alert as ALERTS carries them; of the first group where there are groups. */
export function alertSeries(objective: Objective, alert: Alert, group = firstGroup(objective).group): AlertSeries {
  const grouped = objective.grouping === null || group === undefined ? {} : { [objective.grouping.label]: group };
  return { alertname: alert.name, ...alertLabels(objective, alert), ...grouped };
}

export function burnSeries(objective: Objective, tier: Tier): AlertSeries {
  const alert = alertsOf(objective).find((one) => one.kind === 'burn' && one.tier.name === tier.name);
  if (alert === undefined) throw new Error(`${objective.name} has no alert for ${tier.name}`);
  return alertSeries(objective, alert);
}

/** The group that has the fault. The others stay healthy, and their alerts are other series. */
export function firstGroup({ grouping }: Objective): { readonly group?: string } {
  const group = grouping?.expected[0];
  return group === undefined ? {} : { group };
}

export function shifted({ earliestSeconds, latestSeconds }: Band, bySeconds: number): Band {
  return { earliestSeconds: earliestSeconds + bySeconds, latestSeconds: latestSeconds + bySeconds };
}

export function wholeMinutes(seconds: number): number {
  return Math.ceil(seconds / 60) * 60;
}

export function percent(ratio: number): string {
  return `${Number((ratio * 100).toFixed(4))} %`;
}
