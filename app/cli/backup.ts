/** `npm run backup -- DIR`: a copy of the data folder, made while the service runs or while it does not. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type BackupProgress, MANIFEST_FILE, writeBackup } from '../backup.ts';
import { type Config, readConfig } from '../config.ts';
import type { BackupOutcome } from '../custody-tasks.ts';
import { readFormat, refuseNewer, restoreUnfinished } from '../data-format.ts';
import { bytesText } from '../doctor.ts';
import { lockDataDir } from '../state/lock.ts';
import { VERSION } from '../version.ts';
import { askService } from './ask-service.ts';
import { runCommand, UsageError } from './command.ts';
import { presentDataDir } from './data-folder.ts';
import { progressLines } from './progress-lines.ts';

const HELP = `npm run backup -- DIR

  Copies DATA_DIR into DIR, a new or empty folder: bus, bronze, state (keys), landing and archive. A running service
  does it itself and goes on serving; DIR is then a path of its machine or container. What was acknowledged before the
  beginning is in the backup. Files that never change are linked where DIR is on the same disk: they take no space, and
  only a backup on another disk survives the loss of this one. DIR is whole when it holds ${MANIFEST_FILE}.

Exit codes: 0 done, 1 failed, 64 wrong usage.`;

async function backup(args: readonly string[]): Promise<number> {
  const { positionals } = parseArgs({ args: [...args], allowPositionals: true });
  const [dir] = positionals;
  if (dir === undefined || positionals.length !== 1) throw new UsageError('say: npm run backup -- DIR');
  const config = readConfig();
  const dataDir = presentDataDir(config);
  const target = resolve(dir);
  const asked = await askService({ config, dataDir, task: 'backup', args: { target }, onProgress: show });
  const outcome = asked.kind === 'done' ? (asked.outcome as BackupOutcome) : await alone({ config, dataDir, target });
  if (outcome.unsealed !== undefined) {
    process.stderr.write(`Not everything could be sealed before (it is on the copied bus): ${outcome.unsealed}\n`);
  }
  process.stdout.write(
    `${target}: ${outcome.files} files, ${bytesText(outcome.bytes)}; holds what was acknowledged before ${outcome.startedAt}\n`,
  );
  return 0;
}

interface AloneOptions {
  readonly config: Config;
  readonly dataDir: string;
  readonly target: string;
}

/** Bus and bronze together hold everything, so nothing has to be opened: it works on a folder that will not start. */
async function alone({ config, dataDir, target }: AloneOptions): Promise<BackupOutcome> {
  const lock = await lockDataDir(dataDir);
  try {
    const found = await readFormat(dataDir);
    if (found.kind === 'unfinished') throw restoreUnfinished(dataDir);
    if (found.kind !== 'format') throw new Error(`There is nothing to back up in ${dataDir} (DATA_DIR).`);
    refuseNewer(dataDir, found);
    const { files, startedAt } = await writeBackup({
      dataDir,
      target,
      dataFormat: found.format,
      version: VERSION,
      landingSettleMs: config.LANDING_SETTLE_MS,
      now: Date.now,
      tell: show,
    });
    return { files: files.length, bytes: files.reduce((sum, file) => sum + file.bytes, 0), startedAt };
  } finally {
    await lock.release();
  }
}

const tell = progressLines();

function show(progress: unknown): void {
  if (progress === null) return;
  const { files, bytes } = progress as BackupProgress;
  tell(`copied ${files} files, ${bytesText(bytes)} so far`);
}

await runCommand({ help: HELP, run: backup });
