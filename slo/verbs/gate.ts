/** `gate`: asks whether a deployment may go on, and records who overrode it. */
import { appendFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { compiled } from '../compiled.ts';
import { gateData } from '../compiler/emit/gate-file.ts';
import { gateEvidence } from '../gate/evidence.ts';
import { type Change, EXIT_CODES, gateVerdict, type Override } from '../gate/verdict.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;
const CHANGES: readonly Change[] = ['ordinary', 'small', 'repair'];

export const verb: Verb = {
  usage: `gate --prometheus URL [--service NAME] [--change ${CHANGES.join('|')}] [--first-deployment] [--override-author NAME --override-reason TEXT --record FILE]  may a deployment go on? 0 yes, 2 no, 1 not known`,
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: {
        prometheus: { type: 'string' },
        service: { type: 'string' },
        change: { type: 'string', default: 'ordinary' },
        'first-deployment': { type: 'boolean', default: false },
        'override-author': { type: 'string' },
        'override-reason': { type: 'string' },
        record: { type: 'string' },
      },
    });
    const change = CHANGES.find((one) => one === values.change);
    const { prometheus: url, record, service } = values;
    const override = overrideOf(values['override-author'], values['override-reason']);
    if (change === undefined || !isUrl(url) || override === undefined || (override !== null && record === undefined)) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true });
    if (sound === undefined) return EXIT_CODES.unknown;
    const objectives = sound.model.objectives.filter((one) => service === undefined || one.service === service);
    if (objectives.length === 0) {
      console.error(`slo: no objective belongs to the service ${service}; nothing can be said of it.`);
      return EXIT_CODES.unknown;
    }
    const evidence = await gateEvidence({ url, data: gateData({ ...sound.model, objectives }) });
    const verdict = gateVerdict({ evidence, change, isFirst: values['first-deployment'], override }, sound.policy);
    for (const reason of verdict.reasons) console.log(`  ${reason}`);
    if (verdict.kind === 'overridden' && record !== undefined) {
      const line = {
        at: new Date().toISOString(),
        ...verdict.override,
        change,
        service: service ?? null,
        overrode: verdict.reasons,
      };
      await appendFile(record, `${JSON.stringify(line)}\n`);
      console.log(`  overridden by ${verdict.override.author}: ${verdict.override.reason} (recorded in ${record})`);
    }
    console.log(`gate: ${verdict.kind} (${change} change, ${objectives.length} objectives asked)`);
    return EXIT_CODES[verdict.kind];
  },
};

/** Null: none; undefined: only half of one. */
function overrideOf(author: string | undefined, reason: string | undefined): Override | null | undefined {
  if (author === undefined && reason === undefined) return null;
  return author === undefined || reason === undefined ? undefined : { author, reason };
}

function isUrl(text: string | undefined): text is string {
  return text !== undefined && /^https?:$/.test(URL.parse(text)?.protocol ?? '');
}
