import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { METRICS } from '../../../app/telemetry/catalogue.ts';
import { toolPath } from '../../../observability/tools/tools.ts';
import { decimal } from '../decimal.ts';
import type { Fleet, FleetService } from '../fleet.ts';
import { promqlNames } from '../promql-names.ts';
import { emitFleetRules, fleetRuleGroup } from './fleet-rules.ts';
import { assertGolden } from './golden.fixture.ts';
import type { RuleGroup } from './prometheus.ts';

const run = promisify(execFile);
const REQUESTS = METRICS.httpServerRequestDuration.name;

const service = (name: string, thresholdSeconds = '0.3'): FleetService => ({
  name,
  owner: `team-${name}`,
  class: 'critical',
  objectives: [
    { name: 'availability', budget: decimal('0.001') },
    { name: 'latency', budget: decimal('0.01'), thresholdSeconds: decimal(thresholdSeconds) },
  ],
});
const FLEET: Fleet = {
  owner: 'platform',
  services: [
    service('breaking'),
    // A whole bound: the table has "1", Prometheus 3 stores "1.0".
    service('healthy', '1'),
    service('silent'),
    { name: 'vigia', owner: 'data-platform', class: 'critical', objectives: [] },
  ],
};

/** 30 s apart: 70 minutes as it should be, then 30 of the fault. */
const BEFORE = 140;
const AFTER = 60;
const counter = (labels: string, before: number, after: number) => ({
  series: `${REQUESTS}_${labels}`,
  values: `0+${before}x${BEFORE} ${before * BEFORE + after}+${after}x${AFTER}`,
});
/** One service: answers every 30 s, of them failed and slow ones, before and during the fault. */
const traffic = (name: string, { failed = 0, slow = 0, le = name === 'healthy' ? '1.0' : '0.3' } = {}) => [
  counter(`count{service="${name}",http_response_status_code="200"}`, 60, 60 - failed),
  counter(`count{service="${name}",http_response_status_code="500"}`, 0, failed),
  counter(`bucket{service="${name}",http_response_status_code="200",le="${le}"}`, 60, 60 - failed - slow),
  counter(`bucket{service="${name}",http_response_status_code="500",le="${le}"}`, 0, failed),
];

