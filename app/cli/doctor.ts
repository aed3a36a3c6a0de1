/** `npm run doctor`: looks at the data folder and says in words what is wrong and what to do. */
import { type Config, readConfig } from '../config.ts';
import { DATA_FORMAT, refuseNewer, restoreUnfinished } from '../data-format.ts';
import { loadDatasets } from '../datasets/registry.ts';
import {
  bytesText,
  counted,
  daysLeft,
  examineFolder,
  examineStores,
  type Finding,
  findingsOf,
  type FolderSight,
  type StoresSight,
} from '../doctor.ts';
import { equationText, takeEquation } from '../equation.ts';
import { openStores, quietTelemetry } from '../open-stores.ts';
import { lockDataDir, lockHolder } from '../state/lock.ts';
import { askService } from './ask-service.ts';
import { runCommand, UsageError } from './command.ts';
import { presentDataDir } from './data-folder.ts';
import { progressLines } from './progress-lines.ts';

const HELP = `npm run doctor [-- --json]

  Looks at DATA_DIR: format, owner, counts, the loss equation, orphaned files, what waits, dead letters, disk, clock; and
  says what is wrong and what to do. A running service is asked; without one the command opens the folder as a start
  would and closes it again. --json prints all that was seen.

Exit codes: 0 nothing found, 1 it could not look, 2 with findings, 64 wrong usage.`;

const EXIT_FINDINGS = 2;
/** Beyond two years a day's growth foretells nothing. */
const DAYS_TOLD_MAX = 730;

async function doctor(args: readonly string[]): Promise<number> {
  const json = args[0] === '--json';
  if (args.length > (json ? 1 : 0)) throw new UsageError(`${args.join(' ')}: this command takes only --json.`);
  const config = readConfig();
  const dataDir = presentDataDir(config);
  const folder = await examineFolder({ dataDir, owner: await lockHolder(dataDir), nowMs: Date.now() });
  const asked = await askService({ config, dataDir, task: 'doctor', args: {} });
  const opened =
    asked.kind === 'done' ? { stores: asked.outcome as StoresSight, findings: [] } : await alone(config, folder);
  const findings = [...opened.findings, ...findingsOf(folder, opened.stores)];
  const sight = { folder, stores: opened.stores, findings };
  process.stdout.write(json ? `${JSON.stringify(sight, null, 1)}\n` : textOf(sight));
  return findings.length === 0 ? 0 : EXIT_FINDINGS;
}

interface Opened {
  readonly stores: StoresSight | undefined;
  readonly findings: readonly Finding[];
}

async function alone(config: Config, { dataDir, format }: FolderSight): Promise<Opened> {
  switch (format.kind) {
    case 'new':
      return { stores: undefined, findings: [] };
    case 'unfinished':
      return cannotOpen(restoreUnfinished(dataDir));
    case 'format':
      if (format.format < DATA_FORMAT) {
        const says = `The folder has format ${format.format}, this version writes ${DATA_FORMAT}.`;
        const todo =
          'Nothing: the next start copies it to backups/ and migrates it. Run npm run doctor again after that.';
        return { stores: undefined, findings: [{ about: 'format', says, todo }] };
      }
  }
  const lock = await lockDataDir(dataDir);
  try {
    refuseNewer(dataDir, format);
    return { stores: await openAndLook(config, dataDir), findings: [] };
  } catch (error) {
    return cannotOpen(error);
  } finally {
    await lock.release();
  }
}

async function openAndLook(config: Config, dataDir: string): Promise<StoresSight> {
  const registry = await loadDatasets();
  const broken: { error?: unknown } = {};
  const stores = await openStores({
    config,
    registry,
    dataDir,
    telemetry: quietTelemetry({ say: (line) => void process.stderr.write(`${line}\n`), tell: progressLines() }),
    now: Date.now,
    onBroken: (error) => {
      broken.error = error;
    },
    faultPoint: () => undefined,
  });
  try {
    const datasets = [...registry.contracts.keys()];
    const equation = () => takeEquation({ ...stores, datasets, overdueMs: config.OVERDUE_MS });
    return await examineStores({ dataDir, ...stores, equation });
  } finally {
    await stores.warehouse.close();
    await stores.bus.close();
    await stores.state.close();
  }
}

/** A folder that does not open is what a doctor is called for. */
function cannotOpen(error: unknown): Opened {
  const says = `The folder cannot be opened: ${error instanceof Error ? error.message : String(error)}`;
  return {
    stores: undefined,
    findings: [{ about: 'start', says, todo: 'Do what this says; the service would stop at it too.' }],
  };
}

function textOf(sight: {
  readonly folder: FolderSight;
  readonly stores: StoresSight | undefined;
  readonly findings: readonly Finding[];
}): string {
  const { folder, stores, findings } = sight;
  const lines = [
    `${folder.dataDir}: ${formatText(folder)}, ${folder.owner === undefined ? 'no service runs on it' : `in use by process ${folder.owner}`}`,
    `disk: ${bytesText(folder.disk.freeBytes)} free, ${daysText(daysLeft(folder, stores))}`,
    ...(stores === undefined ? [] : storesText(stores)),
    ...findings.flatMap(({ about, says, todo }) => ['', `${about}: ${says}`, `  → ${todo}`]),
    '',
    findings.length === 0 ? 'Nothing is wrong.' : `${counted(findings.length, 'finding', 'findings')}.`,
    '',
  ];
  return lines.join('\n');
}

function storesText({ counts, equation, backlog, walBytes }: StoresSight): readonly string[] {
  const waiting = backlog.reduce((sum, { messages }) => sum + messages, 0);
  return [
    ...Object.entries(counts).map(
      ([dataset, one]) => `${dataset}: stored ${one.stored}, quarantined ${one.quarantined}, rejected ${one.rejected}`,
    ),
    `equation: ${equationText(equation.total)}; ${counted(waiting, 'message waits', 'messages wait')}; write-ahead log ${bytesText(walBytes)}`,
  ];
}

function formatText({ format }: FolderSight): string {
  switch (format.kind) {
    case 'new':
      return 'new, nothing is stored yet';
    case 'unfinished':
      return 'a restore that did not end';
    case 'format':
      return `format ${format.format}, made by ${format.madeBy}`;
  }
}

function daysText(days: number): string {
  if (!Number.isFinite(days)) return 'nothing was added in the last day';
  if (days > DAYS_TOLD_MAX) return 'years at the last day’s rate';
  return `${counted(Math.floor(days), 'day', 'days')} at the last day’s rate`;
}

await runCommand({ help: HELP, run: doctor });
