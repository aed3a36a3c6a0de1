/** What an SLO's own annotations ask for besides the burn rate: groups, silence, falling traffic, expected events. */
import type { annotationsOf } from './annotations.ts';
import { type Decimal, decimal, readDecimal } from './decimal.ts';
import type { SelectorPlace } from './lower-indicator.ts';
import type { Collapse, Expectation, Grouping, Indicator, NoData, Selector, Severity } from './model.ts';
import type { Problem } from './problems.ts';
import { readSelector } from './selector.ts';

export type SloAnnotations = ReturnType<typeof annotationsOf<'SLO'>>['annotations'];

interface Watches {
  readonly grouping: Grouping | null;
  readonly noData: NoData;
  readonly collapse: Collapse | null;
  readonly expectation: Expectation | null;
  readonly expectedRate: Decimal | null;
}

/** A fifth of the quieter half hour of yesterday and last week, above 1 event in 2 s: a night of 2/s is left alone. */
const COLLAPSE = { ratio: decimal('0.2'), baselineMin: decimal('0.5') } as const;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** What a group may be called in a rule and in a runbook. */
const GROUP = /^[A-Za-z0-9_.:/-]+$/;

export function lowerWatches(
  annotations: SloAnnotations,
  context: { readonly datasets: readonly string[]; readonly kind: Indicator['kind'] | undefined },
): { readonly watches: Watches; readonly selectors: readonly SelectorPlace[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const grouping = groupingOf(annotations, context.datasets, problems);
  const noData = noDataOf(annotations, context.kind, problems);
  const collapse = collapseOf(annotations, context.kind, problems);
  const { expectation, selectors } = expectationOf(annotations, grouping, problems);
  const rate = annotations.get('expected-rate');
  const expectedRate = rate === undefined ? null : (readDecimal(rate) ?? null);
  if (rate !== undefined && (expectedRate === null || expectedRate.units <= 0n)) {
    problems.push(
      annotations.problem('expected-rate', 'ANNOTATION_REFUSED', `is "${rate}". Give events a second, like 2.5.`),
    );
  }
  return { watches: { grouping, noData, collapse, expectation, expectedRate }, selectors, problems };
}

function groupingOf(annotations: SloAnnotations, datasets: readonly string[], problems: Problem[]): Grouping | null {
  const label = annotations.get('group-by');
  const groups = annotations.get('groups');
  if (label === undefined && groups === undefined) return null;
  if (label === undefined || groups === undefined) {
    const there = label === undefined ? 'groups' : 'group-by';
    const missing = label === undefined ? 'group-by' : 'groups';
    problems.push(annotations.problem(there, 'ANNOTATION_REFUSED', `needs vigia/${missing} beside it. Add it.`));
    return null;
  }
  if (!LABEL.test(label)) {
    problems.push(annotations.problem('group-by', 'ANNOTATION_REFUSED', `is "${label}". Give the name of a label.`));
  }
  const expected = groups === 'datasets' ? datasets : groups.split(',').map((group) => group.trim());
  if (expected.some((group) => !GROUP.test(group)) || new Set(expected).size !== expected.length) {
    const message = `is "${groups}". Give datasets, or different values separated by commas.`;
    problems.push(annotations.problem('groups', 'ANNOTATION_REFUSED', message));
  }
  return { label, expected: [...expected].sort() };
}

function noDataOf(annotations: SloAnnotations, kind: Indicator['kind'] | undefined, problems: Problem[]): NoData {
  const choice = annotations.get('no-data');
  switch (choice) {
    case 'page':
    case 'ticket':
      return { choice: 'alert', severity: choice };
    case 'bad':
      if (kind !== undefined && kind !== 'slices') {
        const message = 'is bad: a ratio without data has nothing to count. Use page or ticket, or time slices.';
        problems.push(annotations.problem('no-data', 'NO_DATA_REFUSED', message));
      }
      return { choice };
    case 'ignore':
      return { choice };
    default:
      problems.push(
        annotations.problem(
          'no-data',
          'ANNOTATION_REFUSED',
          `is ${choice ?? 'missing'}. Use one of: page, ticket, bad, ignore.`,
        ),
      );
      return { choice: 'ignore' };
  }
}

function collapseOf(
  annotations: SloAnnotations,
  kind: Indicator['kind'] | undefined,
  problems: Problem[],
): Collapse | null {
  const choice = annotations.get('traffic-collapse') ?? 'ignore';
  if (choice === 'ignore') return null;
  if (choice !== 'page' && choice !== 'ticket') {
    problems.push(
      annotations.problem(
        'traffic-collapse',
        'ANNOTATION_REFUSED',
        `is "${choice}". Use one of: page, ticket, ignore.`,
      ),
    );
    return null;
  }
  if (kind === 'slices') {
    problems.push(
      annotations.problem(
        'traffic-collapse',
        'ANNOTATION_REFUSED',
        'needs traffic: slices come at one rate. Remove it.',
      ),
    );
    return null;
  }
  return { severity: choice satisfies Severity, ...COLLAPSE };
}

function expectationOf(
  annotations: SloAnnotations,
  grouping: Grouping | null,
  problems: Problem[],
): { readonly expectation: Expectation | null; readonly selectors: readonly SelectorPlace[] } {
  const names = ['expectation', 'expectation-limit'] as const;
  const texts = names.map((name) => annotations.get(name));
  if (texts.every((text) => text === undefined)) return { expectation: null, selectors: [] };
  const selectors: (Selector | undefined)[] = names.map((name, index) => {
    const text = texts[index];
    const read = text === undefined ? undefined : readSelector(text);
    if (read?.kind === 'selector') return read.selector;
    const why = read === undefined ? 'is missing' : `cannot be used: ${read.why}`;
    problems.push(annotations.problem(name, 'QUERY_UNREADABLE', `${why}. Write METRIC{LABEL="VALUE"}.`));
    return undefined;
  });
  if (grouping === null) {
    problems.push(
      annotations.problem('expectation', 'ANNOTATION_REFUSED', 'is compared group by group. Add vigia/group-by.'),
    );
  }
  const [measure, limit] = selectors;
  if (measure === undefined || limit === undefined) return { expectation: null, selectors: [] };
  return {
    expectation: { measure, limit },
    selectors: [
      { selector: measure, place: annotations.place('expectation'), use: 'gauge' },
      { selector: limit, place: annotations.place('expectation-limit'), use: 'gauge' },
    ],
  };
}
