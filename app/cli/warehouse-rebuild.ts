/** `npm run warehouse:rebuild`: makes the embedded warehouse again from bronze and proves that it is the same. */
import { type Config, readConfig } from '../config.ts';
import { readFormat, refuseNewer, restoreUnfinished } from '../data-format.ts';
import { loadDatasets } from '../datasets/registry.ts';
import { counted } from '../doctor.ts';
import { lockDataDir } from '../state/lock.ts';
import { type RebuildReport, rebuildWarehouse } from '../warehouse/duckdb-rebuild.ts';
import type { RecoveryProgress } from '../warehouse/recovery.ts';
import { runCommand, UsageError } from './command.ts';
import { presentDataDir } from './data-folder.ts';

const HELP = `npm run warehouse:rebuild

  Sets warehouse.duckdb in DATA_DIR aside and makes a new one from bronze, then compares the two: rows, exact sums and
  a fingerprint of every value. The service must not run. The file that was set aside is yours to delete.

Exit codes: 0 done and equal, 1 failed, 2 done and different, 64 wrong usage.`;

const EXIT_DIFFERENT = 2;

async function rebuild(args: readonly string[]): Promise<number> {
  if (args.length > 0) throw new UsageError(`${args.join(' ')}: this command takes no arguments.`);
  const config = readConfig();
  const { contracts } = await loadDatasets();
  const dir = presentDataDir(config);
  const lock = await lockDataDir(dir);
  try {
    const format = await readFormat(dir);
    if (format.kind === 'unfinished') throw restoreUnfinished(dir);
    if (format.kind === 'new') throw new Error(`There is nothing to rebuild in ${dir} (DATA_DIR).`);
    refuseNewer(dir, format);
    const report = await rebuildWarehouse({ ...optionsOf(config), dir, contracts });
    process.stdout.write(textOf(report));
    return report.different.length === 0 ? 0 : EXIT_DIFFERENT;
  } finally {
    await lock.release();
  }
}

function optionsOf(config: Config) {
  return {
    memoryMib: config.WAREHOUSE_MEMORY_MIB,
    threads: config.WAREHOUSE_THREADS,
    readers: 1,
    readQueueMax: 0,
    percentileRowsMax: config.PERCENTILE_ROWS_MAX,
    now: Date.now,
    onProgress: tell,
    onBroken: (error: unknown): void => {
      throw error;
    },
  };
}

function tell(progress: RecoveryProgress): void {
  switch (progress.kind) {
    case 'set_aside':
      process.stdout.write(`The new file broke and is at ${progress.path}: ${progress.reason}.\n`);
      return;
    case 'replaying':
      process.stdout.write(`${progress.filesDone} of ${progress.files} files, ${progress.rows} rows so far\n`);
      return;
    case 'skipped':
      process.stdout.write(`${progress.files} files of ${progress.dataset} are left alone: it has no contract.\n`);
      return;
    case 'replayed':
      process.stdout.write(
        `${progress.rows} rows of ${progress.messages} messages from ${progress.files} files in ${progress.durationMs} ms\n`,
      );
  }
}

function textOf({ setAside, before, after, different }: RebuildReport): string {
  const lines = Object.entries(after).map(([dataset, proof]) => {
    const { stored, duplicate, quarantined, rejected, erased, fingerprint, sums } = proof;
    const verdict = before.kind === 'unreadable' ? 'not compared' : different.includes(dataset) ? 'DIFFERENT' : 'equal';
    const counts = `stored ${stored}, duplicate ${duplicate}, quarantined ${quarantined}, rejected ${rejected}, erased ${erased}`;
    const totals = Object.entries(sums).map(([column, sum]) => `sum(${column}) ${sum}`);
    const old =
      before.kind === 'read' && verdict === 'DIFFERENT' ? `\n  before: ${JSON.stringify(before.proof[dataset])}` : '';
    return `${dataset}: ${verdict}: ${[counts, ...totals, `fingerprint ${fingerprint}`].join(', ')}${old}`;
  });
  if (before.kind === 'unreadable') lines.push(`The old database could not be compared: ${before.reason}.`);
  else {
    if (before.messagesOnBus > 0) {
      lines.push(
        `${counted(before.messagesOnBus, 'message is', 'messages are')} in no bronze file yet; the bus delivers at the next start.`,
      );
    }
    lines.push(`The old database is at ${setAside}.`);
  }
  return `${lines.join('\n')}\n`;
}

await runCommand({ help: HELP, run: rebuild });
