/**
 * Stores ranges of files: read and numbered on a connection of their own, then committed on the writer, in one turn.
 *
 * The bronze file is durable before the transaction that registers it begins. A death between leaves a file that the
 * database does not know, and the next open stores it; the range is then in the ledger. While one range is committed
 * the next may be staged.
 */
import { join } from 'node:path';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { registerFiles } from './bronze.ts';
import { draftFile, placeFile, removeFiles, type SealedFile } from './bronze-file.ts';
import { CONFLICT_EXPECTED, classify, storedDays } from './classify.ts';
import { auditRow, insertAudit } from './duckdb-audit.ts';
import { heldIds, insertLedger } from './duckdb-ledger.ts';
import { contractColumns, derivedColumns, silverTable } from './duckdb-schema.ts';
import { type DuckdbSession, literal, quoted, type Sql } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import type { WarehouseOptions } from './embedded-warehouse.ts';
import type { FileRange, JudgeRecords, RangeOutcome } from './file-range.ts';
import type { Commit, Partitions } from './partitions.ts';
import { FileOccurrences } from './range-occurrences.ts';
import { dropStaged, type StagedRange, stageRange } from './range-stage.ts';
import type { SeenIds } from './seen-ids.ts';

export interface RangeStoreOptions {
  readonly options: Pick<WarehouseOptions, 'contracts' | 'now' | 'faultPoint'>;
  readonly places: { readonly bronze: string; readonly work: string };
  /** Of ranges alone. */
  readonly session: DuckdbSession;
  readonly writer: DuckdbSession;
  readonly store: DuckdbStore;
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  /** After its commit: it may be put together with others. */
  readonly onBronze: (file: SealedFile) => void;
}

/** One is staged while the one before is committed. */
const SLOTS = 2;
/** The staged rows with what the message adds, on the writer. */
const STAGE = 'range_stage';

interface Prepared {
  readonly range: FileRange;
  readonly contract: Contract;
  readonly staged: StagedRange;
  readonly startedAtMs: number;
}

export class RangeStore {
  readonly #parts: RangeStoreOptions;
  readonly #occurrences: FileOccurrences;
  /** Each resolves when its slot's range has been committed, or failed. */
  readonly #slots: Promise<void>[] = Array.from({ length: SLOTS }, () => Promise.resolve());
  #taken = 0;

  constructor(parts: RangeStoreOptions) {
    this.#parts = parts;
    this.#occurrences = new FileOccurrences({ bronzeDir: parts.places.bronze });
  }

  async storeRange(range: FileRange, judge: JudgeRecords): Promise<RangeOutcome> {
    const { session, writer, store } = this.#parts;
    const slot = this.#taken % SLOTS;
    this.#taken += 1;
    const free = this.#slots[slot];
    const done = Promise.withResolvers<void>();
    this.#slots[slot] = done.promise;
    try {
      const prepared = await session.exclusive(async (sql) => {
        await free;
        return this.#prepare({ sql, range, judge, slot });
      });
      if (prepared === undefined) return { ...store.last, counts: REPLAYED, judged: 0 };
      return await writer.exclusive(async (sql) => {
        const outcome = await this.#commit(sql, prepared);
        await dropStaged(sql, prepared.staged);
        return outcome;
      });
    } catch (error) {
      this.#occurrences.forget();
      throw error;
    } finally {
      done.resolve();
    }
  }

