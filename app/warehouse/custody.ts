/**
 * What is done to the truth and with it: seal, put files together, take samples out, store again. Each leaves its entry
 * in the audit, in the transaction that it tells of.
 */
import { randomUUID } from 'node:crypto';
import { type Bronze, registerFiles } from './bronze.ts';
import { Compaction } from './bronze-compaction.ts';
import type { BronzeFile, SealedFile } from './bronze-file.ts';
import { finishRewrites, type Rewrite, rewriteBronze, type RewriteOptions } from './bronze-rewrite.ts';
import { auditRow, insertAudit, recoverRangeEntries } from './duckdb-audit.ts';
import type { DuckdbSession, Sql } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import type { WarehouseOptions } from './embedded-warehouse.ts';
import { applyTombstones, sampleTombstones } from './erasure.ts';
import type { Partitions } from './partitions.ts';
import { replayBronze } from './recovery.ts';
import type { AuditEntry, SealableMessage, Warehouse } from './warehouse.ts';

export interface CustodyParts {
  readonly options: WarehouseOptions;
  readonly places: { readonly bronze: string; readonly work: string };
  readonly writer: DuckdbSession;
  /** Of its own: sealing and reading bronze wait for nobody else's kind of work. */
  readonly sealer: DuckdbSession;
  readonly store: DuckdbStore;
  readonly bronze: Bronze;
  readonly partitions: Partitions;
  /** Every dataset with a silver table, also those whose contract is gone. */
  readonly datasets: readonly string[];
}

type Told = Pick<AuditEntry, 'step' | 'dataset' | 'source' | 'target' | 'startedAt' | 'read' | 'stored'> &
  Partial<Pick<AuditEntry, 'actor'>>;

interface BuryOptions {
  /** A query: see erasure.ts. */
  readonly tombstones: string;
  readonly told: Pick<AuditEntry, 'step' | 'actor' | 'dataset' | 'source'>;
  /** Tests only: `<this>-after-tombstones` and `<this>-after-commit`. */
  readonly faultPoints?: string;
}

interface Buried {
  readonly rows: number;
  /** The tombstones. */
  readonly file: BronzeFile;
}

export class Custody {
  readonly #parts: CustodyParts;
  readonly #compaction = new Compaction();
  #replacing: Promise<unknown> = Promise.resolve();

  constructor(parts: CustodyParts) {
    this.#parts = parts;
  }

