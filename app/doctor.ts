/**
 * Looks at a data folder and says in words what is wrong with it and what to do.
 *
 * `examineFolder` asks the file system and needs nobody; `examineStores` asks bus, state and warehouse, by whoever owns
 * them; `findingsOf` judges what both saw and is pure. Nothing is mended here.
 */
import { existsSync } from 'node:fs';
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_FILE } from './backup.ts';
import type { Bus, BusBacklog } from './bus/bus.ts';
import { isDue } from './compaction.ts';
import { type FoundFormat, readFormat } from './data-format.ts';
import type { Equation } from './equation.ts';
import { filesBelow } from './folder-copy.ts';
import { readArchivedName } from './landing/archived-name.ts';
import { requestIdOf } from './landing/range-ids.ts';
import type { State } from './state/state.ts';
import type { ArchivedName, UnknownFiles } from './warehouse/duckdb-inspect.ts';
import type { EmbeddedWarehouse } from './warehouse/embedded-warehouse.ts';
import type { DatasetCounts } from './warehouse/warehouse.ts';

export interface FolderSight {
  readonly dataDir: string;
  readonly takenAtMs: number;
  readonly format: FoundFormat;
  readonly owner: number | undefined;
  /** Databases that were set aside, with their WALs. */
  readonly setAside: readonly string[];
  /** In `work/`, older than any batch can be. */
  readonly workOld: readonly string[];
  /** Refused landing files. */
  readonly refused: readonly string[];
  readonly landing: { readonly waiting: number; readonly oldestAtMs: number | undefined };
  /** Folders in `backups/`, and whether each is whole. */
  readonly backups: readonly { readonly name: string; readonly whole: boolean }[];
  readonly disk: {
    readonly freeBytes: number;
    readonly usedPercent: number;
    /** What bronze and archive grew by in the last day; files put together count as new, so rather too much. */
    readonly grownBytes: number;
    readonly bronzeBytes: number;
  };
}

export interface StoresSight {
  readonly counts: Readonly<Record<string, DatasetCounts>>;
  readonly equation: Equation;
  readonly backlog: readonly BusBacklog[];
  readonly unsealed: { readonly messages: number; readonly oldestAtMs: number | undefined };
  readonly unknown: UnknownFiles;
  readonly walBytes: number;
  readonly databaseBytes: number;
  /** Freed pages hold bytes of what was erased. */
  readonly compactionDue: boolean;
}

