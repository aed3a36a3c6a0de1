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
import type { Custody } from './custody.ts';
import { auditPage, auditRow, insertAudit, quarantinePage } from './duckdb-audit.ts';
import { Bronze } from './bronze.ts';
import { type Backfilled, backfillDays, type BackfillOptions } from './duckdb-backfill.ts';
import { type FileQuestions, inspectFiles, type UnknownFiles } from './duckdb-inspect.ts';
import {
  type Accounting,
  heldIds,
  takeAccounting,
  takeCounts,
  takeReceivedAt,
  takeRequestMessages,
  takeRequestOutcome,
  takeRequestRows,
} from './duckdb-ledger.ts';
import type { DuckdbReaders } from './duckdb-readers.ts';
import { readAggregate, readRecords } from './duckdb-reads.ts';
import { type DuckdbSession, isBroken, type Sql } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import type { EraseOptions, FindOptions, FoundRecords, RecordPlace } from './erasable.ts';
import type { FileRange, JudgeRecords, RangeOutcome } from './file-range.ts';
import type { Partitions, TimeRange } from './partitions.ts';
import type { AggregateQuery, RecordsQuery } from './query.ts';
import type { RangeStore } from './range-store.ts';
import type { RecordErasure } from './record-erasure.ts';
import type { RecoveryProgress } from './recovery.ts';
import type { Retention } from './retention.ts';
import type {
  AggregateResult,
  AuditEntry,
  DatasetCounts,
  Expired,
  ExpireOptions,
  PartitionsVersion,
  QuarantinedRow,
  ReadBudget,
  RecordsResult,
  RequestOutcome,
  RowOutcome,
  SealableMessage,
  StorableMessage,
  StoredMessage,
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
  /** Tests only: called at `before-commit`, `after-commit`, `while-sealing` and `range-in-bronze`. */
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
  readonly landing: DuckdbSession;
  readonly readers: DuckdbReaders;
  readonly store: DuckdbStore;
  readonly ranges: RangeStore;
  readonly custody: Custody;
  readonly erasure: RecordErasure;
  readonly retention: Retention;
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

  storeRange(range: FileRange, judge: JudgeRecords): Promise<RangeOutcome> {
    return this.#parts.ranges.storeRange(range, judge);
  }

  ledgerHolds(messageIds: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#parts.books.exclusive((sql) => heldIds(sql, messageIds));
  }

  seal(messages: readonly SealableMessage[]): ReturnType<Warehouse['seal']> {
    return this.#parts.custody.seal(messages);
  }

  compact(): ReturnType<Warehouse['compact']> {
    return this.#parts.custody.compact();
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

  removeSamples(): Promise<number> {
    return this.#parts.custody.removeSamples();
  }

  findRecords(options: FindOptions): Promise<FoundRecords> {
    return this.#parts.erasure.find(options);
  }

  eraseRecords(options: EraseOptions): Promise<number> {
    return this.#parts.erasure.erase(options);
  }

  erasedPlaces(erasureId: string): Promise<readonly RecordPlace[]> {
    return this.#parts.erasure.places(erasureId);
  }

  erasedOf(requestId: string): Promise<readonly number[]> {
    return this.#parts.erasure.erasedOf(requestId);
  }

  receivedAt(requestIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#book((sql) => takeReceivedAt(sql, requestIds));
  }

  requestMessages(requestId: string): Promise<readonly StoredMessage[]> {
    return this.#book((sql) => takeRequestMessages(sql, requestId));
  }

  expire(options: ExpireOptions): Promise<Expired> {
    return this.#parts.retention.expire(options);
  }

  emptyErased(options: { readonly dataset: string; readonly erasureId: string }): Promise<number> {
    return this.#parts.erasure.rewrite(options);
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

  newGeneration(): Promise<void> {
    return this.#parts.custody.newGeneration();
  }

  /** Makes the rows of some event days again out of bronze. What waits is sealed by the caller before. */
  backfill(options: Omit<BackfillOptions, 'contract'> & { readonly dataset: string }): Promise<Backfilled> {
    const { places, partitions, store, sealer, writer, options: own } = this.#parts;
    const { now, faultPoint } = own;
    const bronze = new Bronze({ dir: places.bronze, workDir: places.work });
    const parts = { bronze, workDir: places.work, partitions, store, reader: sealer, writer, now, faultPoint };
    return backfillDays(parts, { ...options, contract: this.#contract(options.dataset) });
  }

  /** For the doctor: which files beside the database it does not know. */
  inspect(questions: FileQuestions): Promise<UnknownFiles> {
    return this.#book((sql) => inspectFiles(sql, questions));
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
    const { writer, books, probe, sealer, landing, readers, instance, places, broken } = this.#parts;
    await readers.close();
    for (const session of [landing, sealer, probe, books, writer]) await session.close();
    instance.closeSync();
    if (!broken.found) await rm(places.mark, { force: true });
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
}

function newId(): string {
  return randomUUID().replaceAll('-', '');
}
