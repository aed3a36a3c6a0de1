/** `prove`: holds every alert to its proofs. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { toolPath } from '../../observability/tools/tools.ts';
import { compiled } from '../compiled.ts';
import { proofSets } from '../compiler/emit/promtool/promtool.ts';
import { prove } from '../prove/prove.ts';
import type { Verb } from './verb.ts';

export const verb: Verb = {
  usage: 'prove [--objective NAME]… [--windows FILE]  runs the proofs of every alert with promtool',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: { objective: { type: 'string', multiple: true }, windows: { type: 'string' } },
    });
    const { objective: wanted, windows } = values;
    const sound = await compiled({ nowSeconds: null, quiet: true, ...(windows === undefined ? {} : { windows }) });
    if (sound === undefined) return 1;
    const { model } = sound;
    const unknown = wanted?.filter((name) => !model.objectives.some((objective) => objective.name === name)) ?? [];
    if (unknown.length > 0) {
      const known = model.objectives.map(({ name }) => name).join(', ');
      console.error(`slo: no objective is called ${unknown.join(', ')}. There are: ${known}.`);
      return 1;
    }
    const objectives = model.objectives.filter(({ name }) => wanted?.includes(name) ?? true);
    const promtool = await toolPath('promtool');
    const startedMs = performance.now();
    const sets = proofSets({ ...model, objectives });
    const results = await prove({ sets, promtool, processes: availableParallelism() });
    const seconds = (performance.now() - startedMs) / 1000;
    const failures = results.flatMap((result) => result.failures);
    for (const failure of failures) console.error(`FAILED ${failure}`);
    const proofs = results.reduce((sum, { set }) => sum + set.proofs.length, 0);
    const checks = results.flatMap(({ set }) => set.proofs).reduce((sum, proof) => sum + proof.checks.length, 0);
    const verdict = failures.length === 0 ? 'all hold' : `${failures.length} failed`;
    console.log(
      `slo: ${objectives.length} objectives, ${proofs} proofs, ${checks} checks in ${seconds.toFixed(1)} s: ${verdict}.`,
    );
    return failures.length === 0 ? 0 : 1;
  },
};
