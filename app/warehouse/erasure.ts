/**
 * Takes rows out, for good: a rebuild takes them out again.
 *
 * First the tombstones are durable in bronze (message id, row number and reason, no content), then one transaction
 * removes the rows and writes into the ledger what became of them, so that the states stay balanced. A crash between
 * leaves a tombstone file that is not registered, and the next open carries it out.
 */
import { silverTable } from './duckdb-schema.ts';
import { literal, type Sql } from './duckdb-session.ts';

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
  return `SELECT *, 'erased' AS reason, ${commitNumber}::BIGINT AS "commit" FROM (${parts.join(' UNION ALL ')}) ORDER BY dataset, message_id, "index"`;
}

/** Carries tombstones out, inside the caller's transaction. Twice is as good as once. Answers the rows removed. */
export async function applyTombstones(
  sql: Sql,
  options: { readonly path: string; readonly datasets: readonly string[] },
): Promise<number> {
  await sql.run(`CREATE OR REPLACE TEMP TABLE tombstones AS SELECT * FROM read_parquet(${literal(options.path)})`);
  const here = options.datasets.map(
    (dataset) => `SELECT _message_id AS message_id, _index AS "index", true AS stored FROM ${silverTable(dataset)}
      WHERE _message_id IN (SELECT message_id FROM tombstones WHERE dataset = ${literal(dataset)})`,
  );
  here.push(
    'SELECT message_id, "index", false FROM custody.quarantine WHERE origin = \'pipeline\' AND message_id IN (SELECT message_id FROM tombstones)',
  );
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE going AS SELECT t.message_id, t."index", t.reason, h.stored
     FROM (${here.join(' UNION ALL ')}) h JOIN tombstones t ON t.message_id = h.message_id AND t."index" = h."index"`,
  );
  await sql.run(
    `UPDATE custody.ledger SET
       erased = list_sort(list_concat(ledger.erased, g.erased)), expired = list_sort(list_concat(ledger.expired, g.expired)),
       stored = ledger.stored - g.stored, quarantined = ledger.quarantined - g.quarantined
     FROM (SELECT message_id, coalesce(list("index") FILTER (reason = 'erased'), []) AS erased,
             coalesce(list("index") FILTER (reason = 'expired'), []) AS expired,
             count(*) FILTER (stored) AS stored, count(*) FILTER (NOT stored) AS quarantined FROM going GROUP BY message_id) g
     WHERE ledger.message_id = g.message_id`,
  );
  for (const dataset of options.datasets) {
    await sql.run(
      `DELETE FROM ${silverTable(dataset)} s USING tombstones t WHERE t.dataset = ${literal(dataset)} AND s._message_id = t.message_id AND s._index = t."index"`,
    );
  }
  await sql.run(
    'DELETE FROM custody.quarantine q USING tombstones t WHERE q.message_id = t.message_id AND q."index" = t."index"',
  );
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS "rows" FROM going');
  return Number(counted?.rows);
}
