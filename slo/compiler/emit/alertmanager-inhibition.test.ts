import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { alertLabels, alertsOf } from '../alerts.ts';
import { readSelector, matches } from '../selector.ts';
import { emitAlertmanagerInhibition, type InhibitRule, inhibitRules } from './alertmanager-inhibition.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';

type Labels = Readonly<Record<string, string>>;

describe('the inhibition of Alertmanager', () => {
  const files = emitAlertmanagerInhibition(GOLDEN_MODEL);
  const { inhibit_rules: rules } = parse(files[0]?.text ?? '') as { readonly inhibit_rules: readonly InhibitRule[] };
  const find = (slo: string, wanted: Labels): Labels => {
    const objective = GOLDEN_MODEL.objectives.find(({ name }) => name === slo);
    assert.ok(objective !== undefined);
    const all = alertsOf(objective).map(
      (alert) => ({ alertname: alert.name, ...alertLabels(objective, alert) }) as Labels,
    );
    const found = all.filter((labels) => Object.entries(wanted).every(([key, value]) => labels[key] === value));
    assert.equal(found.length, 1, `${slo} ${JSON.stringify(wanted)}`);
    return found[0] ?? {};
  };
  const silences = (source: Labels, target: Labels): boolean =>
    rules.some((rule) => ruleSilences(rule, source, target));
  const tier = (slo: string, name: string): Labels => find(slo, { alertname: 'SLOBurn', tier: name });

  it('is what was reviewed', () => {
    assertGolden('alertmanager', files);
    assert.deepEqual(rules, inhibitRules(GOLDEN_MODEL));
  });

  it('lets only the fastest of several burn tiers speak', () => {
    const names = ['fast', 'medium', 'slow', 'drain'];
    const pairs = names.flatMap((faster, index) => names.slice(index + 1).map((slower) => [faster, slower] as const));
    for (const [faster, slower] of pairs) {
      assert.equal(silences(tier('api-latency', faster), tier('api-latency', slower)), true, `${faster} > ${slower}`);
      assert.equal(silences(tier('api-latency', slower), tier('api-latency', faster)), false, `${slower} > ${faster}`);
    }
  });

  it('silences no alert by itself', () => {
    for (const { name } of GOLDEN_MODEL.objectives) {
      for (const one of ['fast', 'medium', 'slow', 'drain'])
        assert.equal(silences(tier(name, one), tier(name, one)), false);
    }
  });

  it('silences the collapse ticket of the objective that pages, and no other objective', () => {
    const collapse = find('api-availability', { alertname: 'SLOTrafficCollapse' });
    assert.equal(silences(find('api-availability', { alertname: 'SLONoData' }), collapse), true);
    assert.equal(silences(tier('api-availability', 'medium'), collapse), true);
    assert.equal(
      silences(tier('api-availability', 'slow'), collapse),
      false,
      'a ticket silences no ticket of another kind',
    );
    assert.equal(silences(tier('api-latency', 'fast'), collapse), false);
    assert.equal(silences(tier('api-latency', 'fast'), tier('api-availability', 'drain')), false);
  });

  it('keeps groups of one objective apart', () => {
    const of = (name: string, dataset: string): Labels => ({ ...tier('pipeline-freshness', name), dataset });
    assert.equal(silences(of('fast', 'trips'), of('slow', 'trips')), true);
    assert.equal(silences(of('fast', 'trips'), of('slow', 'flights')), false);
  });

  it('never silences missing data or a missed expectation', () => {
    const missed = { ...find('pipeline-freshness', { alertname: 'SLOExpectationMissed' }), dataset: 'trips' };
    assert.equal(silences({ ...tier('pipeline-freshness', 'fast'), dataset: 'trips' }, missed), false);
    assert.equal(silences(tier('api-latency', 'fast'), find('api-latency', { alertname: 'SLONoData' })), false);
  });
});

/** As Alertmanager decides: all matchers of both sides, and the `equal` labels (a missing one is empty). */
function ruleSilences(rule: InhibitRule, source: Labels, target: Labels): boolean {
  const passes = (labels: Labels, texts: readonly string[]): boolean => {
    const read = readSelector(`x{${texts.join(',')}}`);
    assert.ok(read.kind === 'selector', texts.join(','));
    return read.selector.matchers.every((matcher) => matches(matcher, labels[matcher.label] ?? ''));
  };
  return (
    passes(source, rule.source_matchers) &&
    passes(target, rule.target_matchers) &&
    rule.equal.every((label) => (source[label] ?? '') === (target[label] ?? ''))
  );
}
