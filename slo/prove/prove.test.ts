import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { toolPath } from '../../observability/tools/tools.ts';
import { compiled } from '../compiled.ts';
import { ruleGroups } from '../compiler/emit/prometheus.ts';
import { type ProofSet, proofSets } from '../compiler/emit/promtool/promtool.ts';
import { GOLDEN_MODEL } from '../compiler/emit/golden-model.fixture.ts';
import type { Model } from '../compiler/model.ts';
import { ENVIRONMENT, ratioObjective } from '../test/objective-fixture.ts';
import { prove } from './prove.ts';

/** The fast tier alone: an hour of raw samples. */
const MODEL: Model = {
  environment: ENVIRONMENT,
  objectives: [{ ...ratioObjective(), tiers: ratioObjective().tiers.slice(0, 1) }],
};

function pages(model: Model): ProofSet {
  const set = proofSets(model).find(({ name }) => name === 'pages');
  assert.ok(set !== undefined);
  // A few minutes and hours of samples are enough to see a rule hold or fail.
  return { ...set, proofs: set.proofs.slice(0, 3) };
}

async function failuresOf(set: ProofSet): Promise<readonly string[]> {
  const [result] = await prove({ sets: [set], promtool: await toolPath('promtool'), processes: 1 });
  return result?.failures ?? ['no result'];
}

describe('prove', () => {
  it('holds the shipped rules to their proofs', async () => {
    assert.deepEqual(await failuresOf(pages(MODEL)), []);
  });

  it('says which alert fired when it should not have, and in which proof', async () => {
    const set = pages(MODEL);
    const groups = set.groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, expr: rule.expr.replaceAll('> 0.0144', '> 0.0134') })),
    }));
    const [first = ''] = await failuresOf({ ...set, groups });
    assert.match(
      first,
      /^requests, fast: 5.76 % fail, and 15m later it fires\n {4}SLOBurn \(fast\) should be silent after 0s/,
    );
  });

  it('gives the words of promtool where rules cannot be read at all', async () => {
    const set = pages(MODEL);
    const groups = set.groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, expr: 'sum(' })),
    }));
    assert.match((await failuresOf({ ...set, groups })).join(), /could not parse expression/);
  });
});

describe('the shipped objectives', () => {
  it('hold all their proofs', async function () {
    // A minute and a half of CPU; ten times that on a machine that does much else.
    this.timeout(15 * 60_000);
    const sound = await compiled({ nowSeconds: null, quiet: true });
    assert.ok(sound !== undefined);
    const sets = proofSets(sound.model);
    const results = await prove({ sets, promtool: await toolPath('promtool'), processes: availableParallelism() });
    assert.deepEqual(
      results.flatMap(({ failures }) => failures),
      [],
    );
  });
});

describe('rules that proofs run on', () => {
  it('are the shipped rules, word by word, wherever no exclusion is put in', () => {
    for (const { groups, name, objective } of proofSets(GOLDEN_MODEL)) {
      if (name.startsWith('excluded')) continue;
      const shipped = new Set(
        ruleGroups({ ...objective, exclusions: [] }).flatMap(({ rules }) => rules.map((rule) => JSON.stringify(rule))),
      );
      for (const rule of groups.flatMap(({ rules }) => rules)) assert.ok(shipped.has(JSON.stringify(rule)), rule.expr);
    }
  });

  it('hold every alert in some set', () => {
    for (const objective of GOLDEN_MODEL.objectives) {
      const proved = proofSets({ ...GOLDEN_MODEL, objectives: [objective] });
      for (const rule of ruleGroups({ ...objective, exclusions: [] }).flatMap(({ rules }) => rules)) {
        if (!('alert' in rule)) continue;
        const { labels } = rule;
        const checks = proved.flatMap(({ proofs }) => proofs).flatMap((proof) => proof.checks);
        const isFired = checks.some(
          (check) =>
            check.kind === 'firing' &&
            check.alert['alertname'] === rule.alert &&
            Object.entries(labels).every(([label, value]) => check.alert[label] === value),
        );
        assert.ok(isFired, `${objective.name}: nothing proves that ${rule.alert} ${labels['tier'] ?? ''} fires`);
      }
    }
  });
});
