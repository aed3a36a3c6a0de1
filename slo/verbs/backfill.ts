/** `backfill`: gives a new objective a past. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { toolPath } from '../../observability/tools/tools.ts';
import { compiled } from '../compiled.ts';
import { backfill } from '../history/backfill.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;

export const verb: Verb = {
  usage:
    'backfill OBJECTIVE --prometheus URL --days N --out FOLDER [--until TIME]  blocks with the past of a new objective',
  run: async (parameters) => {
    const { positionals, values } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        prometheus: { type: 'string' },
        days: { type: 'string' },
        until: { type: 'string' },
        out: { type: 'string' },
      },
    });
    const { out, prometheus: url } = values;
    const days = Number(values.days);
    const untilMs = values.until === undefined ? Date.now() : Date.parse(values.until);
    const [name] = positionals;
    if (name === undefined || url === undefined || out === undefined || !(days > 0) || Number.isNaN(untilMs)) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true });
    const objective = sound?.model.objectives.find((one) => one.name === name);
    if (sound === undefined || objective === undefined) {
      console.error(`slo: no objective is called ${name}.`);
      return 1;
    }
    const toSeconds = Math.floor(untilMs / 60_000) * 60;
    const fromSeconds = toSeconds - days * 86_400;
    const folder = resolve(out);
    const promtool = await toolPath('promtool');
    const stepSeconds = sound.model.environment.evaluationSeconds;
    await backfill({ objective, url, promtool, fromSeconds, toSeconds, stepSeconds, folder });
    console.log(`slo: ${days} days of ${name} are in ${folder}. Put its blocks into Prometheus' data folder.`);
    return 0;
  },
};
