/**
 * Label values that satisfy matchers, and values that break exactly one of them: the series a proof feeds, and the
 * decoys beside them that a rule must not count.
 */
import type { Matcher, Selector } from '../../model.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Series {
  readonly metric: string;
  readonly labels: Labels;
}

/** Stands for any value that no matcher names. */
const OTHER = 'other';

/** Labels that satisfy every matcher. Throws where two matchers of a label leave no value that is tried here. */
export function matchingLabels(matchers: readonly Matcher[]): Labels {
  const names = [...new Set(matchers.map((matcher) => matcher.label))];
  return Object.fromEntries(names.map((label) => [label, valueFor(matchers.filter((one) => one.label === label))]));
}

function valueFor(matchers: readonly Matcher[]): string {
  const value = [...matchers.flatMap(conforming), OTHER].find((candidate) =>
    matchers.every((matcher) => isMatch(matcher, candidate)),
  );
  if (value === undefined) {
    throw new Error(`no value found for ${matchers.map(matcherText).join(',')}: the proof has no series to feed`);
  }
  return value;
}

/** `labels` with the matcher's label changed so that this matcher fails. */
export function breaking(labels: Labels, matcher: Matcher): Labels {
  return { ...labels, [matcher.label]: breakingValue(matcher) };
}

function breakingValue(matcher: Matcher): string {
  // The bucket that holds every observation is the one that hurts most when its bound is forgotten.
  const candidates = matcher.label === 'le' ? ['+Inf'] : [OTHER, ...samples(matcher.value), ''];
  const value = candidates.find((candidate) => !isMatch(matcher, candidate));
  if (value === undefined) throw new Error(`every value matches ${matcherText(matcher)}: the matcher says nothing`);
  return value;
}

export function selects(selector: Selector, { metric, labels }: Series): boolean {
  return (
    selector.metric === metric && selector.matchers.every((matcher) => isMatch(matcher, labels[matcher.label] ?? ''))
  );
}

export function seriesText({ metric, labels }: Series): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? metric : `${metric}{${pairs.join(',')}}`;
}

function conforming(matcher: Matcher): readonly string[] {
  switch (matcher.op) {
    case '=':
      // Prometheus 3 writes whole bucket bounds with a fraction: 5 is stored as 5.0.
      return matcher.label === 'le' && /^\d+$/.test(matcher.value)
        ? [`${matcher.value}.0`, matcher.value]
        : [matcher.value];
    case '=~':
      return samples(matcher.value);
    case '!=':
    case '!~':
      return [];
  }
}

function isMatch({ label, op, value }: Matcher, candidate: string): boolean {
  switch (op) {
    case '=':
      // A whole bucket bound has two spellings, and rules match both.
      return candidate === value || (label === 'le' && candidate === `${value}.0`);
    case '!=':
      return candidate !== value;
    case '=~':
      return new RegExp(`^(?:${value})$`).test(candidate);
    case '!~':
      return !new RegExp(`^(?:${value})$`).test(candidate);
  }
}

/** Texts that match the simple patterns selectors use: alternatives, groups, dots, `?`, `.*`. */
function samples(pattern: string): readonly string[] {
  const texts = expanded(pattern).map((text) =>
    text
      .replace(/(?<!\\)\.[*+]/g, 'x')
      .replace(/[^\\]\?/g, '')
      .replace(/(?<!\\)\./g, '0')
      .replace(/\\(.)/g, '$1'),
  );
  return [pattern, ...texts].filter((text) => new RegExp(`^(?:${pattern})$`).test(text));
}

/** One text for each choice of alternatives; an optional group is one with an empty alternative. */
function expanded(pattern: string): readonly string[] {
  const alternatives = splitAlternatives(pattern);
  if (alternatives.length > 1) return alternatives.flatMap(expanded);
  const group = /\((?:\?:)?([^()]*)\)(\??)/.exec(pattern);
  if (group === null) return [pattern];
  const [whole, inner = '', optional] = group;
  const choices = [...inner.split('|'), ...(optional === '?' ? [''] : [])];
  const before = pattern.slice(0, group.index);
  const after = pattern.slice(group.index + whole.length);
  return choices.flatMap((choice) => expanded(`${before}${choice}${after}`));
}

function splitAlternatives(pattern: string): readonly string[] {
  let depth = 0;
  let current = '';
  const parts: string[] = [];
  for (const character of pattern) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (character === '|' && depth === 0) {
      parts.push(current);
      current = '';
    } else current += character;
  }
  return [...parts, current];
}

function matcherText({ label, op, value }: Matcher): string {
  return `${label}${op}${JSON.stringify(value)}`;
}
