/**
 * Stores messages of one dataset again from their bronze files, by SQL alone: no row passes through JavaScript.
 *
 * The same decisions as the first time, because the order is the same: messages in the order given, then row index. Only
 * for a contract without derived fields, which TypeScript computes.
 */
import type { Contract } from '../datasets/contract.ts';
import { CONFLICT_EXPECTED, classify, storedDays } from './classify.ts';
import type { BronzeFile } from './bronze-file.ts';
import { insertLedger } from './duckdb-ledger.ts';
import { columnExpressions, contractColumns, silverTable } from './duckdb-schema.ts';
import { literal, quoted, type Sql, type SqlRow } from './duckdb-session.ts';
import { failed } from './duckdb-stage.ts';
import type { Commit, Partitions } from './partitions.ts';
import type { SeenIds } from './seen-ids.ts';

type LedgerMessage = Parameters<typeof insertLedger>[1]['messages'][number]['message'];

/** A message as bronze holds it, without its rows. */
export type SealedMessage = LedgerMessage & {
  /** The file that holds it. */
  readonly path: string;
  /** Rows that were taken out for good: their indexes, and how many rejects. */
  readonly gone: { readonly erased: readonly number[]; readonly expired: readonly number[]; readonly rejected: number };
};

/** One row a message and file, in the order in which they were decided about. */
export function sealedMessagesSql(files: readonly BronzeFile[]): string {
  const paths = files.map(({ path }) => literal(path)).join(', ');
  return `SELECT replace(message_id::VARCHAR, '-', '') AS message_id, filename AS path, any_value(request_id) AS request_id, any_value(api_key_id) AS api_key_id,
      any_value(contract_version) AS contract_version, strftime(any_value(received_at), '%Y-%m-%dT%H:%M:%S.%fZ') AS received_at,
      any_value(sequence)::DOUBLE AS sequence, any_value(late) AS late, any_value("commit")::DOUBLE AS "commit",
      count(*) FILTER (kind = 'row')::DOUBLE AS "rows", count(*) FILTER (kind = 'reject')::DOUBLE AS rejects, sum(strlen(body))::DOUBLE AS bytes,
      list("index" ORDER BY "index") FILTER (kind = 'erased_row') AS erased, list("index" ORDER BY "index") FILTER (kind = 'expired_row') AS expired,
      count(*) FILTER (kind IN ('erased_reject', 'expired_reject'))::DOUBLE AS rejects_gone
    FROM read_parquet([${paths}], filename = true) s GROUP BY s.message_id, filename
    ORDER BY any_value("commit") NULLS LAST, any_value(position), any_value(settle_order)`;
}

interface FoundMessage {
  /** Infinity when it was sealed without having been decided about. */
  readonly commit: number;
  readonly bytes: number;
  readonly message: SealedMessage;
}

export function sealedMessageOf(row: SqlRow, dataset: string): FoundMessage {
  const indexes = (list: unknown): readonly number[] => (Array.isArray(list) ? list.map(Number) : []);
  return {
    commit: typeof row.commit === 'number' ? row.commit : Number.POSITIVE_INFINITY,
    bytes: Number(row.bytes ?? 0),
    message: {
      envelope: {
        messageId: String(row.message_id),
        dataset,
        contractVersion: Number(row.contract_version),
        requestId: String(row.request_id),
        apiKeyId: String(row.api_key_id),
        receivedAt: String(row.received_at),
        rowCount: Number(row.rows),
        rejectCount: Number(row.rejects),
      },
      sequence: Number(row.sequence),
      late: row.late === true,
      path: String(row.path),
      gone: { erased: indexes(row.erased), expired: indexes(row.expired), rejected: Number(row.rejects_gone) },
    },
  };
}

interface ReplayOptions {
  readonly sql: Sql;
  readonly contract: Contract;
  readonly commit: Commit;
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  /** Each once, in the order of their decisions. */
  readonly messages: readonly SealedMessage[];
}

