/**
 * Which bronze files to put together next. Each seal makes one file a dataset and day, so that a day of small seals
 * would leave thousands of files of some KiB, and every rebuild, backup and listing would pay for them.
 *
 * Only files of about one size are put together (like a merge sort): each row is then rewritten at most once for each
 * of the sizes, however many seals there are, and a folder keeps at most FILES_MAX files of each size, and full ones.
 */
import { dirname } from 'node:path';
import type { BronzeFile } from './bronze-file.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** More files than this of one size in one folder are put together. */
export const COMPACTION_FILES_MAX = 16;
/** Upper bounds of the sizes. A file beyond the last is full and left alone. */
const SIZES_BYTES = [64 * KIB, MIB, 4 * MIB] as const;
/** Of what is read for one file: at 17 bytes a row some 450,000 rows, 0.9 s of one core, while a seal waits. */
const INPUT_BYTES_MAX = 8 * MIB;

export interface Candidate extends BronzeFile {
  readonly bytes: number;
  /** Grows with every seal. */
  readonly order: number;
}

export class Compaction {
  /** Folder → size → path → file. */
  readonly #folders = new Map<string, Map<number, Map<string, Candidate>>>();

  add(candidate: Candidate): void {
    const size = SIZES_BYTES.findIndex((bytes) => candidate.bytes < bytes);
    // Which rows are gone is read as it was decided.
    if (size < 0 || candidate.kind === 'tombstones') return;
    const sizes = this.#folders.get(dirname(candidate.path)) ?? new Map<number, Map<string, Candidate>>();
    this.#folders.set(dirname(candidate.path), sizes);
    const files = sizes.get(size) ?? new Map<string, Candidate>();
    sizes.set(size, files);
    files.set(candidate.path, candidate);
  }

  remove({ path }: BronzeFile): void {
    for (const files of this.#folders.get(dirname(path))?.values() ?? []) files.delete(path);
  }

  /** The oldest that belong together, at least two; they are no candidates any more. */
  take(): readonly Candidate[] {
    for (const sizes of this.#folders.values()) {
      for (const files of sizes.values()) {
        if (files.size <= COMPACTION_FILES_MAX) continue;
        const taken = oldest([...files.values()]);
        for (const { path } of taken) files.delete(path);
        return taken;
      }
    }
    return [];
  }
}

function oldest(files: readonly Candidate[]): readonly Candidate[] {
  const taken: Candidate[] = [];
  let bytes = 0;
  for (const file of [...files].sort((a, b) => a.order - b.order)) {
    bytes += file.bytes;
    if (bytes > INPUT_BYTES_MAX) break;
    taken.push(file);
  }
  return taken;
}