describe('the fleet’s rules', () => {
  it('are what was reviewed', () => assertGolden('fleet', emitFleetRules(FLEET)));

  it('are as many for fifty services as for one: a service is a row', () => {
    const fifty = { ...FLEET, services: Array.from({ length: 50 }, (_, index) => service(`service-${index}`)) };
    assert.equal(
      fleetRuleGroup(fifty).rules.length,
      fleetRuleGroup({ ...FLEET, services: [service('one')] }).rules.length,
    );
  });

  it('name only what they record and what every service exposes', () => {
    const { rules } = fleetRuleGroup(FLEET);
    const known = new Set([
      `${REQUESTS}_count`,
      `${REQUESTS}_bucket`,
      ...rules.flatMap((rule) => ('record' in rule ? [rule.record] : [])),
    ]);
    for (const rule of rules) {
      const { metrics, unreadable } = promqlNames(rule.expr);
      assert.equal(unreadable, null, rule.expr);
      assert.deepEqual(
        metrics.filter((metric) => !known.has(metric)),
        [],
        rule.expr,
      );
    }
  });

  it('name exactly the service that breaks, the one that is silent and the one that nobody listed', async function () {
    this.timeout(20_000);
    await assertFiring(
      [...traffic('breaking', { failed: 20 }), ...traffic('healthy'), ...traffic('unlisted'), ...traffic('vigia')],
      [
        'ServiceWithoutObjective{owner="platform",service="unlisted",severity="ticket"}',
        'SLOBurn{class="critical",owner="team-breaking",service="breaking",severity="page",slo="availability",tier="fast"}',
        'SLONoData{class="critical",owner="team-silent",service="silent",severity="page",slo="availability"}',
        'SLONoData{class="critical",owner="team-silent",service="silent",severity="page",slo="latency"}',
      ],
    );
  });

  it('tell slow answers from failed ones, and a target without the label service', async function () {
    this.timeout(20_000);
    const nameless = counter('count{http_response_status_code="200"}', 60, 60);
    await assertFiring(
      [...traffic('breaking', { slow: 30 }), ...traffic('healthy'), ...traffic('silent'), nameless],
      [
        'ServiceWithoutObjective{owner="platform",severity="ticket"}',
        'SLOBurn{class="critical",owner="team-breaking",service="breaking",severity="page",slo="latency",tier="fast"}',
      ],
    );
  });

  it('ticket what burns for days: by the day at 4 times, by three days at 2 times the budget, not at 0.9', async function () {
    this.timeout(20_000);
    // Seeded 5-minute rates: raw ones would need more samples than promtool loads.
    const group = fleetRuleGroup({ ...FLEET, services: ['four', 'two', 'within'].map((name) => service(name)) });
    const rules = group.rules.filter(
      (rule) => !('record' in rule) || !/:(?:rate|ratio)\d|30d|remaining/.test(rule.record),
    );
    const days = 3 * 288 + 12;
    const rates = (name: string, bad: number): readonly Series[] => [
      { series: `fleet:total:rate5m{service="${name}",slo="availability"}`, values: `20+0x${days}` },
      { series: `fleet:bad:rate5m{service="${name}",slo="availability"}`, values: `${bad}+0x${days}` },
    ];
    const ticket = (name: string, tier: string) =>
      `SLOBurn{class="critical",owner="team-${name}",service="${name}",severity="ticket",slo="availability",tier="${tier}"}`;
    const latency = ['four', 'two', 'within'].map((name) => ({
      series: `fleet:total:rate5m{service="${name}",slo="latency"}`,
      values: `20+0x${days}`,
    }));
    await promtool({ ...group, rules }, '5m', [
      {
        interval: '5m',
        input_series: [...rates('four', 0.08), ...rates('two', 0.04), ...rates('within', 0.018), ...latency],
        promql_expr_test: [
          firing('20h', []),
          firing('23h', [ticket('four', 'slow')]),
          firing('3d', [ticket('four', 'drain'), ticket('four', 'slow'), ticket('two', 'drain')]),
        ],
      },
    ]);
  });

  it('say nothing while every listed service does what it promised', async function () {
    this.timeout(20_000);
    await assertFiring([...traffic('breaking'), ...traffic('healthy'), ...traffic('silent')], []);
  });
});

interface Series {
  readonly series: string;
  readonly values: string;
}
const LABELS = 'alertname, service, slo, class, owner, severity, tier';
const firing = (at: string, expected: readonly string[]) => ({
  expr: `sum by (${LABELS}) (ALERTS{alertstate="firing"})`,
  eval_time: at,
  exp_samples: expected.map((alert) => {
    const [name = '', rest = ''] = alert.split(/\{(.*)\}$/);
    return { labels: `{alertname="${name}",${rest}}`, value: 1 };
  }),
});

/** What promtool sees firing 25 minutes into the fault; and that nothing is recorded of who is not listed. */
async function assertFiring(series: readonly Series[], expected: readonly string[]): Promise<void> {
  await promtool(fleetRuleGroup(FLEET), '30s', [
    {
      interval: '30s',
      input_series: series,
      promql_expr_test: [
        firing('95m', expected),
        { expr: 'fleet:total:rate5m unless on (service) fleet:objective:budget', eval_time: '95m', exp_samples: [] },
      ],
    },
  ]);
}

async function promtool(group: RuleGroup, interval: string, tests: readonly unknown[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-fleet-'));
  try {
    await writeFile(join(folder, 'rules.yaml'), stringify({ groups: [group] }));
    await writeFile(
      join(folder, 'test.yaml'),
      stringify({ rule_files: ['rules.yaml'], evaluation_interval: interval, tests }),
    );
    await run(await toolPath('promtool'), ['test', 'rules', join(folder, 'test.yaml')]).catch((error: unknown) => {
      assert.fail(String((error as { stdout?: string }).stdout));
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}
