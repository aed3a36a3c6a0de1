/**
 * Which layout a data folder has: `format.json`, one number that only grows.
 *
 * A newer folder is refused, because what this version does not know it would damage. An older one is migrated at the
 * next start, after a backup of it, step by step; the number is written last and at once, so that a migration that was
 * cut off begins again. A step done twice is as good as done once.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBackup } from './backup.ts';
import { syncPath } from './durable-folder.ts';
import { makeLandingFolder } from './landing/landing-folder.ts';

export const DATA_FORMAT = 1;
const FORMAT_FILE = 'format.json';
/** Where backups that precede a migration lie, in the data folder. */
const BACKUPS = 'backups';
/** What a folder without `format.json` has when a service ran on it before there were format numbers. */
const TRACES: readonly string[] = ['bus', 'bronze', 'warehouse.duckdb'];

export type FoundFormat =
  | { readonly kind: 'new' }
  | { readonly kind: 'format'; readonly format: number; readonly madeBy: string }
  /** A restore into the folder did not end. */
  | { readonly kind: 'unfinished' };

/** The folder cannot be used; the message says what to do. */
export class FormatError extends Error {}

interface Migration {
  /** The format it makes, out of the one below. */
  readonly to: number;
  readonly run: (dataDir: string) => Promise<void>;
}

const MIGRATIONS: readonly Migration[] = [
  {
    // Format 1 takes files: the folders they come by and go to. All that format 0 held stays as it is.
    to: 1,
    run: async (dataDir) => {
      await makeLandingFolder(dataDir);
      await mkdir(join(dataDir, 'archive'), { recursive: true });
    },
  },
];

export async function readFormat(dataDir: string): Promise<FoundFormat> {
  const path = join(dataDir, FORMAT_FILE);
  if (!existsSync(path)) {
    const used = TRACES.some((name) => existsSync(join(dataDir, name)));
    return used ? { kind: 'format', format: 0, madeBy: 'a version before 0.1.0' } : { kind: 'new' };
  }
  const { format, madeBy, unfinished } = parsed(path, await readFile(path, 'utf8'));
  return unfinished ? { kind: 'unfinished' } : { kind: 'format', format, madeBy };
}

export interface PrepareOptions {
  readonly dataDir: string;
  /** Of this program. */
  readonly version: string;
  readonly now: () => number;
  readonly tell: (event: MigrationProgress) => void;
  /** Tests only: called at `while-migrating`. */
  readonly faultPoint?: (name: string) => void;
}

export interface MigrationProgress {
  readonly from: number;
  readonly to: number;
  readonly backup: string;
}

/** Before any part is opened; the caller holds the folder's lock. Throws FormatError. */
export async function prepareFormat(options: PrepareOptions): Promise<void> {
  const { dataDir, version, now, tell, faultPoint } = options;
  const found = await readFormat(dataDir);
  switch (found.kind) {
    case 'new':
      return migrate({ dataDir, from: 0, version });
    case 'unfinished':
      throw restoreUnfinished(dataDir);
    case 'format': {
      refuseNewer(dataDir, found);
      if (found.format === DATA_FORMAT) return;
      const stamp = new Date(now()).toISOString().replaceAll(/[:.]/g, '');
      const backup = join(dataDir, BACKUPS, `before-format-${DATA_FORMAT}-${stamp}`);
      tell({ from: found.format, to: DATA_FORMAT, backup });
      await writeBackup({ dataDir, target: backup, dataFormat: found.format, version, now });
      faultPoint?.('while-migrating');
      return migrate({ dataDir, from: found.format, version });
    }
  }
}

export function restoreUnfinished(dataDir: string): FormatError {
  return new FormatError(
    `A restore into ${dataDir} did not end, so rows are missing in it. Empty the folder and run npm run restore again.`,
  );
}

export function refuseNewer(
  dataDir: string,
  { format, madeBy }: { readonly format: number; readonly madeBy: string },
): void {
  if (format <= DATA_FORMAT) return;
  throw new FormatError(
    `${dataDir} has data format ${format}, made by ${madeBy}; this version knows formats up to ${DATA_FORMAT}. ` +
      'Start that version or a newer one, or restore a backup that was made before the folder was migrated.',
  );
}

/** The steps above `from`, then the number. For a folder that nobody else uses and that needs no backup. */
export async function migrate(options: {
  readonly dataDir: string;
  readonly from: number;
  readonly version: string;
}): Promise<void> {
  const { dataDir, from, version } = options;
  for (const step of MIGRATIONS) if (step.to > from) await step.run(dataDir);
  await writeFormat(dataDir, { format: DATA_FORMAT, madeBy: version });
}

/** From now on and until `migrate`, no service takes the folder for whole. */
export async function markUnfinished(dataDir: string, version: string): Promise<void> {
  await writeFormat(dataDir, { format: DATA_FORMAT, madeBy: version, unfinished: 'restore' });
}

interface FormatFile {
  readonly format: number;
  readonly madeBy: string;
  readonly unfinished?: 'restore';
}

async function writeFormat(dataDir: string, content: FormatFile): Promise<void> {
  const path = join(dataDir, FORMAT_FILE);
  const draft = `${path}.draft`;
  const file = await open(draft, 'w');
  try {
    await file.writeFile(`${JSON.stringify(content)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncPath(dataDir);
}

function parsed(path: string, text: string): FormatFile {
  const value = asObject(text);
  const { format, madeBy, unfinished } = value;
  if (typeof format === 'number' && Number.isSafeInteger(format) && format >= 0) {
    const whole = { format, madeBy: typeof madeBy === 'string' ? madeBy : 'an unknown version' };
    return unfinished === undefined ? whole : { ...whole, unfinished: 'restore' };
  }
  throw new FormatError(
    `${path} does not say which format the folder has: {"format": ${DATA_FORMAT}, "madeBy": "…"} is expected. Restore the file from a backup.`,
  );
}

function asObject(text: string): Partial<Record<keyof FormatFile, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
