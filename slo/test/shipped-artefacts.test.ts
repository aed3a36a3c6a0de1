/** What is made of the shipped objectives, taken together: names that one artefact uses are those that another one makes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { METRICS, type MetricDefinition } from '../../app/telemetry/catalogue.ts';
import { toolPath } from '../../observability/tools/tools.ts';
import { compiled, type Sound } from '../compiled.ts';
import { alertsOf } from '../compiler/alerts.ts';
import { decimal } from '../compiler/decimal.ts';
import { emitAll } from '../compiler/emit/emitters.ts';
import { fleetRuleGroup } from '../compiler/emit/fleet-rules.ts';
import type { GeneratedFile } from '../compiler/emit/generated-file.ts';
import { GOOGLE_METRICS, googlePolicies, HEARTBEAT } from '../compiler/emit/google-policies.ts';
import type { Rule, RuleGroup } from '../compiler/emit/prometheus.ts';
import { promqlNames } from '../compiler/promql-names.ts';

const run = promisify(execFile);
const FLEET_ALERTS = ['SLOBurn', 'SLONoData', 'ServiceWithoutObjective'];

describe('the shipped artefacts', () => {
  let sound: Sound;
  let files: readonly GeneratedFile[];
  let rules: readonly Rule[];
  let queries: readonly string[];
  before(async () => {
    const found = await compiled({ nowSeconds: null, quiet: true });
    assert.ok(found !== undefined);
    sound = found;
    files = emitAll(sound);
    const groups = files
      .filter(({ path }) => path.startsWith('prometheus/'))
      .flatMap(({ text }) => (parse(text) as { readonly groups: readonly RuleGroup[] }).groups);
    rules = groups.flatMap((group) => group.rules);
    queries = [...new Set(files.flatMap(queriesOf))];
  });

  it('have a written runbook for each alert, and none for an alert that is not raised', () => {
    const raised = new Map(
      sound.model.objectives.map((objective) => [
        objective.runbook,
        alertsOf(objective).map(({ name }) => name as string),
      ]),
    );
    raised.set('slo/fleet.runbook.md', FLEET_ALERTS);
    assert.deepEqual([...sound.runbooks.keys()].sort(), [...raised.keys()].sort());
    for (const [path, names] of raised) {
      const meaning = sound.runbooks.get(path)?.split('## How to see it')[0] ?? '';
      const explained = [...meaning.matchAll(/^- `(\w+)`: /gm)].map(([, name]) => name ?? '');
      assert.deepEqual(explained.sort(), [...new Set(names)].sort(), path);
    }
  });

  it('lead every alert to a runbook and a dashboard that are there', () => {
    const paths = new Set(files.map(({ path }) => `slo/generated/${path}`));
    const alerts = [...rules, ...fleetRules()].filter((rule) => 'alert' in rule);
    assert.ok(alerts.length > 20);
    for (const { alert, annotations, labels } of alerts) {
      assert.ok(paths.has(annotations['runbook'] ?? ''), `${alert} ${labels['slo']}: ${annotations['runbook']}`);
      const page = (annotations['dashboard'] ?? '').replace('/d/', 'slo/generated/dashboards/');
      assert.ok(paths.has(`${page}.json`), `${alert} ${labels['slo']}: ${annotations['dashboard']}`);
    }
  });

  it('read only what the rules record, the catalogue lists, others are known to expose, or Google counts', async () => {
    const external = parse(await readFile('slo/external-metrics.yaml', 'utf8')) as { readonly metrics: object };
    const known = new Set([
      ...[...rules, ...fleetRules()].flatMap((rule) => ('record' in rule ? [rule.record] : [])),
      ...Object.values(METRICS as Readonly<Record<string, MetricDefinition>>).flatMap(exposed),
      ...Object.keys(external.metrics),
      ...Object.values(GOOGLE_METRICS),
      HEARTBEAT,
    ]);
    assert.ok(queries.length > 200, `${queries.length} queries were found`);
    for (const query of queries) {
      const { metrics, unreadable } = promqlNames(query);
      assert.equal(unreadable, null, query);
      assert.deepEqual(
        metrics.filter((metric) => !known.has(metric)),
        [],
        query,
      );
    }
  });

  it('hold only queries that Prometheus itself accepts', async function () {
    this.timeout(20_000);
    const folder = await mkdtemp(join(tmpdir(), 'vigia-queries-'));
    try {
      // As rules, because `check rules` type-checks each expression; a number that differs makes each one unique.
      const asRules = queries.map((expr, index) => ({ record: `query:${index}`, expr }));
      await writeFile(join(folder, 'rules.yaml'), stringify({ groups: [{ name: 'queries', rules: asRules }] }));
      await run(await toolPath('promtool'), ['check', 'rules', join(folder, 'rules.yaml')]).catch((error: unknown) => {
        assert.fail(String((error as { stderr?: string }).stderr));
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('back up both request objectives, the backlog, the uptime and the heartbeat on Google', () => {
    const names = googlePolicies(sound.model).map(({ name }) => name);
    for (const name of [
      'api-availability-fast',
      'ingest-availability-fast',
      'pipeline-freshness-oldest-unacknowledged',
      'api-uptime-livez',
      'watchdog-absent',
    ]) {
      assert.ok(names.includes(name), name);
    }
  });
});

/** The fleet's rules with a service in it: as shipped it may have none. */
function fleetRules(): readonly Rule[] {
  const objectives = [
    { name: 'availability', budget: decimal('0.001') },
    { name: 'latency', budget: decimal('0.01'), thresholdSeconds: decimal('0.3') },
  ] as const;
  return fleetRuleGroup({ owner: 'x', services: [{ name: 'a', owner: 'x', class: 'c', objectives }] }).rules;
}

/** Every PromQL text of a file, with the variables that its reader fills in filled in. */
function queriesOf({ path, text }: GeneratedFile): readonly string[] {
  const found = path.endsWith('.md')
    ? [...text.matchAll(/```promql\n([\s\S]*?)```/g)].map(([, query]) => (query ?? '').trim())
    : path.endsWith('.json')
      ? promqlIn(JSON.parse(text))
      : [];
  return found.map((query) =>
    query.replaceAll('$__range_s', '3600').replaceAll('$__range', '1h').replaceAll('$window', '10m'),
  );
}

/** Values of the keys that hold PromQL, at any depth. */
function promqlIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'string' && /^(?:expr|query|\w+Query)$/.test(key) && inner !== 'prometheus'
      ? [inner]
      : promqlIn(inner),
  );
}

function exposed({ kind, name }: MetricDefinition): readonly string[] {
  return kind === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name];
}
