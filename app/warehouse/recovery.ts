/**
 * Brings the database to where bronze says it must be, at every open.
 *
 * A file that cannot be read, or not to its end, is set aside under a name that says when, and a new one takes its
 * place. Then every bronze file that the database does not know is stored again, in the order in which its messages
 * were decided about the first time, through the code that stored them then. With a new database that is everything:
 * the rebuild. What no bronze file holds yet is on the bus, which is squared with the ledger afterwards.
 */
import { access, rename, stat } from 'node:fs/promises';
import type { DuckDBInstance } from '@duckdb/node-api';
import type { EnvelopeReject, EnvelopeRow } from '../bus/envelope.ts';
import type { Contract } from '../datasets/contract.ts';
import { registeredHashes, registerFiles } from './bronze.ts';
import { type BronzeFile, factsOf, requireIntact } from './bronze-file.ts';
import { type SealedMessage, sealedMessageOf, sealedMessagesSql } from './bronze-replay.ts';
import { type DuckdbSession, kindOf, literal, type Sql, type SqlRow } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import { applyTombstones } from './erasure.ts';
import type { StorableMessage } from './warehouse.ts';

/** Up to this size the file is read to its end at every open (about 0.5 s); beyond, only after an unclean end. */
const VERIFY_ALWAYS_BYTES = 128 * 1024 * 1024;
const BATCH_MESSAGES_MAX = 2_000;
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Of what SQL stores again by itself: some 150 MB of the warehouse's memory. A message of a file may be larger alone. */
const SQL_BATCH_ROWS_MAX = 200_000;
const SQL_BATCH_BYTES_MAX = 64 * 1024 * 1024;

export type RecoveryProgress =
  | { readonly kind: 'set_aside'; readonly path: string; readonly reason: string }
  | {
      readonly kind: 'replaying';
      readonly files: number;
      readonly filesDone: number;
      readonly messages: number;
      readonly rows: number;
    }
  | {
      readonly kind: 'replayed';
      readonly files: number;
      readonly messages: number;
      readonly rows: number;
      readonly erased: number;
      readonly durationMs: number;
    }
  /** No contract has this name any more: its files stay as they are. */
  | { readonly kind: 'skipped'; readonly dataset: string; readonly files: number };

export interface OpenedFile {
  readonly instance: DuckDBInstance;
  readonly setAside: { readonly path: string; readonly reason: string } | undefined;
}

interface OpenOptions {
  readonly path: string;
  /** The last process that had it open did not close it. */
  readonly unclean: boolean;
  readonly now: () => number;
  readonly open: () => Promise<DuckDBInstance>;
}

/** Opens the file, or a new one in its place. Errors that are not the file's (locked, no space) are thrown. */
export async function openOrReplace(options: OpenOptions): Promise<OpenedFile> {
  const { path, unclean, now, open } = options;
  const bytes = await sizeOf(path);
  if (bytes === undefined && (await sizeOf(`${path}.wal`)) !== undefined) await setAside(path, 'broken', now());
  let instance: DuckDBInstance | undefined;
  try {
    instance = await open();
    if (bytes !== undefined && (unclean || bytes <= VERIFY_ALWAYS_BYTES)) await readToTheEnd(instance);
    return { instance, setAside: undefined };
  } catch (error) {
    instance?.closeSync();
    if (bytes === undefined || NOT_THE_FILE.test(String(error))) throw error;
    const aside = await setAside(path, 'broken', now());
    return { instance: await open(), setAside: { path: aside, reason: kindOf(error) } };
  }
}

/** Failures that a new file would meet too. */
const NOT_THE_FILE = /lock is held|set lock|Permission|No space|Out of Memory|EMFILE|Cannot allocate/i;

