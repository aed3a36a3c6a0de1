/**
 * `npm run test:drills`: runs every `*.drill.ts`, one after another, and leaves a dated record beside this file.
 *
 * A drill is a program: exit code 0 means that what it set out to show held, and its last line says what it measured.
 * The record is written also when a drill failed: a failed drill is what the record is for.
 */
import { glob, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runCommand } from '../../.ci/command.ts';
import { type DrillResult, drillRecord } from './record.ts';

/** The longest drill, 1,000 kills, takes an hour on two idle cores and twice that on busy ones; what takes longer hangs. */
const DRILL_TIMEOUT_MS = 180 * 60_000;
const WRONG_USAGE = 64;
const FOLDERS = '{app,slo,observability,loadtests,infra}/**/*.drill.ts';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const USAGE = `Usage: npm run test:drills -- [--only NAME] [--list]
Exit codes: 0 every drill held, 1 one failed or there is none, ${WRONG_USAGE} wrong usage.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) return WRONG_USAGE;
  const found = (await Array.fromAsync(glob(FOLDERS, { cwd: ROOT }))).sort();
  const drills = found.filter((file) => (options.only ?? nameOf(file)) === nameOf(file));
  if (options.help || options.list) {
    console.log(options.help ? USAGE : drills.map(nameOf).join('\n'));
    return 0;
  }
  if (drills.length === 0) {
    console.error(`No drill to run; there are: ${found.map(nameOf).join(', ') || 'none'}.`);
    return 1;
  }
  const results: DrillResult[] = [];
  for (const file of drills) results.push(await runDrill(file));
  await keepRecord(results);
  return results.every((result) => result.held) ? 0 : 1;
}

function readOptions(): { readonly only?: string; readonly list?: boolean; readonly help?: boolean } | undefined {
  try {
    return parseArgs({
      options: { only: { type: 'string' }, list: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return undefined;
  }
}

function nameOf(file: string): string {
  return basename(file, '.drill.ts');
}

async function runDrill(file: string): Promise<DrillResult> {
  console.log(`\n── ${nameOf(file)} ──`);
  const { exitCode, seconds, lastLines } = await runCommand({ command: ['node', file], timeoutMs: DRILL_TIMEOUT_MS });
  return { name: nameOf(file), file, held: exitCode === 0, seconds, line: lastLines.at(-1) ?? 'said nothing' };
}

async function keepRecord(results: readonly DrillResult[]): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const record = drillRecord({
    date,
    machine: `${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    results,
  });
  await writeFile(new URL(`./${date}.md`, import.meta.url), record);
  console.log(`\nRecord: loadtests/drills/${date}.md`);
}
