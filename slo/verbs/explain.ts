/** `explain`: what an objective means in minutes, pages and requests. */
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import { readDecimal } from '../compiler/decimal.ts';
import { explain } from '../explain/explain.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;

export const verb: Verb = {
  usage: 'explain OBJECTIVE [--rate EVENTS_PER_SECOND]  error ratio → time to page, budget spent, reset',
  run: async (parameters) => {
    const { positionals, values } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: { rate: { type: 'string' } },
    });
    const [name] = positionals;
    const eventsPerSecond = values.rate === undefined ? null : readDecimal(values.rate);
    if (name === undefined || positionals.length > 1 || eventsPerSecond === undefined) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true });
    if (sound === undefined) return 1;
    const { environment, objectives } = sound.model;
    const objective = objectives.find((one) => one.name === name);
    if (objective === undefined) {
      console.error(`slo: no objective is called ${name}. There are: ${objectives.map((one) => one.name).join(', ')}.`);
      return 1;
    }
    console.log(explain({ objective, environment, eventsPerSecond }));
    return 0;
  },
};
