/** Lowered objectives against the world that runs them: what could never fire, never be trusted or never be found. */
import { alertsOf } from './alerts.ts';
import { compare, decimal, decimalNumber, decimalText } from './decimal.ts';
import { durationText } from './duration.ts';
import { ruleGroups } from './emit/prometheus.ts';
import { catalogueProblems } from './lint-catalogue.ts';
import type { LoweredObjective } from './lower.ts';
import { meaningfulRate } from './math/budget.ts';
import { effectiveDetection, isReachable } from './math/detection.ts';
import { BAD_SLICES_MIN, BASELINE_OFFSETS_SECONDS, BASELINE_RANGE_SECONDS, type Tier } from './model.ts';
import type { Place, Problem, ProblemCode } from './problems.ts';
import type { Settings } from './settings.ts';

export interface LintContext {
  readonly settings: Settings;
  readonly runbooks: ReadonlySet<string>;
}

/** A window needs this many scrapes, so that one that failed leaves enough for a rate. */
const SCRAPES_MIN = 4;
const SLICE_SCRAPES_MIN = 2;

export function lint(lowered: readonly LoweredObjective[], context: LintContext): readonly Problem[] {
  return [
    ...lowered.flatMap((one) => [
      ...catalogueProblems(one.selectors, context.settings.externalMetrics),
      ...nameProblems(one),
      ...sliceProblems(one, context),
      ...tierSetProblems(one),
      ...one.objective.tiers.flatMap((tier) => tierProblems(one, tier, context)),
      ...retentionProblems(one, context),
      ...trafficProblems(one),
      ...runbookProblems(one, context),
    ]),
    ...collisionProblems(lowered),
  ];
}

function nameProblems({ objective, places }: LoweredObjective): readonly Problem[] {
  const file = objective.file.split('/').at(-1);
  if (file === `${objective.name}.yaml`) return [];
  const message = `SLO ${objective.name} stands in ${file}. Name the file ${objective.name}.yaml.`;
  return [{ code: 'NAME_NOT_FILE', place: places.name, message }];
}

function sliceProblems({ objective, places }: LoweredObjective, { settings }: LintContext): readonly Problem[] {
  const { indicator, tiers } = objective;
  if (indicator.kind !== 'slices') return [];
  const { sliceSeconds } = indicator;
  const { evaluationSeconds, scrapeSeconds } = settings.environment;
  const problem = (code: ProblemCode, message: string): Problem => ({ code, place: places.slice, message });
  const least = SLICE_SCRAPES_MIN * scrapeSeconds;
  const uneven = tiers
    .flatMap((tier) => [tier.longSeconds, tier.shortSeconds])
    .find((window) => window % sliceSeconds !== 0);
  return [
    ...(sliceSeconds < least
      ? [
          problem(
            'SLICE_SCRAPES',
            `a slice of ${durationText(sliceSeconds)} holds fewer than ${SLICE_SCRAPES_MIN} scrapes of ${durationText(scrapeSeconds)}. Use at least ${durationText(least)}.`,
          ),
        ]
      : []),
    ...(sliceSeconds < least || sliceSeconds % evaluationSeconds === 0
      ? []
      : [
          problem(
            'SLICE_EVALUATIONS',
            `a slice of ${durationText(sliceSeconds)} is no multiple of ${durationText(evaluationSeconds)}, between which rules are evaluated. Use a multiple.`,
          ),
        ]),
    ...(uneven === undefined
      ? []
      : [
          problem(
            'VALUE_REFUSED',
            `a slice of ${durationText(sliceSeconds)} does not divide the window ${durationText(uneven)}. Use a divisor of every window.`,
          ),
        ]),
  ];
}

/** Names, factors and windows that tell the tiers apart: the shorter the window, the higher the factor. */
function tierSetProblems({ objective, places }: LoweredObjective): readonly Problem[] {
  return objective.tiers.flatMap((tier, index): readonly Problem[] => {
    const before = objective.tiers[index - 1];
    const place = placeOf(places.tiers, tier, places.name);
    if (tier.shortSeconds >= tier.longSeconds) {
      const message = `the short window of ${tier.name} is ${durationText(tier.shortSeconds)}, its long one ${durationText(tier.longSeconds)}. Use about a twelfth.`;
      return [{ code: 'TIER_ORDER', place, message }];
    }
    if (before === undefined) return [];
    const distinct = compare(before.factor, tier.factor) > 0 && before.longSeconds < tier.longSeconds;
    if (distinct && before.name !== tier.name) return [];
    const message = `${tier.name} (${tierText(tier)}) follows ${before.name} (${tierText(before)}). Order tiers from the highest factor over the shortest window, each of its own name.`;
    return [{ code: 'TIER_ORDER', place: places.alertPolicies, message }];
  });
}

function tierText({ factor, longSeconds }: Tier): string {
  return `${decimalText(factor)} over ${durationText(longSeconds)}`;
}