/** Everything of a commit but its number. Answers the days that it added to. Throws MESSAGE_FAILED. */
export async function storeFromBronze(options: ReplayOptions): Promise<readonly number[]> {
  const { sql, contract, commit, messages, partitions, seen } = options;
  const read = await readAgain(sql, messages);
  const staged = await stage(options, read);
  const classified =
    staged.rows > 0 && (await classify({ sql, contract, partitions, seen, table: 'stage', days: staged.days }));
  const columns = contractColumns(contract)
    .map(({ name }) => quoted(name))
    .concat('_event_id', '_event_date', '_message_id', '_index')
    .join(', ');
  const source = classified ? "classified WHERE _verdict = 'stored'" : 'stage';
  const commitNumber = BigInt(commit.commitNumber);
  await sql.run(`INSERT INTO ${silverTable(contract.name)} SELECT ${columns}, $1 FROM ${source}`, [commitNumber]);
  if (classified) {
    await sql.run(
      `INSERT INTO custody.quarantine
       SELECT b.message_id, $1, b.request_id, b."index", 'pipeline', 'KEY_CONFLICT', '', ${literal(CONFLICT_EXPECTED)}, '', b.body, strlen(b.body),
         sha256(b.body), b.received_at, $2
       FROM ${read} b JOIN classified c ON c._message_id = b.message_id AND c._index = b."index" AND c._verdict = 'conflict' WHERE b.kind = 'row'`,
      [contract.name, commitNumber],
    );
  }
  if (messages.some(({ envelope }) => envelope.rejectCount > 0)) {
    await sql.run(
      `INSERT INTO custody.quarantine
       SELECT message_id, $1, request_id, "index", 'request', code, pointer, expected, got, body, body_bytes, body_hash, received_at, $2
       FROM ${read} WHERE kind = 'reject'`,
      [contract.name, commitNumber],
    );
  }
  await insertLedger(sql, {
    messages: messages.map((message, position) => ({ position, message })),
    commitNumber: commit.commitNumber,
    classified,
  });
  return classified ? await storedDays(sql) : staged.days;
}

/** SQL of the rows and rejects of these messages, with `_position`: their place in the list. */
async function readAgain(sql: Sql, messages: readonly SealedMessage[]): Promise<string> {
  const facts = messages.map(({ envelope, path }, position) => ({ id: envelope.messageId, path, position }));
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE again AS
     SELECT unnest(m) FROM (SELECT unnest(from_json($1, '[{"id":"UUID","path":"VARCHAR","position":"INTEGER"}]')) AS m)`,
    [JSON.stringify(facts)],
  );
  const paths = [...new Set(messages.map(({ path }) => path))].map(literal);
  // A message may be in two files, after a death between two steps: it is read from the one that is named.
  return `(SELECT s.* EXCLUDE (filename), a.position AS _position FROM read_parquet([${paths.join(', ')}], filename = true) s
    JOIN again a ON a.id = s.message_id AND a.path = s.filename)`;
}

interface Staged {
  readonly rows: number;
  readonly days: readonly number[];
}

/** A value that does not fit its column would be read as none, so values are counted. */
async function stage({ sql, contract, messages }: ReplayOptions, read: string): Promise<Staged> {
  const expressions = [
    ...columnExpressions(contract.fields, 'r'),
    'event_id AS _event_id',
    `CAST(r.${quoted(contract.eventDate)} AS DATE) AS _event_date`,
    'message_id AS _message_id',
    '_position',
    '"index" AS _index',
  ];
  const values = Object.keys(contract.fields).map((name) => `(r.${quoted(name)} IS NOT NULL)::INTEGER`);
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE stage AS SELECT ${expressions.join(', ')}, len(json_keys(body)) = ${values.join(' + ')} AS _whole
     FROM (SELECT *, from_json(body, ${literal(bodyShape(contract))}) AS r FROM ${read} WHERE kind = 'row')`,
  );
  const [counted] = await sql.rows(
    `SELECT count(*) AS "rows", count(*) FILTER (_whole AND _event_date IS NOT NULL) AS whole, list(DISTINCT _event_date - DATE '1970-01-01') AS days
     FROM stage`,
  );
  const rows = Number(counted?.rows);
  const expected = messages.reduce((sum, { envelope }) => sum + envelope.rowCount, 0);
  if (rows !== expected || Number(counted?.whole) !== rows) {
    throw failed(`${expected} rows expected from bronze, ${rows} read, ${counted?.whole} of them fit the contract`);
  }
  return { rows, days: ((counted?.days ?? []) as readonly (string | number)[]).map(Number) };
}

/** What `from_json` makes of a body: points still as text. */
function bodyShape(contract: Contract): string {
  const types = new Map(contractColumns(contract).map(({ name, type }) => [name, type]));
  return JSON.stringify(
    Object.fromEntries(Object.keys(contract.fields).map((name) => [name, types.get(name) ?? 'VARCHAR'])),
  );
}
