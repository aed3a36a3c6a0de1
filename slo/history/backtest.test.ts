import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { toolPath } from '../../observability/tools/tools.ts';
import { queryAt } from '../prometheus-client.ts';
import { ratioObjective } from '../test/objective-fixture.ts';
import { type History, type SeededPrometheus, startPrometheus } from './seeded-prometheus.ts';
import { backfill } from './backfill.ts';
import { backtest, pagesOf } from './backtest.ts';

const SCRAPE_SECONDS = 60;
const START_SECONDS = Date.UTC(2026, 2, 2) / 1000;
const DAYS = 3;
const EVENTS = 1000;

/** Hours since the start, minutes it lasted, share that failed, and which tier tells first. */
const OUTAGES = [
  { hour: 20, minutes: 10, share: 1, tier: 'fast' },
  { hour: 30, minutes: 30, share: 0.2, tier: 'fast' },
  { hour: 40, minutes: 15, share: 0.6, tier: 'fast' },
  { hour: 50, minutes: 240, share: 0.012, tier: 'medium' },
  { hour: 66, minutes: 5, share: 1, tier: 'fast' },
] as const;

/** Too small or too short for a page: 0.5 % for two hours, and half a minute of everything. */
const QUIET = [
  { hour: 15, minutes: 120, share: 0.005 },
  { hour: 60, minutes: 1, share: 0.4 },
] as const;

function history(): readonly History[] {
  const counts = { good: 0, bad: 0 };
  const points = { good: [] as [number, number][], bad: [] as [number, number][] };
  for (let index = 0; index <= (DAYS * 86_400) / SCRAPE_SECONDS; index += 1) {
    const minute = (index * SCRAPE_SECONDS) / 60;
    const fault = [...OUTAGES, ...QUIET].find(
      ({ hour, minutes }) => minute > hour * 60 && minute <= hour * 60 + minutes,
    );
    const bad = Math.round((fault?.share ?? 0) * EVENTS);
    counts.bad += bad;
    counts.good += EVENTS - bad;
    for (const kind of ['good', 'bad'] as const)
      points[kind].push([START_SECONDS + index * SCRAPE_SECONDS, counts[kind]]);
  }
  return [
    { series: 'requests_total{job="vigia",status="200"}', points: points.good },
    { series: 'requests_total{job="vigia",status="500"}', points: points.bad },
  ];
}

describe('backtest', () => {
  let prometheus: SeededPrometheus;
  before(async function () {
    this.timeout(60_000);
    prometheus = await startPrometheus(history());
  });
  after(async () => prometheus[Symbol.asyncDispose]());

  it('finds the pages of five known outages, on time, and no other', async function () {
    this.timeout(60_000);
    const objective = ratioObjective({ badEventsMin: 5 });
    const episodes = await backtest({
      url: prometheus.url,
      objective,
      tiers: objective.tiers.filter(({ severity }) => severity === 'page'),
      fromSeconds: START_SECONDS + 6 * 3600,
      toSeconds: START_SECONDS + DAYS * 86_400,
      stepSeconds: SCRAPE_SECONDS,
    });
    const pages = pagesOf(episodes);
    assert.deepEqual(
      pages.map(({ beginSeconds, tier }) => [tier, Math.floor((beginSeconds - START_SECONDS) / 3600)]),
      OUTAGES.map(({ hour, share, tier }) => [tier, hour + (share < 0.0144 ? 3 : 0)]),
    );
    for (const [index, { beginSeconds }] of pages.entries()) {
      const outage = OUTAGES[index];
      assert.ok(outage !== undefined);
      const [window, threshold] = outage.tier === 'fast' ? [3600, 0.0144] : [21_600, 0.006];
      const late = beginSeconds - START_SECONDS - outage.hour * 3600 - (window * threshold) / outage.share;
      assert.ok(late >= 0 && late <= 2 * SCRAPE_SECONDS, `hour ${outage.hour}: ${late} s late`);
    }
  });

  it('finds the ticket of a slow burn from subqueries alone', async function () {
    this.timeout(60_000);
    const objective = ratioObjective({ badEventsMin: 5 });
    const episodes = await backtest({
      url: prometheus.url,
      objective,
      tiers: objective.tiers.filter(({ name }) => name === 'slow'),
      fromSeconds: START_SECONDS + 26 * 3600,
      toSeconds: START_SECONDS + 60 * 3600,
      stepSeconds: 1800,
    });
    assert.ok(episodes.some(({ beginSeconds }) => beginSeconds <= START_SECONDS + 31 * 3600));
  });

  it('gives a new objective the past that its metrics hold', async function () {
    this.timeout(60_000);
    const objective = ratioObjective();
    const { url } = prometheus;
    const range = { fromSeconds: START_SECONDS + 3600, toSeconds: START_SECONDS + DAYS * 86_400, stepSeconds: 300 };
    await using filled = await startPrometheus({
      write: async (folder) => backfill({ ...range, objective, url, promtool: await toolPath('promtool'), folder }),
    });
    const ids = '{service="api",slo="requests"}';
    const sum = (series: string): string => `sum_over_time(${series}${ids}[3d])`;
    const atSeconds = range.toSeconds;
    const [ratio] = await queryAt({
      url: filled.url,
      query: `${sum('slo:bad:rate5m')} / ${sum('slo:total:rate5m')}`,
      atSeconds,
    });
    const badMinutes = [...OUTAGES, ...QUIET].reduce((all, { minutes, share }) => all + minutes * share, 0);
    const truth = badMinutes / ((DAYS * 86_400 - 3600) / 60);
    assert.ok(ratio !== undefined && Math.abs(ratio.value / truth - 1) < 0.01, `${ratio?.value}, truth ${truth}`);
    const [evaluated] = await queryAt({ url: filled.url, query: `slo:evaluated${ids}`, atSeconds });
    assert.equal(evaluated?.value, 1);
  });
});
