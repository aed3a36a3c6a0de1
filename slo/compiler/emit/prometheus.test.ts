import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { METRICS } from '../../../app/telemetry/catalogue.ts';
import { alertsOf } from '../alerts.ts';
import { promqlNames } from '../promql-names.ts';
import { assertGolden } from './golden.fixture.ts';
import { GOLDEN_MODEL } from './golden-model.fixture.ts';
import { emitPrometheusRules, type Rule, ruleGroups } from './prometheus.ts';

const RULES = GOLDEN_MODEL.objectives.flatMap((objective) =>
  ruleGroups(objective).flatMap(({ rules }, group) => rules.map((rule, index) => ({ objective, rule, group, index }))),
);
const nameOf = (rule: Rule): string => ('record' in rule ? rule.record : rule.alert);

describe('prometheus rules', () => {
  it('are what was reviewed', () => assertGolden('prometheus', emitPrometheusRules(GOLDEN_MODEL)));

  it('read only the catalogue and what the same objective records, each alert after what it reads', () => {
    const catalogue = new Set(Object.values(METRICS).map(({ name }) => name as string));
    for (const { group, index, objective, rule } of RULES) {
      const { metrics, unreadable } = promqlNames(rule.expr);
      assert.equal(unreadable, null, rule.expr);
      for (const metric of metrics) {
        const base = metric.replace(/_(?:bucket|count|sum)$/, '');
        if (catalogue.has(metric) || catalogue.has(base)) continue;
        const recorded = RULES.find((other) => other.objective === objective && nameOf(other.rule) === metric);
        assert.ok(recorded !== undefined, `${nameOf(rule)} reads ${metric}, which nobody records`);
        const before = recorded.group < group || (recorded.group === group && recorded.index < index);
        // A budget reads what the other group recorded minutes ago; everything else what was recorded just now.
        assert.ok(before, `${nameOf(rule)} reads ${metric} before it is recorded`);
      }
    }
  });

  it('hold no residue of binary fractions and no exponent', () => {
    for (const { rule } of RULES) {
      const numbers = rule.expr.replaceAll(/"[^"]*"/g, '').match(/(?<![\w:])\d[\w.]*/g) ?? [];
      for (const number of numbers)
        assert.match(number, /^\d+(\.\d{1,6})?$|^(\d+[dhms])+$/, `${number} in ${rule.expr}`);
    }
  });

  it('raise exactly the alerts of the objective, none of them with a `for`', () => {
    for (const objective of GOLDEN_MODEL.objectives) {
      const raised = ruleGroups(objective)
        .flatMap(({ rules }) => rules)
        .filter((rule) => 'alert' in rule);
      assert.deepEqual(
        raised.map(nameOf),
        alertsOf(objective).map(({ name }) => name),
      );
      for (const rule of raised) assert.ok(!('for' in rule));
    }
  });

  it('pin every series they read or make to their objective', () => {
    for (const { objective, rule } of RULES) {
      assert.equal(rule.labels['slo'], objective.name);
      const own = rule.expr.match(/slo:[a-z:_]+\w*(\{[^}]*\})?/g) ?? [];
      for (const series of own) assert.ok(series.includes(`slo="${objective.name}"`), `${series} in ${nameOf(rule)}`);
    }
  });
});
