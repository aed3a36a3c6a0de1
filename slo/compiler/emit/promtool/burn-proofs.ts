/**
 * Proofs of burn alerts over raw windows, from the metrics themselves: each tier fires in [T, T + scrape + evaluation]
 * and not before, stays while the fault lasts, resolves on time, and is silent for ever just below its threshold.
 */
import { alertLabels, alertsOf } from '../../alerts.ts';
import { decimal, decimalNumber } from '../../decimal.ts';
import { durationText } from '../../duration.ts';
import { type Band, firingBand, resetBand } from '../../math/band.ts';
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
}

export function rawBurnProofs(context: ProofContext): readonly Proof[] {
  const raw = context.objective.tiers.filter(({ windows }) => windows === 'raw');
  if (raw.length === 0) return [];
  const isSlices = context.objective.indicator.kind === 'slices';
  return [
    outageProof(context, raw),
    ...raw.flatMap((tier) =>
      isSlices ? [fewSlicesProof(context, tier)] : [faultProof(context, tier), belowProof(context, tier)],
    ),
  ];
}

/** Everything fails: one run for all tiers, as it happens in life. */
function outageProof(context: ProofContext, tiers: readonly Tier[]): Proof {
  return stepProof({
    context,
    tiers,
    errorRatio: 1,
    what: (bands) =>
      `pages ${bands.map(({ earliestSeconds }) => durationText(Math.ceil(earliestSeconds))).join(' and ')} after everything fails`,
  });
}

function faultProof(context: ProofContext, tier: Tier): Proof {
  const threshold = decimalNumber(tier.threshold);
  const errorRatio = threshold * ABOVE < 1 ? threshold * ABOVE : (1 + threshold) / 2;
  return stepProof({
    context,
    tiers: [tier],
    errorRatio: Math.round(errorRatio * EVENTS) / EVENTS,
    what: (bands) =>
      `fires ${bands.map(({ earliestSeconds }) => durationText(Math.ceil(earliestSeconds))).join()} after ${percent(errorRatio)} begin to fail`,
  });
}

/** Clean for the longest window, a fault, clean again. */
function stepProof(options: {
  readonly context: ProofContext;
  readonly tiers: readonly Tier[];
  readonly errorRatio: number;
  readonly what: (bands: readonly Band[]) => string;
}): Proof {
  const { context, errorRatio, tiers } = options;
  const { environment, objective } = context;
  const fault = { errorRatio: decimal(errorRatio), eventsPerSecond: null };
  const timed = tiers.map((tier) => {
    const question = { tier, indicator: objective.indicator, fault, environment };
    const fires = firingBand(question);
    if (fires === undefined) throw new Error(`${objective.name} ${tier.name}: ${errorRatio} never fires`);
    return { tier, fires, resets: resetBand(question) };
  });
  const beginSeconds = Math.max(...tiers.map(({ longSeconds }) => longSeconds));
  const lastsSeconds = wholeMinutes(Math.max(...timed.map(({ fires }) => fires.latestSeconds))) + 300;
  const afterSeconds = wholeMinutes(Math.max(...timed.map(({ resets }) => resets.latestSeconds))) + 300;
  const spans: readonly Span[] = [
    { seconds: beginSeconds, events: EVENTS, bad: 0 },
    { seconds: lastsSeconds, events: EVENTS, bad: Math.round(errorRatio * EVENTS) },
    { seconds: afterSeconds, events: EVENTS, bad: 0 },
  ];
  const endSeconds = beginSeconds + lastsSeconds;
  return {
    name: `${objective.name}, ${tiers.map(({ name }) => name).join(' and ')}: ${options.what(timed.map(({ fires }) => fires))}`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, spans, ...firstGroup(objective) }),
    checks: timed.flatMap(({ fires, resets, tier }) =>
      appearsAndGoes({
        alert: burnSeries(objective, tier),
        evaluationSeconds: environment.evaluationSeconds,
        appears: shifted(fires, beginSeconds),
        goes: shifted(resets, endSeconds),
        untilSeconds: endSeconds + afterSeconds,
      }),
    ),
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
