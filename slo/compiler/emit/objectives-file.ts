/**
 * `generated/objectives.json`: what the service itself knows of its promises. `GET /v1/slo` and the console read it;
 * nothing there knows PromQL or the names of recorded series.
 */
import { decimalNumber } from '../decimal.ts';
import type { Model, Objective } from '../model.ts';
import { SERIES } from '../series.ts';
import { type GeneratedFile, jsonFile } from './generated-file.ts';
import { ofObjective } from './objective-query.ts';

const SECONDS_A_DAY = 86_400;

export interface ObjectiveEntry {
  readonly name: string;
  readonly service: string;
  readonly owner: string;
  readonly title: string;
  readonly description: string;
  readonly target: number;
  readonly windowDays: number;
  /** Answers one number: 1 whole, 0 spent, negative overspent; of the worst group where there are several. */
  readonly budgetLeftQuery: string;
}

export function emitObjectivesFile({ objectives }: Model): readonly GeneratedFile[] {
  return [jsonFile('objectives.json', { objectives: objectives.map(entryOf) })];
}

function entryOf(objective: Objective): ObjectiveEntry {
  const { description, name, owner, periodSeconds, service, target, title } = objective;
  return {
    name,
    service,
    owner,
    title,
    description,
    target: decimalNumber(target),
    windowDays: periodSeconds / SECONDS_A_DAY,
    budgetLeftQuery: `min(${SERIES.remaining}${ofObjective(objective)})`,
  };
}