  /** Undefined when the ledger holds the range. */
  async #prepare(options: {
    readonly sql: Sql;
    readonly range: FileRange;
    readonly judge: JudgeRecords;
    readonly slot: number;
  }): Promise<Prepared | undefined> {
    const { sql, range } = options;
    const { options: own, places } = this.#parts;
    const startedAtMs = own.now();
    const contract = own.contracts.get(range.dataset);
    if (contract === undefined) {
      throw new AppError({
        code: 'DATASET_UNKNOWN',
        publicMessage: `DATASET_UNKNOWN: there is no dataset ${range.dataset}.`,
      });
    }
    if ((await heldIds(sql, [range.messageId])).size > 0) return undefined;
    const staged = await stageRange({ ...options, contract, workDir: places.work });
    await this.#occurrences.number({ sql, range, contract, table: staged.rowsTable });
    return { range, contract, staged, startedAtMs };
  }

  async #commit(sql: Sql, prepared: Prepared): Promise<RangeOutcome> {
    const { store, options } = this.#parts;
    const { range, staged } = prepared;
    if ((await heldIds(sql, [range.messageId])).size > 0) return { ...store.last, counts: REPLAYED, judged: 0 };
    await sql.run(
      `CREATE OR REPLACE TEMP VIEW ${STAGE} AS SELECT *, ${uuid(range.messageId)} AS _message_id, 0 AS _position FROM ${staged.rowsTable}`,
    );
    const commit = store.nextCommit();
    const file = await this.#writeBronze(sql, prepared, commit);
    options.faultPoint?.('range-in-bronze');
    try {
      const { outcome } = await store.commitAs({
        sql,
        commit,
        fill: () => this.#fill({ sql, prepared, commit, file }),
      });
      this.#parts.onBronze(file);
      return outcome;
    } catch (error) {
      await this.#takeBack(sql, { file, messageId: range.messageId });
      throw error;
    }
  }

  async #fill(
    options: FillOptions,
  ): Promise<{ readonly touched: readonly TouchedDays[]; readonly outcome: RangeOutcome }> {
    const { sql, prepared, commit, file } = options;
    const { range, contract, staged } = prepared;
    const { partitions, seen } = this.#parts;
    const classified =
      staged.rows > 0 && (await classify({ sql, contract, partitions, seen, table: STAGE, days: staged.days }));
    await insertRows(options, classified);
    if (classified) await quarantineConflicts(options);
    if (staged.rejected > 0) await quarantineRejects(options);
    await insertLedger(sql, {
      messages: [{ position: 0, message: { envelope: headerOf(range, staged), sequence: 0, late: true } }],
      commitNumber: commit.commitNumber,
      classified,
    });
    const counts = await countsOf(options);
    await registerFiles(sql, [file]);
    await this.#audit(options, counts);
    const days = classified ? await storedDays(sql) : staged.days;
    return {
      touched: [{ dataset: range.dataset, days }],
      outcome: { ...commit, counts, judged: staged.judged },
    };
  }

  async #writeBronze(sql: Sql, { range, staged }: Prepared, commit: Commit): Promise<SealedFile> {
    const { places, options } = this.#parts;
    const select = bronzeRows({ range, staged, commit });
    const draft = await draftFile({
      sql,
      select,
      workDir: places.work,
      written: () => options.faultPoint?.('range-drafted'),
    });
    const folder = join(range.dataset, range.receivedAt.slice(0, 10));
    const path = await placeFile(draft, { root: places.bronze, folder });
    return {
      hash: draft.hash,
      kind: 'rows',
      dataset: range.dataset,
      path,
      messages: 1,
      rows: draft.rows,
      bytes: draft.bytes,
      firstSettleOrder: 0,
      lastSettleOrder: 0,
      lastOrdinal: 0,
    };
  }

  /** A file whose commit surely failed would be stored at the next open under a number that another commit has by then. */
  async #takeBack(
    sql: Sql,
    { file, messageId }: { readonly file: SealedFile; readonly messageId: string },
  ): Promise<void> {
    if ((await heldIds(sql, [messageId])).size === 0) await removeFiles([file.path]);
  }

  async #audit({ sql, prepared, commit }: FillOptions, counts: RangeOutcome['counts']): Promise<void> {
    const { range, startedAtMs } = prepared;
    const at = new Date(commit.committedAtMs).toISOString();
    await insertAudit(sql, [
      auditRow(this.#parts.store.nextOrdinals(1), {
        // So that a replay, and recoverRangeEntries, know that it is told.
        id: range.messageId,
        at,
        step: 'landing.range',
        actor: range.apiKeyId,
        dataset: range.dataset,
        source: `${range.fileId}:${range.firstIndex}:${range.records}`,
        target: silverTable(range.dataset).replaceAll('"', ''),
        startedAt: new Date(startedAtMs).toISOString(),
        endedAt: at,
        read: range.records,
        stored: counts.stored,
        rejected: counts.rejected + counts.quarantined,
        outcome: 'ok',
        error: '',
      }),
    ]);
  }
}

interface TouchedDays {
  readonly dataset: string;
  readonly days: readonly number[];
}

interface FillOptions {
  readonly sql: Sql;
  readonly prepared: Prepared;
  readonly commit: Commit;
  readonly file: SealedFile;
}

const REPLAYED: RangeOutcome['counts'] = {
  stored: 0,
  duplicate: 0,
  quarantined: 0,
  quarantinedByCode: {},
  rejected: 0,
  rejectedByCode: {},
  replayedMessages: 1,
};

