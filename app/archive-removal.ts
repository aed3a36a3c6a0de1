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
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { syncPath } from './durable-folder.ts';
import { type NamedFile, readName } from './landing/landing-name.ts';
import { type CutTaker, RecordCutter, type RecordPlace } from './landing/record-cutter.ts';
import { inflate } from './record/inflate.ts';
import { emptyParquetRows } from './warehouse/duckdb-parquet-removal.ts';

export interface ArchivedRecords {
  readonly dataset: string;
  /** SHA-256 of the file as it came, hex. */
  readonly fileId: string;
  /** Numbers in the file. */
  readonly indexes: ReadonlySet<number>;
}

interface Options extends ArchivedRecords {
  /** Absolute. */
  readonly dataDir: string;
  /** RECORD_BYTES_MAX: how the file was read. */
  readonly recordBytesMax: number;
}

/** One name for each that the file came under. */
async function archivedFiles({
  dataDir,
  dataset,
  fileId,
}: Pick<Options, 'dataDir' | 'dataset' | 'fileId'>): Promise<readonly string[]> {
  const folder = join(dataDir, 'archive', dataset);
  if (!existsSync(folder)) return [];
  const names = await readdir(folder);
  return names.filter((name) => name.startsWith(`${fileId.slice(0, 16)}-`)).map((name) => join(folder, name));
}

/** How many of the records have content, in all files. */
export async function countArchived(options: Options): Promise<number> {
  let records = 0;
  for (const path of await archivedFiles(options)) records += await emptyRecords({ ...options, path });
  return records;
}

/** Takes their content; answers of how many. */
export async function removeArchived(options: Options): Promise<number> {
  const work = join(options.dataDir, 'work');
  await mkdir(work, { recursive: true });
  let records = 0;
  for (const path of await archivedFiles(options)) {
    const target = join(work, `${randomUUID()}.archive`);
    try {
      const emptied = await emptyRecords({ ...options, path, target });
      records += emptied;
      if (emptied === 0) continue;
      await syncPath(target);
      await rename(target, path);
      await syncPath(dirname(path));
    } finally {
      await rm(target, { force: true });
    }
  }
  return records;
}

interface FileOptions extends Options {
  readonly path: string;
  /** Absent: they are only counted. */
  readonly target?: string;
}

async function emptyRecords({ path, target, dataset, indexes, recordBytesMax }: FileOptions): Promise<number> {
  const named = nameOf(path, dataset);
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

/** The name in the archive begins with the file's id. */
function nameOf(path: string, dataset: string): NamedFile {
  const named = readName(`${dataset}/${basename(path).slice('0123456789abcdef-'.length)}`, [dataset]);
  if (typeof named === 'string') throw new Error(`the archive holds a file of no known format: ${named}`);
  return named;
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
