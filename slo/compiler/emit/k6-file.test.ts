import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { METRICS } from '../../../app/telemetry/catalogue.ts';
import { verdictOf } from '../evidence.ts';
import { promqlNames } from '../promql-names.ts';
import { matches } from '../selector.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { emitK6File, type K6Objective, k6Data } from './k6-file.ts';

describe('k6.json', () => {
  const { notMeasured, objectives } = k6Data(GOLDEN_MODEL);
  const find = (name: string): K6Objective => {
    const found = objectives.find(({ objective }) => objective === name);
    assert.ok(found !== undefined, name);
    return found;
  };

  it('is what was reviewed', () => assertGolden('k6', emitK6File(GOLDEN_MODEL)));

  it('names every objective: measured, or not and why', () => {
    assert.deepEqual(
      [...objectives.map(({ objective }) => objective), ...notMeasured.map(({ objective }) => objective)].sort(),
      GOLDEN_MODEL.objectives.map(({ name }) => name).sort(),
    );
    assert.deepEqual(
      notMeasured.map(({ objective }) => objective),
      ['pipeline-freshness'],
    );
  });

  it('puts the bound on a bucket of the histogram that the rules count', () => {
    for (const name of ['api-latency', 'pipeline-latency']) {
      const { bad, measured } = find(name);
      assert.ok(bad.kind === 'slower');
      const metric = measured === 'request' ? METRICS.httpServerRequestDuration : METRICS.acceptToReadable;
      assert.ok((metric.buckets as readonly number[]).includes(bad.boundMs / 1000), `${bad.boundMs} ms`);
    }
  });

  it('counts the requests that the objective counts, and no label that only a scrape knows', () => {
    const { bad, counts } = find('api-availability');
    assert.ok(bad.kind === 'labels');
    const labels = (route: string, status: string) =>
      ({ http_request_method: 'GET', http_route: route, http_response_status_code: status }) as Record<string, string>;
    const all = (list: K6Objective['counts'], values: Record<string, string>): boolean =>
      list.every((matcher) => matches(matcher, values[matcher.label] ?? ''));
    assert.equal(all(counts, labels('/stats', '503')), true);
    assert.equal(all(counts, labels('/livez', '503')), false);
    assert.equal(all(bad.matchers, labels('/stats', '503')), true);
    assert.equal(all(bad.matchers, labels('/stats', '429')), false);
    const known = new Set(Object.keys(METRICS.httpServerRequestDuration.labels));
    for (const { label } of [...counts, ...bad.matchers]) assert.ok(known.has(label) && label !== 'vigia_load', label);
  });

  it('marks a run at the budget, and at what would page where load is beyond the expected', () => {
    assert.deepEqual(find('api-availability').thresholds, {
      average: ['rate<=0.001'],
      soak: ['rate<=0.001'],
      stress: ['rate<=0.0144'],
      spike: ['rate<=0.0144'],
    });
  });

  it('gives the totals at which the evidence rule changes its verdict', () => {
    for (const { budget, evidence } of objectives) {
      for (const { bad, failTotalMax, passTotalMin } of evidence) {
        assert.equal(verdictOf({ bad, total: passTotalMin, budget }), 'pass');
        assert.notEqual(verdictOf({ bad, total: passTotalMin - 1, budget }), 'pass');
        if (failTotalMax > 0) assert.equal(verdictOf({ bad, total: failTotalMax, budget }), 'fail');
      }
    }
  });

  it('asks the server for the load alone, in PromQL that parses', () => {
    for (const { server } of objectives) {
      for (const query of [server.badQuery, server.totalQuery]) {
        const { metrics, unreadable } = promqlNames(query.replaceAll('$window', '10m'));
        assert.equal(unreadable, null, query);
        assert.equal(metrics.length > 0, true);
        assert.doesNotMatch(query, /vigia_load="no"/);
      }
    }
    assert.match(find('api-latency').server.badQuery, /vigia_load="yes"/);
    assert.match(find('pipeline-latency').server.badQuery, /le=~"5\(\\\\\.0\)\?"/, 'both spellings of a whole bound');
  });
});
