/**
 * Puts one bronze file in the place of several, with all of their rows or without some of them.
 *
 * Nothing is lost and nothing doubled wherever the process dies. The steps, each durable before the next:
 * 1. the new file's bytes, under a temporary name; 2. a note that says what it will replace; 3. its name: the switch;
 * 4. the database's list of files, in one transaction; 5. the old files are removed; 6. the note is removed.
 * A note whose file has no name is dropped at the next open, any other is carried on from step 4. Between 3 and 5 old
 * and new lie side by side, and a replay that meets both stores each message once, because the ledger knows it.
 *
 * Old files are read only when their content has the hash that is their name, so that damage is not copied into a file
 * that looks whole. A file that the database does not know is never rewritten: what it holds may be stored nowhere.
 */
import { randomUUID } from 'node:crypto';
import { access, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeFolder, syncPath } from '../durable-folder.ts';
import { AppError } from '../errors.ts';
import { registeredHashes, registerFiles, ROWS_ORDER } from './bronze.ts';
import {
  type BronzeFile,
  type BronzeKind,
  BronzeError,
  draftFile,
  type DraftFile,
  factsOf,
  placeFile,
  removeFiles,
  requireIntact,
} from './bronze-file.ts';
import { type DuckdbSession, literal, type Sql } from './duckdb-session.ts';

const NOTES_FOLDER = '_rewrites';

export interface Rewrite {
  /** The audit's step. */
  readonly reason: string;
  /** Undefined when no row was kept. */
  readonly file: BronzeFile | undefined;
  readonly replaced: readonly BronzeFile[];
  readonly rowsBefore: number;
  readonly rowsAfter: number;
}

interface Places {
  /** Bronze's own folder. */
  readonly root: string;
  readonly workDir: string;
  readonly writer: DuckdbSession;
  /** In the transaction that changes the list of files. */
  readonly recorded: (sql: Sql, rewrite: Rewrite) => Promise<void>;
  readonly faultPoint?: ((name: string) => void) | undefined;
}

export interface RewriteOptions extends Places {
  readonly reason: string;
  /** Of one folder, and known to the database. */
  readonly files: readonly BronzeFile[];
  /**
   * `where`: SQL over the columns of a rows or audit file; rows for which it is not true are left out. `withoutContent`:
   * tombstone files; of a row that they name (reason `erased` or `expired`) only message and index are kept.
   */
  readonly keep: 'all' | { readonly where: string } | { readonly withoutContent: readonly BronzeFile[] };
  readonly reader: DuckdbSession;
}

/** One message that is in several of the files is kept once, as it was settled first. */
export async function rewriteBronze(options: RewriteOptions): Promise<Rewrite> {
  const { files, reader, writer, faultPoint } = options;
  const known = await writer.exclusive(registeredHashes);
  const unknown = files.find(({ hash }) => !known.has(hash));
  if (unknown !== undefined) throw refused(`${unknown.path} is not registered`);
  for (const file of files) await requireIntact(file);
  const { draft, rowsBefore } = await reader.exclusive((sql) => draftOf(sql, options));
  try {
    faultPoint?.('rewrite-drafted');
    return await replaceWith(options, draft, rowsBefore);
  } finally {
    await rm(draft.temporary, { force: true });
  }
}

async function replaceWith(options: RewriteOptions, draft: DraftFile, rowsBefore: number): Promise<Rewrite> {
  const { files, reason, root, faultPoint } = options;
  const [first] = files;
  if (first === undefined) throw refused('there is no file to rewrite');
  const folder = relative(root, dirname(first.path));
  const file =
    draft.rows === 0 ? undefined : { ...first, hash: draft.hash, path: join(root, folder, `${draft.hash}.parquet`) };
  // A file that is to stay as it is would be removed with those it takes the place of.
  const replaced = files.filter(({ hash }) => hash !== draft.hash);
  const rewrite = { reason, file, replaced, rowsBefore, rowsAfter: draft.rows };
  const note = await writeNote(options, rewrite);
  faultPoint?.('rewrite-noted');
  if (file !== undefined) await placeFile(draft, { root, folder });
  faultPoint?.('rewrite-switched');
  await finish(options, rewrite, note);
  return rewrite;
}

/** What an earlier process began. Called before anything reads bronze. */
export async function finishRewrites(places: Places): Promise<void> {
  for (const note of await notesIn(places.root)) {
    const rewrite = await readNote(places.root, note);
    if (rewrite.file !== undefined && !(await exists(rewrite.file.path))) await removeFiles([note]);
    else await finish(places, rewrite, note);
  }
}

