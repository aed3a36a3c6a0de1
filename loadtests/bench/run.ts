/**
 * `npm run bench`: how fast the service is, against the least that could do the same.
 *
 * It drives `npm start`'s own composition over HTTP, subscriber and every middleware on. Both sides are measured in
 * turn in one run, so a slow machine slows both; the median of the rounds counts. A request that was not answered as
 * it should, a row that was not stored, or a backlog that took too long to drain ends the run.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { files, filesLarge } from './files.ts';
import type { Measurement } from './measurement.ts';
import { ndjson, tenMillion } from './ndjson.ts';
import { postOne, postOneTraced } from './post-one.ts';
import { readable } from './readable.ts';
import { reads } from './reads.ts';
import { rebuild } from './rebuild.ts';
import { type Result, table } from './results.ts';
import { soak } from './soak.ts';

const MEASUREMENTS: readonly Measurement[] = [
  postOne,
  postOneTraced,
  ndjson,
  tenMillion,
  readable,
  reads,
  files,
  filesLarge,
  rebuild,
  soak,
];
const ROUNDS = 5;
const QUICK = { rounds: 3, scale: 0.2 } as const;
const HELD = 0;
const FAILED = 1;
const MISSED = 2;
const WRONG_USAGE = 64;
const REPORT = fileURLToPath(new URL('README.md', import.meta.url));
const HELP = `npm run bench -- [--only NAME]… [--with NAME]… [--quick] [--json FILE] [--report]

  --only NAME   only this measurement; may be repeated
  --with NAME   also one of those that take long
  --quick       a fifth of the work and 3 rounds instead of ${ROUNDS}: shows that it runs, proves nothing
  --json FILE   writes [{name, baseline, value, ratio, bound, holds}]
  --report      puts the table into loadtests/bench/README.md

${MEASUREMENTS.map(({ name, about, asked }) => `  ${name.padEnd(16)}${about}${asked ? ' (only when asked)' : ''}`).join('\n')}

Exit codes: 0 every bound holds, 1 it failed, 2 a bound was missed, 64 wrong usage.`;

interface Usage {
  readonly measurements: readonly Measurement[];
  readonly quick: boolean;
  readonly json: string | undefined;
  readonly report: boolean;
  readonly help: boolean;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const usage = readUsage();
  if (usage === undefined) return WRONG_USAGE;
  if (usage.help) {
    console.log(HELP);
    return HELD;
  }
  const size = usage.quick ? QUICK : { rounds: ROUNDS, scale: 1 };
  // Others' work on the machine: above 0.5 the ratios are too low, since the service needs two cores and its baseline one.
  const [loadBefore = 0] = loadavg();
  const results: Result[] = [];
  let failed = false;
  for (const { name, measure } of usage.measurements) {
    console.log(name);
    try {
      results.push(...(await measure({ ...size, say: (line) => console.log(line) })));
    } catch (error) {
      // What one measurement met says nothing of the others, but no table without it may look whole.
      failed = true;
      console.error(`${name} failed:`, error);
    }
  }
  console.log(`\n${table(results)}`);
  if (usage.json !== undefined) await writeFile(usage.json, `${JSON.stringify(results, null, 2)}\n`);
  if (failed) return FAILED;
  if (usage.report) await report(results, { rounds: size.rounds, loadBefore });
  return results.every(({ holds }) => holds) ? HELD : MISSED;
}

function readUsage(): Usage | undefined {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', multiple: true, default: [] },
        with: { type: 'string', multiple: true, default: [] },
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        report: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    const unknown = [...values.only, ...values.with].find((name) => MEASUREMENTS.every((one) => one.name !== name));
    if (unknown !== undefined) throw new Error(`There is no measurement called ${unknown}.`);
    const chosen = ({ name, asked }: Measurement): boolean =>
      values.only.length > 0 ? values.only.includes(name) : asked !== true || values.with.includes(name);
    return { ...values, json: values.json, measurements: MEASUREMENTS.filter(chosen) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return undefined;
  }
}

/** Between the two marks stands the last table, whatever it says. */
async function report(
  results: readonly Result[],
  { rounds, loadBefore }: { readonly rounds: number; readonly loadBefore: number },
): Promise<void> {
  const text = await readFile(REPORT, 'utf8');
  const [cpu] = cpus();
  const block = [
    `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} × ${cpu?.model ?? 'unknown'}, median of ${rounds}, load average before the run ${loadBefore.toFixed(1)}.`,
    '',
    table(results),
  ].join('\n');
  const marked = /(<!-- bench:begin -->\n)[\s\S]*(<!-- bench:end -->)/;
  if (!marked.test(text)) throw new Error(`${REPORT} has lost its marks.`);
  await writeFile(
    REPORT,
    text.replace(marked, (_, begin: string, end: string) => `${begin}${block}\n${end}`),
  );
}