function tierProblems(
  { objective, places }: LoweredObjective,
  tier: Tier,
  { settings }: LintContext,
): readonly Problem[] {
  const { environment } = settings;
  const place = placeOf(places.tiers, tier, places.name);
  const problems: Problem[] = [];
  if (!isReachable(tier)) {
    const message = `${objective.name}: ${tier.name} fires above an error ratio of ${decimalText(tier.threshold)} (${decimalText(tier.factor)} × ${decimalText(objective.budget)}), which no service reaches. Raise the target, or leave the tier out.`;
    problems.push({ code: 'TIER_UNREACHABLE', place: places.target, message });
  }
  const leastSeconds = SCRAPES_MIN * environment.scrapeSeconds;
  if (tier.shortSeconds < leastSeconds) {
    const message = `the short window of ${tier.name} is ${durationText(tier.shortSeconds)}, fewer than ${SCRAPES_MIN} scrapes of ${durationText(environment.scrapeSeconds)}. Use at least ${durationText(leastSeconds)}.`;
    problems.push({ code: 'TIER_SCRAPES', place, message });
  }
  if (objective.indicator.kind === 'slices' && tier.badEventsMin < BAD_SLICES_MIN) {
    const message = `${tier.name} fires from ${tier.badEventsMin} bad slice${tier.badEventsMin === 1 ? '' : 's'} on. Set vigia/min-bad-slices to at least ${BAD_SLICES_MIN}.`;
    problems.push({ code: 'FLOOR_REFUSED', place, message });
  }
  if (problems.length === 0)
    problems.push(...detectionProblems({ objective, places }, tier, environment.scrapeSeconds));
  return problems;
}

/** What decides when the page comes, where it is not the burn rate. Of a total outage, which is the fastest fault. */
function detectionProblems(
  { objective, places }: Pick<LoweredObjective, 'objective' | 'places'>,
  tier: Tier,
  scrapeSeconds: number,
): readonly Problem[] {
  if (tier.severity !== 'page') return [];
  const fault = { errorRatio: decimal(1), eventsPerSecond: objective.expectedRate };
  const burnSeconds = tier.longSeconds * decimalNumber(tier.threshold);
  const found = effectiveDetection({ objective, tier, fault, scrapeSeconds });
  if (found === undefined || found.decidedBy === 'burn') return [];
  if (found.seconds <= burnSeconds + (objective.indicator.kind === 'slices' ? objective.indicator.sliceSeconds : 0))
    return [];
  const what = { floor: 'its floor', slices: 'the slice', scrape: 'the scrape interval' }[found.decidedBy];
  const message = `${objective.name}: of a total outage ${tier.name} tells after ${Math.round(found.seconds)} s, decided by ${what}; the burn rate alone would say ${rounded(burnSeconds)} s.`;
  return [{ code: 'DETECTION_DECIDED', place: places.target, message }];
}

function rounded(seconds: number): string {
  return String(Math.round(seconds * 10) / 10);
}

/** The furthest that any rule of the objective looks back must lie inside what is kept. */
function retentionProblems({ objective, places }: LoweredObjective, { settings }: LintContext): readonly Problem[] {
  const { retentionSeconds } = settings.environment;
  const baseline = objective.collapse === null ? 0 : Math.max(...BASELINE_OFFSETS_SECONDS) + BASELINE_RANGE_SECONDS;
  const furthest = Math.max(objective.periodSeconds, baseline, ...objective.tiers.map((tier) => tier.longSeconds));
  if (furthest <= retentionSeconds) return [];
  const message = `${objective.name} looks back ${durationText(furthest)}, but only ${durationText(retentionSeconds)} are kept. Keep more (slo/environment.yaml), or use a shorter window.`;
  return [{ code: 'TIER_RETENTION', place: places.name, message }];
}

function trafficProblems({ objective, places }: LoweredObjective): readonly Problem[] {
  const { expectedRate } = objective;
  if (expectedRate === null || objective.indicator.kind === 'slices') return [];
  const needed = meaningfulRate(objective);
  if (decimalNumber(expectedRate) >= needed) return [];
  const message = `${decimalText(expectedRate)} events a second allow fewer than 10 bad ones in ${durationText(objective.periodSeconds)}; it takes ${needed.toPrecision(2)}. Add probes, lengthen the window or lower the target.`;
  return [{ code: 'TRAFFIC_LOW', place: places.expectedRate, message }];
}

function runbookProblems({ objective, places }: LoweredObjective, { runbooks }: LintContext): readonly Problem[] {
  if (runbooks.has(objective.runbook) || alertsOf(objective).length === 0) return [];
  const message = `${objective.name} has alerts and no runbook. Write ${objective.runbook}.`;
  return [{ code: 'RUNBOOK_MISSING', place: places.name, message }];
}

/** By name and the labels that rules set; the labels of groups come on top and cannot make two of one. */
function collisionProblems(lowered: readonly LoweredObjective[]): readonly Problem[] {
  const first = new Map<string, string>();
  const problems: Problem[] = [];
  for (const { objective, places } of lowered) {
    for (const rule of ruleGroups(objective).flatMap((group) => group.rules)) {
      const name = 'record' in rule ? rule.record : rule.alert;
      const key = JSON.stringify([name, Object.entries(rule.labels).sort()]);
      const other = first.get(key);
      if (other === undefined) first.set(key, objective.name);
      else {
        const message = `${objective.name} makes ${name} twice with the same labels (also by ${other}). Give its tiers names and windows of their own.`;
        problems.push({ code: 'RULE_COLLISION', place: places.name, message });
      }
    }
  }
  return problems;
}

function placeOf(tiers: ReadonlyMap<string, Place>, tier: Tier, otherwise: Place): Place {
  return tiers.get(tier.name) ?? otherwise;
}
