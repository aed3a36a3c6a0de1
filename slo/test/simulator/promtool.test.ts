import assert from 'node:assert/strict';
import fc from 'fast-check';
import { toolPath } from '../../../observability/tools/tools.ts';
import { alertsOf } from '../../compiler/alerts.ts';
import { alertSeries } from '../../compiler/emit/promtool/burn-proofs.ts';
import { feed, type Span } from '../../compiler/emit/promtool/feed.ts';
import type { AlertSeries, Check, Proof } from '../../compiler/emit/promtool/proof.ts';
import { proofSets } from '../../compiler/emit/promtool/promtool.ts';
import { prove } from '../../prove/prove.ts';
import { ENVIRONMENT, ratioObjective } from '../objective-fixture.ts';
import { type Scrape, type Simulation, simulateRatio } from './simulate.ts';

const { evaluationSeconds, scrapeSeconds } = ENVIRONMENT;
const SHAPES = 24;
const OBJECTIVE = {
  ...ratioObjective({ badEventsMin: 5 }),
  tiers: ratioObjective({ badEventsMin: 5 }).tiers.slice(0, 1),
};

/** Two to three hours of minutes in which traffic comes, goes, fails, stops or is not scraped. */
const shape = fc
  .array(
    fc.record({
      minutes: fc.integer({ min: 1, max: 25 }),
      events: fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: 1, max: 2000 }) },
        { weight: 1, arbitrary: fc.constantFrom(0, null) },
      ),
      share: fc.constantFrom(0, 0, 0.005, 0.012, 0.016, 0.05, 0.3, 1),
    }),
    { minLength: 8, maxLength: 12 },
  )
  .map((parts) =>
    parts.map(
      ({ events, minutes, share }): Span => ({ seconds: minutes * 60, events, bad: Math.round((events ?? 0) * share) }),
    ),
  );

function scrapesOf(spans: readonly Span[]): readonly Scrape[] {
  const later = spans.flatMap(({ bad, events, seconds }) =>
    Array.from(
      { length: seconds / scrapeSeconds },
      (): Scrape => (events === null ? null : { bad, good: events - bad }),
    ),
  );
  return [{ bad: 0, good: 0 }, ...later];
}

/** The simulator's verdict as checks, each an evaluation shorter at both ends: so much may differ. */
function checksOf(simulation: Simulation, name: string, alert: AlertSeries): readonly Check[] {
  const states = simulation.firing.map((names) => names.has(name));
  const begins = states.flatMap((state, index) => (index === 0 || states[index - 1] !== state ? [index] : []));
  return begins.flatMap((begin, at): readonly Check[] => {
    const end = begins[at + 1] ?? states.length;
    const [first, last] = [begin + 1, end - 2];
    if (last < first) return [];
    return [
      {
        kind: states[begin] === true ? 'firing' : 'silent',
        alert,
        fromSeconds: (first - 1) * evaluationSeconds,
        toSeconds: last * evaluationSeconds,
      },
    ];
  });
}

describe('simulator and Prometheus', () => {
  it('agree within one evaluation on random traffic', async function () {
    this.timeout(60_000);
    const set = proofSets({ environment: ENVIRONMENT, objectives: [OBJECTIVE] }).find(({ name }) => name === 'pages');
    assert.ok(set !== undefined);
    const alerts = alertsOf(OBJECTIVE).map((alert) => ({
      name: alert.kind === 'burn' ? alert.tier.name : 'no-data',
      series: alertSeries(OBJECTIVE, alert),
    }));
    const proofs = fc.sample(shape, { numRuns: SHAPES, seed: 7 }).map((spans, index): Proof => {
      const simulation = simulateRatio({ objective: OBJECTIVE, environment: ENVIRONMENT, scrapes: scrapesOf(spans) });
      return {
        name: `shape ${index}: ${JSON.stringify(spans.map(({ bad, events, seconds }) => [seconds, events, bad]))}`,
        intervalSeconds: scrapeSeconds,
        series: feed({ objective: OBJECTIVE, scrapeSeconds, spans, instances: ['a'] }),
        checks: alerts.flatMap(({ name, series }) => checksOf(simulation, name, series)),
      };
    });
    const fired = proofs.flatMap(({ checks }) => checks).filter(({ kind }) => kind === 'firing');
    assert.ok(fired.length > SHAPES / 2, `${fired.length} alerts fired: the shapes prove little`);
    const [result] = await prove({ sets: [{ ...set, proofs }], promtool: await toolPath('promtool'), processes: 1 });
    assert.deepEqual(result?.failures, []);
  });
});
