/**
 * The ledger: which messages were stored, and what became of their rows.
 *
 * States are sums over rows, never running counters: stored is counted in silver, quarantined in quarantine, duplicate,
 * erased and expired in the ledger's lists of row indexes. So a row that is lost or there twice shows as a difference.
 */
import { silverTable } from './duckdb-schema.ts';
import type { Sql } from './duckdb-session.ts';
import type {
  DatasetCounts,
  GoneRows,
  RequestOutcome,
  RowOutcome,
  StorableMessage,
  StoredMessage,
  WarehouseAccounting,
} from './warehouse.ts';

/** A message's id as the bus writes it. */
export const HEX = "replace(message_id::VARCHAR, '-', '')";
/** Ids travel as one text parameter: binding a list costs a call for each element. */
const ID_LIST = "(SELECT unnest(string_split($1, ',')::UUID[]))";

export async function heldIds(sql: Sql, messageIds: readonly string[]): Promise<ReadonlySet<string>> {
  if (messageIds.length === 0) return new Set();
  const rows = await sql.rows(`SELECT ${HEX} AS id FROM custody.ledger WHERE message_id IN ${ID_LIST}`, [
    messageIds.join(','),
  ]);
  return new Set(rows.map(({ id }) => String(id)));
}

/**
 * The same for a batch about to be stored. The ledger lies in order of commits, so times of receipt rise in it, and a
 * message's own never changes: bounded by the batch's times, the look-up reads the ledger's end and not all of it. A
 * foreign message's time is not ours to trust, so those are looked for everywhere.
 */
export async function heldMessages(sql: Sql, messages: readonly StorableMessage[]): Promise<ReadonlySet<string>> {
  const late = messages.filter((message) => message.late);
  const own = messages.filter((message) => !message.late);
  const held = new Set(
    await heldIds(
      sql,
      late.map(({ envelope }) => envelope.messageId),
    ),
  );
  if (own.length === 0) return held;
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const { envelope } of own) {
    const receivedAtMs = Date.parse(envelope.receivedAt);
    first = Math.min(first, receivedAtMs);
    last = Math.max(last, receivedAtMs);
  }
  const rows = await sql.rows(
    `SELECT ${HEX} AS id FROM custody.ledger WHERE received_at BETWEEN epoch_ms($2::BIGINT) AND epoch_ms($3::BIGINT) AND message_id IN ${ID_LIST}`,
    // One more each way: the text may hold microseconds.
    [own.map(({ envelope }) => envelope.messageId).join(','), BigInt(first - 1), BigInt(last + 1)],
  );
  for (const { id } of rows) held.add(String(id));
  return held;
}

/** What the ledger keeps of a message. */
interface LedgerMessage extends Pick<StorableMessage, 'sequence' | 'late' | 'gone'> {
  readonly envelope: Omit<StorableMessage['envelope'], 'rows' | 'rejects'>;
}

const NONE_GONE: GoneRows = { erased: [], expired: [], rejected: 0 };

interface LedgerOptions {
  readonly messages: readonly { readonly position: number; readonly message: LedgerMessage }[];
  readonly commitNumber: number;
  /** The temporary table `classified` says which rows were not stored. */
  readonly classified: boolean;
}

export async function insertLedger(sql: Sql, { messages, commitNumber, classified }: LedgerOptions): Promise<void> {
  const facts = messages.map(({ position, message: { envelope, sequence, late, gone = NONE_GONE } }) => ({
    id: envelope.messageId,
    dataset: envelope.dataset,
    request: envelope.requestId,
    key: envelope.apiKeyId,
    version: envelope.contractVersion,
    sequence,
    late,
    position,
    at: envelope.receivedAt,
    accepted: envelope.rowCount + gone.erased.length + gone.expired.length,
    rejected: envelope.rejectCount + gone.rejected,
    erased: gone.erased,
    expired: gone.expired,
  }));
  const shape =
    '[{"id":"UUID","dataset":"VARCHAR","request":"VARCHAR","key":"VARCHAR","version":"INTEGER","sequence":"BIGINT","late":"BOOLEAN","position":"INTEGER","at":"TIMESTAMP","accepted":"INTEGER","rejected":"INTEGER","erased":["INTEGER"],"expired":["INTEGER"]}]';
  const verdicts = classified
    ? `SELECT _message_id, coalesce(list(_index ORDER BY _index) FILTER (_verdict = 'duplicate'), []) AS duplicates,
         count(*) FILTER (_verdict = 'conflict') AS conflicts FROM classified GROUP BY _message_id`
    : 'SELECT NULL::UUID AS _message_id, []::INTEGER[] AS duplicates, 0 AS conflicts WHERE false';
  await sql.run(
    `INSERT INTO custody.ledger
     SELECT m.id, m.dataset, m.request, m.key, m.version, m.sequence, m.late, $2, m.position, m."at", m.accepted, m.rejected,
       m.accepted - coalesce(len(v.duplicates), 0) - coalesce(v.conflicts, 0) - len(m.erased) - len(m.expired), coalesce(v.conflicts, 0),
       coalesce(v.duplicates, []), m.erased, m.expired
     FROM (SELECT unnest(from_json($1, '${shape}')) AS m) f LEFT JOIN (${verdicts}) v ON v._message_id = f.m.id
     ORDER BY m.position`,
    [JSON.stringify(facts), BigInt(commitNumber)],
  );
}

