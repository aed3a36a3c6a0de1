/**
 * Prometheus rules of one objective: one group that records and alerts (an alert never reads a ratio of the evaluation
 * before), and one for the budget, which nobody pages on and which is evaluated every 5 minutes because it reads a
 * month.
 */
import { stringify } from 'yaml';
import { alertLabels, alertsOf } from '../alerts.ts';
import { decimalText } from '../decimal.ts';
import type { Alert, Model, Objective } from '../model.ts';
import {
  badEvents,
  badRate,
  derivedWindows,
  rawRatio,
  rawWindows,
  SERIES,
  totalRate,
  weightedRatio,
} from '../series.ts';
import { alertAnnotations } from './alert-text.ts';
import { GENERATED_NOTE, type GeneratedFile } from './generated-file.ts';
import {
  badOver,
  badSlice,
  burnAlert,
  collapseAlert,
  coverage,
  eventsOver,
  excludedSeconds,
  expectationAlert,
  expectedGroups,
  noDataAlert,
  ratioOver,
  remainingBudget,
  totalOver,
  totalSlice,
  trafficBaseline,
  trafficBaselineKnown,
  weightedOver,
} from './promql.ts';

export interface RuleGroup {
  readonly name: string;
  /** Absent: the server's own. */
  readonly interval?: string;
  readonly rules: readonly Rule[];
}

export type Rule =
  | { readonly record: string; readonly expr: string; readonly labels: Readonly<Record<string, string>> }
  | {
      readonly alert: string;
      readonly expr: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    };

const BUDGET_INTERVAL = '5m';

/** One file an objective, so that a change shows what it changes. */
export function emitPrometheusRules({ objectives }: Model): readonly GeneratedFile[] {
  return objectives.map((objective) => ({
    path: `prometheus/${objective.name}.yaml`,
    text: `# ${GENERATED_NOTE}\n${stringify({ groups: ruleGroups(objective) }, { lineWidth: 0 })}`,
  }));
}

/** What the file says, as data: for lints, proofs and mutation. */
export function ruleGroups(objective: Objective): readonly RuleGroup[] {
  return [
    {
      name: `slo-${objective.name}`,
      rules: [
        ...groundRules(objective),
        ...rawRules(objective),
        ...derivedRules(objective),
        ...trafficRules(objective),
        ...alertsOf(objective).map((alert) => alertRule(objective, alert)),
      ],
    },
    { name: `slo-${objective.name}-budget`, interval: BUDGET_INTERVAL, rules: budgetRules(objective) },
  ];
}

function groundRules(objective: Objective): readonly Rule[] {
  const { grouping, indicator } = objective;
  const rules = [record(objective, SERIES.evaluated, 'vector(1)')];
  if (grouping !== null) rules.push(record(objective, SERIES.expected, expectedGroups(grouping)));
  if (indicator.kind === 'slices') {
    rules.push(record(objective, SERIES.badSlice, badSlice(objective, indicator)));
    rules.push(record(objective, SERIES.totalSlice, totalSlice(objective)));
  }
  return rules;
}

function rawRules(objective: Objective): readonly Rule[] {
  return rawWindows(objective).flatMap((seconds) => [
    record(objective, totalRate(seconds), totalOver(objective, seconds)),
    record(objective, badRate(seconds), badOver(objective, seconds)),
    record(objective, rawRatio(seconds), ratioOver(objective, seconds)),
  ]);
}

function derivedRules(objective: Objective): readonly Rule[] {
  const long = new Set(objective.tiers.filter((tier) => tier.windows === 'derived').map((tier) => tier.longSeconds));
  return [
    ...derivedWindows(objective).map((seconds) =>
      record(objective, weightedRatio(seconds), weightedOver(objective, seconds)),
    ),
    ...[...long].map((seconds) => record(objective, badEvents(seconds), eventsOver(objective, seconds))),
  ];
}

function trafficRules(objective: Objective): readonly Rule[] {
  if (objective.collapse === null) return [];
  return [
    record(objective, SERIES.baseline, trafficBaseline(objective)),
    record(objective, SERIES.baselineKnown, trafficBaselineKnown(objective)),
  ];
}

function budgetRules(objective: Objective): readonly Rule[] {
  const overPeriod = weightedRatio(objective.periodSeconds);
  return [
    record(objective, SERIES.target, `vector(${decimalText(objective.target)})`),
    record(objective, SERIES.budget, `vector(${decimalText(objective.budget)})`),
    record(objective, overPeriod, weightedOver(objective, objective.periodSeconds)),
    record(objective, SERIES.remaining, remainingBudget(objective, overPeriod)),
    record(objective, SERIES.coverage, coverage(objective)),
    record(objective, SERIES.excludedSeconds, excludedSeconds(objective)),
  ];
}

function record(objective: Objective, name: string, expr: string): Rule {
  return { record: name, expr, labels: { service: objective.service, slo: objective.name } };
}

function alertRule(objective: Objective, alert: Alert): Rule {
  return {
    alert: alert.name,
    expr: alertExpression(objective, alert),
    labels: alertLabels(objective, alert),
    annotations: alertAnnotations(objective, alert),
  };
}

function alertExpression(objective: Objective, alert: Alert): string {
  switch (alert.kind) {
    case 'burn':
      return burnAlert(objective, alert.tier);
    case 'no-data':
      return noDataAlert(objective);
    case 'collapse':
      return collapseAlert(objective, alert.collapse);
    case 'expectation':
      return expectationAlert(objective, alert.expectation);
  }
}
