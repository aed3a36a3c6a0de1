/**
 * The shipped rules that some alerts need, unchanged and in their order: promtool evaluates every rule of a file at every
 * step, and a budget over 30 days at each step of a proof of minutes takes ten times as long as what is proved.
 */
import { promqlNames } from '../../promql-names.ts';
import type { Rule, RuleGroup } from '../prometheus.ts';

export function neededRules(
  groups: readonly RuleGroup[],
  options: {
    readonly isWanted: (rule: Rule) => boolean;
    /** Recorded series that the proof feeds itself: neither their rules nor what only these read. */
    readonly fed?: ReadonlySet<string>;
  },
): readonly RuleGroup[] {
  const { fed = new Set(), isWanted } = options;
  const rules = groups.flatMap((group) => group.rules);
  const needed = new Set(rules.filter(isWanted));
  const waiting = [...needed];
  for (let rule = waiting.pop(); rule !== undefined; rule = waiting.pop()) {
    const names = new Set(promqlNames(rule.expr).metrics);
    for (const read of rules) {
      if (!('record' in read) || !names.has(read.record) || needed.has(read) || fed.has(read.record)) continue;
      needed.add(read);
      waiting.push(read);
    }
  }
  return groups
    .map((group) => ({ ...group, rules: group.rules.filter((rule) => needed.has(rule)) }))
    .filter((group) => group.rules.length > 0);
}
