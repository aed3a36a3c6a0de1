/** AlertPolicy and AlertCondition → tiers. OpenSLO v1 has one condition in a policy, so a tier is a policy. */
import { annotationsOf } from './annotations.ts';
import { compare, type Decimal, decimal, multiply } from './decimal.ts';
import { readDuration } from './duration.ts';
import { RAW_WINDOW_SECONDS_MAX, type Severity, type Tier, type TierName } from './model.ts';
import type { ConditionSpec, Metadata, PolicySpec } from './openslo.ts';
import type { Place, Problem } from './problems.ts';
import type { Located } from './read-objects.ts';
import type { References } from './references.ts';
import { pathText } from './shape.ts';

/** A tier before it meets an objective: the threshold needs its budget, the floor its kind. */
export interface TierTemplate {
  readonly name: TierName;
  readonly severity: Severity;
  readonly factor: Decimal;
  readonly longSeconds: number;
  readonly shortSeconds: number;
  readonly badEventsMin: number;
  readonly badSlicesMin: number;
  /** Where it is written, for problems that only show with an objective. */
  readonly place: Place;
}

const TIERS: readonly TierName[] = ['fast', 'medium', 'slow', 'drain'];
const SEVERITIES: readonly Severity[] = ['page', 'ticket'];
/** Above this a tier waits for history; a page for the last hour is right also in the first hour. */
const WARM_UP_ABOVE_SECONDS = 3600;
const WARM_UP_SHARE_PERCENT = 90;

export function tierFor(options: {
  readonly template: TierTemplate;
  readonly budget: Decimal;
  readonly slices: boolean;
}): Tier {
  const { budget, slices, template } = options;
  const { badEventsMin, badSlicesMin, factor, longSeconds, name, severity, shortSeconds } = template;
  return {
    name,
    severity,
    factor,
    threshold: multiply(factor, budget),
    longSeconds,
    shortSeconds,
    windows: longSeconds <= RAW_WINDOW_SECONDS_MAX ? 'raw' : 'derived',
    badEventsMin: slices ? badSlicesMin : badEventsMin,
    warmUpSeconds: longSeconds <= WARM_UP_ABOVE_SECONDS ? null : (longSeconds * WARM_UP_SHARE_PERCENT) / 100,
  };
}

/** `path` leads to the policy's specification inside `located`. */
export function templateOf(
  {
    located,
    path,
    spec,
  }: { readonly located: Located; readonly path: readonly PropertyKey[]; readonly spec: PolicySpec },
  references: References,
): { readonly template?: TierTemplate; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const refuse = (key: string, message: string): void => {
    problems.push({ code: 'PART_UNSUPPORTED', place: located.place([...path, key]), message });
  };
  if (spec.alertWhenNoData === true) {
    refuse(
      'alertWhenNoData',
      'alertWhenNoData is chosen for each objective. Remove it and set vigia/no-data on the SLO.',
    );
  }
  if (spec.alertWhenBreaching !== true) {
    refuse(
      'alertWhenBreaching',
      'a policy that does not alert when breaching is not compiled. Set alertWhenBreaching: true.',
    );
  }
  if (spec.alertWhenResolved === false) {
    refuse('alertWhenResolved', 'whether an end is told is set at the receiver. Remove alertWhenResolved.');
  }
  for (const [index, target] of spec.notificationTargets.entries()) {
    if (target.targetRef === undefined) continue;
    const place = located.place([...path, 'notificationTargets', index, 'targetRef']);
    problems.push(...references.find('AlertNotificationTarget', target.targetRef, place).problems);
  }
  const condition = conditionOf({ located, path, spec }, references);
  problems.push(...condition.problems);
  if (condition.found === undefined) return { problems };
  const read = readCondition(condition.found);
  return { ...read, problems: [...problems, ...read.problems] };
}

interface FoundCondition {
  readonly located: Located;
  /** To the object that holds metadata and spec. */
  readonly path: readonly PropertyKey[];
  readonly metadata: Metadata;
  readonly spec: ConditionSpec;
}

