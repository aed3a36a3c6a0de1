/**
 * Makes a data folder out of a backup, and proves by the loss equation that it is whole.
 *
 * Every file is compared with the manifest while it is copied. The warehouse is made from bronze; the bus, which is the
 * older copy of the two, is told which messages bronze has beyond it, so that they count as accepted and no sequence is
 * given away twice. Until the end the folder is marked as unfinished, and no service opens it.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_FILE, MANIFEST_VERSION, type Manifest } from './backup.ts';
import { raiseTail, readTail } from './bus/lmdb-copy.ts';
import type { Config } from './config.ts';
import { markUnfinished, migrate, refuseNewer } from './data-format.ts';
import type { Registry } from './datasets/registry.ts';
import { type Equation, takeEquation } from './equation.ts';
import { copyFile, syncFolders } from './folder-copy.ts';
import { LandingFolder } from './landing/landing-folder.ts';
import { openStores, type StoreTelemetry } from './open-stores.ts';
import { forgetTasks, TaskError } from './operator-tasks.ts';
import { acceptedBeyond } from './warehouse/duckdb-restored.ts';
import { openDuckdbWarehouse } from './warehouse/duckdb-warehouse.ts';

export interface RestoreOptions {
  /** Absolute. */
  readonly source: string;
  /** Empty but for its lock, which the caller holds. */
  readonly dataDir: string;
  readonly config: Config;
  readonly registry: Registry;
  readonly version: string;
  readonly telemetry: StoreTelemetry;
  readonly now: () => number;
  readonly tell: (progress: RestoreProgress) => void;
  /** Tests only: called at `while-restoring`, when the files are there and the bus was not told yet. */
  readonly faultPoint?: (name: string) => void;
}

export interface RestoreProgress {
  readonly files: number;
  readonly filesOfAll: number;
}

export interface Restored {
  readonly manifest: Manifest;
  readonly equation: Equation;
}

/** What may lie in a folder that is restored into. */
const LOCK = 'vigia.lock';
const PART = /^(landing|state|bus|bronze|archive)\//;

/** Throws TaskError or FormatError, for the person who restores. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { source, dataDir, version, faultPoint } = options;
  const manifest = await readManifest(source);
  refuseNewer(source, { format: manifest.dataFormat, madeBy: manifest.madeBy });
  await requireEmpty(dataDir);
  await markUnfinished(dataDir, version);
  await new LandingFolder({ dataDir, datasets: [...options.registry.contracts.keys()] }).make();
  await copyFiles(options, manifest);
  faultPoint?.('while-restoring');
  await tellBus(options);
  const equation = await squareAndProve(options);
  await migrate({ dataDir, from: manifest.dataFormat, version });
  return { manifest, equation };
}

async function readManifest(source: string): Promise<Manifest> {
  const path = join(source, MANIFEST_FILE);
  if (!existsSync(path)) {
    throw new TaskError(`${source} is no backup: it has no ${MANIFEST_FILE}, which is written when a backup is whole.`);
  }
  const manifest = parsed(await readFile(path, 'utf8'));
  if (manifest?.backup === MANIFEST_VERSION && Array.isArray(manifest.files)) return manifest as Manifest;
  throw new TaskError(
    `${path} is not a manifest that this version reads (it reads ${MANIFEST_VERSION}). Restore with the version that made it, or take another backup.`,
  );
}

async function requireEmpty(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  const found = (await readdir(dataDir)).filter((name) => name !== LOCK);
  if (found.length === 0) return;
  throw new TaskError(
    `${dataDir} (DATA_DIR) is not empty: it has ${found.slice(0, 5).join(', ')}. A restore never mixes with what is there: set another DATA_DIR, or move this one away.`,
  );
}

async function copyFiles({ source, dataDir, tell }: RestoreOptions, { files }: Manifest): Promise<void> {
  for (const [at, { path, bytes, sha256 }] of files.entries()) {
    if (!PART.test(path) || path.split('/').includes('..'))
      throw new TaskError(`The manifest names ${path}, which no backup has.`);
    // Copied, never linked: the backup stays what it is whatever becomes of the folder.
    const facts = await copyFile({ from: join(source, path), to: join(dataDir, path), how: 'copy' });
    if (facts === undefined)
      throw new TaskError(`${path} is missing in ${source}: the backup is damaged. Take another one.`);
    if (facts.sha256 !== sha256 || facts.bytes !== bytes) {
      throw new TaskError(
        `${path} in ${source} is damaged: ${facts.bytes} bytes with the hash ${facts.sha256}, ${bytes} with ${sha256} are expected. Take another backup.`,
      );
    }
    tell({ files: at + 1, filesOfAll: files.length });
  }
  await syncFolders(dataDir);
}

/** The warehouse is made first, because what it holds beyond the bus is known only then. */
async function tellBus({ dataDir, config, registry, telemetry, now }: RestoreOptions): Promise<void> {
  const limits = { memoryMib: config.WAREHOUSE_MEMORY_MIB, threads: config.WAREHOUSE_THREADS };
  const warehouse = await openDuckdbWarehouse({
    ...limits,
    dir: dataDir,
    contracts: registry.contracts,
    readers: 1,
    readQueueMax: 0,
    percentileRowsMax: config.PERCENTILE_ROWS_MAX,
    now,
    onBroken: (error) => telemetry.warehouseBroken({ error }),
    onProgress: (progress) => {
      if (progress.kind === 'replaying') telemetry.log('warehouseRebuilding', { ...progress, records: progress.rows });
    },
  });
  await warehouse.close();
  const bus = join(dataDir, 'bus');
  await mkdir(bus, { recursive: true });
  const { sequence } = await readTail(bus);
  await raiseTail(bus, await acceptedBeyond({ ...limits, dir: dataDir }, sequence));
}

async function squareAndProve(options: RestoreOptions): Promise<Equation> {
  const { dataDir, config, registry, telemetry, now } = options;
  const broken = (error: unknown): void => telemetry.warehouseBroken({ error });
  const stores = await openStores({
    config,
    registry,
    telemetry,
    dataDir,
    now,
    onBroken: broken,
    faultPoint: () => {},
  });
  try {
    // Nobody waits for what was asked of the service whose folder this was.
    await forgetTasks(stores.state);
    return await takeEquation({ ...stores, datasets: [...registry.contracts.keys()], overdueMs: config.OVERDUE_MS });
  } finally {
    await stores.warehouse.close();
    await stores.bus.close();
    await stores.state.close();
  }
}

function parsed(text: string): Partial<Manifest> | undefined {
  try {
    return JSON.parse(text) as Partial<Manifest>;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
