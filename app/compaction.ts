/**
 * Rids bus, state and warehouse of what their freed pages and blocks still hold: after an erasure and a compaction none
 * of the bytes erased is in any of them.
 *
 * Each store is copied without what is free, and the copy takes the store's place. It needs the folder for itself, so it
 * is done at the next start after an erasure, before anything is opened, or by `npm run compact`. It stays due until all
 * of it is done.
 */
import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { compactEnvironment } from './bus/lmdb-copy.ts';
import type { Config } from './config.ts';
import { COMPACTION_FACT } from './erasure.ts';
import { openLmdbState } from './state/lmdb-state.ts';
import { isMarkedReplaced, markReplaced, unmarkReplaced } from './state/lmdb-replaced.ts';
import type { State } from './state/state.ts';
import { compactDatabase } from './warehouse/duckdb-compact.ts';

export interface CompactionOptions {
  readonly config: Pick<Config, 'IDEMPOTENCY_HOURS' | 'WAREHOUSE_MEMORY_MIB' | 'WAREHOUSE_THREADS'>;
  /** Absolute; the caller holds its lock and nothing in it is open. */
  readonly dataDir: string;
  readonly now: () => number;
  readonly faultPoint: (name: string) => void;
}

export interface Compacted {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Databases that were set aside earlier, by name: they hold what they held. */
  readonly setAside: readonly string[];
}

const ENVIRONMENTS = ['state', 'bus'] as const;
const ENVIRONMENT_FILE = 'data.mdb';
const DATABASE = 'warehouse.duckdb';

/** Undefined when none is due. */
export async function compactWhenDue(options: CompactionOptions): Promise<Compacted | undefined> {
  const state = join(options.dataDir, 'state');
  if (!existsSync(join(state, ENVIRONMENT_FILE))) return undefined;
  const due = (await isMarkedReplaced(state)) || (await withState(options, isDue));
  return due ? compactStores(options) : undefined;
}

export async function compactStores(options: CompactionOptions): Promise<Compacted> {
  const { config, dataDir, faultPoint } = options;
  const bytesBefore = await bytesOf(dataDir);
  for (const name of ENVIRONMENTS) {
    const dir = join(dataDir, name);
    if (!existsSync(join(dir, ENVIRONMENT_FILE))) continue;
    // A command may have the state store open; nobody but a service has the bus.
    if (name === 'state') await markReplaced(dir);
    await compactEnvironment(dir, async (copy) => {
      if (name === 'state') await unmarkReplaced(copy);
      faultPoint('while-compacting');
    });
  }
  const limits = { memoryMib: config.WAREHOUSE_MEMORY_MIB, threads: config.WAREHOUSE_THREADS };
  await compactDatabase({ ...limits, dir: dataDir, faultPoint });
  // What a process that died has left there; every start empties it.
  await rm(join(dataDir, 'work'), { recursive: true, force: true });
  await withState(options, (state) => state.setFact(COMPACTION_FACT, null));
  const setAside = (await readdir(dataDir)).filter((name) => name.startsWith(`${DATABASE}.`));
  return { bytesBefore, bytesAfter: await bytesOf(dataDir), setAside };
}

export async function isDue(state: Pick<State, 'fact'>): Promise<boolean> {
  return typeof (await state.fact(COMPACTION_FACT)) === 'number';
}

async function withState<T>(
  { config, dataDir, now }: CompactionOptions,
  use: (state: State) => Promise<T>,
): Promise<T> {
  const state = await openLmdbState({
    dir: join(dataDir, 'state'),
    now,
    idempotencyHours: config.IDEMPOTENCY_HOURS,
    processId: process.pid,
  });
  try {
    return await use(state);
  } finally {
    await state.close();
  }
}

async function bytesOf(dataDir: string): Promise<number> {
  let bytes = 0;
  for (const name of [...ENVIRONMENTS.map((one) => join(one, ENVIRONMENT_FILE)), DATABASE]) {
    const path = join(dataDir, name);
    if (existsSync(path)) bytes += (await stat(path)).size;
  }
  return bytes;
}