function headerOf(range: FileRange, staged: StagedRange) {
  const { messageId, dataset, contractVersion, requestId, apiKeyId, receivedAt } = range;
  const counts = { rowCount: staged.rows, rejectCount: staged.rejected };
  return { messageId, dataset, contractVersion, requestId, apiKeyId, receivedAt, ...counts };
}

async function insertRows({ sql, prepared, commit }: FillOptions, classified: boolean): Promise<void> {
  const { contract } = prepared;
  const columns = [...contractColumns(contract), ...derivedColumns(contract)]
    .map(({ name }) => quoted(name))
    .concat('_event_id', '_event_date', '_message_id', '_index')
    .join(', ');
  const source = classified ? "classified WHERE _verdict = 'stored'" : STAGE;
  await sql.run(`INSERT INTO ${silverTable(contract.name)} SELECT ${columns}, $1 FROM ${source}`, [
    BigInt(commit.commitNumber),
  ]);
}

async function quarantineConflicts({ sql, prepared, commit }: FillOptions): Promise<void> {
  const { dataset, requestId, receivedAt } = prepared.range;
  await sql.run(
    `INSERT INTO custody.quarantine
     SELECT _message_id, $1, $2, _index, 'pipeline', 'KEY_CONFLICT', '', ${literal(CONFLICT_EXPECTED)}, '', body, strlen(body), sha256(body),
       $3::TIMESTAMP, $4 FROM classified WHERE _verdict = 'conflict'`,
    [dataset, requestId, receivedAt, BigInt(commit.commitNumber)],
  );
}

async function quarantineRejects({ sql, prepared, commit }: FillOptions): Promise<void> {
  const { messageId, dataset, requestId, receivedAt } = prepared.range;
  await sql.run(
    `INSERT INTO custody.quarantine
     SELECT ${uuid(messageId)}, $1, $2, "index", 'request', code, pointer, expected, got, body, body_bytes, body_hash, $3::TIMESTAMP, $4
     FROM ${prepared.staged.rejectsTable}`,
    [dataset, requestId, receivedAt, BigInt(commit.commitNumber)],
  );
}

/** What the ledger now says. */
async function countsOf({ sql, prepared, commit }: FillOptions): Promise<RangeOutcome['counts']> {
  const [row] = await sql.rows(
    `SELECT stored::DOUBLE AS stored, len(duplicates)::DOUBLE AS duplicate, quarantined::DOUBLE AS quarantined FROM custody.ledger WHERE "commit" = $1`,
    [BigInt(commit.commitNumber)],
  );
  const quarantined = Number(row?.quarantined);
  const { rejected, rejectedByCode } = prepared.staged;
  return {
    stored: Number(row?.stored),
    duplicate: Number(row?.duplicate),
    quarantined,
    quarantinedByCode: quarantined === 0 ? {} : { KEY_CONFLICT: quarantined },
    rejected,
    rejectedByCode,
    replayedMessages: 0,
  };
}

/** As sealing writes the rows of a message. No settle order: no bus ever held it. */
function bronzeRows(options: {
  readonly range: FileRange;
  readonly staged: StagedRange;
  readonly commit: Commit;
}): string {
  const { range, staged, commit } = options;
  const header = `0::BIGINT AS settle_order, 0::BIGINT AS sequence, true AS late, ${uuid(range.messageId)} AS message_id, ${literal(range.requestId)} AS request_id,
    ${literal(range.apiKeyId)} AS api_key_id, ${range.contractVersion}::INTEGER AS contract_version, ${literal(range.receivedAt)}::TIMESTAMP AS received_at`;
  const place = `${commit.commitNumber}::BIGINT AS "commit", 0::INTEGER AS position`;
  const rows = `SELECT ${header}, 'row' AS kind, _index AS "index", _event_id AS event_id, body, NULL::VARCHAR AS code, NULL::VARCHAR AS pointer,
    NULL::VARCHAR AS expected, NULL::VARCHAR AS got, NULL::INTEGER AS body_bytes, NULL::VARCHAR AS body_hash, ${place} FROM ${staged.rowsTable}`;
  if (staged.rejected === 0) return rows;
  return `${rows} UNION ALL
    SELECT ${header}, 'reject', "index", NULL, body, code, pointer, expected, got, body_bytes, body_hash, ${place} FROM ${staged.rejectsTable}`;
}

function uuid(hex: string): string {
  return `${literal(hex)}::UUID`;
}
