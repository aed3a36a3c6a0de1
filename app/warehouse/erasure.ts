/**
 * Takes rows out, for good: a rebuild takes them out again.
 *
 * First the tombstones are durable in bronze (message id, row number and reason, no content), then one transaction
 * removes the rows and writes into the ledger what became of them, so that the states stay balanced. A crash between
 * leaves a tombstone file that is not registered, and the next open carries it out.
 */
import { silverTable } from './duckdb-schema.ts';
import { literal, type Sql } from './duckdb-session.ts';

/**
 * What a tombstone takes. `erased`: everything that is known of the row, in whatever state it is. `expired`: the same,
 * but a row that was erased before stays erased. The others take the row out of one layer: it may lie in bronze still.
 */
export type TombstoneReason = 'erased' | 'expired' | 'expired_silver' | 'expired_quarantine';

/** Every row of the messages that came with sample data and is still here, as tombstones. */
export function sampleTombstones(options: {
  readonly datasets: readonly string[];
  readonly commitNumber: number;
}): string {
  const { datasets, commitNumber } = options;
  const ids = "(SELECT message_id FROM custody.ledger WHERE api_key_id = 'sample')";
  const parts = datasets.map(
    (dataset) =>
      `SELECT ${literal(dataset)} AS dataset, _message_id AS message_id, _index AS "index" FROM ${silverTable(dataset)} WHERE _message_id IN ${ids}`,
  );
  parts.push(`SELECT dataset, message_id, "index" FROM custody.quarantine WHERE message_id IN ${ids}`);
  return tombstones(`SELECT *, 'erased' AS reason FROM (${parts.join(' UNION ALL ')})`, { commitNumber });
}

/** `select`: dataset, message_id, index, reason. `cause`: of whatever asked for them, 32 hex digits. */
export function tombstones(
  select: string,
  { commitNumber, cause }: { readonly commitNumber: number; readonly cause?: string },
): string {
  const of = cause === undefined ? 'NULL' : literal(cause);
  return `SELECT *, ${commitNumber}::BIGINT AS "commit", ${of}::UUID AS cause FROM (${select}) ORDER BY dataset, message_id, "index"`;
}

/** Carries tombstones out, inside the caller's transaction. Twice is as good as once. Answers the accepted rows removed. */
export async function applyTombstones(
  sql: Sql,
  options: { readonly path: string; readonly datasets: readonly string[] },
): Promise<number> {
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE tombstones AS SELECT dataset, message_id, "index", reason FROM read_parquet(${literal(options.path)})`,
  );
  await findGoing(sql, options.datasets);
  await rewriteLedger(sql);
  for (const dataset of options.datasets) {
    await sql.run(
      `DELETE FROM ${silverTable(dataset)} s USING tombstones t
       WHERE t.dataset = ${literal(dataset)} AND t.reason <> 'expired_quarantine' AND s._message_id = t.message_id AND s._index = t."index"`,
    );
  }
  await sql.run(
    `DELETE FROM custody.quarantine q USING tombstones t
     WHERE t.reason <> 'expired_silver' AND q.message_id = t.message_id AND q."index" = t."index"`,
  );
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS "rows" FROM going');
  return Number(counted?.rows);
}

/** Makes the temporary table `going`: accepted rows that leave the state that they are in. Rejected ones are in none. */
async function findGoing(sql: Sql, datasets: readonly string[]): Promise<void> {
  const here = datasets.map(
    (dataset) => `SELECT _message_id AS message_id, _index AS "index", 'stored' AS state FROM ${silverTable(dataset)}
      WHERE _message_id IN (SELECT message_id FROM tombstones WHERE dataset = ${literal(dataset)})`,
  );
  here.push(
    `SELECT message_id, "index", 'quarantined' FROM custody.quarantine WHERE origin = 'pipeline' AND message_id IN (SELECT message_id FROM tombstones)`,
  );
  for (const state of ['duplicate', 'expired']) here.push(listedRows(state, 'tombstones'));
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE going AS SELECT t.message_id, t."index", h.state, min(if(t.reason = 'erased', 'erased', 'expired')) AS next
     FROM (${here.join(' UNION ALL ')}) h JOIN tombstones t ON t.message_id = h.message_id AND t."index" = h."index"
     WHERE CASE t.reason WHEN 'erased' THEN true WHEN 'expired' THEN h.state <> 'expired'
       WHEN 'expired_silver' THEN h.state = 'stored' WHEN 'expired_quarantine' THEN h.state = 'quarantined' END
     GROUP BY ALL`,
  );
}

const LISTS: Readonly<Record<string, string>> = { duplicate: 'duplicates', erased: 'erased', expired: 'expired' };

function listedRows(state: string, messages: string): string {
  return `SELECT message_id, unnest(${LISTS[state]}), '${state}' FROM custody.ledger WHERE message_id IN (SELECT message_id FROM ${messages})`;
}

/** As sets, not list by list: a message of a file has a hundred thousand rows. */
async function rewriteLedger(sql: Sql): Promise<void> {
  const listed = Object.keys(LISTS).map((state) => listedRows(state, 'going'));
  const lists = Object.entries(LISTS).map(
    ([state, list]) => `coalesce(list("index" ORDER BY "index") FILTER (state = '${state}'), []) AS ${list}`,
  );
  await sql.run(
    `UPDATE custody.ledger SET duplicates = n.duplicates, erased = n.erased, expired = n.expired,
       stored = ledger.stored - n.stored, quarantined = ledger.quarantined - n.quarantined
     FROM (
       WITH listed(message_id, "index", state) AS (${listed.join(' UNION ALL ')}),
       next AS (
         SELECT * FROM listed l ANTI JOIN going g ON g.message_id = l.message_id AND g."index" = l."index" AND g.state = l.state
         UNION SELECT message_id, "index", next FROM going),
       lists AS (SELECT message_id, ${lists.join(', ')} FROM next GROUP BY message_id),
       left_states AS (SELECT message_id, count(*) FILTER (state = 'stored') AS stored, count(*) FILTER (state = 'quarantined') AS quarantined
         FROM going GROUP BY message_id)
       SELECT lists.*, left_states.stored, left_states.quarantined FROM lists JOIN left_states USING (message_id)) n
     WHERE ledger.message_id = n.message_id`,
  );
}
