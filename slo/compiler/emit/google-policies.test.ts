import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { toolPath } from '../../../observability/tools/tools.ts';
import type { Model, Objective } from '../model.ts';
import { promqlNames } from '../promql-names.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { emitGooglePolicies, GOOGLE_METRICS, googlePolicies, HEARTBEAT, PLACEHOLDERS } from './google-policies.ts';

const run = promisify(execFile);
const renamed = (from: string, name: string): Objective => {
  const found = GOLDEN_MODEL.objectives.find((objective) => objective.name === from);
  assert.ok(found !== undefined);
  return { ...found, name, runbook: `slo/objectives/${name}.runbook.md` };
};
/** With the two objectives that the golden model has no need of elsewhere. */
const MODEL: Model = {
  ...GOLDEN_MODEL,
  objectives: [
    ...GOLDEN_MODEL.objectives,
    renamed('pipeline-freshness', 'api-uptime'),
    renamed('api-availability', 'ingest-availability'),
  ],
};

describe('google-policies.json', () => {
  const policies = googlePolicies(MODEL);
  const queries = policies.flatMap(({ condition }) => (condition.kind === 'promql' ? [condition] : []));

  it('is what was reviewed', () => assertGolden('google', emitGooglePolicies(MODEL)));

  it('has the page tiers of both request objectives, and one policy for each way to go silent', () => {
    assert.deepEqual(policies.map(({ name }) => name).sort(), [
      'api-availability-fast',
      'api-availability-medium',
      'api-uptime-livez',
      'ingest-availability-fast',
      'ingest-availability-medium',
      'pipeline-freshness-oldest-unacknowledged',
      'watchdog-absent',
    ]);
  });

  it('reads only what Google counts itself, and our heartbeat', () => {
    const known = new Set<string>([...Object.values(GOOGLE_METRICS), HEARTBEAT]);
    for (const { query } of queries) {
      const { metrics, unreadable } = promqlNames(query);
      assert.equal(unreadable, null, query);
      assert.deepEqual(
        metrics.filter((metric) => !known.has(metric)),
        [],
        query,
      );
    }
  });

  it('says of every policy who owns it, where its runbook is, and that it is a coarse backstop', () => {
    for (const { documentation, severity, userLabels } of policies) {
      assert.deepEqual([userLabels['backstop'], userLabels['severity'], severity], ['coarse', 'page', 'CRITICAL']);
      assert.ok(userLabels['owner'] !== '' && userLabels['slo'] !== '');
      assert.match(documentation.content, /Runbook: slo\/generated\/runbooks\/[a-z-]+\.md/);
      assert.match(documentation.content, /coarse backstop/);
    }
    for (const { disableMetricValidation, evaluationIntervalSeconds } of queries) {
      assert.deepEqual([disableMetricValidation, evaluationIntervalSeconds % 30], [true, 0]);
    }
  });

  it('explains every placeholder, and has no other', () => {
    const used = new Set([...JSON.stringify(policies).matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name));
    assert.deepEqual([...used].sort(), Object.keys(PLACEHOLDERS).sort());
  });

  it('fires on failures above the tier, and on no less, on none, or on another service', async function () {
    this.timeout(20_000);
    const medium = 'api-availability-medium';
    // 100 requests a minute for two hours; 2 % is above 14.4 × 0.1 %, 1 % above 6 × 0.1 % only.
    await assertFiring([
      { failedInHundred: 2, service: 'vigia', fires: ['api-availability-fast', medium] },
      { failedInHundred: 1, service: 'vigia', fires: [medium] },
      { failedInHundred: 0, service: 'vigia', fires: [] },
      { failedInHundred: 2, service: 'another', fires: [] },
    ]);
  });

  async function assertFiring(
    cases: readonly { readonly failedInHundred: number; readonly service: string; readonly fires: readonly string[] }[],
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'vigia-google-'));
    const rules = queries
      .filter(({ alertRule }) => alertRule.startsWith('api-availability'))
      .map(({ alertRule, query }) => ({ alert: alertRule, expr: query.replaceAll(`$\{service}`, 'vigia') }));
    try {
      await writeFile(join(folder, 'rules.yaml'), stringify({ groups: [{ name: 'backstop', rules }] }));
      const tests = cases.map(({ failedInHundred, fires, service }) => ({
        interval: '1m',
        input_series: [requests(service, '2xx', 100 - failedInHundred), requests(service, '5xx', failedInHundred)],
        promql_expr_test: [
          {
            expr: 'sum by (alertname) (ALERTS{alertstate="firing"})',
            eval_time: '2h',
            exp_samples: fires.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
          },
        ],
      }));
      await writeFile(
        join(folder, 'test.yaml'),
        stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }),
      );
      await run(await toolPath('promtool'), ['test', 'rules', join(folder, 'test.yaml')]).catch((error: unknown) => {
        assert.fail(String((error as { stdout?: string }).stdout));
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  }
});

function requests(service: string, code: string, perMinute: number) {
  return {
    series: `${GOOGLE_METRICS.requests}{monitored_resource="cloud_run_revision",service_name="${service}",response_code_class="${code}"}`,
    values: `0+${perMinute}x120`,
  };
}
