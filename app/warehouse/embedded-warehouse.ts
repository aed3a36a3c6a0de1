/**
 * The Warehouse interface on DuckDB: who does what, on which connection, under which version.
 *
 * One connection writes, one answers the books (ledger, quarantine, audit), one seals, one answers probes, and a few
 * read for callers, so that none waits for another's kind of work. What callers ask of the books is bounded as their
 * other reads are: so many may wait, and so long.
 */
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { type Bronze, registerFiles } from './bronze.ts';
import { auditPage, auditRow, insertAudit, quarantinePage } from './duckdb-audit.ts';
import {
  type Accounting,
  heldIds,
  takeAccounting,
  takeCounts,
  takeRequestOutcome,
  takeRequestRows,
} from './duckdb-ledger.ts';
import type { DuckdbReaders } from './duckdb-readers.ts';
import { readAggregate, readRecords } from './duckdb-reads.ts';
import { type DuckdbSession, isBroken, type Sql } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import { applyTombstones, sampleTombstones } from './erasure.ts';
import type { Partitions, TimeRange } from './partitions.ts';
import type { AggregateQuery, RecordsQuery } from './query.ts';
import { type RecoveryProgress, replayBronze } from './recovery.ts';
import type {
  AggregateResult,
  AuditEntry,
  DatasetCounts,
  PartitionsVersion,
  QuarantinedRow,
  ReadBudget,
  RecordsResult,
  RequestOutcome,
  RowOutcome,
  SealableMessage,
  StorableMessage,
  StoreOutcome,
  Warehouse,
} from './warehouse.ts';

export interface WarehouseOptions {
  /** DATA_DIR. */
  readonly dir: string;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly memoryMib: number;
  readonly threads: number;
  readonly readers: number;
  readonly readQueueMax: number;
  /** READ_TIMEOUT_MS, for what is asked of the books; other reads bring their budget. */
  readonly bookTimeoutMs?: number;
  readonly percentileRowsMax: number;
  /** Memory for telling new event ids from known ones; beyond it every batch is looked for in its table. */
  readonly seenIdsBytesMax?: number;
  readonly now: () => number;
  /** Once, when the file turned out broken while in use: only a restart, which rebuilds, helps. */
  readonly onBroken: (error: unknown) => void;
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
  /** Tests only: called at `before-commit`, `after-commit` and `while-sealing`. */
  readonly faultPoint?: ((name: string) => void) | undefined;
}

/** A gold view's rows have no commit: a read during which one landed is done again, at most this often. */
const VIEW_READS_MAX = 3;
const BOOK_TIMEOUT_MS = 10_000;

export interface Places {
  readonly path: string;
  readonly work: string;
  readonly bronze: string;
  readonly mark: string;
}

export interface WarehouseParts {
  readonly options: WarehouseOptions;
  readonly places: Places;
  readonly instance: { closeSync(): void };
  readonly writer: DuckdbSession;
  readonly books: DuckdbSession;
  readonly probe: DuckdbSession;
  readonly sealer: DuckdbSession;
  readonly readers: DuckdbReaders;
  readonly store: DuckdbStore;
  readonly bronze: Bronze;
  readonly partitions: Partitions;
  /** Every dataset with a silver table, also those whose contract is gone. */
  readonly datasets: readonly string[];
  readonly broken: { found: boolean };
}

export class EmbeddedWarehouse implements Warehouse {
  readonly name = 'embedded';
  readonly #parts: WarehouseParts;

  constructor(parts: WarehouseParts) {
    this.#parts = parts;
  }

  store(messages: readonly StorableMessage[]): Promise<StoreOutcome> {
    return this.#parts.store.store(messages, { audit: true });
  }

  ledgerHolds(messageIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#parts.books.exclusive((sql) => heldIds(sql, messageIds));
  }

