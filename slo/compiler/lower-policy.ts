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

function readCondition(found: FoundCondition): {
  readonly template?: TierTemplate;
  readonly problems: readonly Problem[];
} {
  const { located, metadata, path, spec } = found;
  const { annotations, problems: unknown } = annotationsOf({
    holder: 'AlertCondition',
    located,
    metadata,
    path: [...path, 'metadata'],
  });
  const burn = readBurn(found);
  const own = readOwn(annotations);
  const problems = [...unknown, ...burn.problems, ...own.problems];
  const { badEventsMin, badSlicesMin, name, shortSeconds } = own;
  if (problems.length > 0 || !burn.severity || !name || !shortSeconds || !badEventsMin || !badSlicesMin) {
    return { problems };
  }
  const { longSeconds, severity } = burn;
  const place = located.place([...path, 'spec', 'condition']);
  const factor = spec.condition.threshold;
  return {
    template: { name, severity, factor, longSeconds, shortSeconds, badEventsMin, badSlicesMin, place },
    problems,
  };
}

/** What OpenSLO itself says of a condition. */
function readBurn({ located, path, spec }: FoundCondition): {
  readonly severity: Severity | undefined;
  readonly longSeconds: number;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const { alertAfter, lookbackWindow, op, threshold } = spec.condition;
  const refuse = (code: Problem['code'], keys: readonly string[], message: string): void => {
    problems.push({ code, place: located.place([...path, 'spec', ...keys]), message });
  };
  if (op !== 'gt') {
    refuse('VALUE_REFUSED', ['condition', 'op'], `op is ${op}: a burn rate alerts when it is too high. Use gt.`);
  }
  if (alertAfter !== undefined && alertAfter !== 0) {
    const message = 'alertAfter only delays: the short window already ends short bursts. Use 0m, or leave it out.';
    refuse('PART_UNSUPPORTED', ['condition', 'alertAfter'], message);
  }
  const severity = SEVERITIES.find((known) => known === spec.severity);
  if (severity === undefined) {
    refuse('VALUE_REFUSED', ['severity'], `severity is "${spec.severity}". Use one of: ${SEVERITIES.join(', ')}.`);
  }
  if (compare(threshold, decimal(0)) <= 0) {
    refuse(
      'VALUE_REFUSED',
      ['condition', 'threshold'],
      'a burn rate of 0 or less always alerts. Use a factor above 0.',
    );
  }
  if (typeof lookbackWindow === 'string' || lookbackWindow === 0) {
    const message = `the window ${lookbackWindow} is no length of time. Use hours or days.`;
    refuse('VALUE_REFUSED', ['condition', 'lookbackWindow'], message);
  }
  return { severity, longSeconds: typeof lookbackWindow === 'number' ? lookbackWindow : 0, problems };
}

type ConditionAnnotations = ReturnType<typeof annotationsOf<'AlertCondition'>>['annotations'];

/** What the annotations say of it. */
function readOwn(annotations: ConditionAnnotations): {
  readonly name: TierName | undefined;
  readonly shortSeconds: number | undefined;
  readonly badEventsMin: number | undefined;
  readonly badSlicesMin: number | undefined;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const read = <T>(
    key: Parameters<ConditionAnnotations['get']>[0],
    parse: (text: string) => T | undefined,
    wanted: string,
  ): T | undefined => {
    const text = annotations.get(key);
    const value = text === undefined ? undefined : parse(text);
    if (value === undefined) {
      const given = text === undefined ? 'missing' : `"${text}"`;
      problems.push(annotations.problem(key, 'ANNOTATION_REFUSED', `is ${given}. ${wanted}.`));
    }
    return value;
  };
  return {
    name: read('tier', (text) => TIERS.find((known) => known === text), `Use one of: ${TIERS.join(', ')}`),
    shortSeconds: read('short-window', (text) => readDuration(text) || undefined, 'Give a duration, like 5m'),
    badEventsMin: read('min-bad', wholeNumber, 'Give a whole number from 1'),
    badSlicesMin: read('min-bad-slices', wholeNumber, 'Give a whole number from 3'),
    problems,
  };
}

function wholeNumber(text: string): number | undefined {
  return /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}
