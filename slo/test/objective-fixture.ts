/** One objective in lowered form, for tests that need no specification: 99.9 % of requests, four tiers. */
import { decimal, multiply, subtract } from '../compiler/decimal.ts';
import type { Environment, Objective, Tier } from '../compiler/model.ts';

export const ENVIRONMENT: Environment = { scrapeSeconds: 15, evaluationSeconds: 30, retentionSeconds: 35 * 86_400 };

const TIERS = [
  { name: 'fast', severity: 'page', factor: '14.4', longSeconds: 3600, shortSeconds: 300, windows: 'raw' },
  { name: 'medium', severity: 'page', factor: '6', longSeconds: 21_600, shortSeconds: 1800, windows: 'raw' },
  { name: 'slow', severity: 'ticket', factor: '3', longSeconds: 86_400, shortSeconds: 7200, windows: 'derived' },
  { name: 'drain', severity: 'ticket', factor: '1', longSeconds: 259_200, shortSeconds: 21_600, windows: 'derived' },
] as const;

export function ratioObjective(options: { readonly target?: string; readonly badEventsMin?: number } = {}): Objective {
  const target = decimal(options.target ?? '0.999');
  const budget = subtract(decimal(1), target);
  const tiers = TIERS.map(
    (tier): Tier => ({
      ...tier,
      factor: decimal(tier.factor),
      threshold: multiply(decimal(tier.factor), budget),
      badEventsMin: options.badEventsMin ?? 3,
      warmUpSeconds: tier.name === 'fast' ? null : 0.9 * tier.longSeconds,
    }),
  );
  const matchers = [{ label: 'job', op: '=', value: 'vigia' }] as const;
  return {
    name: 'requests',
    service: 'api',
    owner: 'platform',
    title: 'Requests',
    description: 'Requests are answered.',
    target,
    budget,
    periodSeconds: 30 * 86_400,
    indicator: {
      kind: 'bad-ratio',
      bad: { metric: 'requests_total', matchers: [...matchers, { label: 'status', op: '=~', value: '5..' }] },
      total: { metric: 'requests_total', matchers },
    },
    grouping: null,
    tiers,
    noData: { choice: 'alert', severity: 'page' },
    collapse: null,
    expectation: null,
    exclusions: [],
    expectedRate: null,
    file: 'slo/objectives/requests.yaml',
    runbook: 'slo/objectives/requests.runbook.md',
  };
}

export function tierNamed(objective: Objective, name: Tier['name']): Tier {
  const found = objective.tiers.find((tier) => tier.name === name);
  if (found === undefined) throw new Error(`no tier ${name}`);
  return found;
}
