/** `compare`: sloth's rules and ours on the same cases, as the table of slo/README.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toolPath } from '../../observability/tools/tools.ts';
import { CASES } from '../compare/cases.ts';
import { ours, sloths } from '../compare/contestants.ts';
import { samplesRead } from '../compare/cost.ts';
import { measure } from '../compare/measure.ts';
import { compiled } from '../compiled.ts';
import { SLO_PLACES } from '../load.ts';
import type { Verb } from './verb.ts';

const WRONG_USAGE = 64;
const OBJECTIVE = 'api-availability';
const [BEGIN, END] = ['<!-- made by: npm run slo -- compare --write -->', '<!-- end of what compare made -->'];

export const verb: Verb = {
  usage: 'compare [--series N] [--write]  sloth and these rules on the same cases; --write: into slo/README.md',
  run: async (parameters) => {
    const { values } = parseArgs({
      args: [...parameters],
      options: { series: { type: 'string', default: '2000' }, write: { type: 'boolean', default: false } },
    });
    const seriesCount = Number(values.series);
    if (!Number.isInteger(seriesCount) || seriesCount < 10) {
      console.error(`Usage: npm run slo -- ${verb.usage}`);
      return WRONG_USAGE;
    }
    const sound = await compiled({ nowSeconds: null, quiet: true });
    const objective = sound?.model.objectives.find(({ name }) => name === OBJECTIVE);
    if (objective === undefined) return 1;
    const contestants = [await sloths(objective), ours(objective)];
    const promtool = await toolPath('promtool');
    const rows = [['the same 99.9 % of requests', 'right', 'sloth v0.16', 'these rules']];
    for (const question of CASES) {
      const results: string[] = [];
      for (const contestant of contestants) {
        results.push(question.text(await measure({ objective, contestant, question, promtool })));
      }
      rows.push([question.name, question.truth, ...results]);
    }
    const samples = await samplesRead({ objective, contestants, seriesCount });
    const counted = contestants.map(({ name }) => (samples.get(name) ?? 0).toLocaleString('en'));
    rows.push([`samples read by one evaluation, ${seriesCount.toLocaleString('en')} series`, 'fewer', ...counted]);
    const table = rows.map((row) => `| ${row.join(' | ')} |`);
    const text = [table[0], '|---|---|---|---|', ...table.slice(1)].join('\n');
    console.log(text);
    if (values.write) await writeTable(text);
    return 0;
  },
};

async function writeTable(table: string): Promise<void> {
  const file = join(SLO_PLACES.folder, 'README.md');
  const text = await readFile(file, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before < 0 || after < before) throw new Error(`${file} lacks the lines ${BEGIN} and ${END}`);
  await writeFile(file, `${text.slice(0, before + BEGIN.length)}\n\n${table}\n\n${text.slice(after)}`);
}