async function draftOf(
  sql: Sql,
  { files, keep, workDir }: RewriteOptions,
): Promise<{ readonly draft: DraftFile; readonly rowsBefore: number }> {
  const { kind } = files[0] ?? { kind: 'rows' };
  if (kind === 'tombstones' || files.some((file) => file.kind !== kind)) throw refused(`files of kind ${kind}`);
  const read = `read_parquet([${files.map(({ path }) => literal(path)).join(', ')}], filename = true)`;
  const row = kind === 'rows' ? 'message_id, kind, "index"' : 'id';
  const [counted] = await sql.rows(
    `SELECT count(*)::DOUBLE AS "rows", count(DISTINCT (${row}))::DOUBLE AS single FROM ${read}`,
  );
  const where = keep !== 'all' && 'where' in keep ? keep.where : 'true';
  // Ranking costs more than all else, and a message is in two files only after a crash or a second publish.
  const from = counted?.rows === counted?.single ? `${read} WHERE (${where})` : firstCopies(read, { kind, where });
  const kept = `SELECT * EXCLUDE (filename) FROM ${from}`;
  const bare = keep !== 'all' && 'withoutContent' in keep ? withoutContent(kept, keep.withoutContent) : kept;
  const select = `SELECT * FROM (${bare}) ORDER BY ${kind === 'rows' ? ROWS_ORDER : 'ordinal'}`;
  const draft = await draftFile({ sql, select, workDir });
  const whole = keep === 'all' || 'withoutContent' in keep;
  if (whole && draft.rows !== counted?.single) {
    throw refused(`${draft.rows} rows written of ${String(counted?.single)}`);
  }
  return { draft, rowsBefore: Number(counted?.rows) };
}

/** What a tombstone names keeps its place, so that its message is still known by what it had. */
function withoutContent(rows: string, tombstones: readonly BronzeFile[]): string {
  const graves = `SELECT message_id, "index", min(reason) AS reason FROM read_parquet([${tombstones.map(({ path }) => literal(path)).join(', ')}], union_by_name = true)
    WHERE reason IN ('erased', 'expired') GROUP BY ALL`;
  const emptied = ['event_id', 'body', 'code', 'pointer', 'expected', 'got', 'body_bytes', 'body_hash'].map(
    (column) => `if(g.reason IS NULL, r.${column}, NULL) AS ${column}`,
  );
  const kind = `if(g.reason IS NOT NULL AND r.kind IN ('row', 'reject'), g.reason || '_' || r.kind, r.kind) AS kind`;
  return `SELECT r.* REPLACE (${[kind, ...emptied].join(', ')}) FROM (${rows}) r LEFT JOIN (${graves}) g ON g.message_id = r.message_id AND g."index" = r."index"`;
}

function firstCopies(read: string, { kind, where }: { readonly kind: BronzeKind; readonly where: string }): string {
  const rank =
    kind === 'rows'
      ? 'dense_rank() OVER (PARTITION BY message_id ORDER BY settle_order, filename)'
      : 'row_number() OVER (PARTITION BY id ORDER BY filename)';
  return `(SELECT * EXCLUDE (_copy) FROM (SELECT *, ${rank} AS _copy FROM ${read}) WHERE _copy = 1 AND (${where}))`;
}

async function finish(places: Places, rewrite: Rewrite, note: string): Promise<void> {
  const { writer, recorded, faultPoint } = places;
  const { file, replaced } = rewrite;
  // Last chance: after this nothing else holds these rows.
  if (file !== undefined) await requireIntact(file);
  await writer.exclusive((sql) =>
    sql.transaction(async () => {
      const known = await registeredHashes(sql);
      const removed = replaced.filter(({ hash }) => known.has(hash));
      if (removed.length === 0) return;
      for (const { hash } of removed) await sql.run('DELETE FROM custody.bronze_files WHERE hash = $1', [hash]);
      // A database that lacked one of the old files gets the new one by replay, like any file that it does not know.
      if (file !== undefined && removed.length === replaced.length)
        await registerFiles(sql, [{ ...file, ...(await factsOf(sql, file)) }]);
      await recorded(sql, rewrite);
    }),
  );
  faultPoint?.('rewrite-recorded');
  await removeFiles(replaced.map(({ path }) => path));
  faultPoint?.('rewrite-removed');
  await removeFiles([note]);
}

/** As JSON, with paths below bronze's folder: the data folder may be moved. */
async function writeNote({ root, workDir }: RewriteOptions, rewrite: Rewrite): Promise<string> {
  const name = `${randomUUID()}.json`;
  const relativePath = (file: BronzeFile): BronzeFile => ({ ...file, path: relative(root, file.path) });
  const { file, replaced } = rewrite;
  const text = JSON.stringify({ ...rewrite, file: file && relativePath(file), replaced: replaced.map(relativePath) });
  await writeFile(join(workDir, name), text, { flush: true });
  const note = join(root, NOTES_FOLDER, name);
  await makeFolder(dirname(note), root);
  await rename(join(workDir, name), note);
  await syncPath(dirname(note));
  return note;
}

async function readNote(root: string, note: string): Promise<Rewrite> {
  const absolute = (file: BronzeFile): BronzeFile => ({ ...file, path: join(root, file.path) });
  try {
    const { file, replaced, ...counts } = JSON.parse(await readFile(note, 'utf8')) as Rewrite;
    return { ...counts, file: file && absolute(file), replaced: replaced.map(absolute) };
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new BronzeError(
      `${note} is damaged: restore it from a backup, or move it away; all files in bronze are kept then.`,
    );
  }
}

async function notesIn(root: string): Promise<readonly string[]> {
  const folder = join(root, NOTES_FOLDER);
  if (!(await exists(folder))) return [];
  return (await readdir(folder)).sort().map((name) => join(folder, name));
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function refused(detail: string): AppError {
  return new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: 'WAREHOUSE_UNAVAILABLE: bronze files cannot be rewritten.',
    detail,
  });
}
