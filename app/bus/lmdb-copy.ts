/**
 * Copies of an LMDB environment while it is written to, and what a restored bus has to be told.
 *
 * A copy is one moment of the environment, taken in a read transaction: no writer waits for it, and it can be made from
 * any process that may read the folder.
 */
import { mkdir, open as openFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { open } from 'lmdb';
import { openTables, type Tail, TAIL_AT_FIRST } from './lmdb-tables.ts';

/** The one file of an environment; its lock table belongs to processes and is made again. */
const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';

interface CopyOptions {
  /** Without the pages that are free, which hold bytes of what was deleted. */
  readonly compacting?: boolean;
}

/** Returns the file made, synced; the folder's name is the caller's to sync. */
export async function copyEnvironment(
  dir: string,
  target: string,
  { compacting = false }: CopyOptions = {},
): Promise<string> {
  await mkdir(target, { recursive: true });
  const file = join(target, DATA_FILE);
  // A folder without an environment would be made one.
  await stat(join(dir, DATA_FILE));
  const root = open({ path: dir, noSubdir: false, readOnly: true, maxDbs: 8 });
  try {
    await root.backup(target, compacting);
  } finally {
    await root.close();
  }
  for (const path of [file, target]) {
    const handle = await openFile(path, 'r');
    await handle.sync().finally(() => handle.close());
  }
  return file;
}

/**
 * Puts an environment's compacted copy in its place. Nobody has it open; what dies between two steps is done again.
 * `prepare` may change the copy before it gets the name.
 */
export async function compactEnvironment(dir: string, prepare: (copy: string) => Promise<void>): Promise<void> {
  const copy = `${dir}.compact`;
  await rm(copy, { recursive: true, force: true });
  await copyEnvironment(dir, copy, { compacting: true });
  await prepare(copy);
  await rename(join(copy, DATA_FILE), join(dir, DATA_FILE));
  // It counts transactions of the file that is gone.
  await rm(join(dir, LOCK_FILE), { force: true });
  const handle = await openFile(dir, 'r');
  await handle.sync().finally(() => handle.close());
  await rm(copy, { recursive: true });
}

/** The newest sequence in a bus's folder and the rows it ever accepted. Nobody else may have the bus open. */
export async function readTail(dir: string): Promise<Pick<Tail, 'sequence' | 'acceptedRows'>> {
  const tables = openTables({ dir, bytesMax: MAP_BYTES, noSync: false });
  try {
    const { sequence, acceptedRows } = tables.tail.get('tail') ?? TAIL_AT_FIRST;
    return { sequence, acceptedRows };
  } finally {
    await tables.root.close();
  }
}

/** Address space for opening a folder whose settings are not known. */
const MAP_BYTES = 1024 * 1024 * 1024;

/**
 * The bus was copied before bronze, so bronze may hold messages that the copied bus never saw. They were accepted: their
 * rows are counted, and their sequences are not given away a second time. Done twice it counts nothing twice, because
 * the caller asks for what is beyond the tail.
 */
export async function raiseTail(
  dir: string,
  beyond: { readonly sequence: number; readonly acceptedRows: Readonly<Record<string, number>> },
): Promise<void> {
  const tables = openTables({ dir, bytesMax: MAP_BYTES, noSync: false });
  try {
    await tables.root.transaction(() => {
      const tail = tables.tail.get('tail') ?? TAIL_AT_FIRST;
      if (beyond.sequence <= tail.sequence) return;
      const acceptedRows = { ...tail.acceptedRows };
      for (const [dataset, rows] of Object.entries(beyond.acceptedRows)) {
        acceptedRows[dataset] = (acceptedRows[dataset] ?? 0) + rows;
      }
      void tables.tail.put('tail', { ...tail, sequence: beyond.sequence, acceptedRows });
    });
  } finally {
    await tables.root.close();
  }
}