export interface Accounting {
  readonly datasets: Readonly<Record<string, WarehouseAccounting>>;
  readonly held: ReadonlySet<string>;
}

/** Inside one transaction of the caller: every term is of the same moment. `datasets`: every one with a silver table. */
export async function takeAccounting(
  sql: Sql,
  options: { readonly cut: number; readonly messageIds: readonly string[]; readonly datasets: readonly string[] },
): Promise<Accounting> {
  const { cut, messageIds, datasets } = options;
  const sums = await sql.rows(
    `SELECT dataset, coalesce(sum(accepted) FILTER (late), 0)::DOUBLE AS late, sum(len(duplicates))::DOUBLE AS duplicate,
       sum(len(expired))::DOUBLE AS expired, sum(len(erased))::DOUBLE AS erased
     FROM custody.ledger WHERE sequence <= $1 GROUP BY dataset`,
    [BigInt(cut)],
  );
  const quarantined = await quarantinedRows(sql, cut);
  const beyond = await commitsBeyond(sql, cut);
  const terms: Record<string, WarehouseAccounting> = {};
  for (const dataset of datasets) {
    const row = sums.find((one) => one.dataset === dataset);
    terms[dataset] = {
      lateRows: Number(row?.late ?? 0),
      stored: await storedRows(sql, { dataset, cut, beyond }),
      duplicate: Number(row?.duplicate ?? 0),
      quarantined: quarantined.get(dataset) ?? 0,
      expired: Number(row?.expired ?? 0),
      erased: Number(row?.erased ?? 0),
    };
  }
  return { datasets: terms, held: await heldIds(sql, messageIds) };
}

/** The first commit that holds a message beyond the cut: rows of earlier ones need not be asked. */
async function commitsBeyond(sql: Sql, cut: number): Promise<number | undefined> {
  const [row] = await sql.rows('SELECT min("commit")::DOUBLE AS first FROM custody.ledger WHERE sequence > $1', [
    BigInt(cut),
  ]);
  return typeof row?.first === 'number' ? row.first : undefined;
}

async function storedRows(
  sql: Sql,
  { dataset, cut, beyond }: { readonly dataset: string; readonly cut: number; readonly beyond: number | undefined },
): Promise<number> {
  const table = silverTable(dataset);
  const [all] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM ${table}`);
  if (beyond === undefined) return Number(all?.rows);
  const [later] = await sql.rows(
    `SELECT count(*)::DOUBLE AS "rows" FROM ${table} WHERE _commit >= $1 AND _message_id IN (SELECT message_id FROM custody.ledger WHERE sequence > $2 AND "commit" >= $1)`,
    [BigInt(beyond), BigInt(cut)],
  );
  return Number(all?.rows) - Number(later?.rows);
}

async function quarantinedRows(sql: Sql, cut: number): Promise<ReadonlyMap<string, number>> {
  const rows = await sql.rows(
    `SELECT dataset, count(*)::DOUBLE AS "rows" FROM custody.quarantine WHERE origin = 'pipeline'
       AND message_id NOT IN (SELECT message_id FROM custody.ledger WHERE sequence > $1) GROUP BY dataset`,
    [BigInt(cut)],
  );
  return new Map(rows.map((row) => [String(row.dataset), Number(row.rows)]));
}

export async function takeCounts(
  sql: Sql,
  datasets: readonly string[],
): Promise<ReadonlyMap<string, Omit<DatasetCounts, 'lastCommitAtMs'>>> {
  const apart = await sql.rows(
    `SELECT dataset, count(*) FILTER (origin = 'pipeline')::DOUBLE AS quarantined, count(*) FILTER (origin = 'request')::DOUBLE AS rejected
     FROM custody.quarantine GROUP BY dataset`,
  );
  const counts = new Map<string, Omit<DatasetCounts, 'lastCommitAtMs'>>();
  for (const dataset of datasets) {
    const [stored] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM ${silverTable(dataset)}`);
    const row = apart.find((one) => one.dataset === dataset);
    counts.set(dataset, {
      stored: Number(stored?.rows),
      quarantined: Number(row?.quarantined ?? 0),
      rejected: Number(row?.rejected ?? 0),
    });
  }
  return counts;
}

/** One request's messages: all of one dataset, within a few commits. */
interface RequestMessages {
  readonly ids: readonly string[];
  /** Of `rowStates`. */
  readonly params: [string, bigint, bigint];
  /** The state of each row. */
  readonly rowStates: string;
}

