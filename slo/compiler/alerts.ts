/** Which alerts an objective raises, and the labels each one carries: one list for rules, proofs, routes and runbooks. */
import type { Alert, Objective } from './model.ts';

export function alertsOf(objective: Objective): readonly Alert[] {
  const { collapse, expectation, noData } = objective;
  return [
    ...objective.tiers.map((tier): Alert => ({ kind: 'burn', name: 'SLOBurn', severity: tier.severity, tier })),
    ...(noData.choice === 'alert'
      ? [{ kind: 'no-data', name: 'SLONoData', severity: noData.severity } satisfies Alert]
      : []),
    ...(collapse === null
      ? []
      : [{ kind: 'collapse', name: 'SLOTrafficCollapse', severity: collapse.severity, collapse } satisfies Alert]),
    ...(expectation === null
      ? []
      : [{ kind: 'expectation', name: 'SLOExpectationMissed', severity: 'ticket', expectation } satisfies Alert]),
  ];
}

/** `service, slo, severity, owner`, and `tier` on burn alerts. A grouped objective adds its label when it fires. */
export function alertLabels(objective: Objective, alert: Alert): Readonly<Record<string, string>> {
  return {
    service: objective.service,
    slo: objective.name,
    severity: alert.severity,
    owner: objective.owner,
    ...(alert.kind === 'burn' ? { tier: alert.tier.name } : {}),
  };
}
