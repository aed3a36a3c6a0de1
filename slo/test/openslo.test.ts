import assert from 'node:assert/strict';
import { type CompileInput, compile } from '../compiler/compile.ts';
import type { Objective } from '../compiler/model.ts';
import { problemText } from '../compiler/problems.ts';
import { loadSlo, SLO_PLACES } from '../load.ts';

const FILE = 'slo/objectives/probe.yaml';

const HEAD = `apiVersion: openslo/v1
kind: SLO
metadata: { name: probe, annotations: { vigia/no-data: page } }
spec:
  service: api
  budgetingMethod: Occurrences
  timeWindow: [{ duration: 30d, isRolling: true }]
`;
const RATIO = (indent: string): string =>
  [
    'ratioMetric:',
    '  counter: true',
    '  bad: { metricSource: { type: Prometheus, spec: { query: \'vigia_records_total{outcome="dead_lettered"}\' } } }',
    "  total: { metricSource: { type: Prometheus, spec: { query: 'vigia_records_total' } } }",
  ]
    .map((line) => indent + line)
    .join('\n');
const INDICATOR = `  indicator:\n    metadata: { name: probe }\n    spec:\n${RATIO('      ')}\n`;
const ANNOTATIONS = '{ vigia/tier: fast, vigia/short-window: 5m, vigia/min-bad: "5", vigia/min-bad-slices: "3" }';
const BURN = '{ severity: page, condition: { kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h } }';
const INLINE = `${HEAD}${INDICATOR}  objectives: [{ target: 0.999 }]\n  alertPolicies: [{ alertPolicyRef: burn-fast }]\n`;

/** The same objective in the other ways that OpenSLO v1 has to say it. */
const SPELLINGS: Readonly<Record<string, string>> = {
  'an SLI of its own': `${HEAD}  indicatorRef: probe
  objectives: [{ target: 0.999 }]
  alertPolicies: [{ alertPolicyRef: burn-fast }]
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: probe }
spec:
${RATIO('  ')}
`,
  'a percentage': INLINE.replace('target: 0.999', 'targetPercent: 99.9'),
  'a data source of its own': INLINE.replaceAll('type: Prometheus', 'metricSourceRef: prometheus'),
  'an inline policy': INLINE.replace(
    '[{ alertPolicyRef: burn-fast }]',
    `
    - kind: AlertPolicy
      metadata: { name: inline }
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        conditions: [{ kind: AlertCondition, metadata: { name: inline, annotations: ${ANNOTATIONS} }, spec: ${BURN} }]
        notificationTargets: [{ kind: AlertNotificationTarget, metadata: { name: here }, spec: { target: pager } }]`,
  ),
  'a condition of its own': `${INLINE.replace('burn-fast', 'burn-by-reference')}---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: { name: burn-by-reference }
spec:
  alertWhenBreaching: true
  conditions: [{ conditionRef: burning }]
  notificationTargets: [{ targetRef: on-call }]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: { name: burning, annotations: ${ANNOTATIONS} }
spec: ${BURN}
`,
};

describe('OpenSLO v1', () => {
  let good: CompileInput;
  let inline: Objective;
  before(async () => {
    good = await loadSlo(SLO_PLACES, null);
    inline = probeOf(good, INLINE);
  });

  it('is lowered to exact numbers', () => {
    assert.deepEqual(inline.budget, { units: 1n, scale: 3 });
    assert.deepEqual(
      inline.tiers.map(({ threshold }) => threshold),
      [{ units: 144n, scale: 4 }],
    );
    assert.deepEqual(inline.noData, { choice: 'alert', severity: 'page' });
    assert.equal(inline.owner, 'data-platform');
  });

  for (const [name, text] of Object.entries(SPELLINGS)) {
    it(`means the same with ${name}`, () => assert.deepEqual(probeOf(good, text), inline));
  }

  it('takes any order of files and documents', () => {
    const backwards = { ...good, objectives: [...good.objectives].reverse(), shared: [...good.shared].reverse() };
    const [one, other] = [compile(good), compile(backwards)];
    assert.ok(one.kind === 'compiled' && other.kind === 'compiled');
    assert.deepEqual(other.model, one.model);
  });

  it('lowers a timestamp to its age, and a latency to the bucket that is the promise', () => {
    const age = SPELLINGS['a percentage']
      ?.replace('Occurrences', 'Timeslices')
      .replace(
        INDICATOR,
        '  indicator:\n    metadata: { name: probe, annotations: { vigia/transform: age } }\n    spec: { thresholdMetric: { metricSource: { type: Prometheus, spec: { query: vigia_last_commit_timestamp_seconds } } } }\n',
      )
      .replace(
        '{ targetPercent: 99.9 }',
        '{ targetPercent: 99.9, op: lte, value: 600, timeSliceTarget: 1.0, timeSliceWindow: 1m }',
      );
    const aged = probeOf(good, age ?? '');
    assert.ok(aged.indicator.kind === 'slices');
    assert.equal(aged.indicator.transform, 'age');
    const compiled = compile(good);
    assert.ok(compiled.kind === 'compiled');
    const latency = compiled.model.objectives.find(({ name }) => name === 'pipeline-latency');
    assert.ok(latency?.indicator.kind === 'good-ratio');
    assert.deepEqual(latency.indicator.latency, {
      histogram: 'vigia_accept_to_readable_seconds',
      thresholdSeconds: { units: 5n, scale: 0 },
    });
  });
});

function probeOf(good: CompileInput, text: string): Objective {
  const result = compile({
    ...good,
    objectives: [...good.objectives, { file: FILE, text }],
    runbooks: new Set([...good.runbooks, FILE.replace('.yaml', '.runbook.md')]),
  });
  assert.ok(result.kind === 'compiled', result.kind === 'refused' ? result.problems.map(problemText).join('\n') : '');
  const probe = result.model.objectives.find(({ name }) => name === 'probe');
  assert.ok(probe !== undefined);
  return probe;
}
