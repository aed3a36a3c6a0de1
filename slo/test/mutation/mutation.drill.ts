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
/** The rules of an exclusion hold the others unchanged: a mistake that was tried in those is not tried again. */
const tried = new Set<string>();
const verdicts = await judge({
  sets: proofSets(sound.model),
  promtool: await toolPath('promtool'),
  processes: availableParallelism(),
  choose: (mutants, { objective }) =>
    mutants.filter(({ site, where }) => {
      const key = `${objective.name} ${where} ${site}`;
      return !tried.has(key) && tried.add(key);
    }),
  onVerdict: ({ mutants, set, survivors }) => {
    if (mutants.length === 0) return;
    const caught = mutants.length - survivors.length;
    console.log(`${set.objective.name} ${set.name}: ${caught} of ${mutants.length} caught`);
  },
});
const { caught, mutants, survivors } = scoreOf(verdicts);
for (const survivor of survivors) console.log(`survived: ${survivor}`);
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(
  `${mutants - survivors.length} of ${mutants} mutants caught (${(100 * caught).toFixed(1)} %) in ${seconds} s`,
);
process.exitCode = caught >= CAUGHT_MIN ? 0 : 1;
