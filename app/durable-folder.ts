/**
 * When names are durable: a sync of a file's bytes says nothing of its name, and after a power cut a new file or folder
 * is gone when the folder that names it was not synced.
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Of a file its bytes, of a folder the names in it. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** With every folder above it that is missing; a new one's name is durable only when its parent, up to `root`, is synced. */
export async function makeFolder(path: string, root: string): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made === undefined) return;
  for (let folder = dirname(path); folder.length >= root.length; folder = dirname(folder)) await syncPath(folder);
}
