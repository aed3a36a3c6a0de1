/** Whether the files beside the database are known to it: what the doctor asks. */
import type { Sql } from './duckdb-session.ts';

export interface ArchivedName {
  /** Under the archive folder; answered as it is given. */
  readonly name: string;
  /** As the ledger calls the file's rows; undefined when the name does not say, and then nobody knows the file. */
  readonly requestId: string | undefined;
}

export interface FileQuestions {
  /** Names of bronze files without their ending. */
  readonly bronze: readonly string[];
  readonly archived: readonly ArchivedName[];
}

export interface UnknownFiles {
  /** In no list of the database: stored again at the next start. */
  readonly bronze: readonly string[];
  /** Of no message in the ledger. */
  readonly archived: readonly string[];
  /** The newest commit. */
  readonly committedAtMs: number | undefined;
}

export async function inspectFiles(sql: Sql, questions: FileQuestions): Promise<UnknownFiles> {
  const { bronze, archived } = questions;
  const hashes = await sql.rows(
    `SELECT name FROM (${LISTED}) WHERE name NOT IN (SELECT hash FROM custody.bronze_files)`,
    [JSON.stringify(bronze)],
  );
  const [newest] = await sql.rows('SELECT max(committed_at_ms)::DOUBLE AS at FROM custody.commits');
  const held = await heldRequests(
    sql,
    archived.flatMap(({ requestId }) => requestId ?? []),
  );
  return {
    bronze: hashes.map(({ name }) => String(name)),
    archived: archived.filter((file) => !held.has(file.requestId ?? '')).map(({ name }) => name),
    committedAtMs: typeof newest?.at === 'number' ? newest.at : undefined,
  };
}

/** $1, a JSON array, as rows. */
const LISTED = `SELECT unnest(from_json($1, '["VARCHAR"]')) AS name`;

async function heldRequests(sql: Sql, requestIds: readonly string[]): Promise<ReadonlySet<string>> {
  const held = await sql.rows(`SELECT DISTINCT request_id AS id FROM custody.ledger WHERE request_id IN (${LISTED})`, [
    JSON.stringify(requestIds),
  ]);
  return new Set(held.map(({ id }) => String(id)));
}
