/**
 * The mistakes that someone makes in a rule, as edits of its PromQL tree: every operator is applied at every node where
 * it can be. An edit that changes nothing by definition (`sum` of one series, a matcher that a join repeats) is made all
 * the same; it survives, and survivors are named.
 */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { durationText, readDuration } from '../../compiler/duration.ts';

export interface Mutation {
  /** `drop right operand`, `halve window` … */
  readonly operator: string;
  /** What stood there and what stands there now, for people. */
  readonly change: string;
  /** The same in full, and the how manieth of its kind in the rule: finds it in another version of the rule. */
  readonly site: string;
  readonly expr: string;
}

interface Place {
  readonly from: number;
  readonly to: number;
}

interface Edit {
  readonly operator: string;
  readonly node: Place;
  readonly text: string;
}

/** Every mutation of one expression; `records` are the recorded series there are, for metrics taken for one another. */
export function mutationsOf(expr: string, records: readonly string[]): readonly Mutation[] {
  const edits: Edit[] = [];
  const visit = (node: SyntaxNode): void => {
    edits.push(...editsAt(node, expr, records));
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(parser.parse(expr).topNode);
  edits.push(...forgottenLabels(parser.parse(expr).topNode, expr));
  const mutations = edits.map(({ node, operator, text }) => ({
    operator,
    site: `${operator}: ${expr.slice(node.from, node.to)} → ${text}`,
    change: `${shortened(expr.slice(node.from, node.to))} → ${shortened(text)}`,
    expr: expr.slice(0, node.from) + text + expr.slice(node.to),
  }));
  const different = mutations.filter(
    ({ expr: mutated }, index) => mutations.findIndex((one) => one.expr === mutated) === index,
  );
  const seen = new Map<string, number>();
  return different.map((mutation) => {
    const nth = (seen.get(mutation.site) ?? 0) + 1;
    seen.set(mutation.site, nth);
    return { ...mutation, site: `${mutation.site} (${nth})` };
  });
}

/** Node names are those of the grammar that Prometheus publishes. */
function editsAt(node: SyntaxNode, expr: string, records: readonly string[]): readonly Edit[] {
  const text = expr.slice(node.from, node.to);
  switch (node.name) {
    case 'BinaryExpr':
      return operandEdits(node, expr);
    case 'Gtr':
    case 'Lss':
    case 'Gte':
    case 'Lte':
      return [{ operator: 'turn comparison', node, text: TURNED[node.name] }];
    case 'BoolModifier':
      return [{ operator: 'drop bool', node, text: '' }];
    case 'NumberDurationLiteral':
      return numberEdits(node, text);
    case 'NumberDurationLiteralInDurationContext':
      return windowEdits(node, text);
    case 'OffsetExpr':
      return [{ operator: 'drop offset', node, text: text.replace(/\s*offset \S+$/, '') }];
    case 'UnquotedLabelMatcher':
      return matcherEdits(node, expr);
    case 'Identifier':
      return metricEdits(node, text, records);
    case 'FunctionIdentifier':
      return (FUNCTIONS[text] ?? []).map((other) => ({ operator: `${text} for ${other}`, node, text: other }));
    case 'AggregateOp':
      return (AGGREGATES[text] ?? []).map((other) => ({ operator: `${text} for ${other}`, node, text: other }));
    case 'AggregateModifier':
      return [{ operator: 'drop by', node, text: '' }];
    case 'FunctionCall':
      return callEdits(node, text, expr);
    default:
      return [];
  }
}

const TURNED = { Gtr: '<', Lss: '>', Gte: '<', Lte: '>' } as const;
const FUNCTIONS: Readonly<Record<string, readonly string[]>> = {
  rate: ['irate', 'increase'],
  sum_over_time: ['avg_over_time', 'max_over_time'],
  max_over_time: ['min_over_time'],
  min_over_time: ['max_over_time'],
  count_over_time: ['sum_over_time', 'absent_over_time'],
  present_over_time: ['absent_over_time'],
};
const AGGREGATES: Readonly<Record<string, readonly string[]>> = { sum: ['avg', 'max'], max: ['min'], min: ['max'] };

function operandEdits(node: SyntaxNode, expr: string): readonly Edit[] {
  const left = node.firstChild;
  const right = node.lastChild;
  if (left === null || right === null) return [];
  const [leftText, rightText] = [left, right].map((one) => expr.slice(one.from, one.to));
  const sign = expr.slice(left.to, right.from);
  const edits: Edit[] = [
    { operator: 'drop right operand', node, text: `(${leftText})` },
    { operator: 'drop left operand', node, text: `(${rightText})` },
  ];
  if (/^\s*(?:-|\/|unless|or)/.test(sign)) {
    edits.push({ operator: 'swap operands', node, text: `(${rightText})${sign}(${leftText})` });
  }
  if (/^\s*and/.test(sign))
    edits.push({ operator: 'or for and', node, text: `${leftText}${sign.replace('and', 'or')}${rightText}` });
  if (/^\s*unless/.test(sign)) {
    edits.push({ operator: 'and for unless', node, text: `${leftText}${sign.replace('unless', 'and')}${rightText}` });
  }
  if (/^\s*or/.test(sign)) edits.push({ operator: 'or vector(0)', node, text: `${leftText} or vector(0)` });
  if (/^\s*\//.test(sign)) edits.push(...meanOfRatios(node, expr));
  return edits;
}

/** sum(bad)/sum(total) over a window → the mean of bad/total: the mistake that forgets traffic. */
function meanOfRatios(node: SyntaxNode, expr: string): readonly Edit[] {
  const text = expr.slice(node.from, node.to);
  const found = /^sum_over_time\((slo:bad:[^[]+)\[(\w+)\]\) \/ \(sum_over_time\((slo:total:[^[]+)\[/.exec(text);
  if (found === null) return [];
  const [, bad, window, total] = found;
  return [{ operator: 'mean of ratios', node, text: `avg_over_time((${bad} / (${total} > 0))[${window}:5m])` }];
}

function numberEdits(node: SyntaxNode, text: string): readonly Edit[] {
  const value = Number(text);
  // vector(1) is a mark; nobody reads its value.
  if (node.parent?.name === 'FunctionCallBody') return [];
  if (value === 0) return [{ operator: '1 for 0', node, text: '1' }];
  // A quarter either way: what a slip in a table comes to, and a floor of 5 becomes 4 or 7.
  return [0.75, 1.25].map((factor) => ({
    operator: factor < 1 ? 'lower number' : 'raise number',
    node,
    text: String(Number((value * factor).toPrecision(6))),
  }));
}

function windowEdits(node: SyntaxNode, text: string): readonly Edit[] {
  const seconds = readDuration(text);
  if (seconds === undefined || seconds === 0) return [];
  return [
    { operator: 'halve window', node, text: durationText(Math.round(seconds / 2)) },
    { operator: 'double window', node, text: durationText(seconds * 2) },
  ];
}

function matcherEdits(node: SyntaxNode, expr: string): readonly Edit[] {
  const operator = node.getChild('MatchOp');
  if (operator === null) return [];
  const inverted = INVERTED[expr.slice(operator.from, operator.to)] ?? '=';
  const invert = { operator: 'invert matcher', node: operator, text: inverted };
  const isRecorded = selectorOf(node, expr).startsWith('slo:');
  return isRecorded ? [invert] : [{ operator: 'drop matcher', node: withComma(node), text: '' }, invert];
}

const INVERTED: Readonly<Record<string, string>> = { '=': '!=', '!=': '=', '=~': '!~', '!~': '=~' };

/** PromQL allows one comma behind the last matcher and none before the first. */
function withComma(node: SyntaxNode): Place {
  const next = node.nextSibling;
  return { from: node.from, to: next !== null && next.name === node.name ? next.from : node.to };
}

function selectorOf(matcher: SyntaxNode, expr: string): string {
  const selector = matcher.parent?.parent ?? matcher;
  return expr.slice(selector.from, selector.to);
}

/**
 * A label forgotten wherever an expression reads recorded series. At one place alone it is no mistake: what is joined
 * with a series of one objective is of that objective.
 */
function forgottenLabels(top: SyntaxNode, expr: string): readonly Edit[] {
  const places = new Map<string, Place[]>();
  const visit = (node: SyntaxNode): void => {
    const label = node.name === 'UnquotedLabelMatcher' ? node.getChild('LabelName') : null;
    if (label !== null && selectorOf(node, expr).startsWith('slo:')) {
      const name = expr.slice(label.from, label.to);
      places.set(name, [...(places.get(name) ?? []), withComma(node)]);
    }
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(top);
  return [...places].map(([label, all]) => ({
    operator: `forget ${label}`,
    node: top,
    text: all.reduceRight((text, { from, to }) => text.slice(0, from) + text.slice(to), expr),
  }));
}

function metricEdits(node: SyntaxNode, text: string, records: readonly string[]): readonly Edit[] {
  const others = records.filter((name) => name !== text && isTakenFor(name, text));
  const edits = others.map((name) => ({ operator: 'other recorded series', node, text: name }));
  return [...edits, { operator: 'unknown metric', node, text: `${text}_x` }];
}

/** bad for total of the same window; the same thing over another window. */
function isTakenFor(name: string, text: string): boolean {
  const [family, part] = name.split(/(?<=:\w+:[a-z]+)(?=\d)/);
  const [ownFamily, ownPart] = text.split(/(?<=:\w+:[a-z]+)(?=\d)/);
  if (family === ownFamily) return true;
  return (
    part === ownPart && part !== undefined && name.replace(':bad:', ':total:') === text.replace(':bad:', ':total:')
  );
}

function callEdits(node: SyntaxNode, text: string, expr: string): readonly Edit[] {
  if (!text.startsWith('clamp_min(')) return [];
  const first =
    node.getChild('FunctionCallBody')?.firstChild?.nextSibling ?? node.getChild('FunctionCallBody')?.firstChild;
  return first === null || first === undefined
    ? []
    : [{ operator: 'drop clamp', node, text: `(${expr.slice(first.from, first.to)})` }];
}

function shortened(text: string): string {
  const oneLine = text.replace(/\s+/g, ' ');
  return oneLine.length <= 60 ? oneLine : `${oneLine.slice(0, 40)} … ${oneLine.slice(-16)}`;
}
