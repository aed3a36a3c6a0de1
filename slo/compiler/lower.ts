/**
 * OpenSLO objects → the model, or every problem at once. A part of OpenSLO that is not compiled is refused by its name:
 * what is not in the rules must not look as if it were.
 */
import { annotationsOf } from './annotations.ts';
import { compare, type Decimal, decimal, decimalText, multiply, subtract } from './decimal.ts';
import { type IndicatorSource, lowerIndicator, type SelectorPlace } from './lower-indicator.ts';
import { type TierTemplate, templateOf, tierFor } from './lower-policy.ts';
import { lowerWatches, type SloAnnotations } from './lower-watches.ts';
import type { Exclusion, Objective } from './model.ts';
import type { Place, Problem } from './problems.ts';
import type { Located } from './read-objects.ts';
import type { References } from './references.ts';
import { pathText } from './shape.ts';

export interface LoweringContext {
  readonly references: References;
  /** Names of the datasets, for objectives grouped by them. */
  readonly datasets: readonly string[];
  readonly exclusionsOf: (objective: string) => readonly Exclusion[];
}

/** An objective with the places that lints point at. */
export interface LoweredObjective {
  readonly objective: Objective;
  readonly selectors: readonly SelectorPlace[];
  readonly places: {
    readonly name: Place;
    readonly target: Place;
    readonly noData: Place;
    readonly expectedRate: Place;
    readonly slice: Place;
    readonly alertPolicies: Place;
    /** By the tier's name. */
    readonly tiers: ReadonlyMap<string, Place>;
  };
}

type Slo = Located<'SLO'>;

const ONE = decimal(1);
const HALF = decimal('0.5');
const PERCENT = decimal('0.01');

export function lowerObjective(
  slo: Slo,
  context: LoweringContext,
): { readonly lowered?: LoweredObjective; readonly problems: readonly Problem[] } {
  const { metadata, spec } = slo.object;
  const { annotations, problems: unknown } = annotationsOf({
    holder: 'SLO',
    located: slo,
    metadata,
    path: ['metadata'],
  });
  const promise = promiseOf(slo);
  const indicator = indicatorOf(slo, context.references);
  const service = serviceOf(slo, context.references);
  const policies = templatesOf(slo, context.references);
  const watches = lowerWatches(annotations, { datasets: context.datasets, kind: indicator.indicator?.kind });
  const parts = [promise, indicator, service, policies, watches];
  const problems = [...unknown, ...parts.flatMap((part) => part.problems)];
  if (problems.length > 0 || indicator.indicator === undefined) return { problems };
  const slices = indicator.indicator.kind === 'slices';
  const budget = subtract(ONE, promise.target);
  const objective: Objective = {
    name: metadata.name,
    service: spec.service,
    owner: service.owner,
    title: metadata.displayName ?? metadata.name,
    description: spec.description?.trim() ?? '',
    target: promise.target,
    budget,
    periodSeconds: promise.periodSeconds,
    indicator: indicator.indicator,
    tiers: policies.templates.map((template) => tierFor({ template, budget, slices })),
    ...watches.watches,
    exclusions: context.exclusionsOf(metadata.name),
    file: slo.file,
    runbook: slo.file.replace(/\.ya?ml$/, '.runbook.md'),
  };
  const selectors = [...indicator.selectors, ...watches.selectors];
  return { lowered: { objective, selectors, places: placesOf(slo, annotations, policies.templates) }, problems };
}

function promiseOf(slo: Slo): {
  readonly target: Decimal;
  readonly periodSeconds: number;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const { objectives, timeWindow } = slo.object.spec;
  const [objective, second] = objectives;
  const at = ['spec', 'objectives', 0];
  const refuse = (code: Problem['code'], path: readonly PropertyKey[], message: string): void => {
    problems.push({ code, place: slo.place(path), message });
  };
  if (second !== undefined) {
    refuse(
      'PART_UNSUPPORTED',
      ['spec', 'objectives', 1],
      'several objectives in one SLO are not compiled. Write one SLO for each.',
    );
  }
  for (const key of ['indicator', 'indicatorRef', 'compositeWeight'] as const) {
    if (objective?.[key] === undefined) continue;
    refuse(
      'PART_UNSUPPORTED',
      [...at, key],
      `composite objectives (${key} of an objective) are not compiled. Write one SLO for each.`,
    );
  }
  const written = objective?.target ?? (objective?.targetPercent && multiply(objective.targetPercent, PERCENT));
  const both = objective?.target !== undefined && objective.targetPercent !== undefined;
  if (written === undefined || both) {
    refuse('VALUE_REFUSED', at, 'an objective has either target or targetPercent. Write one of both.');
  } else if (compare(written, ONE) >= 0 || compare(written, HALF) < 0) {
    const key = objective?.target === undefined ? 'targetPercent' : 'target';
    refuse(
      'TARGET_REFUSED',
      [...at, key],
      `a target of ${decimalText(written)} ${compare(written, HALF) < 0 ? 'promises nothing' : 'leaves no budget'}. Use at least 0.5 and less than 1.`,
    );
  }
  const [window] = timeWindow;
  if (window?.isRolling === false || typeof window?.duration === 'string') {
    const message =
      'a calendar window is not compiled: alerts would go blind when it begins anew. Use a rolling window (duration: 30d, isRolling: true); `npm run slo -- report --month` tells of calendar months.';
    refuse('WINDOW_CALENDAR', ['spec', 'timeWindow', 0], message);
  } else if (window?.calendar !== undefined) {
    refuse('VALUE_REFUSED', ['spec', 'timeWindow', 0, 'calendar'], 'a rolling window has no calendar. Remove it.');
  }
  const periodSeconds = typeof window?.duration === 'number' ? window.duration : 0;
  if (problems.length === 0 && (periodSeconds < DAY_SECONDS || periodSeconds % DAY_SECONDS !== 0)) {
    refuse('VALUE_REFUSED', ['spec', 'timeWindow', 0, 'duration'], 'a budget counts whole days. Use 30d, or 28d.');
  }
  return { target: written ?? ONE, periodSeconds, problems };
}
const DAY_SECONDS = 86_400;

