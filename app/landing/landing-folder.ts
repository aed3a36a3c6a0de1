/**
 * The folders that files come into and leave by. Nothing here follows a link: who may write into the landing folder
 * must not be able to have another file read. A file is moved by rename, so that it is always in exactly one place.
 */
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { constants, type FileHandle, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, syncPath } from '../durable-folder.ts';
import { fileChanged, fileGone, fileNotRegular } from './file-problems.ts';
import { isPassedOver } from './landing-name.ts';

export interface FoundFile {
  readonly id: string;
  /** Under the landing folder. */
  readonly path: string;
  readonly bytes: number;
  /** Changes with every write and every rename. */
  readonly signature: string;
  /** Its content is older than its name: it was moved in. */
  readonly movedInMs: number;
  readonly regular: boolean;
}

/** Entries of one look; a folder with more is looked through again. */
const FILES_MAX = 10_000;
/** O_NONBLOCK: a pipe that took the place of the file must not keep us waiting. */
const READ_ONLY_HERE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const REFUSED_NAMES_MAX = 1_000;

export class LandingFolder {
  readonly #dataDir: string;
  readonly #datasets: readonly string[];

  constructor({ dataDir, datasets }: { readonly dataDir: string; readonly datasets: readonly string[] }) {
    this.#dataDir = dataDir;
    this.#datasets = datasets;
  }

  /** So that a person sees where files go. */
  async make(): Promise<void> {
    for (const dataset of this.#datasets) await mkdir(join(this.#landing, dataset), { recursive: true });
  }

  async list(): Promise<readonly FoundFile[]> {
    const found: FoundFile[] = [];
    for (const entry of await entriesOf(this.#landing)) {
      const paths = entry.isDirectory()
        ? (await entriesOf(join(this.#landing, entry.name)))
            .filter((inner) => !inner.isDirectory())
            .map((inner) => `${entry.name}/${inner.name}`)
        : [entry.name];
      for (const path of paths) {
        const one = await this.#look(path);
        if (one !== undefined) found.push(one);
        if (found.length >= FILES_MAX) return found;
      }
    }
    return found;
  }

  /** Throws AppError FILE_GONE, FILE_CHANGED when it is not the one with this id any more, FILE_NOT_REGULAR. */
  async open({ path, id }: { readonly path: string; readonly id: string }): Promise<FileHandle> {
    const handle = await open(this.at(path), READ_ONLY_HERE).catch((error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? fileGone() : codeOf(error) === 'ELOOP' ? fileNotRegular() : error;
    });
    const stats = await handle.stat({ bigint: true });
    const problem = !isRegular(stats) ? fileNotRegular() : landingId(path, stats) === id ? undefined : fileChanged();
    if (problem === undefined) return handle;
    await handle.close();
    throw problem;
  }

  /** Throws AppError FILE_GONE or FILE_CHANGED. */
  async checkUnchanged({ path, id }: { readonly path: string; readonly id: string }): Promise<void> {
    const found = await this.#look(path);
    if (found === undefined) throw fileGone();
    if (found.id !== id) throw fileChanged();
  }

  /** Where it lies then, under the data folder. The name cannot be taken by another content: it begins with its hash. */
  archivePath(path: string, { dataset, fileId }: { readonly dataset: string; readonly fileId: string }): string {
    return join('archive', dataset, `${fileId.slice(0, 16)}-${basename(path)}`);
  }

  async archive(path: string, file: { readonly dataset: string; readonly fileId: string }): Promise<string> {
    const target = this.archivePath(path, file);
    await makeFolder(join(this.#dataDir, dirname(target)), this.#dataDir);
    // The archive has it, perhaps without what was erased from it since: that does not come back.
    if (await exists(join(this.#dataDir, target))) await this.#remove(path);
    else await this.#move(path, target);
    return target;
  }

  /** Beside where it lies, under a name that nothing has: an earlier file of the same name is not lost. */
  async refuse(path: string): Promise<string> {
    for (let count = 1; count < REFUSED_NAMES_MAX; count += 1) {
      const target = join('landing', `${path}${count === 1 ? '' : `.${count}`}.refused`);
      if (await exists(join(this.#dataDir, target))) continue;
      await this.#move(path, target);
      return target;
    }
    throw new Error(`there are ${REFUSED_NAMES_MAX} refused files of one name`);
  }

  async isArchived(path: string, file: { readonly dataset: string; readonly fileId: string }): Promise<boolean> {
    return exists(join(this.#dataDir, this.archivePath(path, file)));
  }

  at(path: string): string {
    return join(this.#landing, path);
  }

  get #landing(): string {
    return join(this.#dataDir, 'landing');
  }

  async #look(path: string): Promise<FoundFile | undefined> {
    const stats = await lstat(this.at(path), { bigint: true }).catch(unlessMissing);
    if (stats === undefined) return undefined;
    return {
      id: landingId(path, stats),
      path,
      bytes: Number(stats.size),
      signature: [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(),
      movedInMs: Number(stats.ctimeMs - stats.mtimeMs),
      regular: isRegular(stats),
    };
  }

  async #remove(path: string): Promise<void> {
    await rm(this.at(path), { force: true });
    await syncPath(dirname(this.at(path)));
  }

  async #move(path: string, target: string): Promise<void> {
    const from = this.at(path);
    const to = join(this.#dataDir, target);
    await rename(from, to).catch((error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? fileGone() : error;
    });
    for (const folder of new Set([dirname(from), dirname(to)])) await syncPath(folder);
  }
}

/** Place, inode, size and time of the last write: what a restart knows the file by. */
export function landingId(path: string, { ino, size, mtimeNs }: BigIntStats): string {
  return createHash('sha256')
    .update(JSON.stringify([path, String(ino), String(size), String(mtimeNs)]))
    .digest('hex')
    .slice(0, 32);
}

function isRegular(stats: BigIntStats): boolean {
  return stats.isFile() && stats.nlink === 1n;
}

async function entriesOf(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true }).catch(unlessMissing);
  return (entries ?? []).filter(({ name }) => !isPassedOver(name));
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(unlessMissing)) !== undefined;
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
  return undefined;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
