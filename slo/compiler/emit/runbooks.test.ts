import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import { LOG_EVENTS, METRICS, type MetricDefinition } from '../../../app/telemetry/catalogue.ts';
import { alertsOf } from '../alerts.ts';
import { promqlNames } from '../promql-names.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { emitRunbooks, FLEET_RUNBOOK, RUNBOOK_SECTIONS } from './runbooks.ts';

const SLO = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(SLO, path), 'utf8');
/** What people wrote, by objective; and the fleet's. */
const WRITTEN = [
  ...readdirSync(join(SLO, 'objectives'))
    .filter((name) => name.endsWith('.runbook.md'))
    .map((name) => ({ name: name.replace('.runbook.md', ''), text: read(`objectives/${name}`) })),
  { name: 'fleet', text: read('fleet.runbook.md') },
];

describe('generated runbooks', () => {
  const human = '# A promise\n\n## What it means\n\n- `SLOBurn`: it burns.\n';
  const runbooks = new Map(
    [...GOLDEN_MODEL.objectives.map(({ runbook }) => runbook), FLEET_RUNBOOK].map((path) => [path, human]),
  );
  const files = emitRunbooks({ model: GOLDEN_MODEL, runbooks });

  it('are what was reviewed', () => assertGolden('runbooks', files));

  it('are there for every objective, with the written half and every alert that it raises', () => {
    for (const objective of GOLDEN_MODEL.objectives) {
      const text = files.find(({ path }) => path === `runbooks/${objective.name}.md`)?.text ?? '';
      assert.ok(text.includes('- `SLOBurn`: it burns.'), objective.name);
      const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, severity]) => [name, severity]);
      assert.deepEqual(
        rows,
        alertsOf(objective).map(({ name, severity }) => [name, severity]),
      );
    }
  });

  it('fail without the written half, by its path', () => {
    assert.throws(
      () => emitRunbooks({ model: GOLDEN_MODEL, runbooks: new Map([[FLEET_RUNBOOK, human]]) }),
      /api-availability\.runbook\.md is not there/,
    );
  });
});

describe('written runbooks', () => {
  for (const { name, text } of WRITTEN) {
    it(`say in five sections what to do about ${name}`, () => {
      assert.deepEqual(
        [...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title),
        [...RUNBOOK_SECTIONS],
      );
      for (const section of RUNBOOK_SECTIONS) assert.ok(sectionOf(text, section).length > 40, section);
    });

    it(`have a query for seeing ${name}, for each cause, and for its end`, () => {
      assert.ok(promql(sectionOf(text, 'How to see it')).length > 0);
      assert.ok(promql(sectionOf(text, 'How to know it is over')).length > 0);
      const causes = sectionOf(text, 'Likely causes');
      assert.equal(promql(causes).length, [...causes.matchAll(/^\d+\. /gm)].length);
    });

    it(`name no log event that the service does not write: ${name}`, () => {
      const events = new Set<string>(Object.values(LOG_EVENTS).map(({ event }) => event));
      const named = [...text.matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map(([, event]) => event ?? '');
      assert.deepEqual(
        named.filter((event) => !events.has(event)),
        [],
      );
    });

    it(`ask only metrics that somebody exposes: ${name}`, () => {
      const known = new Set(Object.values(METRICS as Readonly<Record<string, MetricDefinition>>).flatMap(exposed));
      for (const query of promql(text)) {
        const { metrics, unreadable } = promqlNames(query);
        assert.equal(unreadable, null, query);
        const others = metrics.filter((metric) => !/^(?:slo|fleet):/.test(metric) && !EXTERNAL.has(metric));
        assert.deepEqual(
          others.filter((metric) => !known.has(metric)),
          [],
          query,
        );
      }
    });
  }
});

/** `slo/external-metrics.yaml` lists them too. */
const EXTERNAL: ReadonlySet<string> = new Set(['up', 'probe_success']);

function sectionOf(text: string, title: string): string {
  return text.split(`## ${title}\n`)[1]?.split(/^## /m)[0]?.trim() ?? '';
}

function promql(text: string): readonly string[] {
  return [...text.matchAll(/```promql\n([\s\S]*?)```/g)].map(([, query]) => (query ?? '').trim());
}

function exposed({ kind, name }: MetricDefinition): readonly string[] {
  return kind === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name];
}
