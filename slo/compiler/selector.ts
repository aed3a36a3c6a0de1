/**
 * Selectors: one metric with matchers. Read by the grammar that Prometheus publishes, so what is accepted here is what
 * Prometheus accepts; anything more (a rate, a window, a sum) is refused, because the compiler adds it.
 */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import type { Matcher, Selector } from './model.ts';

/** A selector, or what is wrong with the text. */
export type SelectorRead =
  | { readonly kind: 'selector'; readonly selector: Selector }
  | { readonly kind: 'refused'; readonly why: string };

const OPERATORS = ['=', '!=', '=~', '!~'] as const;

export function readSelector(text: string): SelectorRead {
  const tree = parser.parse(text);
  const root = tree.topNode.firstChild;
  if (root === null || hasError(tree.topNode)) return { kind: 'refused', why: 'it is not PromQL' };
  if (root.name !== 'VectorSelector')
    return { kind: 'refused', why: `it is a ${root.name}, not a metric with matchers` };
  const metric = root.getChild('Identifier');
  if (metric === null) return { kind: 'refused', why: 'it does not name a metric before the braces' };
  const list = root.getChild('LabelMatchers');
  const matchers = list?.getChildren('UnquotedLabelMatcher') ?? [];
  // Labels in quotes (UTF-8 names) have no place in the catalogue.
  if (list?.getChild('QuotedLabelMatcher') ?? list?.getChild('QuotedLabelName')) {
    return { kind: 'refused', why: 'it has a label name in quotes' };
  }
  return {
    kind: 'selector',
    selector: { metric: at(text, metric), matchers: matchers.map((node) => matcherOf(text, node)) },
  };
}

/** PromQL of a selector; `more` adds matchers, `suffix` goes after the metric's name. */
export function selectorText({ metric, matchers }: Selector, more: readonly Matcher[] = []): string {
  const all = [...matchers, ...more].map(({ label, op, value }) => `${label}${op}${quoted(value)}`);
  return all.length === 0 ? metric : `${metric}{${all.join(',')}}`;
}

/** A PromQL string; the escapes are Go's, which JSON's are a part of. */
export function quoted(value: string): string {
  return JSON.stringify(value);
}

/** Whether a label value passes a matcher; regular expressions are anchored at both ends, as in Prometheus. */
export function matches({ op, value }: Matcher, labelValue: string): boolean {
  switch (op) {
    case '=':
      return labelValue === value;
    case '!=':
      return labelValue !== value;
    case '=~':
      return new RegExp(`^(?:${value})$`, 's').test(labelValue);
    case '!~':
      return !new RegExp(`^(?:${value})$`, 's').test(labelValue);
  }
}

function matcherOf(text: string, node: SyntaxNode): Matcher {
  const op = OPERATORS.find((known) => known === at(text, node.getChild('MatchOp')));
  const literal = at(text, node.getChild('StringLiteral'));
  if (op === undefined) throw new Error(`${text}: a matcher without an operator`);
  return { label: at(text, node.getChild('LabelName')), op, value: unquoted(literal) };
}

function unquoted(literal: string): string {
  if (literal.startsWith('`')) return literal.slice(1, -1);
  if (literal.startsWith('"')) return JSON.parse(literal) as string;
  return JSON.parse(`"${literal.slice(1, -1).replaceAll("\\'", "'").replaceAll('"', '\\"')}"`) as string;
}

function at(text: string, node: SyntaxNode | null): string {
  return node === null ? '' : text.slice(node.from, node.to);
}

function hasError(node: SyntaxNode): boolean {
  if (node.type.isError) return true;
  for (let child = node.firstChild; child !== null; child = child.nextSibling) if (hasError(child)) return true;
  return false;
}
