/**
 * Files that are put into the landing folder while the service runs and dies, and the account of where each must be.
 *
 * A file is written under a hidden name and renamed, so it is promised from its rename on, whole. New ones, ones that
 * hold all of an earlier one and more, the same bytes again under another name; CSV and NDJSON, some compressed. Some
 * rows are quoted needlessly, which no SQL takes for plain; some trips are in a file twice, which are two trips; some
 * flights came over HTTP before, which are still one flight.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Dataset, recordOf } from './numbered.ts';

type Format = 'csv' | 'ndjson';

export interface DroppedFile {
  readonly dataset: Dataset;
  readonly format: Format;
  readonly name: string;
  readonly sha256: string;
  /** Each as often as it is in the file, in its order. */
  readonly numbers: readonly number[];
  /** Holds a record that will be erased: no other file may bring it back, and the archived one changes. */
  readonly once: boolean;
}

interface NewFile {
  readonly once: boolean;
  readonly dataset: Dataset;
  readonly format: Format;
  readonly gzip: boolean;
  readonly numbers: readonly number[];
}

interface MakeOptions {
  readonly random: () => number;
  readonly nextNumber: () => number;
  /** Flights that the service has acknowledged. */
  readonly knownFlights: readonly number[];
}

/** With LANDING_RANGE_ROWS_MAX=150 up to nine ranges. */
const NEW_ROWS_MAX = 600;
const MORE_ROWS_MAX = 200;
const ROWS_MAX = 1_200;
const AGAIN_SHARE = 0.15;
const SUPERSET_SHARE = 0.3;

export class DroppedFiles {
  readonly #dataDir: string;
  readonly #files: DroppedFile[] = [];

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Files that lie in the landing folder and were not moved yet. */
  async waiting(): Promise<readonly string[]> {
    const landing = join(this.#dataDir, 'landing');
    await mkdir(landing, { recursive: true });
    const entries = await readdir(landing, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  async drop(options: MakeOptions): Promise<DroppedFile> {
    return this.put(this.#make(options));
  }

  async put({ dataset, format, gzip, numbers, once }: NewFile): Promise<DroppedFile> {
    const text = format === 'csv' ? csvOf(dataset, numbers) : ndjsonOf(dataset, numbers);
    const bytes = gzip ? gzipSync(text) : Buffer.from(text);
    const name = `${this.#files.length}.${format}${gzip ? '.gz' : ''}`;
    const path = join(this.#dataDir, 'landing', dataset, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(join(dirname(path), `.${name}`), bytes);
    const file = { dataset, format, name, numbers, once, sha256: createHash('sha256').update(bytes).digest('hex') };
    await rename(join(dirname(path), `.${name}`), path);
    this.#files.push(file);
    return file;
  }

  /**
   * Throws unless every content is in exactly one of landing and archive; of the same bytes under several names the
   * archive keeps one. Nothing may be moving meanwhile.
   */
  async requireEach(): Promise<void> {
    for (const files of Map.groupBy(this.#files, ({ dataset, sha256 }) => `${dataset}/${sha256}`).values()) {
      const waiting: DroppedFile[] = [];
      for (const file of files) {
        if (await exists(join(this.#dataDir, 'landing', file.dataset, file.name))) waiting.push(file);
      }
      const [file] = files;
      if (file === undefined) continue;
      const archived = this.#archivedAs(file);
      if (archived.length > 1) throw new Error(`the archive has ${archived.join(' and ')}`);
      const inBoth = archived.length === 1 && waiting.length === files.length;
      // One that something was erased from is copied, and its landed copy removed after.
      if (inBoth && !file.once) throw new Error(`${file.dataset}/${file.name} is in landing and archive`);
      if (archived.length === 0 && waiting.length < files.length)
        throw new Error(`${file.dataset}/${file.name} is in neither place`);
    }
  }

  /** Throws unless every file is in the archive with the bytes that it came with, and nothing waits. */
  async requireArchived(): Promise<void> {
    const waiting = await this.waiting();
    if (waiting.length > 0) throw new Error(`still in the landing folder: ${waiting.join(', ')}`);
    for (const file of this.#files) {
      const path = this.archived(file);
      if (path === undefined) throw new Error(`${file.dataset}/${file.name} is not in the archive`);
      const bytes = await readFile(path);
      if (!file.once && createHash('sha256').update(bytes).digest('hex') !== file.sha256)
        throw new Error(`${file.dataset}/${file.name} was changed in the archive`);
    }
  }

  /** Where its bytes lie in the archive, under this name or another that they came under. */
  archived(file: DroppedFile): string | undefined {
    const [name] = this.#archivedAs(file);
    return name === undefined ? undefined : join(this.#dataDir, 'archive', file.dataset, name);
  }

  #archivedAs({ dataset, sha256 }: DroppedFile): readonly string[] {
    const folder = join(this.#dataDir, 'archive', dataset);
    return existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(`${sha256}-`)) : [];
  }

  #make({ random, nextNumber, knownFlights }: MakeOptions): NewFile {
    const gzip = random() < 0.25;
    const chance = random();
    const before = this.#files.filter(({ once }) => !once);
    const earlier = before[Math.floor(random() * before.length)];
    if (earlier !== undefined && chance < AGAIN_SHARE) return { ...earlier, gzip };
    const superset = chance < SUPERSET_SHARE && (earlier?.numbers.length ?? ROWS_MAX) < ROWS_MAX;
    const count = 1 + Math.floor(random() * (superset ? MORE_ROWS_MAX : NEW_ROWS_MAX));
    const fresh = Array.from({ length: count }, nextNumber);
    const more = (dataset: Dataset): readonly number[] => [
      ...fresh,
      ...fresh.filter(() => random() < 0.05),
      ...(dataset === 'flights' ? knownFlights.filter(() => random() < 0.01) : []),
    ];
    if (earlier !== undefined && superset)
      return { ...earlier, gzip, numbers: [...earlier.numbers, ...more(earlier.dataset)] };
    const dataset = random() < 0.5 ? 'flights' : 'trips';
    return { dataset, format: random() < 0.6 ? 'csv' : 'ndjson', gzip, once: false, numbers: more(dataset) };
  }
}

function csvOf(dataset: Dataset, numbers: readonly number[]): string {
  const lines = numbers.map((number) => {
    const cells = Object.values(recordOf(dataset, number));
    return cells.map((cell) => (number % 20 === 0 ? `"${cell}"` : cell)).join(',');
  });
  return `${[Object.keys(recordOf(dataset, 0)).join(','), ...lines].join('\n')}\n`;
}

function ndjsonOf(dataset: Dataset, numbers: readonly number[]): string {
  const line = (number: number): string =>
    JSON.stringify(recordOf(dataset, number), undefined, number % 20 === 0 ? ' ' : undefined).replaceAll('\n', ' ');
  return numbers.map((number) => `${line(number)}\n`).join('');
}

/** Not by `stat`: what cannot be looked at is no file that is missing. */
async function exists(path: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true });
  return (await readdir(dirname(path))).includes(basename(path));
}
