/**
 * Bronze: the truth that everything else can be rebuilt from.
 *
 * A file that the database does not know is one whose messages may be missing there, so registration comes after the
 * messages' own commits, always.
 *
 * Layout: `<dataset>/<day of receipt>/<sha256>.parquet`, `_audit/<sha256>.parquet`, `_tombstones/<sha256>.parquet`.
 * Files may be rewritten into others (bronze-rewrite.ts).
 *
 * `kind` in a rows file is `row` or `reject`. What is left of one that was taken out for good is a row without content:
 * its kind is `erased_row`, `expired_row`, `erased_reject` or `expired_reject`, and only message and index are known.
 */
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { AppError } from '../errors.ts';
import { type BronzeFile, type BronzeKind, draftFile, placeFile, type SealedFile } from './bronze-file.ts';
import { type DuckdbSession, literal, type Sql } from './duckdb-session.ts';
import type { SealableMessage } from './warehouse.ts';
import { readBodiesAsText, readRejects, withWorkFile } from './work-file.ts';

const AUDIT_FOLDER = '_audit';
const TOMBSTONE_FOLDER = '_tombstones';
/** How a rows file lies: in the order in which its messages were decided about. */
export const ROWS_ORDER = '"commit" NULLS LAST, position, kind, "index"';

export interface BronzeOptions {
  readonly dir: string;
  readonly workDir: string;
  readonly faultPoint?: ((name: string) => void) | undefined;
}

export class Bronze {
  readonly #options: BronzeOptions;

  constructor(options: BronzeOptions) {
    this.#options = options;
  }

