/**
 * `generated/gate.json`: what a deployment asks before it goes on. Queries only, no verdict: `npm run slo -- gate`
 * judges by the error-budget policy, and a canary asks the same of one revision.
 */
import { decimalNumber } from '../decimal.ts';
import { durationText } from '../duration.ts';
import { EVALUATED_RANGE_SECONDS, type Model, type Objective, type Tier } from '../model.ts';
import { badEvents, badRate, SERIES, tierRatio } from '../series.ts';
import { type GeneratedFile, jsonFile } from './generated-file.ts';
import { ofObjective } from './objective-query.ts';

export interface GateData {
  /** Answers above 0 while rules are evaluated at all; nothing below can be trusted without it. */
  readonly evaluatedQuery: string;
  readonly objectives: readonly GateObjective[];
}

export interface GateObjective {
  readonly name: string;
  readonly service: string;
  readonly owner: string;
  readonly target: number;
  readonly budget: number;
  readonly periodSeconds: number;
  /** Each answers one sample for every group (one without a grouping); fewer than `expected` is missing data. */
  readonly grouping: { readonly label: string; readonly expected: readonly string[] } | null;
  readonly budgetLeftQuery: string;
  /** Share of the period in which rules ran, 0 … 1. */
  readonly coverageQuery: string;
  readonly tiers: readonly GateTier[];
  readonly runbook: string;
}

export interface GateTier {
  readonly name: string;
  readonly severity: string;
  readonly factor: number;
  readonly threshold: number;
  readonly badEventsMin: number;
  readonly longWindow: string;
  readonly shortWindow: string;
  readonly longQuery: string;
  readonly shortQuery: string;
  /** Bad events in the long window: below `badEventsMin` the ratios prove nothing. */
  readonly badEventsQuery: string;
}

export function gateData({ objectives }: Model): GateData {
  return {
    evaluatedQuery: `count_over_time(${SERIES.evaluated}[${durationText(EVALUATED_RANGE_SECONDS)}])`,
    objectives: objectives.map(gateObjective),
  };
}

export function emitGateFile(model: Model): readonly GeneratedFile[] {
  return [jsonFile('gate.json', gateData(model))];
}

function gateObjective(objective: Objective): GateObjective {
  const { budget, grouping, name, owner, periodSeconds, service, target, tiers } = objective;
  return {
    name,
    service,
    owner,
    target: decimalNumber(target),
    budget: decimalNumber(budget),
    periodSeconds,
    grouping,
    budgetLeftQuery: `${SERIES.remaining}${ofObjective(objective)}`,
    coverageQuery: `${SERIES.coverage}${ofObjective(objective)}`,
    tiers: tiers.map((tier) => gateTier(objective, tier)),
    runbook: `slo/generated/runbooks/${name}.md`,
  };
}

function gateTier(objective: Objective, tier: Tier): GateTier {
  const { badEventsMin, factor, longSeconds, name, severity, shortSeconds, threshold } = tier;
  const of = ofObjective(objective);
  return {
    name,
    severity,
    factor: decimalNumber(factor),
    threshold: decimalNumber(threshold),
    badEventsMin,
    longWindow: durationText(longSeconds),
    shortWindow: durationText(shortSeconds),
    longQuery: `${tierRatio(tier, longSeconds)}${of}`,
    shortQuery: `${tierRatio(tier, shortSeconds)}${of}`,
    badEventsQuery:
      tier.windows === 'raw' ? `${badRate(longSeconds)}${of} * ${longSeconds}` : `${badEvents(longSeconds)}${of}`,
  };
}
