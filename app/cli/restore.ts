/** `npm run restore -- DIR`: makes a new data folder out of a backup and proves that it is whole. */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readConfig } from '../config.ts';
import { loadDatasets } from '../datasets/registry.ts';
import type { EquationTerms } from '../equation.ts';
import { quietTelemetry } from '../open-stores.ts';
import { type Restored, type RestoreProgress, restoreBackup } from '../restore.ts';
import { lockDataDir } from '../state/lock.ts';
import { VERSION } from '../version.ts';
import { runCommand, UsageError } from './command.ts';

const HELP = `npm run restore -- DIR

  Makes DATA_DIR, which must be new or empty, out of the backup in DIR: compares every file with the manifest, makes the
  warehouse from bronze, squares it with the bus, and prints the loss equation. What was acknowledged before the backup's
  beginning is there once; what came later may be there or not, and may be sent again.

Exit codes: 0 done and the equation is 0, 1 failed, 2 done and the equation is not 0, 64 wrong usage.`;

const EXIT_DIFFERENT = 2;
const SHOW_EVERY_MS = 1_000;

async function restore(args: readonly string[]): Promise<number> {
  const [dir] = args;
  if (dir === undefined || args.length !== 1) throw new UsageError('say: npm run restore -- DIR');
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
      telemetry: quietTelemetry((line) => process.stderr.write(`${line}\n`)),
      now: Date.now,
      tell: show,
    });
    process.stdout.write(textOf(restored, dataDir));
    return restored.equation.total.difference === 0 ? 0 : EXIT_DIFFERENT;
  } finally {
    await lock.release();
  }
}

function textOf({ manifest, equation }: Restored, dataDir: string): string {
  const lines = Object.entries(equation.datasets).map(([dataset, terms]) => `${dataset}: ${termsText(terms)}`);
  const whole = equation.total.difference === 0 ? 'nothing is lost or doubled' : 'ROWS ARE LOST OR DOUBLED';
  return [
    `${dataDir} holds what was acknowledged before ${manifest.startedAt} (${manifest.files.length} files)`,
    ...lines,
    `total: ${termsText(equation.total)}: ${whole}`,
    '',
  ].join('\n');
}

function termsText(terms: EquationTerms): string {
  const { accepted, stored, duplicate, quarantined, deadLettered, expired, erased, inFlight, difference } = terms;
  return `accepted ${accepted} = stored ${stored} + duplicate ${duplicate} + quarantined ${quarantined} + dead-lettered ${deadLettered} + expired ${expired} + erased ${erased} + in flight ${inFlight}, difference ${difference}`;
}

let lastShownAtMs = 0;

function show({ files, filesOfAll }: RestoreProgress): void {
  if (Date.now() - lastShownAtMs < SHOW_EVERY_MS) return;
  lastShownAtMs = Date.now();
  process.stderr.write(`${files} of ${filesOfAll} files\n`);
}

await runCommand({ help: HELP, run: restore });
