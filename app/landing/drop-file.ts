/**
 * Puts a copy of a file into the landing folder, as anybody may do by hand: under a name that nobody looks at, then
 * renamed. The copy's time is set back, so that it counts as moved in and is taken at once. Returns the id by which the
 * state store knows it.
 */
import { constants, createWriteStream } from 'node:fs';
import { copyFile, lstat, rename, rm, utimes } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { syncPath } from '../durable-folder.ts';
import { landingId, makeLandingFolder } from './landing-folder.ts';
import { fittingName } from './landing-name.ts';

export interface DroppedFile {
  readonly id: string;
  /** Under the landing folder. */
  readonly path: string;
}

export interface DropOptions {
  readonly dataDir: string;
  /** A file's path, or its bytes. */
  readonly source: string | Readable;
  readonly dataset: string;
  readonly name: string;
  readonly settleMs: number;
}

export async function dropFile({ dataDir, source, dataset, name, settleMs }: DropOptions): Promise<DroppedFile> {
  const landing = join(dataDir, 'landing');
  const path = await freePath(landing, dataset, name);
  const target = join(landing, path);
  await makeLandingFolder(dataDir, dataset);
  const part = join(dirname(target), fittingName(basename(target), { suffix: '.part' }));
  try {
    // Where the disk can share blocks between files the copy takes neither time nor space.
    if (typeof source === 'string') await copyFile(source, part, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    else await pipeline(source, createWriteStream(part, { flags: 'wx' }));
    const long = new Date(Date.now() - 2 * settleMs - 1_000);
    await utimes(part, long, long);
    await syncPath(part);
    await rename(part, target);
    await syncPath(dirname(target));
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return { id: landingId(path, await lstat(target, { bigint: true })), path };
}

/** Another file of this name may still wait there. */
async function freePath(landing: string, dataset: string, name: string): Promise<string> {
  const taken = await lstat(join(landing, dataset, name)).then(
    () => true,
    () => false,
  );
  return `${dataset}/${taken ? fittingName(name, { prefix: `${randomBytes(4).toString('hex')}-` }) : name}`;
}
