/** Whether the files beside the database are known to it: what the doctor asks. */
import type { Sql } from './duckdb-session.ts';

/** An archived file's name begins with so many digits of its file id. */
export const ARCHIVE_DIGITS = 16;

export interface FileQuestions {
  /** Names of bronze files without their ending. */
  readonly bronze: readonly string[];
  /** The first digits of the request ids of archived files. */
  readonly archived: readonly string[];
}

export interface UnknownFiles {
  /** In no list of the database: stored again at the next start. */
  readonly bronze: readonly string[];
  /** Of no message in the ledger. */
  readonly archived: readonly string[];
  /** The newest commit. */
  readonly committedAtMs: number | undefined;
}

export async function inspectFiles(sql: Sql, { bronze, archived }: FileQuestions): Promise<UnknownFiles> {
  const hashes = await sql.rows(
    "SELECT name FROM (SELECT unnest(string_split($1, ',')) AS name) WHERE name <> '' AND name NOT IN (SELECT hash FROM custody.bronze_files)",
    [bronze.join(',')],
  );
  const files = await sql.rows(
    `SELECT name FROM (SELECT unnest(string_split($1, ',')) AS name)
     WHERE name <> '' AND name NOT IN (SELECT DISTINCT left(request_id, ${ARCHIVE_DIGITS}) FROM custody.ledger)`,
    [archived.join(',')],
  );
  const [newest] = await sql.rows('SELECT max(committed_at_ms)::DOUBLE AS at FROM custody.commits');
  return {
    bronze: hashes.map(({ name }) => String(name)),
    archived: files.map(({ name }) => String(name)),
    committedAtMs: typeof newest?.at === 'number' ? newest.at : undefined,
  };
}
