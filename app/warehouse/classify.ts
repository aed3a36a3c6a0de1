/**
 * What became of each staged row: stored, a duplicate of what is stored, or in conflict with it.
 *
 * A row is looked for in silver only when its id may have been seen before and its event date holds rows already.
 */
import type { Contract } from '../datasets/contract.ts';
import { contractColumns, silverTable } from './duckdb-schema.ts';
import { quoted, type Sql } from './duckdb-session.ts';
import type { Partitions } from './partitions.ts';
import type { SeenIds, Suspects } from './seen-ids.ts';

export const CONFLICT_EXPECTED = 'the same content as the stored record with this key';

interface ClassifyOptions {
  readonly sql: Sql;
  readonly contract: Contract;
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  /** Of staged rows: silver's columns but `_commit`, and `_position`, by which earlier rows are told. */
  readonly table: string;
  /** Event dates in it, as days since the epoch. */
  readonly days: readonly number[];
}

/**
 * Makes the temporary table `classified`: the table of staged rows with a verdict. False, and no table, when nothing can repeat.
 *
 * The first row with an id wins: the stored one, else the batch's first. The others are duplicates when every field of
 * the contract is equal, and conflicts otherwise.
 */
export async function classify({ sql, contract, partitions, seen, table, days }: ClassifyOptions): Promise<boolean> {
  const suspects = await seen.admit(sql, contract.name, table);
  if (suspects.length === 0) return false;
  const overlap = partitions.present(contract.name, days);
  const fields = contractColumns(contract).map(({ name }) => quoted(name));
  const columns = ['_event_id', ...fields].join(', ');
  const existing = await findExisting({ sql, contract, table, columns, overlap, suspects });
  if (!existing && !(await repeats(sql, table))) return false;
  const equal = fields.map((field) => `r.${field} IS NOT DISTINCT FROM w.${field}`).join(' AND ');
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE classified AS
     WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY _event_id ORDER BY _position, _index) AS _rank FROM ${table}),
     winner AS (
       SELECT DISTINCT ON (_event_id) true AS _old, ${columns} FROM existing
       UNION ALL SELECT false, ${columns} FROM ranked WHERE _rank = 1 AND _event_id NOT IN (SELECT _event_id FROM existing))
     SELECT r.*, CASE WHEN r._rank = 1 AND NOT w._old THEN 'stored' WHEN ${equal} THEN 'duplicate' ELSE 'conflict' END AS _verdict
     FROM ranked r JOIN winner w ON w._event_id = r._event_id`,
  );
  return true;
}

/**
 * Makes the temporary table `existing`: stored rows with an id of the batch. False when there are none.
 *
 * Ids first, alone: reading one column of ten million rows takes two thirds of the time of reading all of them, and
 * almost always there is nothing to read.
 */
async function findExisting(options: {
  readonly suspects: Suspects;
  readonly sql: Sql;
  readonly contract: Contract;
  readonly table: string;
  readonly columns: string;
  readonly overlap: readonly number[];
}): Promise<boolean> {
  const { sql, contract, table, columns, overlap, suspects } = options;
  // A range, not a list: it is held against each row group's least and greatest date before any row is read.
  const dates =
    overlap.length === 0
      ? 'false'
      : `_event_date BETWEEN ${dateOf(Math.min(...overlap))} AND ${dateOf(Math.max(...overlap))}`;
  const silver = silverTable(contract.name);
  const wanted = suspects === 'all' ? '' : "WHERE hash(_event_id) IN (SELECT unnest(string_split($1, ',')::UBIGINT[]))";
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE found AS SELECT _event_id FROM ${silver} WHERE ${dates} AND _event_id IN (SELECT _event_id FROM ${table} ${wanted})`,
    suspects === 'all' ? [] : [suspects.join(',')],
  );
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS ids FROM found');
  const none = counted?.ids === 0;
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE existing AS SELECT ${columns} FROM ${silver} WHERE ${none ? 'false' : dates} AND _event_id IN (SELECT _event_id FROM found)`,
  );
  return !none;
}

async function repeats(sql: Sql, table: string): Promise<boolean> {
  const [counted] = await sql.rows(`SELECT count(*) = count(DISTINCT _event_id) AS single FROM ${table}`);
  return counted?.single !== true;
}

function dateOf(day: number): string {
  return `DATE '1970-01-01' + ${day}`;
}

/** A commit that adds nothing to a partition leaves its version as it is. */
export async function storedDays(sql: Sql): Promise<readonly number[]> {
  const rows = await sql.rows(
    "SELECT DISTINCT _event_date - DATE '1970-01-01' AS day FROM classified WHERE _verdict = 'stored'",
  );
  return rows.map(({ day }) => Number(day));
}