/** Moves the file and its WAL away. `<file>.<word>-<time>`, and the WAL so that DuckDB finds it beside its file. */
export async function setAside(path: string, word: string, atMs: number): Promise<string> {
  const aside = `${path}.${word}-${new Date(atMs).toISOString().replaceAll(/[:.]/g, '')}`;
  if ((await sizeOf(path)) !== undefined) await rename(path, aside);
  if ((await sizeOf(`${path}.wal`)) !== undefined) await rename(`${path}.wal`, `${aside}.wal`);
  return aside;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    await access(path);
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Every value of every table, so that every block's checksum is computed. */
async function readToTheEnd(instance: DuckDBInstance): Promise<void> {
  const connection = await instance.connect();
  try {
    const tables = await connection.runAndReadAll(
      'SELECT format(\'{}."{}"\', schema_name, table_name) FROM duckdb_tables() WHERE NOT internal',
    );
    for (const [table] of tables.getRows()) await connection.run(`SELECT bit_xor(hash(t)) FROM ${String(table)} t`);
  } finally {
    connection.closeSync();
  }
}

export interface ReplayOptions {
  /** Every file of bronze. */
  readonly files: readonly BronzeFile[];
  readonly store: DuckdbStore;
  readonly contracts: ReadonlyMap<string, Contract>;
  /** Every dataset with a silver table. */
  readonly datasets: readonly string[];
  readonly writer: DuckdbSession;
  readonly reader: DuckdbSession;
  readonly onProgress: (progress: RecoveryProgress) => void;
}

export interface Replayed {
  readonly files: number;
  readonly messages: number;
  readonly rows: number;
  readonly erased: number;
}

/** Stores what unregistered bronze files hold, and registers them. Throws BronzeError. */
export async function replayBronze(options: ReplayOptions): Promise<Replayed> {
  const { files, writer } = options;
  const registered = await writer.exclusive(registeredHashes);
  const pending = files.filter(({ hash }) => !registered.has(hash));
  const replay = new Replay(options, pending.length);
  if (pending.length === 0) return replay.totals;
  for (const file of pending) await requireIntact(file);
  await replay.audit(pending.filter(({ kind }) => kind === 'audit'));
  const tombstones = files.filter(({ kind }) => kind === 'tombstones');
  await replay.rows(
    pending.filter(({ kind }) => kind === 'rows'),
    tombstones,
  );
  await replay.register(pending.filter(({ kind }) => kind === 'tombstones'));
  return replay.totals;
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #files: number;
  #filesDone = 0;
  #messages = 0;
  #rows = 0;
  #erased = 0;

  constructor(options: ReplayOptions, files: number) {
    this.#options = options;
    this.#files = files;
  }

  get totals(): Replayed {
    return { files: this.#filesDone, messages: this.#messages, rows: this.#rows, erased: this.#erased };
  }

  async audit(files: readonly BronzeFile[]): Promise<void> {
    if (files.length === 0) return;
    const paths = files.map(({ path }) => literal(path)).join(', ');
    const last = await this.#options.writer.exclusive(async (sql) => {
      await sql.run(
        `INSERT INTO custody.audit SELECT DISTINCT ON (id) * FROM read_parquet([${paths}]) WHERE id NOT IN (SELECT id FROM custody.audit) ORDER BY ordinal`,
      );
      const [row] = await sql.rows('SELECT max(ordinal)::DOUBLE AS last FROM custody.audit');
      return Number(row?.last);
    });
    this.#options.store.raiseOrdinals(last);
    await this.register(files);
  }

  async rows(files: readonly BronzeFile[], tombstones: readonly BronzeFile[]): Promise<void> {
    const { contracts, onProgress, reader } = this.#options;
    const dated = await reader.exclusive((sql) => commitRanges(sql, [...files, ...tombstones]));
    this.#options.store.raiseCommits(Math.max(0, ...dated.map(({ last }) => (Number.isFinite(last) ? last : 0))));
    const graves = dated.filter(({ file }) => file.kind === 'tombstones').sort((a, b) => a.last - b.last);
    const rows = dated.filter(({ file }) => file.kind === 'rows');
    for (const [dataset, ranges] of Map.groupBy(rows, ({ file }) => file.dataset)) {
      if (!contracts.has(dataset)) {
        onProgress({ kind: 'skipped', dataset, files: ranges.length });
        continue;
      }
      const waiting = [...graves];
      for (const cluster of clustersOf(ranges)) {
        const { derived } = contracts.get(dataset) ?? {};
        if (derived === undefined) await this.#clusterBySql({ dataset, files: cluster, waiting });
        else await this.#cluster({ dataset, files: cluster, waiting });
        await this.register(cluster);
      }
    }
    for (const { file } of graves) await this.#bury(file);
  }

  /** Messages in the order of their decisions; before each, the erasures that were decided before it. */
  async #cluster(options: {
    readonly dataset: string;
    readonly files: readonly BronzeFile[];
    readonly waiting: CommitRange[];
  }): Promise<void> {
    const { dataset, files, waiting } = options;
    let batch: StorableMessage[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (batch.length > 0) await this.#options.store.store(batch, { audit: false });
      batch = [];
      bytes = 0;
    };
    for await (const { commit, message } of this.#messagesIn(dataset, files)) {
      while (waiting[0] !== undefined && waiting[0].last < commit) {
        await flush();
        await this.#bury(waiting[0].file);
        waiting.shift();
      }
      batch.push(message);
      bytes += message.data.length;
      this.#messages += 1;
      this.#rows += message.envelope.rowCount;
      if (batch.length >= BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES_MAX) await flush();
    }
    await flush();
  }

  /** The same for rows that TypeScript need not see: only what a message is passes through here. */
  async #clusterBySql(options: {
    readonly dataset: string;
    readonly files: readonly BronzeFile[];
    readonly waiting: CommitRange[];
  }): Promise<void> {
    const { dataset, files, waiting } = options;
    const { store, contracts, reader } = this.#options;
    const contract = contracts.get(dataset);
    if (contract === undefined) return;
    let batch: SealedMessage[] = [];
    let [rows, bytes] = [0, 0];
    const flush = async (): Promise<void> => {
      if (batch.length > 0) await store.storeAgain(contract, batch);
      batch = [];
      [rows, bytes] = [0, 0];
    };
    const stream = await reader.exclusive(async (sql) => sql.stream(sealedMessagesSql(files)));
    for await (const found of stream) {
      for (const { commit, message, bytes: own } of found.map((row) => sealedMessageOf(row, dataset))) {
        const { rowCount } = message.envelope;
        if (rows + rowCount > SQL_BATCH_ROWS_MAX || bytes + own > SQL_BATCH_BYTES_MAX) await flush();
        while (waiting[0] !== undefined && waiting[0].last < commit) {
          await flush();
          await this.#bury(waiting[0].file);
          waiting.shift();
        }
        batch.push(message);
        rows += rowCount;
        bytes += own;
        this.#messages += 1;
        this.#rows += rowCount;
      }
    }
    await flush();
  }

  async *#messagesIn(
    dataset: string,
    files: readonly BronzeFile[],
  ): AsyncIterable<{ readonly commit: number; readonly message: StorableMessage }> {
    // The session is not held while the batches are stored: its connection is used by nothing else during a replay.
    const stream = await this.#options.reader.exclusive(async (sql) => sql.stream(messagesSql(dataset, files)));
    for await (const rows of stream) for (const row of rows) yield messageOf(row);
  }

  async #bury(file: BronzeFile): Promise<void> {
    const { writer, datasets } = this.#options;
    this.#erased += await writer.exclusive((sql) =>
      sql.transaction(() => applyTombstones(sql, { path: file.path, datasets })),
    );
  }

  async register(files: readonly BronzeFile[]): Promise<void> {
    if (files.length === 0) return;
    const { writer, onProgress } = this.#options;
    await writer.exclusive(async (sql) => {
      for (const file of files) await registerFiles(sql, [{ ...file, ...(await factsOf(sql, file)) }]);
    });
    this.#filesDone += files.length;
    onProgress({
      kind: 'replaying',
      files: this.#files,
      filesDone: this.#filesDone,
      messages: this.#messages,
      rows: this.#rows,
    });
  }
}

