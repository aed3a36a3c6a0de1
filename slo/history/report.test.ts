import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { compiled } from '../compiled.ts';
import { gateData } from '../compiler/emit/gate-file.ts';
import type { Policy } from '../compiler/settings.ts';
import { gateEvidence } from '../gate/evidence.ts';
import { EXIT_CODES, gateVerdict } from '../gate/verdict.ts';
import { ENVIRONMENT, ratioObjective } from '../test/objective-fixture.ts';
import { type History, type SeededPrometheus, startPrometheus } from './seeded-prometheus.ts';
import { monthOf, monthReport, reportText } from './report.ts';

const IDS = 'service="api",slo="requests"';
const ALERT = `alertname="SLOBurn",alertstate="firing",owner="platform",severity="page",tier="fast",${IDS}`;
const MARCH_SECONDS = Date.UTC(2026, 2, 1) / 1000;
const STEP_SECONDS = 300;

/** `value` from second to second after the month's beginning, at every step. */
function steady(series: string, value: number, [from, to]: readonly [number, number], step = STEP_SECONDS): History {
  const points: [number, number][] = [];
  for (let seconds = from; seconds <= to; seconds += step) points.push([MARCH_SECONDS + seconds, value]);
  return { series, points };
}

const HOUR = 3600;
const MONTH: readonly History[] = [
  steady(`slo:total:rate5m{${IDS}}`, 10, [STEP_SECONDS, 31 * 24 * HOUR]),
  // 0.05 % of all events: half of the budget.
  steady(`slo:bad:rate5m{${IDS}}`, 0.005, [STEP_SECONDS, 31 * 24 * HOUR]),
  steady(`ALERTS{${ALERT}}`, 1, [100 * HOUR, 100 * HOUR + 1200], 60),
  // A second series, as another Prometheus would write it: over before anyone could act.
  steady(`ALERTS{${ALERT},replica="b"}`, 1, [200 * HOUR, 200 * HOUR + 60], 60),
];

/** What the gate reads, up to now. */
function standing(values: { readonly remaining: number; readonly ratio1h: number }): readonly History[] {
  const now = Math.floor(Date.now() / 1000) - MARCH_SECONDS;
  const range = [now - HOUR, now + 600] as const;
  return [
    steady(`slo:evaluated{${IDS}}`, 1, range, 30),
    steady(`slo:coverage:ratio{${IDS}}`, 1, range, 30),
    steady(`slo:budget:remaining{${IDS}}`, values.remaining, range, 30),
    steady(`slo:error:ratio1h{${IDS}}`, values.ratio1h, range, 30),
  ];
}

describe('report and gate, on a real Prometheus', () => {
  let prometheus: SeededPrometheus;
  let policy: Policy;
  before(async function () {
    this.timeout(60_000);
    prometheus = await startPrometheus([...MONTH, ...standing({ remaining: 0.4, ratio1h: 0.0001 })]);
    const sound = await compiled({ nowSeconds: null, quiet: true });
    assert.ok(sound !== undefined);
    policy = sound.policy;
  });
  after(async () => prometheus[Symbol.asyncDispose]());

  it('says what a month spent, which pages it sent and whether they were true', async () => {
    const month = monthOf('2026-03', MARCH_SECONDS + 90 * 24 * HOUR);
    assert.ok(month !== undefined);
    const text = reportText(await monthReport({ url: prometheus.url, objective: ratioObjective(), month }), policy);
    assert.match(text, /99\.95 % good; 50 % of the month's budget spent/);
    assert.match(text, /pages: 2, of which 1 false/);
    assert.match(text, /2026-03-05 04:00 fast, 20 min, true/);
    assert.match(text, /2026-03-09 08:00 fast, 1 min, false/);
  });

  it('refuses what is no month, and one that has not begun', () => {
    assert.equal(monthOf('2026-13', MARCH_SECONDS), undefined);
    assert.equal(monthOf('2026-03', MARCH_SECONDS - 1), undefined);
    assert.equal(monthOf('2026-03', MARCH_SECONDS + 60)?.toSeconds, MARCH_SECONDS + 60);
  });

  it('lets the gate read budget, burn and coverage', async () => {
    const objectives = [{ ...ratioObjective(), tiers: ratioObjective().tiers.slice(0, 1) }];
    const evidence = await gateEvidence({
      url: prometheus.url,
      data: gateData({ environment: ENVIRONMENT, objectives }),
    });
    assert.deepEqual(evidence, {
      kind: 'standings',
      standings: [{ name: 'requests', coverage: 1, budgetLeft: 0.4, burn: 0.0001 / 0.001 }],
    });
    const verdict = gateVerdict({ evidence, change: 'small', isFirst: false, override: null }, policy);
    assert.equal(EXIT_CODES[verdict.kind], 0);
  });

  it('closes the gate when Prometheus is not there, or knows none of the rules', async () => {
    const objectives = [{ ...ratioObjective(), name: 'unheard-of' }];
    const data = gateData({ environment: ENVIRONMENT, objectives });
    assert.deepEqual(await gateEvidence({ url: prometheus.url, data }), { kind: 'no-rules' });
    const gone = await gateEvidence({ url: 'http://127.0.0.1:9', data });
    assert.equal(gone.kind, 'unreachable');
  });
});
