import assert from 'node:assert/strict';
import { before, describe, it } from 'mocha';
import { toolPath } from '../../observability/tools/tools.ts';
import { compiled } from '../compiled.ts';
import type { Objective } from '../compiler/model.ts';
import { CASES } from './cases.ts';
import { type Contestant, ours, sloths } from './contestants.ts';
import { samplesRead } from './cost.ts';
import { measure } from './measure.ts';

describe('comparison with sloth', () => {
  let objective: Objective;
  let sloth: Contestant;
  let vigia: Contestant;
  before(async () => {
    const sound = await compiled({ nowSeconds: null, quiet: true });
    const found = sound?.model.objectives.find(({ name }) => name === 'api-availability');
    assert.ok(found !== undefined);
    objective = found;
    [sloth, vigia] = [await sloths(objective), ours(objective)];
  });

  async function answer(contestant: Contestant, words: string): Promise<number | null> {
    const question = CASES.find(({ name }) => name.includes(words));
    assert.ok(question !== undefined, words);
    return measure({ objective, contestant, question, promtool: await toolPath('promtool') });
  }

  it('weighs the period by traffic, within 1 % of the truth where sloth is 19 times too low', async function () {
    this.timeout(60_000);
    const truth = 7200 / 442_800;
    const own = (await answer(vigia, 'without errors, 1 h')) ?? 0;
    assert.ok(Math.abs(own / truth - 1) < 0.01, `${own}, truth ${truth}`);
    const other = (await answer(sloth, 'without errors, 1 h')) ?? 0;
    assert.ok(truth / other > 19, `${other}, truth ${truth}`);
  });

  it('has a number after 15 quiet minutes, where sloth has none', async function () {
    this.timeout(60_000);
    const own = (await answer(vigia, '15 quiet minutes')) ?? 0;
    assert.ok(Math.abs(own / 0.001 - 1) < 0.01, String(own));
    assert.ok(Number.isNaN(await answer(sloth, '15 quiet minutes')));
  });

  it('reads at most a fifth of the samples', async function () {
    this.timeout(60_000);
    const samples = await samplesRead({ objective, contestants: [sloth, vigia], seriesCount: 100 });
    const [own = 0, other = 0] = [samples.get('vigia'), samples.get('sloth')];
    assert.ok(own > 0 && own <= other / 5, `${own} against ${other}`);
  });
});