function conditionOf(
  {
    located,
    path,
    spec,
  }: { readonly located: Located; readonly path: readonly PropertyKey[]; readonly spec: PolicySpec },
  references: References,
): { readonly found?: FoundCondition; readonly problems: readonly Problem[] } {
  const [written] = spec.conditions;
  const at = [...path, 'conditions', 0];
  if (written?.conditionRef !== undefined && written.spec === undefined) {
    const { found, problems } = references.find(
      'AlertCondition',
      written.conditionRef,
      located.place([...at, 'conditionRef']),
    );
    if (found === undefined) return { problems };
    const { metadata, spec: conditionSpec } = found.object;
    return { found: { located: found, path: [], metadata, spec: conditionSpec }, problems };
  }
  if (written?.conditionRef === undefined && written?.spec !== undefined && written.metadata !== undefined) {
    return { found: { located, path: at, metadata: written.metadata, spec: written.spec }, problems: [] };
  }
  const message = `${pathText(at)} needs either conditionRef, or kind, metadata and spec. Write one of both.`;
  return { problems: [{ code: 'VALUE_REFUSED', place: located.place(at), message }] };
}

function readCondition({ located, metadata, path, spec }: FoundCondition): {
  readonly template?: TierTemplate;
  readonly problems: readonly Problem[];
} {
  const { annotations, problems: unknown } = annotationsOf({
    holder: 'AlertCondition',
    located,
    metadata,
    path: [...path, 'metadata'],
  });
  const problems: Problem[] = [...unknown];
  const { alertAfter, lookbackWindow, op, threshold } = spec.condition;
  const place = (...keys: readonly string[]): Place => located.place([...path, 'spec', ...keys]);
  if (op !== 'gt') {
    const message = `op is ${op}: a burn rate alerts when it is too high. Use gt.`;
    problems.push({ code: 'VALUE_REFUSED', place: place('condition', 'op'), message });
  }
  if (alertAfter !== undefined && alertAfter !== 0) {
    const message = 'alertAfter only delays: the short window already ends short bursts. Use 0m, or leave it out.';
    problems.push({ code: 'PART_UNSUPPORTED', place: place('condition', 'alertAfter'), message });
  }
  const severity = SEVERITIES.find((known) => known === spec.severity);
  if (severity === undefined) {
    const message = `severity is "${spec.severity}". Use one of: ${SEVERITIES.join(', ')}.`;
    problems.push({ code: 'VALUE_REFUSED', place: place('severity'), message });
  }
  if (typeof lookbackWindow === 'string' || compare(threshold, decimal(0)) <= 0) {
    const message = `a burn rate of ${typeof lookbackWindow === 'string' ? `a calendar window (${lookbackWindow})` : '0 or less'} is not compiled. Use a factor above 0 over hours or days.`;
    problems.push({ code: 'VALUE_REFUSED', place: place('condition'), message });
  }
  const name = TIERS.find((known) => known === annotations.get('tier'));
  if (name === undefined)
    problems.push(
      annotations.problem(
        'tier',
        'ANNOTATION_REFUSED',
        `is ${annotations.get('tier') ?? 'missing'}. Use one of: ${TIERS.join(', ')}.`,
      ),
    );
  const shortSeconds = readDuration(annotations.get('short-window') ?? '');
  if (shortSeconds === undefined || shortSeconds === 0)
    problems.push(
      annotations.problem(
        'short-window',
        'ANNOTATION_REFUSED',
        `is ${annotations.get('short-window') ?? 'missing'}. Give a duration, like 5m.`,
      ),
    );
  const badEventsMin = wholeNumber(annotations.get('min-bad'));
  if (badEventsMin === undefined)
    problems.push(
      annotations.problem(
        'min-bad',
        'ANNOTATION_REFUSED',
        `is ${annotations.get('min-bad') ?? 'missing'}. Give a whole number from 1.`,
      ),
    );
  const badSlicesMin = wholeNumber(annotations.get('min-bad-slices'));
  if (badSlicesMin === undefined)
    problems.push(
      annotations.problem(
        'min-bad-slices',
        'ANNOTATION_REFUSED',
        `is ${annotations.get('min-bad-slices') ?? 'missing'}. Give a whole number from 3.`,
      ),
    );
  if (
    problems.length > 0 ||
    !name ||
    !severity ||
    !shortSeconds ||
    !badEventsMin ||
    !badSlicesMin ||
    typeof lookbackWindow === 'string'
  )
    return { problems };
  const template = {
    name,
    severity,
    factor: threshold,
    longSeconds: lookbackWindow,
    shortSeconds,
    badEventsMin,
    badSlicesMin,
  };
  return { template: { ...template, place: place('condition') }, problems };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}
