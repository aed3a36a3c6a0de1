/**
 * The mark of a state store whose copy is about to take its place: whoever still has it open writes nothing into it any
 * more, because that would be lost.
 */
import { open } from 'lmdb';

/** In the table `internal`. */
export const REPLACED = 'replaced';

export function markReplaced(dir: string): Promise<void> {
  return withInternal(dir, (table) => void table.put(REPLACED, 'yes'));
}

export function unmarkReplaced(dir: string): Promise<void> {
  return withInternal(dir, (table) => void table.remove(REPLACED));
}

/** The process died between the mark and the copy's taking its place. */
export async function isMarkedReplaced(dir: string): Promise<boolean> {
  let marked = false;
  await withInternal(dir, (table) => {
    marked = table.get(REPLACED) !== undefined;
  });
  return marked;
}

interface Internal {
  get(key: string): string | undefined;
  put(key: string, value: string): unknown;
  remove(key: string): unknown;
}

async function withInternal(dir: string, change: (table: Internal) => void): Promise<void> {
  const root = open({ path: dir, noSubdir: false, maxDbs: 8, overlappingSync: false });
  try {
    const table: Internal = root.openDB<string, string>({ name: 'internal', encoding: 'json' });
    await root.transaction(() => change(table));
  } finally {
    await root.close();
  }
}
