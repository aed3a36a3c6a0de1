/**
 * Rules with mistakes in them, many in one file: a mutant is its alert and every recorded series between the mistake and
 * the alert, under names of its own (`slo:bad:rate1h:m17`), beside the rules that are right. So one run of promtool over
 * one set of samples judges hundreds.
 */
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import type { Rule } from '../../compiler/emit/prometheus.ts';
import type { Check, Proof } from '../../compiler/emit/promtool/proof.ts';
import type { ProofSet } from '../../compiler/emit/promtool/promtool.ts';
import { promqlNames } from '../../compiler/promql-names.ts';
import { type Mutation, mutationsOf } from './operators.ts';

type AlertRule = Extract<Rule, { readonly alert: string }>;

export interface Mutant extends Mutation {
  /** Unique in its set: `m17`. */
  readonly id: string;
  /** The record or the alert in which the mistake is. */
  readonly where: string;
  /** Its rules, in the order of evaluation. */
  readonly rules: readonly Rule[];
  /** Rules it stands for: alerts that read the mistake, and recorded series that have a name of their own in it. */
  readonly alerts: readonly AlertRule[];
  readonly renamed: ReadonlySet<string>;
}

/** Every mutant of every rule that a proved alert of the set is or reads. */
export function mutantsOf(set: ProofSet): readonly Mutant[] {
  const rules = set.groups.flatMap((group) => group.rules);
  const records = rules.flatMap((rule) => ('record' in rule ? [rule.record] : []));
  const alerts = rules.filter((rule): rule is AlertRule => 'alert' in rule && isProved(rule, set.proofs));
  const read = new Set(alerts.flatMap((alert) => closure(alert, rules)));
  const mutations = rules
    .filter((rule) => read.has(rule))
    .flatMap((broken) => mutationsOf(broken.expr, records).map((mutation) => ({ broken, mutation })));
  return mutations.map((one, index) => mutantOf({ ...one, id: `m${index}`, alerts, rules }));
}

function isProved(alert: AlertRule, proofs: readonly Proof[]): boolean {
  return proofs.some(({ checks }) => checks.some((check) => check.kind === 'firing' && isOf(check, alert)));
}

/** The alert and all records that it reads, directly or through others. */
function closure(alert: AlertRule, rules: readonly Rule[]): readonly Rule[] {
  const found = new Set<Rule>([alert]);
  for (const rule of found) {
    const names = new Set(promqlNames(rule.expr).metrics);
    for (const read of rules) if ('record' in read && names.has(read.record)) found.add(read);
  }
  return rules.filter((rule) => found.has(rule));
}

function mutantOf(options: {
  readonly id: string;
  readonly alerts: readonly AlertRule[];
  readonly broken: Rule;
  readonly mutation: Mutation;
  readonly rules: readonly Rule[];
}): Mutant {
  const { alerts, broken, id, mutation, rules } = options;
  const renamed = new Set<string>('record' in broken ? [broken.record] : []);
  const reads = (rule: Rule): boolean => promqlNames(rule.expr).metrics.some((name) => renamed.has(name));
  // Rules stand in the order of evaluation, so one pass finds all that read what was renamed.
  for (const rule of rules) if ('record' in rule && reads(rule)) renamed.add(rule.record);
  const affected = alerts.filter((alert) => alert === broken || reads(alert));
  const own = rules
    .filter((rule) => ('record' in rule ? renamed.has(rule.record) : affected.includes(rule)))
    .map((rule): Rule => {
      const expr = withNames(rule === broken ? mutation.expr : rule.expr, renamed, id);
      return 'record' in rule
        ? { ...rule, record: `${rule.record}:${id}`, expr }
        : { ...rule, alert: mutantAlert(rule.alert, id), expr, annotations: {} };
    });
  const where = 'record' in broken ? broken.record : `${broken.alert} ${broken.labels['tier'] ?? ''}`.trimEnd();
  return { ...mutation, id, where, rules: own, alerts: affected, renamed };
}

function mutantAlert(alertname: string, id: string): string {
  return `${alertname}:${id}`;
}

function withNames(expr: string, renamed: ReadonlySet<string>, id: string): string {
  const places: number[] = [];
  const visit = (node: SyntaxNode): void => {
    if (node.name === 'Identifier' && renamed.has(expr.slice(node.from, node.to))) places.push(node.to);
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(parser.parse(expr).topNode);
  return places.reduceRight((text, at) => `${text.slice(0, at)}:${id}${text.slice(at)}`, expr);
}

/** What the proof demands of the alert, demanded of the mutant. */
export function checksFor(mutant: Mutant, proof: Proof): readonly Check[] {
  return proof.checks.flatMap((check): readonly Check[] => {
    if (check.kind !== 'query') {
      const alert = mutant.alerts.find((one) => isOf(check, one));
      if (alert === undefined) return [];
      return [{ ...check, alert: { ...check.alert, alertname: mutantAlert(alert.alert, mutant.id) } }];
    }
    if (!promqlNames(check.query).metrics.some((name) => mutant.renamed.has(name))) return [];
    const named = (text: string): string => withNames(text, mutant.renamed, mutant.id);
    const samples = check.samples.map(({ labels, value }) => ({ labels: named(labels), value }));
    return [{ ...check, query: named(check.query), samples }];
  });
}

function isOf(check: Exclude<Check, { readonly kind: 'query' }>, { alert, labels }: AlertRule): boolean {
  return (
    check.alert['alertname'] === alert && Object.entries(labels).every(([label, value]) => check.alert[label] === value)
  );
}
