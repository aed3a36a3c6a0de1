/**
 * The folders that files come into and leave by. Nothing here follows a link: who may write into the landing folder
 * must not be able to have another file read. A file is moved by rename, so that it is always in exactly one place.
 */
import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import type { BigIntStats, Dirent } from 'node:fs';
import { constants, type FileHandle, lstat, open, opendir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, syncPath } from '../durable-folder.ts';
import { openToOthers } from '../private-files.ts';
import { fileChanged, fileGone, fileNotRegular } from './file-problems.ts';
import { archivedName, readArchivedName } from './archived-name.ts';
import { fittingName, isPassedOver } from './landing-name.ts';

export interface FoundFile {
  readonly id: string;
  /** Under the landing folder. */
  readonly path: string;
  readonly bytes: number;
  /** Changes with every write and every rename. */
  readonly signature: string;
  /** The last write or rename. */
  readonly changedAtMs: number;
  /** Its content is older than its name: it was moved in. */
  readonly movedInMs: number;
  readonly regular: boolean;
  /** False: not UTF-8, so that no path that we can write down leads to it. */
  readonly nameIsText: boolean;
}

/** Files of one look; of more the others are seen when these are gone. */
const FILES_MAX = 10_000;
/** O_NONBLOCK: a pipe that took the place of the file must not keep us waiting. */
const READ_ONLY_HERE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const REFUSED_NAMES_MAX = 1_000;

export interface LandingFolderOptions {
  readonly dataDir: string;
  readonly datasets: readonly string[];
  readonly filesMax?: number;
}

/** Names that are read at once of an archive that may have very many. */
const ENTRIES_AT_ONCE = 256;

interface FileOfDataset {
  readonly dataset: string;
  readonly fileId: string;
}

interface ArchivedFile extends FileOfDataset {
  /** A durable copy without what was erased, which is kept in its place; undefined when all of it may be. */
  readonly emptied: string | undefined;
}

export class LandingFolder {
  readonly #dataDir: string;
  readonly #datasets: readonly string[];
  readonly #filesMax: number;

  constructor({ dataDir, datasets, filesMax = FILES_MAX }: LandingFolderOptions) {
    this.#dataDir = dataDir;
    this.#datasets = datasets;
    this.#filesMax = filesMax;
  }

  /** So that a person sees where files go. */
  async make(): Promise<void> {
    for (const dataset of this.#datasets) await makeLandingFolder(this.#dataDir, dataset);
  }

  async list(): Promise<readonly FoundFile[]> {
    const found: FoundFile[] = [];
    for (const entry of await entriesOf(this.#landing)) {
      for (const path of await this.#filesOf(entry)) {
        const one = await this.#look(path);
        if (one !== undefined) found.push(one);
        if (found.length >= this.#filesMax) return found;
      }
    }
    return found;
  }

  /** What lies there now. */
  find(path: string): Promise<FoundFile | undefined> {
    return this.#look(Buffer.from(path));
  }

  /** Names as bytes: what is not UTF-8 cannot be looked up by the text that would be made of it. */
  async #filesOf(entry: Dirent<Buffer>): Promise<readonly Buffer[]> {
    if (!entry.isDirectory() || !isUtf8(entry.name)) return [entry.name];
    const inner = await entriesOf(join(this.#landing, entry.name.toString()));
    return inner
      .filter((one) => !one.isDirectory())
      .map(({ name }) => Buffer.concat([entry.name, Buffer.from('/'), name]));
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
    const found = await this.find(path);
    if (found === undefined) throw fileGone();
    if (found.id !== id) throw fileChanged();
  }

  /** Where it lies then, under the data folder. The name cannot be taken by another content: it begins with its hash. */
  #archivePath(path: string, { dataset, fileId }: FileOfDataset): string {
    return join('archive', dataset, archivedName({ fileId, name: basename(path) }));
  }

  /** Where the archive has it then. A second copy is not kept: it may be without what was erased from the first. */
  async archive(path: string, { emptied, ...file }: ArchivedFile): Promise<string> {
    const before = await this.archived(file);
    if (before !== undefined) {
      await this.#remove(path);
      return before;
    }
    const target = this.#archivePath(path, file);
    const folder = join(this.#dataDir, dirname(target));
    await makeFolder(folder, this.#dataDir);
    if (emptied === undefined) {
      await this.#move(path, target);
    } else {
      await rename(emptied, join(this.#dataDir, target));
      await syncPath(folder);
      await this.#remove(path);
    }
    return target;
  }

  /** Where the archive has it, under whatever name it came; undefined when it does not. */
  async archived({ dataset, fileId }: FileOfDataset): Promise<string | undefined> {
    const folder = join('archive', dataset);
    const entries = await opendir(join(this.#dataDir, folder), { bufferSize: ENTRIES_AT_ONCE }).catch(unlessMissing);
    if (entries === undefined) return undefined;
    for await (const { name } of entries) {
      if (readArchivedName(name)?.fileId === fileId) return join(folder, name);
    }
    return undefined;
  }

  /** Beside where it lies, a name that nothing has: an earlier file of the same name is not lost. */
  async refusedPath(path: string): Promise<string> {
    for (let count = 1; count < REFUSED_NAMES_MAX; count += 1) {
      const name = fittingName(basename(path), { suffix: `${count === 1 ? '' : `.${count}`}.refused` });
      const target = join('landing', dirname(path), name);
      if (!(await exists(join(this.#dataDir, target)))) return target;
    }
    throw new Error(`there are ${REFUSED_NAMES_MAX} refused files of one name`);
  }

  refuse(path: string, refusedPath: string): Promise<void> {
    return this.#move(path, refusedPath);
  }

  at(path: string): string {
    return join(this.#landing, path);
  }

  get #landing(): string {
    return join(this.#dataDir, 'landing');
  }

  async #look(path: Buffer): Promise<FoundFile | undefined> {
    const at = Buffer.concat([Buffer.from(`${this.#landing}/`), path]);
    const stats = await lstat(at, { bigint: true }).catch(unlessMissing);
    if (stats === undefined) return undefined;
    const nameIsText = isUtf8(path);
    return {
      id: landingId(path.toString(nameIsText ? 'utf8' : 'latin1'), stats),
      path: path.toString(),
      nameIsText,
      bytes: Number(stats.size),
      signature: [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(),
      changedAtMs: Math.max(Number(stats.ctimeMs), Number(stats.mtimeMs)),
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

/** Open to others, so that they can put files there when the owner lets them through DATA_DIR. */
export async function makeLandingFolder(dataDir: string, dataset = '.'): Promise<void> {
  const landing = join(dataDir, 'landing');
  for (const path of new Set([landing, join(landing, dataset)])) {
    if (await exists(path)) continue;
    await makeFolder(path, dataDir);
    openToOthers(path, 'folder');
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

async function entriesOf(folder: string): Promise<readonly Dirent<Buffer>[]> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' }).catch(unlessMissing);
  return (entries ?? []).filter(({ name }) => !isPassedOver(name.toString()));
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
