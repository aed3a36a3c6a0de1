/** Whether the files beside the database are known to it: what the doctor asks. */
import type { Sql } from './duckdb-session.ts';

export interface ArchivedName {
  /** Under the archive folder; answered as it is given. */
  readonly name: string;
  readonly dataset: string;
  /** The first digits of its file's SHA-256, hex; empty when the name has none, and then nobody knows the file. */
  readonly fileIdBegins: string;
}

export interface FileQuestions {
  /** Names of bronze files without their ending. */
  readonly bronze: readonly string[];
  readonly archived: readonly ArchivedName[];
  /** How the ledger calls the rows of a file of a dataset. */
  readonly requestIdOf: (fileId: string, dataset: string) => string;
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
  const known = await knownFiles(sql, questions);
  return {
    bronze: hashes.map(({ name }) => String(name)),
    archived: archived.filter((file) => !known.has(beginningOf(file))).map(({ name }) => name),
    committedAtMs: typeof newest?.at === 'number' ? newest.at : undefined,
  };
}

/** $1, a JSON array, as rows. */
const LISTED = `SELECT unnest(from_json($1, '["VARCHAR"]')) AS name`;

/**
 * The audit has the whole file id of each range that was stored, as `<file id>:<first index>:<records>`; that the rows
 * are there, or what became of them, only the ledger says.
 */
async function knownFiles(sql: Sql, { archived, requestIdOf }: FileQuestions): Promise<ReadonlySet<string>> {
  const rows = await sql.rows(
    `SELECT DISTINCT dataset, split_part(source, ':', 1) AS file_id FROM custody.audit
     WHERE step = 'landing.range' AND dataset || '/' || left(source, ${ARCHIVE_DIGITS}) IN (${LISTED})`,
    [JSON.stringify(archived.map(beginningOf))],
  );
  const files = rows.map(({ dataset, file_id }) => ({ dataset: String(dataset), fileId: String(file_id) }));
  const held = await sql.rows(`SELECT DISTINCT request_id AS id FROM custody.ledger WHERE request_id IN (${LISTED})`, [
    JSON.stringify(files.map(({ fileId, dataset }) => requestIdOf(fileId, dataset))),
  ]);
  const requests = new Set(held.map(({ id }) => String(id)));
  return new Set(
    files
      .filter(({ fileId, dataset }) => requests.has(requestIdOf(fileId, dataset)))
      .map(({ fileId, dataset }) => beginningOf({ dataset, fileIdBegins: fileId.slice(0, ARCHIVE_DIGITS) })),
  );
}

/** An archived file's name begins with so many digits of its file id. */
const ARCHIVE_DIGITS = 16;

function beginningOf({ dataset, fileIdBegins }: Pick<ArchivedName, 'dataset' | 'fileIdBegins'>): string {
  return `${dataset}/${fileIdBegins}`;
}