function indicatorOf(slo: Slo, references: References): ReturnType<typeof lowerIndicator> {
  const { budgetingMethod, indicator, indicatorRef, objectives } = slo.object.spec;
  const [objective] = objectives;
  if (objective === undefined) throw new Error('the schema asks for an objective');
  const use: IndicatorSource['slo'] = { located: slo, budgetingMethod, objective };
  if (indicator !== undefined && indicatorRef === undefined) {
    return lowerIndicator({ sli: { located: slo, path: ['spec', 'indicator'], ...indicator }, slo: use }, references);
  }
  if (indicator === undefined && indicatorRef !== undefined) {
    const { found, problems } = references.find('SLI', indicatorRef, slo.place(['spec', 'indicatorRef']));
    if (found === undefined) return { selectors: [], problems };
    const { metadata, spec } = found.object;
    return lowerIndicator({ sli: { located: found, path: [], metadata, spec }, slo: use }, references);
  }
  const message = 'an SLO has either indicator or indicatorRef. Write one of both.';
  return { selectors: [], problems: [{ code: 'VALUE_REFUSED', place: slo.place(['spec']), message }] };
}

function serviceOf(
  slo: Slo,
  references: References,
): { readonly owner: string; readonly problems: readonly Problem[] } {
  const { found, problems } = references.find('Service', slo.object.spec.service, slo.place(['spec', 'service']));
  if (found === undefined) return { owner: '', problems };
  const { annotations, problems: unknown } = annotationsOf({
    holder: 'Service',
    located: found,
    metadata: found.object.metadata,
    path: ['metadata'],
  });
  const owner = annotations.get('owner') ?? '';
  if (owner !== '') return { owner, problems: unknown };
  const message = `Service ${found.object.metadata.name} has no owner, so its alerts reach nobody. Add the annotation vigia/owner.`;
  const missing: Problem = { code: 'OWNER_MISSING', place: found.place(['metadata', 'name']), message };
  return { owner, problems: [...unknown, missing] };
}

function templatesOf(
  slo: Slo,
  references: References,
): { readonly templates: readonly TierTemplate[]; readonly problems: readonly Problem[] } {
  const templates: TierTemplate[] = [];
  const problems: Problem[] = [];
  for (const [index, policy] of (slo.object.spec.alertPolicies ?? []).entries()) {
    const path = ['spec', 'alertPolicies', index];
    const { alertPolicyRef, spec } = policy;
    if ((alertPolicyRef === undefined) === (spec === undefined)) {
      const message = `${pathText(path)} needs either alertPolicyRef, or kind, metadata and spec. Write one of both.`;
      problems.push({ code: 'VALUE_REFUSED', place: slo.place(path), message });
    } else if (spec !== undefined) {
      const read = templateOf({ located: slo, path: [...path, 'spec'], spec }, references);
      problems.push(...read.problems);
      if (read.template !== undefined) templates.push(read.template);
    } else {
      const place = slo.place([...path, 'alertPolicyRef']);
      const { found, problems: lost } = references.find('AlertPolicy', alertPolicyRef ?? '', place);
      problems.push(...lost);
      if (found === undefined) continue;
      const read = templateOf({ located: found, path: ['spec'], spec: found.object.spec }, references);
      problems.push(...read.problems);
      if (read.template !== undefined) templates.push(read.template);
    }
  }
  if (templates.length === 0 && problems.length === 0) {
    const message = 'an objective without an alert is a wish. Add alertPolicies.';
    problems.push({ code: 'KEY_MISSING', place: slo.place(['spec', 'alertPolicies']), message });
  }
  return { templates, problems };
}

function placesOf(
  slo: Slo,
  annotations: SloAnnotations,
  templates: readonly TierTemplate[],
): LoweredObjective['places'] {
  return {
    name: slo.place(['metadata', 'name']),
    target: slo.place(['spec', 'objectives', 0, 'target']),
    noData: annotations.place('no-data'),
    expectedRate: annotations.place('expected-rate'),
    slice: slo.place(['spec', 'objectives', 0, 'timeSliceWindow']),
    alertPolicies: slo.place(['spec', 'alertPolicies']),
    tiers: new Map(templates.map((template) => [template.name, template.place])),
  };
}
