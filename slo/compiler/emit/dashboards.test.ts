import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { METRICS, type MetricDefinition } from '../../../app/telemetry/catalogue.ts';
import { alertsOf } from '../alerts.ts';
import { promqlNames } from '../promql-names.ts';
import { alertAnnotations } from './alert-text.ts';
import { emitDashboards } from './dashboards.ts';
import { fleetRuleGroup } from './fleet-rules.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { recordedSeries } from './recorded-series.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly datasource: { readonly uid: string };
  }[];
  readonly options?: { readonly legend?: { readonly showLegend: boolean } };
}
interface Page {
  readonly uid: string;
  readonly editable: boolean;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
}

describe('the dashboards', () => {
  const files = emitDashboards(GOLDEN_MODEL);
  const pages = files.map(({ text }) => JSON.parse(text) as Page);
  const panels = pages.flatMap((page) => page.panels.map((panel) => ({ ...panel, page: page.uid })));

  it('are what was reviewed', () => assertGolden('grafana', files));

  it('are where each alert leads', () => {
    const uids = new Set(pages.map(({ uid }) => `/d/${uid}`));
    for (const objective of GOLDEN_MODEL.objectives) {
      for (const alert of alertsOf(objective)) {
        assert.ok(uids.has(alertAnnotations(objective, alert)['dashboard'] ?? ''), `${objective.name} ${alert.name}`);
      }
    }
    assert.equal(uids.size, GOLDEN_MODEL.objectives.length + 2, 'an overview and the fleet, and no page twice');
  });

  it('ask PromQL of what the rules record, the catalogue lists and Prometheus knows itself', () => {
    const fleet = fleetRuleGroup({
      owner: 'x',
      services: [
        { name: 'a', owner: 'x', class: 'c', objectives: [{ name: 'availability', budget: { units: 1n, scale: 2 } }] },
      ],
    });
    const known = new Set([
      ...recordedSeries(GOLDEN_MODEL),
      ...fleet.rules.flatMap((rule) => ('record' in rule ? [rule.record] : [])),
      ...Object.values(METRICS as Readonly<Record<string, MetricDefinition>>).flatMap(exposed),
      'ALERTS',
    ]);
    const queries = panels.flatMap(({ targets, title }) => (targets ?? []).map(({ expr }) => ({ expr, title })));
    assert.ok(queries.length > 60);
    for (const { expr, title } of queries) {
      const { metrics, unreadable } = promqlNames(expr.replaceAll('$__range_s', '3600').replaceAll('$__range', '1h'));
      assert.equal(unreadable, null, `${title}: ${expr}`);
      assert.deepEqual(
        metrics.filter((metric) => !known.has(metric)),
        [],
        `${title}: ${expr}`,
      );
    }
  });

  it('name their data source by variable, tell their queries apart, and show what a line is', () => {
    for (const { options, page, targets = [], title, type } of panels) {
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, `${page}: ${title}`);
      for (const { datasource } of targets) assert.equal(datasource.uid, '${' + 'datasource}');
      if (type === 'timeseries') assert.equal(options?.legend?.showLegend, true, `${page}: ${title}`);
      if (type !== 'row' && type !== 'text') assert.ok(targets.length > 0, `${page}: ${title}`);
    }
  });

  it('explain every panel, and none twice under one name', () => {
    for (const { description, page, title, type } of panels) {
      if (type !== 'row') assert.ok((description ?? '').length > 10, `${page}: ${title}`);
    }
    for (const { panels: own, uid } of pages) {
      assert.equal(new Set(own.map(({ title }) => title)).size, own.length, uid);
      assert.equal(new Set(own.map(({ id }) => id)).size, own.length, uid);
    }
  });

  it('lay panels side by side, none over another, none beyond the edge', () => {
    for (const { panels: own, uid } of pages) {
      for (const [index, { gridPos: a, title }] of own.entries()) {
        assert.ok(a.x + a.w <= 24, `${uid}: ${title}`);
        for (const { gridPos: b, title: other } of own.slice(index + 1)) {
          const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
          assert.ok(apart, `${uid}: ${title} and ${other}`);
        }
      }
    }
  });

  it('are read-only and of the classic schema, which Grafana provisions from files', () => {
    for (const { editable, schemaVersion } of pages) assert.deepEqual([editable, schemaVersion], [false, 42]);
  });
});

function exposed({ kind, name }: MetricDefinition): readonly string[] {
  return kind === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name];
}
