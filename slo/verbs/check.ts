/** `check`: what is in slo/generated is what the objectives make today. Drift is shown as a diff. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import { emitAll } from '../compiler/emit/emitters.ts';
import { differences, diffText } from '../generated-folder.ts';
import { SLO_PLACES } from '../load.ts';
import type { Verb } from './verb.ts';

const DRIFT = 2;

export const verb: Verb = {
  usage:
    'check [--windows FILE] [--out FOLDER]  compares slo/generated with what the objectives make; drift: exit code 2 and the diff',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: { windows: { type: 'string' }, out: { type: 'string' } },
    });
    const sound = await compiled({
      nowSeconds: null,
      quiet: true,
      ...(values.windows === undefined ? {} : { windows: values.windows }),
    });
    if (sound === undefined) return 1;
    const drift = await differences(values.out ?? join(SLO_PLACES.folder, 'generated'), emitAll(sound));
    for (const difference of drift) console.error(diffText(difference));
    if (drift.length === 0) return 0;
    console.error(
      `slo: ${drift.length} generated file${drift.length === 1 ? ' is' : 's are'} not what the objectives make. Run: npm run slo -- compile`,
    );
    return DRIFT;
  },
};
