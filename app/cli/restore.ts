/** `npm run restore -- DIR`: makes a new data folder out of a backup and proves that it is whole. */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { loadDatasets } from '../datasets/registry.ts';
import { equationText } from '../equation.ts';
import { quietTelemetry } from '../open-stores.ts';
import { type Restored, restoreBackup } from '../restore.ts';
import { lockDataDir } from '../state/lock.ts';
import { VERSION } from '../version.ts';
import { runCommand, UsageError } from './command.ts';
import { progressLines } from './progress-lines.ts';

const HELP = `npm run restore -- DIR

  Makes DATA_DIR, which must be new or empty, out of the backup in DIR: compares every file with the manifest, makes the
  warehouse from bronze, squares it with the bus, and prints the loss equation. What was acknowledged before the backup's
  beginning is there once; what came later may be there or not, and may be sent again.

Exit codes: 0 done and the equation is 0, 1 failed, 2 done and the equation is not 0, 64 wrong usage.`;

const EXIT_DIFFERENT = 2;
const tell = progressLines();

async function restore(args: readonly string[]): Promise<number> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [dir] = positionals;
  if (dir === undefined || positionals.length !== 1) throw new UsageError('say: npm run restore -- DIR');
  const config = readConfig();
  const registry = await loadDatasets();
  const dataDir = resolve(config.DATA_DIR);
  await mkdir(dataDir, { recursive: true });
  const lock = await lockDataDir(dataDir);
  try {
    const restored = await restoreBackup({
      source: resolve(dir),
      dataDir,
      config,
      registry,
      version: VERSION,
      telemetry: quietTelemetry({ say: (line) => void process.stderr.write(`${line}\n`), tell }),
      now: Date.now,
      tell: ({ files, filesOfAll }) => tell(`copied and compared ${files} of ${filesOfAll} files`),
    });
    process.stdout.write(textOf(restored, dataDir));
    return restored.equation.total.difference === 0 ? 0 : EXIT_DIFFERENT;
  } finally {
    await lock.release();
  }
}

function textOf({ manifest, equation }: Restored, dataDir: string): string {
  const lines = Object.entries(equation.datasets).map(([dataset, terms]) => `${dataset}: ${equationText(terms)}`);
  const whole = equation.total.difference === 0 ? 'nothing is lost or doubled' : 'ROWS ARE LOST OR DOUBLED';
  return [
    `${dataDir} holds what was acknowledged before ${manifest.startedAt} (${manifest.files.length} files)`,
    ...lines,
    `total: ${equationText(equation.total)}: ${whole}`,
    '',
  ].join('\n');
}

await runCommand({ help: HELP, run: restore });