  async seal(
    messages: readonly SealableMessage[],
  ): Promise<{ readonly files: number; readonly rows: number; readonly bytes: number }> {
    const { bronze, sealer, writer, options } = this.#parts;
    const startedAt = new Date(options.now()).toISOString();
    const files = await bronze.seal(sealer, messages);
    await writer.exclusive((sql) =>
      sql.transaction(async () => {
        await registerFiles(sql, files);
        for (const file of files) {
          await this.#insertAudit(sql, {
            step: 'seal',
            actor: 'system',
            dataset: file.dataset,
            source: 'bus',
            target: file.hash,
            startedAt,
            read: file.rows,
            stored: file.rows,
          });
        }
      }),
    );
    await this.#sealAudit();
    const sum = (pick: (file: (typeof files)[number]) => number): number =>
      files.reduce((total, file) => total + pick(file), 0);
    return { files: files.length, rows: sum((file) => file.rows), bytes: sum((file) => file.bytes) };
  }

  /** Last, and told by no entry of its own: after a seal no entry is left that only the database holds. */
  async #sealAudit(): Promise<void> {
    const { bronze, sealer, writer } = this.#parts;
    const sealedTo = await writer.exclusive(async (sql) => {
      const [row] = await sql.rows('SELECT coalesce(max(last_ordinal), 0)::DOUBLE AS last FROM custody.bronze_files');
      return Number(row?.last);
    });
    const audit = await bronze.sealAudit(sealer, sealedTo);
    if (audit !== undefined) await writer.exclusive((sql) => registerFiles(sql, [audit]));
  }

  version(dataset: string, range: TimeRange): PartitionsVersion {
    return this.#parts.partitions.version(dataset, range);
  }

  /** Pinned to the commit that its version names: equal versions mean equal answers, whatever lands meanwhile. */
  async aggregate(query: AggregateQuery, budget: ReadBudget): Promise<AggregateResult> {
    const contract = this.#contract(query.dataset);
    const { percentileRowsMax } = this.#parts.options;
    const read = (one: AggregateQuery): Promise<Omit<AggregateResult, 'version'>> =>
      this.#reading(() => readAggregate(this.#parts.readers, { query: one, contract, budget, percentileRowsMax }));
    if (query.model !== undefined) return this.#aggregateView(query, read);
    const version = this.version(query.dataset, query);
    return { ...(await read({ ...query, commitMax: version.commitNumber })), version };
  }

  async #aggregateView(
    query: AggregateQuery,
    read: (query: AggregateQuery) => Promise<Omit<AggregateResult, 'version'>>,
  ): Promise<AggregateResult> {
    for (let reads = 1; ; reads += 1) {
      await this.#parts.store.settled();
      const version = this.version(query.dataset, {});
      const result = await read(query);
      const moved =
        this.#parts.store.committing || this.version(query.dataset, {}).commitNumber !== version.commitNumber;
      if (!moved || reads === VIEW_READS_MAX) return { ...result, version };
    }
  }

  async records(query: RecordsQuery, budget: ReadBudget): Promise<RecordsResult> {
    const contract = this.#contract(query.dataset);
    const version = this.version(query.dataset, query);
    const commitMax = Math.min(query.commitMax ?? version.commitNumber, version.commitNumber);
    const result = await this.#reading(() =>
      readRecords(this.#parts.readers, { query: { ...query, commitMax }, contract, budget }),
    );
    return { ...result, version };
  }

  quarantine(page: Parameters<Warehouse['quarantine']>[0]): Promise<readonly QuarantinedRow[]> {
    return this.#book((sql) => quarantinePage(sql, page));
  }

  audit(page: Parameters<Warehouse['audit']>[0]): Promise<readonly AuditEntry[]> {
    return this.#book((sql) => auditPage(sql, page));
  }

  writeAudit(entry: Omit<AuditEntry, 'id'>): Promise<void> {
    const { writer, store } = this.#parts;
    return writer.exclusive((sql) => insertAudit(sql, [auditRow(store.nextOrdinals(1), { ...entry, id: newId() })]));
  }

  requestOutcome(requestId: string): Promise<RequestOutcome> {
    return this.#book((sql) => sql.transaction(() => takeRequestOutcome(sql, requestId)));
  }

  requestRows(
    requestId: string,
    page: { readonly afterIndex: number; readonly limit: number },
  ): Promise<readonly RowOutcome[]> {
    return this.#book((sql) => sql.transaction(() => takeRequestRows(sql, requestId, page)));
  }

  accounting(cut: number, messageIds: readonly string[]): Promise<Accounting> {
    const { datasets } = this.#parts;
    return this.#book((sql) => sql.transaction(() => takeAccounting(sql, { cut, messageIds, datasets })));
  }

  async counts(): Promise<Readonly<Record<string, DatasetCounts>>> {
    const { datasets, partitions } = this.#parts;
    const counts = await this.#book((sql) => sql.transaction(() => takeCounts(sql, datasets)));
    return Object.fromEntries(
      [...counts].map(([dataset, one]) => [
        dataset,
        { ...one, lastCommitAtMs: partitions.newest(dataset)?.committedAtMs },
      ]),
    );
  }

  async removeSamples(): Promise<number> {
    const { writer, bronze, store, datasets, partitions, options } = this.#parts;
    return writer.exclusive(async (sql) => {
      const startedAt = new Date(options.now()).toISOString();
      const commit = store.nextCommit();
      const tombstones = await bronze.sealTombstones(
        sql,
        sampleTombstones({ datasets, commitNumber: commit.commitNumber }),
      );
      const generation = newId();
      const removed = await sql.transaction(async () => {
        const rows = await applyTombstones(sql, { path: tombstones.path, datasets });
        await registerFiles(sql, [tombstones]);
        await sql.run('INSERT INTO custody.commits VALUES ($1, $2)', [
          BigInt(commit.commitNumber),
          BigInt(commit.committedAtMs),
        ]);
        await sql.run("UPDATE custody.facts SET value = $1 WHERE name = 'generation'", [generation]);
        await this.#insertAudit(sql, {
          step: 'samples.remove',
          actor: 'system',
          dataset: '',
          source: 'silver',
          target: tombstones.hash,
          startedAt,
          read: rows,
          stored: 0,
        });
        return rows;
      });
      store.committed(commit);
      partitions.startGeneration(generation);
      for (const dataset of datasets) partitions.touch({ dataset, days: partitions.days(dataset), commit });
      return removed;
    });
  }

  async check(timeoutMs: number): Promise<void> {
    const { probe, options } = this.#parts;
    const limits = { queueMax: options.readQueueMax, timeoutMs };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new AppError({
            code: 'WAREHOUSE_UNAVAILABLE',
            publicMessage: `WAREHOUSE_UNAVAILABLE: no answer within ${timeoutMs} ms.`,
          }),
        );
      }, timeoutMs);
    });
    try {
      await Promise.race([probe.bounded((sql) => sql.rows('SELECT count(*) FROM custody.facts'), limits), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends every cursor handed out so far: rows that were read under one commit come again under another. */
  async newGeneration(): Promise<void> {
    const { writer, partitions } = this.#parts;
    const generation = newId();
    await writer.exclusive((sql) =>
      sql.run("UPDATE custody.facts SET value = $1 WHERE name = 'generation'", [generation]),
    );
    partitions.startGeneration(generation);
  }

  /** What the WAL holds that the file does not yet. */
  walBytes(): number {
    return statSync(`${this.#parts.places.path}.wal`, { throwIfNoEntry: false })?.size ?? 0;
  }

  databaseBytes(): number {
    return statSync(this.#parts.places.path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** The open mark stays when the file is broken, so that the next open reads it to its end. */
  async close(): Promise<void> {
    const { writer, books, probe, sealer, readers, instance, places, broken } = this.#parts;
    await readers.close();
    for (const session of [sealer, probe, books, writer]) await session.close();
    instance.closeSync();
    if (!broken.found) await rm(places.mark, { force: true });
  }

  /** Stores what bronze holds and the database does not. Called once, by open. */
  async replay(): Promise<void> {
    const { bronze, store, writer, sealer, datasets, options, places } = this.#parts;
    const startedAtMs = options.now();
    const startedAt = new Date(startedAtMs).toISOString();
    const replayed = await replayBronze({
      bronze,
      store,
      contracts: options.contracts,
      datasets,
      writer,
      reader: sealer,
      onProgress: options.onProgress ?? (() => {}),
      workDir: places.work,
    });
    if (replayed.files === 0) return;
    const { rows } = replayed;
    await writer.exclusive(async (sql) => {
      await this.#insertAudit(sql, {
        step: 'rebuild',
        actor: 'system',
        dataset: '',
        source: 'bronze',
        target: 'silver',
        startedAt,
        read: rows,
        stored: rows,
      });
      await sql.run('CHECKPOINT');
    });
    // Rows come back under other commit numbers than those that cursors know.
    if (replayed.messages + replayed.erased > 0) await this.newGeneration();
    options.onProgress?.({ kind: 'replayed', ...replayed, durationMs: options.now() - startedAtMs });
  }

  #book<T>(read: (sql: Sql) => Promise<T>): Promise<T> {
    const { books, options } = this.#parts;
    return books.bounded(read, {
      queueMax: options.readQueueMax,
      timeoutMs: options.bookTimeoutMs ?? BOOK_TIMEOUT_MS,
    });
  }

  #contract(dataset: string): Contract {
    const contract = this.#parts.options.contracts.get(dataset);
    if (contract !== undefined) return contract;
    throw new AppError({ code: 'DATASET_UNKNOWN', publicMessage: `DATASET_UNKNOWN: there is no dataset ${dataset}.` });
  }

  /** Readers say only that the warehouse is unavailable; the cause tells whether it will ever be again. */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (error instanceof AppError && isBroken(error.cause)) this.#broke(error.cause);
      throw error;
    }
  }

  #broke(error: unknown): void {
    const { broken, options } = this.#parts;
    if (broken.found) return;
    broken.found = true;
    options.onBroken(error);
  }

  async #insertAudit(
    sql: Sql,
    entry: Pick<AuditEntry, 'step' | 'actor' | 'dataset' | 'source' | 'target' | 'startedAt' | 'read' | 'stored'>,
  ): Promise<void> {
    const { store, options } = this.#parts;
    const at = new Date(options.now()).toISOString();
    await insertAudit(sql, [
      auditRow(store.nextOrdinals(1), {
        ...entry,
        id: newId(),
        at,
        endedAt: at,
        rejected: 0,
        outcome: 'ok',
        error: '',
      }),
    ]);
  }
}

function newId(): string {
  return randomUUID().replaceAll('-', '');
}
