/**
 * A copy of a data folder from which nothing that was acknowledged before its beginning is missing, made while the
 * service runs.
 *
 * The order makes it whole. Files in landing come before archive, because they move from one to the other. State comes
 * before the bus: an answer kept for an Idempotency-Key must not outlive its rows. The bus comes before bronze, because
 * it forgets a message only when a bronze file holds it: what the copied bus lacks, the bronze copied later has. What
 * was accepted between the two may be in one of them or in none; it was not promised.
 *
 * Of landing only files at rest are copied: half a file would rest after a restore, and be taken for the whole.
 *
 * `warehouse.duckdb` is left out. It is made from bronze and bus, by the same code that makes it again when it is
 * broken, at 150,000 rows/s and more; a copy would keep the writer waiting and could only disagree with bronze.
 *
 * The manifest is written last. A folder without it is no backup.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { copyEnvironment } from './bus/lmdb-copy.ts';
import { type CopiedFile, copyFile, filesBelow, hashFile, syncFolders } from './folder-copy.ts';
import { LandingFolder } from './landing/landing-folder.ts';
import { isRefused, isUnfinished } from './landing/landing-name.ts';
import { TaskError } from './operator-tasks.ts';

export const MANIFEST_FILE = 'vigia-backup.json';
export const MANIFEST_VERSION = 1;

export interface Manifest {
  readonly backup: typeof MANIFEST_VERSION;
  readonly dataFormat: number;
  readonly madeBy: string;
  /** What was acknowledged before is in it. */
  readonly startedAt: string;
  readonly endedAt: string;
  readonly files: readonly CopiedFile[];
}

/** Nothing was damaged, and the message says what to do. */
class BackupError extends TaskError {}

export interface BackupOptions {
  readonly dataDir: string;
  /** Absolute; absent or empty. */
  readonly target: string;
  /** Of the folder that is copied. */
  readonly dataFormat: number;
  readonly version: string;
  /** LANDING_SETTLE_MS: when a file in landing rests. */
  readonly landingSettleMs?: number;
  readonly now: () => number;
  readonly tell?: (progress: BackupProgress) => void;
  readonly signal?: AbortSignal;
  /** Tests only: called at `after-FOLDER` and at `while-backing-up`, when all but the manifest is there. */
  readonly faultPoint?: (name: string) => void | Promise<void>;
}

export interface BackupProgress {
  readonly files: number;
  readonly bytes: number;
}

interface Part {
  readonly folder: string;
  /** `environment`: LMDB, copied as one moment. */
  readonly how: 'environment' | 'link' | 'at-rest';
}

const PARTS: readonly Part[] = [
  { folder: 'landing', how: 'at-rest' },
  { folder: 'state', how: 'environment' },
  { folder: 'bus', how: 'environment' },
  { folder: 'bronze', how: 'link' },
  { folder: 'archive', how: 'link' },
];
const ENVIRONMENT_FILE = 'data.mdb';
/** A file that goes while it is copied was replaced by another (erasure, compaction), which is looked for again. */
const LOOKS_MAX = 10;
const LANDING_SETTLE_MS = 2_000;

export async function writeBackup(options: BackupOptions): Promise<Manifest> {
  const { target, now, version } = options;
  await requireTarget(options);
  const startedAt = new Date(now()).toISOString();
  const copy = new Copy(options);
  for (const part of PARTS) {
    await copy.part(part);
    await options.faultPoint?.(`after-${part.folder}`);
  }
  const manifest: Manifest = {
    backup: MANIFEST_VERSION,
    dataFormat: options.dataFormat,
    madeBy: version,
    startedAt,
    endedAt: new Date(now()).toISOString(),
    files: copy.files,
  };
  await syncFolders(target);
  await options.faultPoint?.('while-backing-up');
  await writeManifest(target, manifest);
  return manifest;
}

class Copy {
  readonly files: CopiedFile[] = [];
  readonly #options: BackupOptions;
  readonly #landing: LandingFolder;
  #bytes = 0;

  constructor(options: BackupOptions) {
    this.#options = options;
    this.#landing = new LandingFolder({ dataDir: options.dataDir, datasets: [] });
  }

