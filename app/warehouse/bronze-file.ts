/**
 * A file of bronze is complete or absent: it is written under a temporary name, fsynced, renamed to the hash of its
 * content, and its folder fsynced. It is never changed after.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder, syncPath } from '../durable-folder.ts';
import { literal, type Sql, StartError } from './duckdb-session.ts';

export type BronzeKind = 'rows' | 'audit' | 'tombstones';

export interface BronzeFile {
  readonly hash: string;
  readonly kind: BronzeKind;
  /** Dataset of a rows file, else ''. */
  readonly dataset: string;
  /** Absolute. */
  readonly path: string;
}

export interface FileFacts {
  readonly messages: number;
  readonly rows: number;
  readonly bytes: number;
  readonly firstSettleOrder: number;
  readonly lastSettleOrder: number;
  readonly lastOrdinal: number;
}

export interface SealedFile extends BronzeFile, FileFacts {}

/** Bronze itself is damaged. Nothing is guessed: a person restores the file from a backup. */
export class BronzeError extends StartError {}

/** Durable bytes that have no name in bronze yet. */
export interface DraftFile {
  readonly temporary: string;
  readonly hash: string;
  readonly bytes: number;
  readonly rows: number;
}

/** `written` is called between the bytes and their sync. */
export async function draftFile(options: {
  readonly sql: Sql;
  readonly select: string;
  readonly workDir: string;
  readonly written?: () => void;
}): Promise<DraftFile> {
  const { sql, select, workDir, written } = options;
  const temporary = join(workDir, `${randomUUID()}.parquet`);
  try {
    // Level 1 takes 60 % of the default's time and writes files of 95 % of the size (trips). Row groups of a sixth of the
    // default's rows hold 60 MB less while a range is written.
    await sql.run(
      `COPY (${select}) TO ${literal(temporary)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 20480)`,
    );
    const [counted] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM read_parquet(${literal(temporary)})`);
    written?.();
    await syncPath(temporary);
    const { size } = await stat(temporary);
    return { temporary, hash: await hashOf(temporary), bytes: size, rows: Number(counted?.rows) };
  } catch (error) {
    // On a full disk its bytes would be missed.
    await rm(temporary, { force: true });
    throw error;
  }
}

/** `root` is bronze's own folder, `folder` the one below it. Answers the path. */
export async function placeFile(
  { temporary, hash }: DraftFile,
  { root, folder }: { readonly root: string; readonly folder: string },
): Promise<string> {
  const path = join(root, folder, `${hash}.parquet`);
  await makeFolder(dirname(path), root);
  await rename(temporary, path);
  await syncPath(dirname(path));
  return path;
}

/** Durably; what is gone already stays gone. */
export async function removeFiles(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
  for (const folder of new Set(paths.map((path) => dirname(path)))) await syncPath(folder);
}

export async function requireIntact({ path, hash }: BronzeFile): Promise<void> {
  const found = await hashOf(path);
  if (found === hash) return;
  throw new BronzeError(
    `${path}: its content has the hash ${found}. The file is damaged: restore it from a backup, or move it away and lose the rows in it.`,
  );
}

/** As the file itself says. */
export async function factsOf(sql: Sql, { kind, path }: BronzeFile): Promise<FileFacts> {
  const columns =
    kind === 'rows'
      ? 'count(DISTINCT message_id)::DOUBLE AS messages, min(settle_order)::DOUBLE AS first, max(settle_order)::DOUBLE AS last, 0 AS ordinal'
      : `0 AS messages, 0 AS first, 0 AS last, ${kind === 'audit' ? 'max(ordinal)::DOUBLE' : '0'} AS ordinal`;
  const [row] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows", ${columns} FROM read_parquet(${literal(path)})`);
  return {
    messages: Number(row?.messages),
    rows: Number(row?.rows),
    bytes: (await stat(path)).size,
    firstSettleOrder: Number(row?.first),
    lastSettleOrder: Number(row?.last),
    lastOrdinal: Number(row?.ordinal),
  };
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
