import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { promqlNames } from '../promql-names.ts';
import { emitGateFile, gateData } from './gate-file.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { recordedSeries } from './recorded-series.ts';

describe('gate.json', () => {
  it('is what was reviewed', () => assertGolden('gate', emitGateFile(GOLDEN_MODEL)));

  it('asks only for what the rules record', () => {
    const known = recordedSeries(GOLDEN_MODEL);
    const { evaluatedQuery, objectives } = gateData(GOLDEN_MODEL);
    const queries = [
      evaluatedQuery,
      ...objectives.flatMap(({ budgetLeftQuery, coverageQuery, tiers }) => [
        budgetLeftQuery,
        coverageQuery,
        ...tiers.flatMap(({ badEventsQuery, longQuery, shortQuery }) => [longQuery, shortQuery, badEventsQuery]),
      ]),
    ];
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

  it('compares each tier as its alert does: ratios of raw windows for pages, weighted ones for tickets', () => {
    const [first] = gateData(GOLDEN_MODEL).objectives;
    assert.deepEqual(
      first?.tiers.map(({ badEventsQuery, longQuery, shortQuery, threshold }) => [
        threshold,
        longQuery,
        shortQuery,
        badEventsQuery,
      ]),
      [
        [0.0144, 'slo:error:ratio1h', 'slo:error:ratio5m', 'slo:bad:rate1h*3600'],
        [0.006, 'slo:error:ratio6h', 'slo:error:ratio30m', 'slo:bad:rate6h*21600'],
        [0.003, 'slo:error:weighted1d', 'slo:error:weighted2h', 'slo:bad:events1d'],
        [0.001, 'slo:error:weighted3d', 'slo:error:weighted6h', 'slo:bad:events3d'],
      ].map(([threshold, ...series]) => [
        threshold,
        ...series.map((name) => {
          const [metric = '', seconds] = String(name).split('*');
          return `${metric}{slo="api-availability"}${seconds === undefined ? '' : ` * ${seconds}`}`;
        }),
      ]),
    );
  });
});
