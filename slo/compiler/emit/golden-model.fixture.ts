/**
 * A small model that has one of everything an emitter must tell apart: a ratio of counters with a collapse guard and an
 * exclusion, a latency, a latency by group, and slices by group with an expectation. The `in` of every golden pair.
 */
import { decimal, multiply, subtract } from '../decimal.ts';
import type { Indicator, Model, Objective, Selector, Tier } from '../model.ts';

const REQUESTS = 'http_server_request_duration_seconds';
const READS: Selector['matchers'] = [
  { label: 'job', op: '=', value: 'vigia' },
  { label: 'http_request_method', op: '=', value: 'GET' },
  { label: 'http_route', op: '!~', value: '/livez|/readyz' },
  { label: 'vigia_load', op: '=', value: 'no' },
];
const READABLE = 'vigia_accept_to_readable_seconds';
const DATASETS = ['flights', 'trips'] as const;

// biome-ignore format: read across
const WINDOWS = [
  { name: 'fast', severity: 'page', factor: '14.4', longSeconds: 3600, shortSeconds: 300, windows: 'raw' },
  { name: 'medium', severity: 'page', factor: '6', longSeconds: 21_600, shortSeconds: 1800, windows: 'raw' },
  { name: 'slow', severity: 'ticket', factor: '3', longSeconds: 86_400, shortSeconds: 7200, windows: 'derived' },
  { name: 'drain', severity: 'ticket', factor: '1', longSeconds: 259_200, shortSeconds: 21_600, windows: 'derived' },
] as const;

const availability: Indicator = {
  kind: 'bad-ratio',
  bad: {
    metric: `${REQUESTS}_count`,
    matchers: [...READS, { label: 'http_response_status_code', op: '=~', value: '5..' }],
  },
  total: { metric: `${REQUESTS}_count`, matchers: READS },
};

const latency: Indicator = {
  kind: 'good-ratio',
  good: { metric: `${REQUESTS}_bucket`, matchers: [...READS, { label: 'le', op: '=', value: '0.3' }] },
  total: { metric: `${REQUESTS}_count`, matchers: READS },
  latency: { histogram: REQUESTS, thresholdSeconds: decimal('0.3') },
};

const readable: Indicator = {
  kind: 'good-ratio',
  good: { metric: `${READABLE}_bucket`, matchers: [{ label: 'le', op: '=', value: '5' }] },
  total: { metric: `${READABLE}_count`, matchers: [] },
  latency: { histogram: READABLE, thresholdSeconds: decimal('5') },
};

const freshness: Indicator = {
  kind: 'slices',
  measure: { metric: 'vigia_oldest_unreadable_age_seconds', matchers: [] },
  transform: 'none',
  good: 'lte',
  threshold: {
    kind: 'metric',
    selector: { metric: 'vigia_freshness_promise_seconds', matchers: [] },
    times: decimal(1),
  },
  sliceSeconds: 60,
};

export const GOLDEN_MODEL: Model = {
  environment: { scrapeSeconds: 15, evaluationSeconds: 15, retentionSeconds: 35 * 86_400 },
  objectives: [
    objective({
      name: 'api-availability',
      title: 'Reads are answered',
      target: '0.999',
      indicator: availability,
      noData: { choice: 'alert', severity: 'page' },
      collapse: { severity: 'ticket', ratio: decimal('0.2'), baselineMin: decimal('0.5') },
      exclusions: [
        {
          id: '2026-10-03-move',
          startSeconds: 1_791_000_000,
          endSeconds: 1_791_003_600,
          reason: 'The warehouse moved to another region.',
          author: 'data-platform',
        },
      ],
    }),
    objective({ name: 'api-latency', title: 'Reads are fast', target: '0.99', indicator: latency }),
    objective({
      name: 'pipeline-freshness',
      service: 'pipeline',
      title: 'Rows become readable in time',
      target: '0.995',
      indicator: freshness,
      grouping: { label: 'dataset', expected: DATASETS },
      noData: { choice: 'bad' },
      expectation: {
        measure: { metric: 'vigia_expected_record_age_seconds', matchers: [] },
        limit: { metric: 'vigia_expect_every_seconds', matchers: [] },
      },
    }),
    objective({
      name: 'pipeline-latency',
      service: 'pipeline',
      title: 'Rows are readable soon',
      target: '0.99',
      indicator: readable,
    }),
  ],
};

type Wanted = Pick<Objective, 'name' | 'title' | 'indicator'> & { readonly target: string } & Partial<
    Omit<Objective, 'target'>
  >;

function objective({ target, ...wanted }: Wanted): Objective {
  const budget = subtract(decimal(1), decimal(target));
  return {
    service: 'api',
    owner: 'data-platform',
    description: `${wanted.title}, in ${target} of all cases.`,
    target: decimal(target),
    budget,
    periodSeconds: 30 * 86_400,
    grouping: null,
    tiers: tiers(budget, wanted.indicator.kind === 'slices'),
    noData: { choice: 'alert', severity: 'ticket' },
    collapse: null,
    expectation: null,
    exclusions: [],
    expectedRate: decimal(20),
    file: `slo/objectives/${wanted.name}.yaml`,
    runbook: `slo/objectives/${wanted.name}.runbook.md`,
    ...wanted,
  };
}

function tiers(budget: Tier['factor'], slices: boolean): readonly Tier[] {
  return WINDOWS.map(({ factor, ...rest }) => ({
    ...rest,
    factor: decimal(factor),
    threshold: multiply(decimal(factor), budget),
    badEventsMin: slices ? 3 : 5,
    warmUpSeconds: rest.name === 'fast' ? null : (rest.longSeconds * 9) / 10,
  }));
}
