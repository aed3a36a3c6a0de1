/** `compile`: writes every generated file, and removes what no objective makes any more. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import { emitAll } from '../compiler/emit/emitters.ts';
import { differences } from '../generated-folder.ts';
import { SLO_PLACES } from '../load.ts';
import type { Verb } from './verb.ts';

export const verb: Verb = {
  usage: 'compile [--windows FILE] [--out FOLDER]  writes slo/generated from the objectives',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: { windows: { type: 'string' }, out: { type: 'string' } },
    });
    const sound = await compiled({
      nowSeconds: Date.now() / 1000,
      ...(values.windows === undefined ? {} : { windows: values.windows }),
    });
    if (sound === undefined) return 1;
    const folder = values.out ?? join(SLO_PLACES.folder, 'generated');
    const files = emitAll(sound);
    const changed = await differences(folder, files);
    for (const { kind, path, text } of changed) {
      const file = join(folder, path);
      if (kind === 'extra') await rm(file);
      else {
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, text);
      }
      console.log(`${WRITTEN[kind]} ${path}`);
    }
    console.log(`slo: ${sound.model.objectives.length} objectives, ${files.length} files, ${changed.length} changed.`);
    return 0;
  },
};

const WRITTEN = { missing: 'new    ', different: 'changed', extra: 'removed' } as const;