async function requestMessages(sql: Sql, requestId: string): Promise<RequestMessages | undefined> {
  const [row] = await sql.rows(
    `SELECT any_value(dataset) AS dataset, list(${HEX} ORDER BY "commit", position) AS ids, min("commit")::VARCHAR AS first, max("commit")::VARCHAR AS last
     FROM custody.ledger WHERE request_id = $1`,
    [requestId],
  );
  if (row === undefined || !Array.isArray(row.ids)) return undefined;
  const ids = row.ids.map(String);
  return {
    ids,
    params: [ids.join(','), BigInt(String(row.first)), BigInt(String(row.last))],
    rowStates: rowStatesSql(String(row.dataset)),
  };
}

/**
 * A request whose answer was lost is published again, and each of its rows is then in two messages: stored by the one,
 * a duplicate in the other. A row is spoken of once, in the first of these states that one of its copies reached.
 */
function rowStatesSql(dataset: string): string {
  const within = (commit: string, id: string): string => `${commit} BETWEEN $2 AND $3 AND ${id} IN ${ID_LIST}`;
  const listed = (rank: number, state: string, list: string): string =>
    `SELECT ${rank}, unnest(${list}), '${state}', NULL, NULL FROM custody.ledger WHERE ${within('"commit"', 'message_id')}`;
  const apart = (rank: number, state: string, origin: string): string =>
    `SELECT ${rank}, "index", '${state}', code, pointer FROM custody.quarantine WHERE origin = '${origin}' AND ${within('"commit"', 'message_id')}`;
  const states = [
    `SELECT 1, _index, 'stored', NULL, NULL FROM ${silverTable(dataset)} WHERE ${within('_commit', '_message_id')}`,
    apart(2, 'quarantined', 'pipeline'),
    listed(3, 'expired', 'expired'),
    listed(4, 'erased', 'erased'),
    listed(5, 'duplicate', 'duplicates'),
    apart(6, 'rejected', 'request'),
  ];
  return `SELECT DISTINCT ON ("index") "index", state, code, pointer
    FROM (${states.join(' UNION ALL ')}) AS copies(rank, "index", state, code, pointer) ORDER BY "index", rank`;
}

/** In the order in which they were stored. */
export async function takeRequestMessages(sql: Sql, requestId: string): Promise<readonly StoredMessage[]> {
  const rows = await sql.rows(
    `SELECT replace(message_id::VARCHAR, '-', '') AS id, (accepted + rejected)::DOUBLE AS records FROM custody.ledger
     WHERE request_id = $1 ORDER BY "commit", position`,
    [requestId],
  );
  return rows.map(({ id, records }) => ({ messageId: String(id), records: Number(records) }));
}

/** Requests that the ledger has nothing of are left out. */
export async function takeReceivedAt(sql: Sql, requestIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await sql.rows(
    `SELECT request_id AS id, epoch_ms(max(received_at))::DOUBLE AS at FROM custody.ledger
     WHERE request_id IN (SELECT unnest(from_json($1, '["VARCHAR"]'))) GROUP BY request_id`,
    [JSON.stringify(requestIds)],
  );
  return new Map(rows.map(({ id, at }) => [String(id), Number(at)]));
}

export async function takeRequestOutcome(sql: Sql, requestId: string): Promise<RequestOutcome> {
  const messages = await requestMessages(sql, requestId);
  const rows =
    messages === undefined
      ? []
      : await sql.rows(
          `SELECT state, count(*)::DOUBLE AS "rows" FROM (${messages.rowStates}) GROUP BY state`,
          messages.params,
        );
  const count = (state: RowState): number => Number(rows.find((row) => row.state === state)?.rows ?? 0);
  const states = {
    stored: count('stored'),
    duplicate: count('duplicate'),
    quarantined: count('quarantined'),
    expired: count('expired'),
    erased: count('erased'),
  };
  return {
    messageIds: messages?.ids ?? [],
    accepted: Object.values(states).reduce((sum, some) => sum + some, 0),
    rejected: count('rejected'),
    ...states,
  };
}

type RowState = RowOutcome['state'];

/** Rows that are not stored, by index. */
export async function takeRequestRows(
  sql: Sql,
  requestId: string,
  page: { readonly afterIndex: number; readonly limit: number },
): Promise<readonly RowOutcome[]> {
  const messages = await requestMessages(sql, requestId);
  if (messages === undefined) return [];
  const rows = await sql.rows(
    `SELECT "index", state, code, pointer FROM (${messages.rowStates})
     WHERE state <> 'stored' AND "index" > $4 ORDER BY "index" LIMIT $5`,
    [...messages.params, page.afterIndex, page.limit],
  );
  return rows.map((one) => ({
    index: Number(one.index),
    state: one.state as RowState,
    ...(typeof one.code === 'string' ? { code: one.code } : {}),
    ...(typeof one.pointer === 'string' ? { pointer: one.pointer } : {}),
  }));
}