  /** Writes what is to be sealed, one file for each dataset and day of receipt. Nothing is registered yet. */
  async seal(session: DuckdbSession, messages: readonly SealableMessage[]): Promise<readonly SealedFile[]> {
    const files: SealedFile[] = [];
    for (const group of Map.groupBy(messages, ({ dataset }) => dataset).values()) {
      files.push(...(await session.exclusive((sql) => this.#sealDataset(sql, group))));
    }
    return files;
  }

  /** Audit entries above this ordinal; undefined when there are none. */
  sealAudit(session: DuckdbSession, afterOrdinal: number): Promise<SealedFile | undefined> {
    return session.exclusive(async (sql) => {
      const [found] = await sql.rows(
        'SELECT count(*)::DOUBLE AS entries, max(ordinal)::DOUBLE AS last FROM custody.audit WHERE ordinal > $1',
        [BigInt(afterOrdinal)],
      );
      if (found === undefined || found.entries === 0) return undefined;
      const lastOrdinal = Number(found.last);
      const select = `SELECT * FROM custody.audit WHERE ordinal > ${afterOrdinal} AND ordinal <= ${lastOrdinal} ORDER BY ordinal`;
      const placed = await this.#place(sql, { select, folder: AUDIT_FOLDER });
      return { ...placed, ...NO_MESSAGES, kind: 'audit', dataset: '', rows: Number(found.entries), lastOrdinal };
    });
  }

  /** Rows that are to be gone, and gone again after every rebuild. `select`: dataset, message_id, index, reason, commit. */
  async sealTombstones(sql: Sql, select: string): Promise<SealedFile> {
    const placed = await this.#place(sql, { select, folder: TOMBSTONE_FOLDER });
    return { ...placed, ...NO_MESSAGES, kind: 'tombstones', dataset: '' };
  }

  /** Every file on disk. */
  async files(): Promise<readonly BronzeFile[]> {
    const entries = await readdir(this.#options.dir, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && entry.name.endsWith('.parquet'))
      .map((entry) => this.#fileAt(join(entry.parentPath, entry.name)))
      .sort((a, b) => a.path.localeCompare(b.path));
  }

  #fileAt(path: string): BronzeFile {
    const [folder = ''] = relative(this.#options.dir, path).split('/');
    const hash = path.slice(path.lastIndexOf('/') + 1, -'.parquet'.length);
    const kind: BronzeKind = folder === AUDIT_FOLDER ? 'audit' : folder === TOMBSTONE_FOLDER ? 'tombstones' : 'rows';
    return { hash, kind, dataset: kind === 'rows' ? folder : '', path };
  }

  async #sealDataset(sql: Sql, given: readonly SealableMessage[]): Promise<readonly SealedFile[]> {
    // One published twice was stored once, the first time it was settled.
    const messages = [...Map.groupBy(given, ({ messageId }) => messageId).values()].flatMap((same) => same.slice(0, 1));
    const lines = messages.map(({ settleOrder, sequence, late, data }) => ({
      order: settleOrder,
      sequence,
      late,
      data,
    }));
    return withWorkFile({ dir: this.#options.workDir, lines }, async (file) => {
      await requireEnvelopes(sql, { read: readRejects(file), expected: messages.length });
      await sql.run(`CREATE OR REPLACE TEMP TABLE sealing AS ${sealedRows(readBodiesAsText(file))}`);
      const days = await sql.rows(
        `SELECT dataset, strftime(received_at, '%Y-%m-%d') AS day, count(DISTINCT message_id)::DOUBLE AS messages,
           min(settle_order)::DOUBLE AS first, max(settle_order)::DOUBLE AS last FROM sealing GROUP BY ALL ORDER BY day`,
      );
      const files: SealedFile[] = [];
      for (const { dataset, day, messages: count, first, last } of days) {
        const select = `SELECT * EXCLUDE (dataset) FROM sealing WHERE dataset = ${literal(String(dataset))} AND received_at::DATE = ${literal(String(day))}
          ORDER BY ${ROWS_ORDER}`;
        const placed = await this.#place(sql, { select, folder: join(String(dataset), String(day)) });
        files.push({
          ...placed,
          kind: 'rows',
          dataset: String(dataset),
          messages: Number(count),
          firstSettleOrder: Number(first),
          lastSettleOrder: Number(last),
          lastOrdinal: 0,
        });
      }
      await sql.run('DROP TABLE sealing');
      return files;
    });
  }

  async #place(
    sql: Sql,
    { select, folder }: { readonly select: string; readonly folder: string },
  ): Promise<Pick<SealedFile, 'hash' | 'path' | 'bytes' | 'rows'>> {
    const { dir, workDir, faultPoint } = this.#options;
    const draft = await draftFile({ sql, select, workDir, written: () => faultPoint?.('while-sealing') });
    const path = await placeFile(draft, { root: dir, folder });
    return { hash: draft.hash, path, bytes: draft.bytes, rows: draft.rows };
  }
}

/** Other JSON than an envelope's would be read as a message without id, and be gone from the truth without a word. */
async function requireEnvelopes(
  sql: Sql,
  { read, expected }: { readonly read: string; readonly expected: number },
): Promise<void> {
  const [found] = await sql.rows(`SELECT count(DISTINCT e."messageId")::DOUBLE AS messages FROM ${read}`);
  if (found?.messages === expected) return;
  throw new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: 'WAREHOUSE_UNAVAILABLE: messages cannot be sealed.',
    detail: `${expected} messages to seal, ${String(found?.messages)} of them are envelopes`,
  });
}

const NO_MESSAGES = { messages: 0, firstSettleOrder: 0, lastSettleOrder: 0, lastOrdinal: 0 } as const;

/**
 * Rows and rejects of the messages with the place where the ledger decided about each: `commit` and `position`.
 * Acknowledgements may be lost and come in another order later; decisions are made again in the order they were made.
 */
function sealedRows(read: string): string {
  const header =
    'o AS settle_order, s AS sequence, l AS late, e."messageId" AS message_id, e.dataset AS dataset, e."requestId" AS request_id, e."apiKeyId" AS api_key_id, e."contractVersion" AS contract_version, e."receivedAt" AS received_at';
  const own =
    'settle_order, sequence, late, message_id, dataset, request_id, api_key_id, contract_version, received_at';
  return `WITH messages AS (SELECT ${header}, e."rows" AS "rows", e."rejects" AS rejects FROM ${read}),
    parts AS (
      SELECT ${own}, 'row' AS kind, r."index" AS "index", r."eventId" AS event_id, r.body::VARCHAR AS body, NULL::VARCHAR AS code,
        NULL::VARCHAR AS pointer, NULL::VARCHAR AS expected, NULL::VARCHAR AS got, NULL::INTEGER AS body_bytes, NULL::VARCHAR AS body_hash
      FROM (SELECT ${own}, unnest("rows") AS r FROM messages)
      UNION ALL
      SELECT ${own}, 'reject', j."index", NULL, j.body, j.code, j.pointer, j.expected, j.got, j."bodyBytes", j."bodyHash"
      FROM (SELECT ${own}, unnest(rejects) AS j FROM messages))
    SELECT parts.*, ledger."commit" AS "commit", ledger.position AS position
    FROM parts LEFT JOIN custody.ledger ledger ON ledger.message_id = parts.message_id`;
}

export async function registeredHashes(sql: Sql): Promise<ReadonlySet<string>> {
  const rows = await sql.rows('SELECT hash FROM custody.bronze_files');
  return new Set(rows.map(({ hash }) => String(hash)));
}

/** After the commits of everything in the files. */
export async function registerFiles(sql: Sql, files: readonly SealedFile[]): Promise<void> {
  const known = await registeredHashes(sql);
  for (const file of files) {
    if (known.has(file.hash)) continue;
    const numbers = [
      file.messages,
      file.rows,
      file.bytes,
      file.firstSettleOrder,
      file.lastSettleOrder,
      file.lastOrdinal,
    ];
    await sql.run('INSERT INTO custody.bronze_files VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
      file.hash,
      file.kind,
      file.dataset,
      ...numbers.map((number) => BigInt(number)),
    ]);
  }
}
