import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { toolPath } from '../../../observability/tools/tools.ts';
import { proofSets } from '../../compiler/emit/promtool/promtool.ts';
import { ENVIRONMENT, ratioObjective } from '../objective-fixture.ts';
import { judge } from './judge.ts';
import { mutationsOf } from './operators.ts';
import { CAUGHT_MIN, scoreOf } from './report.ts';

const ALERT =
  'slo:error:ratio1h{slo="a"} > 0.0144\nand slo:error:ratio5m{slo="a"} > 0.0144\nunless on () vector(1) > 2';

describe('mutation operators', () => {
  const operators = new Set(
    mutationsOf(ALERT, ['slo:error:ratio1h', 'slo:error:ratio5m']).map(({ operator }) => operator),
  );

  for (const operator of [
    'drop left operand',
    'drop right operand',
    'or for and',
    'and for unless',
    'turn comparison',
    'lower number',
    'raise number',
    'other recorded series',
    'unknown metric',
    'invert matcher',
    'forget slo',
  ]) {
    it(`know how to ${operator}`, () => assert.ok(operators.has(operator)));
  }

  it('drop one matcher of a metric at a time, and leave PromQL behind', () => {
    const changed = mutationsOf('sum(rate(x_total{a="1",b!="2"}[5m]))', []).filter(
      ({ operator }) => operator === 'drop matcher',
    );
    assert.deepEqual(
      changed.map(({ expr }) => expr),
      ['sum(rate(x_total{b!="2"}[5m]))', 'sum(rate(x_total{a="1",}[5m]))'],
    );
  });

  it('know the mean of ratios', () => {
    const weighted = 'sum_over_time(slo:bad:rate5m[1d]) / (sum_over_time(slo:total:rate5m[1d]) > 0)';
    const [found] = mutationsOf(weighted, []).filter(({ operator }) => operator === 'mean of ratios');
    assert.equal(found?.expr, 'avg_over_time((slo:bad:rate5m / (slo:total:rate5m > 0))[1d:5m])');
  });
});

describe('proofs', () => {
  /** Every n-th, so that each operator and each rule is among them. */
  const SAMPLE = 7;

  it(`tell at least ${100 * CAUGHT_MIN} of 100 mistakes from the shipped rules`, async function () {
    this.timeout(120_000);
    const objective = ratioObjective({ badEventsMin: 5 });
    const sets = proofSets({ environment: ENVIRONMENT, objectives: [objective] });
    const verdicts = await judge({
      sets: sets.filter(({ name }) => name === 'pages' || name === 'tickets-slow'),
      promtool: await toolPath('promtool'),
      processes: availableParallelism(),
      choose: (mutants) => mutants.filter((_, index) => index % SAMPLE === 0),
    });
    const { caught, mutants, survivors } = scoreOf(verdicts);
    assert.ok(mutants > 40, `${mutants} mutants`);
    assert.ok(caught >= CAUGHT_MIN, survivors.join('\n'));
  });
});
