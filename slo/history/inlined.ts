/**
 * An expression with every recorded series replaced by what it is recorded from: what a rule would have said of a past
 * in which it did not run yet. A range over a recorded series becomes a subquery every 5 minutes, which is what the
 * windows over days are made of anyway; recorded labels are left out on both sides of every join.
 */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { durationText } from '../compiler/duration.ts';
import type { Rule } from '../compiler/emit/prometheus.ts';
import { BASE_WINDOW_SECONDS } from '../compiler/model.ts';

/** Rules never read each other in circles, and the deepest chain is five long. */
const DEPTH_MAX = 10;

export function inlined(expr: string, rules: readonly Rule[]): string {
  const records = new Map(rules.flatMap((rule) => ('record' in rule ? [[rule.record, rule.expr] as const] : [])));
  return replaced(expr, records, 0);
}

function replaced(expr: string, records: ReadonlyMap<string, string>, depth: number): string {
  if (depth > DEPTH_MAX) throw new Error('rules read each other in circles');
  const edits: { readonly from: number; readonly to: number; readonly text: string }[] = [];
  const visit = (node: SyntaxNode): void => {
    const selector = node.name === 'MatrixSelector' ? node.getChild('VectorSelector') : node;
    const definition = selector?.name === 'VectorSelector' ? records.get(metricOf(selector, expr)) : undefined;
    if (definition !== undefined) {
      const body = `(${replaced(definition, records, depth + 1)})`;
      edits.push({ from: node.from, to: node.to, text: node === selector ? body : `${body}${rangeOf(node, expr)}` });
      return;
    }
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(parser.parse(expr).topNode);
  return edits.reduceRight((text, { from, to, text: by }) => text.slice(0, from) + by + text.slice(to), expr);
}

function metricOf(selector: SyntaxNode, expr: string): string {
  const name = selector.getChild('Identifier');
  return name === null ? '' : expr.slice(name.from, name.to);
}

function rangeOf(matrix: SyntaxNode, expr: string): string {
  const duration = matrix.getChild('DurationExpr');
  if (duration === null) throw new Error(`no range in ${expr.slice(matrix.from, matrix.to)}`);
  return `[${expr.slice(duration.from, duration.to)}:${durationText(BASE_WINDOW_SECONDS)}]`;
}
