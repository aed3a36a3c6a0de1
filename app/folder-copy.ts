/**
 * Copies of files that are known to the byte: each is hashed while it is read, and durable when this says so.
 *
 * A file that never changes after it got its name (bronze, archive) is linked where the file system can, so that a
 * backup on the same disk costs no space; a link shares its bytes with the original, so a backup against the loss of a
 * disk belongs on another one.
 */
import { createHash } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { syncPath } from './durable-folder.ts';

export interface CopiedFile {
  /** Below the folder, with `/` between names. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const CHUNK_BYTES = 1024 * 1024;
/** What another file system, or one without links, answers. */
const CANNOT_LINK: readonly unknown[] = ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP'];

/** Regular files below a folder, in order of their names; none when there is no such folder. Links are not followed. */
export async function filesBelow(dir: string): Promise<readonly string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(dir, { recursive: true, withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

interface CopyOptions {
  readonly from: string;
  readonly to: string;
  readonly how: 'link' | 'copy';
}

/** `undefined` when the file is gone. The folder above `to` is made; its name is synced by `syncFolders`. */
export async function copyFile({ from, to, how }: CopyOptions): Promise<Omit<CopiedFile, 'path'> | undefined> {
  await mkdir(dirname(to), { recursive: true });
  try {
    if (how === 'link' && (await linked(from, to))) return await hashFile(to);
    return await copyBytes(from, to);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await rm(to, { force: true });
    return undefined;
  }
}

export async function hashFile(path: string): Promise<Omit<CopiedFile, 'path'>> {
  return readThrough(path, () => Promise.resolve());
}

/** Every folder at and below `dir`, so that the names in them are durable. */
export async function syncFolders(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const folder of [...folders, dir, dirname(dir)]) await syncPath(folder);
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (CANNOT_LINK.includes(codeOf(error))) return false;
    throw error;
  }
}

async function copyBytes(from: string, to: string): Promise<Omit<CopiedFile, 'path'>> {
  const target = await open(to, 'wx');
  try {
    const facts = await readThrough(from, async (chunk) => void (await target.writeFile(chunk)));
    await target.sync();
    return facts;
  } finally {
    await target.close();
  }
}

async function readThrough(
  path: string,
  use: (chunk: Buffer) => Promise<void>,
): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const source = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await source.read(buffer, 0, CHUNK_BYTES);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      bytes += bytesRead;
      await use(chunk);
    }
  } finally {
    await source.close();
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
