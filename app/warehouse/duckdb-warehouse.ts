/**
 * Opens the embedded warehouse: one DuckDB file, sealed bronze beside it, one process.
 *
 * The file is derived: when it is missing or broken it is made again from bronze, and what bronze does not hold yet
 * comes again from the bus.
 */
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import { syncPath } from '../durable-folder.ts';
import { Bronze } from './bronze.ts';
import type { SealedFile } from './bronze-file.ts';
import { Custody } from './custody.ts';
import { DuckdbReaders } from './duckdb-readers.ts';
import { prepareSchema, silverTable } from './duckdb-schema.ts';
import { DuckdbSession, openInstance, type Sql } from './duckdb-session.ts';
import { DuckdbStore } from './duckdb-store.ts';
import { EmbeddedWarehouse, type Places, type WarehouseOptions } from './embedded-warehouse.ts';
import { type Commit, Partitions } from './partitions.ts';
import { RangeStore } from './range-store.ts';
import { RecordErasure } from './record-erasure.ts';
import { openOrReplace } from './recovery.ts';
import { Retention } from './retention.ts';
import { SEEN_IDS_BYTES_MAX, SeenIds } from './seen-ids.ts';

export const DATABASE_FILE = 'warehouse.duckdb';
/** There while a process has the database open: one that finds it knows that the last end was not clean. */
const OPEN_MARK = 'warehouse.open';
/**
 * Commit numbers skipped after an unclean end, because a WAL that lost its tail forgets numbers that readers saw: more
 * than one WAL of WAL_BYTES_MAX holds (64 MiB / at least 200 bytes a commit = 335,544).
 */
const COMMITS_SKIPPED = 1_000_000;
/** Opens, repairs and rebuilds as needed. Throws StartError (contract or bronze), or what DuckDB says (file in use). */
export async function openDuckdbWarehouse(options: WarehouseOptions): Promise<EmbeddedWarehouse> {
  const dir = resolve(options.dir);
  const places = {
    path: join(dir, DATABASE_FILE),
    work: join(dir, 'work'),
    bronze: join(dir, 'bronze'),
    mark: join(dir, OPEN_MARK),
  };
  await mkdir(places.work, { recursive: true });
  await mkdir(places.bronze, { recursive: true });
  const unclean = await exists(places.mark);
  const { instance, setAside } = await openOrReplace({
    path: places.path,
    unclean,
    now: options.now,
    open: () =>
      openInstance({
        path: places.path,
        memoryMib: options.memoryMib,
        threads: options.threads,
        tempDir: join(places.work, 'spill'),
        directories: [places.work, places.bronze],
      }),
  });
  if (setAside !== undefined) options.onProgress?.({ kind: 'set_aside', ...setAside });
  try {
    await writeFile(places.mark, `${process.pid}\n`, { flush: true });
    // The names of the mark, of bronze and of a new database, which a power cut could take away again.
    await syncPath(dir);
    for (const name of await readdir(places.work)) await rm(join(places.work, name), { recursive: true });
    return await compose({ options, places, instance, unclean });
  } catch (error) {
    instance.closeSync();
    throw error;
  }
}

interface ComposeOptions {
  readonly options: WarehouseOptions;
  readonly places: Places;
  readonly instance: DuckDBInstance;
  readonly unclean: boolean;
}

