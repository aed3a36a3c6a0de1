/**
 * Takes the content of records out of archived files, whatever their format, and leaves everything else byte for byte.
 *
 * A record keeps its place, as one that says nothing and that no contract takes: so the others keep their numbers, by
 * which the ledger knows them, and what was done once can be done again. The file gets its name when it is whole and
 * durable; until then the old one is there. It is a new file, so that a backup that shares the old one's bytes is not
 * changed under its manifest.
 */
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { syncPath } from './durable-folder.ts';
import { readArchivedName } from './landing/archived-name.ts';
import { readName } from './landing/landing-name.ts';
import { type CutTaker, RecordCutter, type RecordPlace } from './landing/record-cutter.ts';
import { inflate } from './record/inflate.ts';
import { emptyParquetRows } from './warehouse/duckdb-parquet-removal.ts';

export interface FileRecords {
  /** Absolute. */
  readonly path: string;
  /** The file's own name, which says its format. */
  readonly name: string;
  readonly dataset: string;
  /** Numbers in the file. */
  readonly indexes: ReadonlySet<number>;
  /** RECORD_BYTES_MAX: how the file was read. */
  readonly recordBytesMax: number;
}

interface Options extends FileRecords {
  /** Absolute. */
  readonly dataDir: string;
}

interface ArchivedFile {
  /** Absolute. */
  readonly path: string;
  readonly fileId: string;
  readonly name: string;
}

/** What the archive has of a dataset; a name that the landing did not give is nobody's. */
export async function archivedFiles(dataDir: string, dataset: string): Promise<readonly ArchivedFile[]> {
  const folder = join(dataDir, 'archive', dataset);
  if (!existsSync(folder)) return [];
  return (await readdir(folder)).flatMap((entry) => {
    const archived = readArchivedName(entry);
    return archived === undefined ? [] : [{ ...archived, path: join(folder, entry) }];
  });
}

/** How many of the records have content. */
export function countArchived(options: Options): Promise<number> {
  return emptyRecords(options);
}

/** Takes their content; answers of how many. */
export async function removeArchived(options: Options): Promise<number> {
  const { dataDir, path } = options;
  const work = join(dataDir, 'work');
  await mkdir(work, { recursive: true });
  const target = join(work, `${randomUUID()}.archive`);
  try {
    const emptied = await emptyRecords({ ...options, target });
    if (emptied > 0) {
      await rename(target, path);
      await syncPath(dirname(path));
    }
    return emptied;
  } finally {
    await rm(target, { force: true });
  }
}

/** Writes the file without their content to `target`, durably; answers of how many. Of none `target` is worth nothing. */
export async function copyWithout(options: FileRecords & { readonly target: string }): Promise<number> {
  return emptyRecords(options);
}

interface EmptyOptions extends FileRecords {
  /** Absent: they are only counted. */
  readonly target?: string;
}

async function emptyRecords({ target, ...options }: EmptyOptions): Promise<number> {
  const emptied = await writeEmptied({ ...options, ...(target === undefined ? {} : { target }) });
  if (target !== undefined && emptied > 0) await syncPath(target);
  return emptied;
}

async function writeEmptied({ path, name, target, dataset, indexes, recordBytesMax }: EmptyOptions): Promise<number> {
  const named = readName(`${dataset}/${name}`, [dataset]);
  if (typeof named === 'string') throw new Error(`of no known format: ${named}`);
  if (named.format === 'parquet') {
    return emptyParquetRows({ path, indexes, ...(target === undefined ? {} : { target }) });
  }
  const format = named.format;
  const cut = new EmptyingCut(indexes, PLACEHOLDERS[format]);
  const cutter = new RecordCutter({ format, recordBytesMax, offset: 0 }, cut);
  const file = createReadStream(path);
  const emptied = emptiedBytes(named.gzip ? inflate(file) : file, { cut, cutter });
  if (target === undefined) for await (const _bytes of emptied);
  else if (named.gzip) await pipeline(emptied, createGzip(), createWriteStream(target));
  else await pipeline(emptied, createWriteStream(target));
  return cut.emptied;
}

/** Neither a row nor a blank line, which would be no record. */
const PLACEHOLDERS = { csv: Buffer.from('""'), ndjson: Buffer.from('{}') } as const;

async function* emptiedBytes(
  source: AsyncIterable<Buffer>,
  { cut, cutter }: { readonly cut: EmptyingCut; readonly cutter: RecordCutter },
): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    cutter.push(chunk);
    yield* cut.take();
  }
  cutter.end();
  yield* cut.take();
}

class EmptyingCut implements CutTaker {
  emptied = 0;
  readonly #indexes: ReadonlySet<number>;
  readonly #placeholder: Buffer;
  #out: Buffer[] = [];
  #index = 0;
  /** Up to where the buffer at hand was taken over. */
  #from = 0;
  #inOversized = false;

  constructor(indexes: ReadonlySet<number>, placeholder: Buffer) {
    this.#indexes = indexes;
    this.#placeholder = placeholder;
  }

  take(): readonly Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  header(): void {}

  record(place: RecordPlace): void {
    const { bytes, start, end } = place;
    if (this.#indexes.has(this.#index) && !bytes.subarray(start, end).equals(this.#placeholder)) this.#empty(place);
    this.#index += 1;
  }

  oversizedPart(place: RecordPlace): void {
    if (!this.#indexes.has(this.#index)) return;
    if (this.#inOversized) this.#from = place.end;
    else this.#empty(place);
    this.#inOversized = true;
  }

  oversizedEnd(): void {
    this.#inOversized = false;
    this.#index += 1;
  }

  passed({ bytes, end }: RecordPlace): void {
    this.#keep(bytes, end);
    this.#from = 0;
  }

  #empty({ bytes, start, end }: RecordPlace): void {
    this.#keep(bytes, start);
    this.#out.push(this.#placeholder);
    this.#from = end;
    this.emptied += 1;
  }

  #keep(bytes: Buffer, end: number): void {
    if (end > this.#from) this.#out.push(bytes.subarray(this.#from, end));
  }
}