  async seal(messages: readonly SealableMessage[]): ReturnType<Warehouse['seal']> {
    const { bronze, sealer, writer } = this.#parts;
    const startedAt = this.#now();
    const files = await bronze.seal(sealer, messages);
    await writer.exclusive((sql) =>
      sql.transaction(async () => {
        await registerFiles(sql, files);
        for (const { dataset, hash, rows } of files) {
          await this.#tell(sql, {
            step: 'seal',
            dataset,
            source: 'bus',
            target: hash,
            startedAt,
            read: rows,
            stored: rows,
          });
        }
      }),
    );
    for (const file of files) this.mayCompact(file);
    await this.#sealAudit();
    const sum = (pick: (file: SealedFile) => number): number => files.reduce((total, file) => total + pick(file), 0);
    return { files: files.length, rows: sum(({ rows }) => rows), bytes: sum(({ bytes }) => bytes) };
  }

  /** Last, and told by no entry of its own: after a seal no entry is left that only the database holds. */
  async #sealAudit(): Promise<void> {
    const { bronze, sealer, writer } = this.#parts;
    const sealedTo = await writer.exclusive(async (sql) => {
      const [row] = await sql.rows('SELECT coalesce(max(last_ordinal), 0)::DOUBLE AS last FROM custody.bronze_files');
      return Number(row?.last);
    });
    const audit = await bronze.sealAudit(sealer, sealedTo);
    if (audit === undefined) return;
    await writer.exclusive((sql) => registerFiles(sql, [audit]));
    this.mayCompact(audit);
  }

  /** Files that failed are no candidates again before the next open: a damaged one would be read at every call. */
  compact(): ReturnType<Warehouse['compact']> {
    return this.alone(async () => {
      const files = this.#compaction.take();
      if (files.length === 0) return { files: 0, bytes: 0 };
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const plain = files.map(({ hash, kind, dataset, path }) => ({ hash, kind, dataset, path }));
      await this.rewrite({ files: plain, keep: 'all', reason: 'compact' });
      return { files: files.length, bytes };
    });
  }

  /** A registered file that this process wrote. */
  mayCompact(file: SealedFile): void {
    this.#compaction.add({ ...file, order: Math.max(file.firstSettleOrder, file.lastOrdinal) });
  }

  removeSamples(): Promise<number> {
    const { writer, store, datasets } = this.#parts;
    return writer.exclusive(async (sql) => {
      const { commitNumber } = store.nextCommit();
      const { rows } = await this.bury(sql, {
        tombstones: sampleTombstones({ datasets, commitNumber }),
        told: { step: 'samples.remove', actor: 'system', dataset: '', source: 'silver' },
      });
      return rows;
    });
  }

  /** Durable tombstones, then one transaction that carries them out. `rows`: accepted ones that are gone with it. */
  async bury(sql: Sql, { tombstones, told, faultPoints }: BuryOptions): Promise<Buried> {
    const { bronze, store, datasets, partitions, options } = this.#parts;
    const startedAt = this.#now();
    const commit = store.nextCommit();
    const file = await bronze.sealTombstones(sql, tombstones);
    if (faultPoints !== undefined) options.faultPoint?.(`${faultPoints}-after-tombstones`);
    const generation = newId();
    const rows = await sql.transaction(async () => {
      const removed = await applyTombstones(sql, { path: file.path, datasets });
      await registerFiles(sql, [file]);
      await sql.run('INSERT INTO custody.commits VALUES ($1, $2)', [
        BigInt(commit.commitNumber),
        BigInt(commit.committedAtMs),
      ]);
      await sql.run("UPDATE custody.facts SET value = $1 WHERE name = 'generation'", [generation]);
      await this.#tell(sql, { ...told, target: file.hash, startedAt, read: removed, stored: 0 });
      return removed;
    });
    if (faultPoints !== undefined) options.faultPoint?.(`${faultPoints}-after-commit`);
    store.committed(commit);
    partitions.startGeneration(generation);
    for (const dataset of datasets) partitions.touch({ dataset, days: partitions.days(dataset), commit });
    return { rows, file };
  }

  /** Files in the place of files, one such work at a time: what one has listed the other may be about to remove. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#replacing.then(work);
    this.#replacing = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  /** Inside `alone`. */
  async rewrite(options: Pick<RewriteOptions, 'files' | 'keep' | 'reason'>): Promise<void> {
    const { file } = await rewriteBronze({ ...this.#rewriting(), ...options, reader: this.#parts.sealer });
    for (const one of options.files) this.#compaction.remove(one);
    if (file !== undefined) await this.#knowCandidates([file]);
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

  /** Stores what bronze holds and the database does not. Called once, by open. */
  async replay(): Promise<void> {
    const { bronze, store, writer, sealer, datasets, options } = this.#parts;
    const startedAtMs = options.now();
    await finishRewrites(this.#rewriting());
    const files = await bronze.files();
    const replayed = await replayBronze({
      files,
      store,
      contracts: options.contracts,
      datasets,
      writer,
      reader: sealer,
      onProgress: options.onProgress ?? (() => {}),
    });
    await this.#knowCandidates(files);
    const nextOrdinals = (count: number): number => store.nextOrdinals(count);
    await writer.exclusive((sql) => recoverRangeEntries(sql, { at: this.#now(), nextOrdinals }));
    if (replayed.files === 0) return;
    const { rows } = replayed;
    await writer.exclusive(async (sql) => {
      const startedAt = new Date(startedAtMs).toISOString();
      const step = { step: 'rebuild', dataset: '', source: 'bronze', target: 'silver' };
      await this.#tell(sql, { ...step, startedAt, read: rows, stored: rows });
      await sql.run('CHECKPOINT');
    });
    // Rows come back under other commit numbers than those that cursors know.
    if (replayed.messages + replayed.erased > 0) await this.newGeneration();
    options.onProgress?.({ kind: 'replayed', ...replayed, durationMs: options.now() - startedAtMs });
  }

  #rewriting() {
    const { places, writer, options } = this.#parts;
    const startedAt = this.#now();
    return {
      root: places.bronze,
      workDir: places.work,
      writer,
      faultPoint: options.faultPoint,
      recorded: (sql: Sql, { reason, file, replaced, rowsBefore, rowsAfter }: Rewrite): Promise<void> => {
        const step = { step: reason, dataset: replaced[0]?.dataset ?? '', source: 'bronze', target: file?.hash ?? '' };
        return this.#tell(sql, { ...step, startedAt, read: rowsBefore, stored: rowsAfter });
      },
    };
  }

  /** Of these files the ones that the database knows. */
  async #knowCandidates(files: readonly BronzeFile[]): Promise<void> {
    const rows = await this.#parts.writer.exclusive((sql) =>
      sql.rows(
        'SELECT hash, bytes::DOUBLE AS bytes, greatest(first_settle_order, last_ordinal)::DOUBLE AS place FROM custody.bronze_files',
      ),
    );
    const known = new Map(rows.map((row) => [row.hash, row]));
    for (const file of files) {
      const row = known.get(file.hash);
      if (row !== undefined) this.#compaction.add({ ...file, bytes: Number(row.bytes), order: Number(row.place) });
    }
  }

  #now(): string {
    return new Date(this.#parts.options.now()).toISOString();
  }

  async #tell(sql: Sql, told: Told): Promise<void> {
    const at = this.#now();
    const row = {
      actor: 'system',
      ...told,
      id: newId(),
      at,
      endedAt: at,
      rejected: 0,
      outcome: 'ok',
      error: '',
    } as const;
    await insertAudit(sql, [auditRow(this.#parts.store.nextOrdinals(1), row)]);
  }
}

function newId(): string {
  return randomUUID().replaceAll('-', '');
}