async function compose({ options, places, instance, unclean }: ComposeOptions): Promise<EmbeddedWarehouse> {
  const broken = { found: false };
  const onBroken = (error: unknown): void => {
    if (broken.found) return;
    broken.found = true;
    options.onBroken(error);
  };
  const session = (): DuckdbSession => new DuckdbSession({ instance, onBroken });
  const writer = session();
  const { datasets, partitions, seen, store } = await openStore({ options, places, writer, unclean });
  const bronze = new Bronze({ dir: places.bronze, workDir: places.work, faultPoint: options.faultPoint });
  const readers = new DuckdbReaders({ instance, connections: options.readers, queueMax: options.readQueueMax });
  const sealer = session();
  const custody = new Custody({ options, places, writer, sealer, store, bronze, partitions, datasets });
  const landing = session();
  const onBronze = (file: SealedFile): void => custody.mayCompact(file);
  const ranges = new RangeStore({ options, places, session: landing, writer, store, partitions, seen, onBronze });
  const warehouse = new EmbeddedWarehouse({
    options,
    places,
    instance,
    writer,
    books: session(),
    probe: session(),
    sealer,
    landing,
    readers,
    store,
    ranges,
    custody,
    erasure: new RecordErasure({ options, writer, sealer, store, bronze, custody }),
    retention: new Retention({ options, writer, sealer, store, bronze, custody }),
    partitions,
    datasets,
    broken,
  });
  await custody.replay();
  return warehouse;
}

interface StoreParts {
  readonly datasets: readonly string[];
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  readonly store: DuckdbStore;
}

/** Makes the tables that are missing, and reads into memory what a store has to know of those that are there. */
async function openStore({
  options,
  places,
  writer,
  unclean,
}: Omit<ComposeOptions, 'instance'> & { readonly writer: DuckdbSession }): Promise<StoreParts> {
  const { contracts, now, faultPoint } = options;
  const seen = new SeenIds({ bytesMax: options.seenIdsBytesMax ?? SEEN_IDS_BYTES_MAX });
  const { known, partitions } = await writer.exclusive(async (sql) => {
    if (await prepareSchema(sql, contracts)) await sql.run('CHECKPOINT');
    const found = await readKnown(sql);
    await seen.load(sql, found.datasets);
    return { known: found, partitions: await readPartitions(sql, found) };
  });
  const store = new DuckdbStore({
    session: writer,
    contracts,
    workDir: places.work,
    partitions,
    seen,
    now,
    last: known.last,
    lastOrdinal: known.lastOrdinal,
    faultPoint,
  });
  if (unclean) store.raiseCommits(known.last.commitNumber + COMMITS_SKIPPED);
  return { datasets: known.datasets, partitions, seen, store };
}

interface Known {
  readonly generation: string;
  readonly last: Commit;
  readonly lastOrdinal: number;
  readonly datasets: readonly string[];
}

async function readKnown(sql: Sql): Promise<Known> {
  const [facts] = await sql.rows("SELECT value FROM custody.facts WHERE name = 'generation'");
  const [commit] = await sql.rows(
    'SELECT coalesce(max("commit"), 0)::DOUBLE AS number, coalesce(max(committed_at_ms), 0)::DOUBLE AS committed FROM custody.commits',
  );
  const [audit] = await sql.rows('SELECT coalesce(max(ordinal), 0)::DOUBLE AS ordinal FROM custody.audit');
  const datasets = await sql.rows('SELECT dataset FROM custody.datasets ORDER BY dataset');
  return {
    generation: String(facts?.value),
    last: { commitNumber: Number(commit?.number), committedAtMs: Number(commit?.committed) },
    lastOrdinal: Number(audit?.ordinal),
    datasets: datasets.map(({ dataset }) => String(dataset)),
  };
}

async function readPartitions(sql: Sql, { generation, datasets }: Known): Promise<Partitions> {
  const partitions = new Partitions(generation);
  for (const dataset of datasets) {
    const rows = await sql.rows(
      `SELECT p.day, p."commit"::DOUBLE AS number, c.committed_at_ms::DOUBLE AS committed
       FROM (SELECT _event_date - DATE '1970-01-01' AS day, max(_commit) AS "commit" FROM ${silverTable(dataset)} GROUP BY _event_date) p
       JOIN custody.commits c ON c."commit" = p."commit"`,
    );
    for (const { day, number, committed } of rows) {
      partitions.touch({
        dataset,
        days: [Number(day)],
        commit: { commitNumber: Number(number), committedAtMs: Number(committed) },
      });
    }
  }
  return partitions;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