interface CommitRange {
  readonly file: BronzeFile;
  readonly first: number;
  readonly last: number;
}

async function commitRanges(sql: Sql, files: readonly BronzeFile[]): Promise<readonly CommitRange[]> {
  const ranges: CommitRange[] = [];
  for (const file of files) {
    const [row] = await sql.rows(
      `SELECT min("commit")::DOUBLE AS first, max("commit")::DOUBLE AS last, count(*) = count("commit") AS known FROM read_parquet(${literal(file.path)})`,
    );
    const last = row?.known === true ? Number(row.last) : Number.POSITIVE_INFINITY;
    ranges.push({ file, first: Number(row?.first ?? 0), last });
  }
  return ranges;
}

/** Files whose commits overlap are read together, in order; the others one after another, so memory holds one. */
export function clustersOf(ranges: readonly CommitRange[]): readonly (readonly BronzeFile[])[] {
  const clusters: { files: BronzeFile[]; last: number }[] = [];
  for (const { file, first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const open = clusters.at(-1);
    if (open === undefined || first > open.last) clusters.push({ files: [file], last });
    else {
      open.files.push(file);
      open.last = Math.max(open.last, last);
    }
  }
  return clusters.map(({ files }) => files);
}

const HEX = (column: string): string => `replace(${column}::VARCHAR, '-', '')`;

/**
 * One row a message, with its rows and rejects as JSON texts. A message may be in two files, when a process died
 * between sealing and telling the bus: storing takes the first.
 */
function messagesSql(dataset: string, files: readonly BronzeFile[]): string {
  const paths = files.map(({ path }) => literal(path)).join(', ');
  const reject = `to_json({'index': "index", code: code, pointer: pointer, expected: expected, got: got, body: body, bodyBytes: body_bytes, bodyHash: body_hash})::VARCHAR`;
  const row = `'{"eventId":"' || ${HEX('event_id')} || '","index":' || "index" || ',"body":' || body || '}'`;
  return `SELECT ${HEX('message_id')} AS message_id, ${literal(dataset)} AS dataset, any_value(request_id) AS request_id, any_value(api_key_id) AS api_key_id,
      any_value(contract_version) AS contract_version, strftime(any_value(received_at), '%Y-%m-%dT%H:%M:%S.%fZ') AS received_at,
      any_value(sequence)::DOUBLE AS sequence, any_value(late) AS late, any_value("commit")::DOUBLE AS "commit",
      '[' || coalesce(string_agg(${row}, ',' ORDER BY "index") FILTER (kind = 'row'), '') || ']' AS "rows",
      '[' || coalesce(string_agg(${reject}, ',' ORDER BY "index") FILTER (kind = 'reject'), '') || ']' AS rejects,
      to_json(coalesce(list("index" ORDER BY "index") FILTER (kind = 'erased_row'), []))::VARCHAR AS erased,
      to_json(coalesce(list("index" ORDER BY "index") FILTER (kind = 'expired_row'), []))::VARCHAR AS expired,
      count(*) FILTER (kind IN ('erased_reject', 'expired_reject'))::DOUBLE AS rejects_gone
    FROM read_parquet([${paths}], filename = true)
    GROUP BY read_parquet.message_id, filename
    ORDER BY any_value("commit") NULLS LAST, any_value(position), any_value(settle_order)`;
}

function messageOf(row: SqlRow): { readonly commit: number; readonly message: StorableMessage } {
  const rows = JSON.parse(String(row.rows)) as readonly EnvelopeRow[];
  const rejects = JSON.parse(String(row.rejects)) as readonly EnvelopeReject[];
  const header = {
    messageId: String(row.message_id),
    dataset: String(row.dataset),
    contractVersion: Number(row.contract_version),
    requestId: String(row.request_id),
    apiKeyId: String(row.api_key_id),
    receivedAt: String(row.received_at),
    rowCount: rows.length,
    rejectCount: rejects.length,
  };
  const gone = {
    erased: JSON.parse(String(row.erased)) as readonly number[],
    expired: JSON.parse(String(row.expired)) as readonly number[],
    rejected: Number(row.rejects_gone),
  };
  const data = Buffer.from(`${JSON.stringify(header).slice(0, -1)},"rows":${row.rows},"rejects":${row.rejects}}`);
  return {
    commit: typeof row.commit === 'number' ? row.commit : Number.POSITIVE_INFINITY,
    message: {
      envelope: { ...header, rows, rejects },
      data,
      sequence: Number(row.sequence),
      late: row.late === true,
      gone,
    },
  };
}