  async part({ folder, how }: Part): Promise<void> {
    const { dataDir, target } = this.#options;
    if (how !== 'environment') return this.#folder(folder, how);
    if (!existsSync(join(dataDir, folder, ENVIRONMENT_FILE))) return;
    const made = await copyEnvironment(join(dataDir, folder), join(target, folder));
    this.#add({ path: `${folder}/${ENVIRONMENT_FILE}`, ...(await hashFile(made)) });
  }

  async #folder(folder: string, how: 'link' | 'at-rest'): Promise<void> {
    const { dataDir } = this.#options;
    const known = new Set<string>();
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      let gone = 0;
      for (const name of await filesBelow(join(dataDir, folder))) {
        if (known.has(name)) continue;
        this.#options.signal?.throwIfAborted();
        const path = `${folder}/${name}`;
        const facts = how === 'link' ? await this.#copy(path, how) : await this.#copyAtRest(name);
        if (facts === 'in-motion') continue;
        if (facts === undefined) {
          gone += 1;
          continue;
        }
        known.add(name);
        requireIntact(path, facts.sha256);
        this.#add({ path, ...facts });
      }
      if (gone === 0) return;
    }
    throw new BackupError(
      `Files in ${folder} went away in each of ${LOOKS_MAX} looks. Try again when less is moved there.`,
    );
  }

  #copy(path: string, how: 'link' | 'copy'): ReturnType<typeof copyFile> {
    const { dataDir, target } = this.#options;
    return copyFile({ from: join(dataDir, path), to: join(target, path), how });
  }

  /** As landing decides, in one look. What it refused rests. */
  async #copyAtRest(name: string): Promise<Omit<CopiedFile, 'path'> | 'in-motion' | undefined> {
    const { target, now, landingSettleMs = LANDING_SETTLE_MS } = this.#options;
    if (name.split('/').some(isUnfinished)) return 'in-motion';
    const found = await this.#landing.find(name);
    // A name that is not UTF-8 leads nowhere; any other that does was moved.
    if (found === undefined) return name.includes('\ufffd') ? 'in-motion' : undefined;
    const unchangedMs = now() - found.changedAtMs;
    if (!isRefused(name) && unchangedMs < landingSettleMs && found.movedInMs <= landingSettleMs) return 'in-motion';
    const facts = await this.#copy(`landing/${name}`, 'copy');
    if (facts === undefined || (await this.#landing.find(name))?.signature === found.signature) return facts;
    await rm(join(target, 'landing', name));
    return 'in-motion';
  }

  #add(file: CopiedFile): void {
    this.files.push(file);
    this.#bytes += file.bytes;
    this.#options.tell?.({ files: this.files.length, bytes: this.#bytes });
  }
}

/** A bronze file's name is the hash of its content: a damaged one must not become the only copy there is. */
function requireIntact(path: string, sha256: string): void {
  const named = /^bronze\/.*\/([0-9a-f]{64})\.parquet$/.exec(path)?.[1];
  if (named === undefined || named === sha256) return;
  throw new BackupError(
    `${path} is damaged: its content has the hash ${sha256}. Restore this file from an earlier backup, then back up again.`,
  );
}

async function requireTarget({ dataDir, target }: BackupOptions): Promise<void> {
  const own = resolve(dataDir) + sep;
  if (target === resolve(dataDir) || (target.startsWith(own) && !target.startsWith(`${own}backups${sep}`))) {
    throw new BackupError(`${target} is inside the data folder. Choose a folder elsewhere, best on another disk.`);
  }
  await mkdir(target, { recursive: true });
  if ((await readdir(target)).length > 0) {
    throw new BackupError(`${target} is not empty. Choose a new folder: a backup never mixes with what is there.`);
  }
}

async function writeManifest(target: string, manifest: Manifest): Promise<void> {
  const draft = join(target, `${MANIFEST_FILE}.draft`);
  const file = await open(draft, 'wx');
  try {
    await file.writeFile(`${JSON.stringify(manifest, null, 1)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, join(target, MANIFEST_FILE));
  await syncFolders(target);
}