export interface Finding {
  readonly about: string;
  /** What is wrong. */
  readonly says: string;
  readonly todo: string;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** A hand-over file lives as long as one statement, a range's as long as its transaction. */
const WORK_OLD_MS = 60 * MINUTE_MS;
/** Sealing runs every SEAL_INTERVAL_MS, 30 s; a file is taken when it is 2 s old. */
const BACKLOG_OLD_MS = 5 * MINUTE_MS;
/** The WAL is folded in at 64 MiB; several times that means that something keeps it from being. */
const WAL_LARGE_BYTES = 512 * 1024 * 1024;
/** Below this many days of space somebody should act. */
const DAYS_LEFT_MIN = 14;
/** Clocks of one machine differ by nothing; a second is for rounding. */
const CLOCK_BACK_MS = 1_000;
const SHOWN_MAX = 5;
const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

export async function examineFolder(options: {
  readonly dataDir: string;
  readonly owner: number | undefined;
  readonly nowMs: number;
}): Promise<FolderSight> {
  const { dataDir, owner, nowMs } = options;
  const names = await readdir(dataDir);
  const landing = await aged(join(dataDir, 'landing'));
  const waiting = landing.filter(({ name }) => !/(^|\/)\.|\.part$|\.refused$/.test(name));
  const kept = [...(await aged(join(dataDir, 'bronze'))), ...(await aged(join(dataDir, 'archive')))];
  const disk = await statfs(dataDir);
  const used = disk.blocks - disk.bfree;
  return {
    dataDir,
    takenAtMs: nowMs,
    format: await readFormat(dataDir),
    owner,
    setAside: names.filter((name) => /\.(broken|replaced)-/.test(name)),
    workOld: (await aged(join(dataDir, 'work')))
      .filter(({ changedAtMs }) => changedAtMs < nowMs - WORK_OLD_MS)
      .map(({ name }) => name),
    refused: landing.map(({ name }) => name).filter((name) => name.endsWith('.refused')),
    landing: { waiting: waiting.length, oldestAtMs: least(waiting.map(({ changedAtMs }) => changedAtMs)) },
    backups: await backupsIn(dataDir),
    disk: {
      freeBytes: disk.bavail * disk.bsize,
      usedPercent: (100 * used) / Math.max(1, used + disk.bavail),
      grownBytes: sum(kept.filter(({ changedAtMs }) => changedAtMs >= nowMs - DAY_MS)),
      bronzeBytes: sum(kept),
    },
  };
}

export async function examineStores(parts: {
  readonly dataDir: string;
  readonly bus: Bus;
  readonly warehouse: EmbeddedWarehouse;
  readonly state: Pick<State, 'fact'>;
  readonly equation: () => Promise<Equation>;
}): Promise<StoresSight> {
  const { dataDir, bus, warehouse, state, equation } = parts;
  // Listed before the database is asked: a file made in between would look unknown.
  const bronze = (await filesBelow(join(dataDir, 'bronze'))).filter((name) => name.endsWith('.parquet'));
  const archived = await filesBelow(join(dataDir, 'archive'));
  const { messages, oldestAtMs } = bus.settledCount();
  return {
    counts: await warehouse.counts(),
    equation: await equation(),
    backlog: bus.backlog(),
    unsealed: { messages, oldestAtMs },
    unknown: await warehouse.inspect({
      bronze: bronze.map((name) => name.slice(name.lastIndexOf('/') + 1, -'.parquet'.length)),
      archived: archived.map(archivedFile),
    }),
    walBytes: warehouse.walBytes(),
    databaseBytes: warehouse.databaseBytes(),
    compactionDue: await isDue(state),
  };
}

/** `trips/<file id>-a.csv`: see landing/archived-name.ts. */
function archivedFile(path: string): ArchivedName {
  const [dataset = '', ...rest] = path.split('/');
  const archived = readArchivedName(rest.join('/'));
  return { name: path, requestId: archived && requestIdOf(archived.fileId, dataset) };
}

/** Newest insight first is no order: by what is at stake. */
export function findingsOf(folder: FolderSight, stores: StoresSight | undefined): readonly Finding[] {
  return [...(stores === undefined ? [] : storeFindings(stores, folder.takenAtMs)), ...folderFindings(folder, stores)];
}

function storeFindings(stores: StoresSight, nowMs: number): readonly Finding[] {
  const { equation, unknown, backlog, unsealed, walBytes, compactionDue } = stores;
  const findings: Finding[] = [];
  for (const [dataset, { difference, overdue }] of Object.entries(equation.datasets)) {
    if (difference !== 0) {
      findings.push({
        about: 'equation',
        says: `${dataset}: ${counted(Math.abs(difference), 'row is', 'rows are')} ${difference > 0 ? 'lost' : 'there twice'}.`,
        todo: 'Keep a backup of the folder as it is, then run npm run warehouse:rebuild; if the difference stays, restore the last backup.',
      });
    }
    if (overdue > 0) {
      findings.push({
        about: 'overdue',
        says: `${dataset}: ${counted(overdue, 'accepted row waits', 'accepted rows wait')} for longer than OVERDUE_MS.`,
        todo: 'Look in the log for subscriber.batch_failed and dependency.failed.',
      });
    }
  }
  for (const [dataset, messages] of Object.entries(equation.deadLetterMessages)) {
    if (messages === 0) continue;
    findings.push({
      about: 'dead letters',
      says: `${dataset}: ${counted(messages, 'message', 'messages')} could not be stored.`,
      todo: 'GET /v1/dead-letters says why; mend the cause, then POST /v1/dead-letters/replay.',
    });
  }
  const oldest = least(backlog.flatMap(({ oldestAtMs }) => oldestAtMs ?? []));
  if (isOld(oldest, nowMs)) {
    findings.push({
      about: 'backlog',
      says: `The oldest message that is not stored is ${minutes(nowMs - (oldest ?? 0))} old.`,
      todo: 'Start the service, or look in its log for what keeps it from storing.',
    });
  }
  if (isOld(unsealed.oldestAtMs, nowMs)) {
    findings.push({
      about: 'bronze',
      says: `${counted(unsealed.messages, 'stored message is', 'stored messages are')} in no bronze file, the oldest for ${minutes(nowMs - (unsealed.oldestAtMs ?? 0))}.`,
      todo: 'Look in the log for bronze.seal_failed; until then the bus keeps them.',
    });
  }
  if (unknown.bronze.length > 0) {
    findings.push({
      about: 'bronze',
      says: `${counted(unknown.bronze.length, 'bronze file is', 'bronze files are')} not registered: ${shown(unknown.bronze)}.`,
      todo: 'A restart stores what they hold. If they stay, their dataset has no contract here.',
    });
  }
  if (unknown.archived.length > 0) {
    findings.push({
      about: 'archive',
      says: `${counted(unknown.archived.length, 'archived file is', 'archived files are')} not in the ledger: ${shown(unknown.archived)}.`,
      todo: 'Move them into landing/<dataset>/ to have them taken, or away if they are not the service’s.',
    });
  }
  if (walBytes > WAL_LARGE_BYTES) {
    findings.push({
      about: 'write-ahead log',
      says: `warehouse.duckdb.wal has ${bytesText(walBytes)}.`,
      todo: 'A long read keeps it from being folded in. Restart the service if it does not shrink.',
    });
  }
  if (compactionDue) {
    findings.push({
      about: 'erasure',
      says: 'Free pages of the databases still hold bytes of what was erased.',
      todo: 'Restart the service, or stop it and run npm run compact.',
    });
  }
  if (unknown.committedAtMs !== undefined && unknown.committedAtMs > nowMs + CLOCK_BACK_MS) {
    findings.push({
      about: 'clock',
      says: `The newest commit is of ${new Date(unknown.committedAtMs).toISOString()}, which is in the future.`,
      todo: 'Set the clock of this machine right (timedatectl): times of receipt and retention follow it.',
    });
  }
  return findings;
}

function folderFindings(folder: FolderSight, stores: StoresSight | undefined): readonly Finding[] {
  const { setAside, workOld, refused, landing, backups, disk, takenAtMs } = folder;
  const findings: Finding[] = [];
  const broken = backups.filter(({ whole }) => !whole).map(({ name }) => name);
  const lists: readonly (readonly [string, readonly string[], readonly [one: string, many: string], string])[] = [
    [
      'set aside',
      setAside,
      ['database was set aside', 'databases were set aside'],
      'The warehouse was made again without them: delete them once counts are right.',
    ],
    [
      'work',
      workOld,
      ['file in work/ is left from a process that died', 'files in work/ are left from a process that died'],
      'The next start removes them.',
    ],
    [
      'landing',
      refused,
      ['landing file was refused', 'landing files were refused'],
      'GET /v1/audit?step=landing.refuse says why. Mend each and drop the .refused from its name, or delete it.',
    ],
    [
      'backups',
      broken,
      [
        'folder in backups/ has no manifest, so it is no backup',
        'folders in backups/ have no manifest, so they are no backups',
      ],
      'Delete them: their making was cut off.',
    ],
  ];
  for (const [about, names, [one, many], todo] of lists) {
    if (names.length === 0) continue;
    findings.push({ about, says: `${counted(names.length, one, many)}: ${shown(names)}.`, todo });
  }
  if (isOld(landing.oldestAtMs, takenAtMs)) {
    findings.push({
      about: 'landing',
      says: `${counted(landing.waiting, 'file waits', 'files wait')}, the oldest for ${minutes(takenAtMs - (landing.oldestAtMs ?? 0))}.`,
      todo: 'Start the service; if it runs, GET /v1/landing says what it is at.',
    });
  }
  const days = daysLeft(folder, stores);
  if (days < DAYS_LEFT_MIN) {
    findings.push({
      about: 'disk',
      says: `${bytesText(disk.freeBytes)} are free (${disk.usedPercent.toFixed(0)} % used): ${days.toFixed(1)} days at the last day's rate.`,
      todo: 'Make room, give the folder a larger disk, or shorten retentionDays in the contracts.',
    });
  }
  return findings;
}

/** Infinity when nothing grew. The database grows with bronze, in the proportion that the two have now. */
export function daysLeft({ disk }: FolderSight, stores: StoresSight | undefined): number {
  const beside = stores === undefined || disk.bronzeBytes === 0 ? 0 : stores.databaseBytes / disk.bronzeBytes;
  const perDay = disk.grownBytes * (1 + beside);
  return perDay === 0 ? Number.POSITIVE_INFINITY : disk.freeBytes / perDay;
}

interface AgedFile {
  readonly name: string;
  readonly bytes: number;
  readonly changedAtMs: number;
}

/** Files may go while they are looked at. */
async function aged(dir: string): Promise<readonly AgedFile[]> {
  const files: AgedFile[] = [];
  for (const name of await filesBelow(dir)) {
    const facts = await stat(join(dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (facts !== undefined) files.push({ name, bytes: facts.size, changedAtMs: facts.mtimeMs });
  }
  return files;
}

async function backupsIn(dataDir: string): Promise<FolderSight['backups']> {
  const dir = join(dataDir, 'backups');
  if (!existsSync(dir)) return [];
  return (await readdir(dir)).map((name) => ({ name, whole: existsSync(join(dir, name, MANIFEST_FILE)) }));
}

function isOld(atMs: number | undefined, nowMs: number): boolean {
  return atMs !== undefined && nowMs - atMs > BACKLOG_OLD_MS;
}

function least(numbers: readonly number[]): number | undefined {
  return numbers.length === 0 ? undefined : numbers.reduce((one, other) => Math.min(one, other));
}

function sum(files: readonly AgedFile[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0);
}

function shown(names: readonly string[]): string {
  return (
    names.slice(0, SHOWN_MAX).join(', ') + (names.length > SHOWN_MAX ? ` and ${names.length - SHOWN_MAX} more` : '')
  );
}

function minutes(ms: number): string {
  return counted(Math.round(ms / MINUTE_MS), 'minute', 'minutes');
}

export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** In the largest unit of which there is at least one. */
export function bytesText(bytes: number): string {
  if (bytes >= GIB) return `${(bytes / GIB).toFixed(1)} GiB`;
  if (bytes >= MIB) return `${(bytes / MIB).toFixed(1)} MiB`;
  return bytes >= KIB ? `${(bytes / KIB).toFixed(1)} KiB` : counted(bytes, 'byte', 'bytes');
}
