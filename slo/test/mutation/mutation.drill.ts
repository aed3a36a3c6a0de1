/**
 * Every mistake that the operators know, in every rule that a burn alert is or reads, of every objective: the proofs
 * must tell at least 95 of 100 from the shipped rules. Minutes of CPU for each objective, so a drill; `npm test` tries
 * a sample.
 */
import { availableParallelism } from 'node:os';
import { toolPath } from '../../../observability/tools/tools.ts';
import { compiled } from '../../compiled.ts';
import { proofSets } from '../../compiler/emit/promtool/promtool.ts';
import { judge } from './judge.ts';
import { CAUGHT_MIN, scoreOf } from './report.ts';

const sound = await compiled({ nowSeconds: null, quiet: true });
if (sound === undefined) process.exit(1);
const startedMs = performance.now();
const verdicts = await judge({
  sets: proofSets(sound.model),
  promtool: await toolPath('promtool'),
  processes: availableParallelism(),
});
const { caught, mutants, survivors } = scoreOf(verdicts);
for (const { mutants: tried, set, survivors: left } of verdicts) {
  console.log(`${set.objective.name} ${set.name}: ${tried.length - left.length} of ${tried.length} caught`);
}
for (const survivor of survivors) console.log(`survived: ${survivor}`);
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(
  `${mutants - survivors.length} of ${mutants} mutants caught (${(100 * caught).toFixed(1)} %) in ${seconds} s`,
);
process.exitCode = caught >= CAUGHT_MIN ? 0 : 1;
