/** What an alert says to the person who gets it: what is promised, what is measured, what is left, where to look. */
import { decimalText, multiply, decimal, type Decimal } from '../decimal.ts';
import { durationText } from '../duration.ts';
import { type Alert, NO_DATA_AFTER_SECONDS, type Objective, type Tier } from '../model.ts';
import { SERIES, tierRatio } from '../series.ts';
import { ids } from './promql.ts';

export function alertAnnotations(objective: Objective, alert: Alert): Readonly<Record<string, string>> {
  return {
    summary: `${summaryOf(objective, alert)}${groupText(objective)}`,
    description: descriptionOf(objective, alert),
    runbook: `slo/generated/runbooks/${objective.name}.md`,
    // The dashboard's uid; whoever sends the alert on puts Grafana's address before it.
    dashboard: `/d/slo-${objective.name}`,
  };
}

/** `99.9 %` of 0.999, exactly. */
export function percentText(share: Decimal): string {
  return `${decimalText(multiply(share, decimal(100)))} %`;
}

function summaryOf({ collapse, name, periodSeconds }: Objective, alert: Alert): string {
  switch (alert.kind) {
    case 'burn':
      return `${name}: the ${durationText(periodSeconds)} budget burns over ${decimalText(alert.tier.factor)} times too fast`;
    case 'no-data':
      return `${name}: nothing is measured`;
    case 'collapse':
      return `${name}: traffic is below ${collapse === null ? '' : percentText(collapse.ratio)} of yesterday and last week`;
    case 'expectation':
      return `${name}: rows that were expected did not come`;
  }
}

function descriptionOf(objective: Objective, alert: Alert): string {
  switch (alert.kind) {
    case 'burn':
      return burnDescription(objective, alert.tier);
    case 'no-data':
      return `Rules have run for ${durationText(NO_DATA_AFTER_SECONDS)} or more and found no series to judge ${objective.title} by. Until there is one, nobody knows whether the promise is kept.`;
    case 'collapse':
      return `{{ $value | humanize }} events a second now; a fifth of the quieter half hour of yesterday and last week would be more. Errors that never arrive burn no budget.`;
    case 'expectation':
      return `The last accepted row is {{ $value | humanizeDuration }} old, older than the contract expects.`;
  }
}

function burnDescription(objective: Objective, tier: Tier): string {
  const { budget, periodSeconds } = objective;
  const long = durationText(tier.longSeconds);
  const remaining = `${SERIES.remaining}${idsWithGroup(objective)}`;
  const ratio = `${tierRatio(tier, tier.longSeconds)}${idsWithGroup(objective)}`;
  const lasts = `${remaining} * ${decimalText(budget)} * ${periodSeconds} / ${ratio}`;
  return [
    `{{ $value | humanizePercentage }} of the last ${long} was bad; ${percentText(tier.threshold)} is ${decimalText(tier.factor)} times what ${percentText(objective.target)} allows.`,
    `Budget left: ${queried(objective, remaining, 'humanizePercentage')}; at this rate it lasts ${queried(objective, lasts, 'humanizeDuration')}.`,
  ].join(' ');
}

/** A query inside the text: what it answers, or `unknown` where it answers nothing. */
function queried(objective: Objective, query: string, format: string): string {
  const argument = objective.grouping === null ? '' : ` $labels.${objective.grouping.label}`;
  // Twice in the exhaustion query: the group stands in both selectors.
  const times = query.split('%s').length - 1;
  return `{{ with printf ${JSON.stringify(query)}${argument.repeat(times)} | query }}{{ . | first | value | ${format} }}{{ else }}unknown{{ end }}`;
}

function idsWithGroup(objective: Objective): string {
  const all = ids(objective);
  return objective.grouping === null ? all : `${all.slice(0, -1)},${objective.grouping.label}="%s"}`;
}

function groupText({ grouping }: Objective): string {
  return grouping === null ? '' : ` ({{ $labels.${grouping.label} }})`;
}
