/**
 * What a PromQL text reads: the metrics it names, or why it is not PromQL. By the grammar that Prometheus publishes, so
 * that a dashboard or a policy that is accepted here parses there.
 */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

export interface PromqlNames {
  /** Each once, sorted. Empty when the text does not parse. */
  readonly metrics: readonly string[];
  /** Where the text stops being PromQL, as the part of it that cannot be read; null when all of it parses. */
  readonly unreadable: string | null;
}

export function promqlNames(text: string): PromqlNames {
  const metrics = new Set<string>();
  let unreadable: string | null = null;
  const visit = (node: SyntaxNode): void => {
    if (node.type.isError) unreadable ??= text.slice(Math.max(0, node.from - 20), node.to + 20);
    if (node.name === 'VectorSelector') {
      const name = node.getChild('Identifier');
      if (name === null) unreadable ??= `${text.slice(node.from, node.to)} names no metric`;
      else metrics.add(text.slice(name.from, name.to));
    }
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  const { topNode } = parser.parse(text);
  visit(topNode);
  if (topNode.firstChild === null) unreadable = 'an empty text';
  return unreadable === null ? { metrics: [...metrics].sort(), unreadable } : { metrics: [], unreadable };
}
