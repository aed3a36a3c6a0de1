/**
 * Makes the database file again without what was deleted: freed blocks keep old bytes, and deleted rows stay in theirs.
 *
 * Everything that is there is copied, commit numbers included, so that cursors and answers stay good; the copy is held
 * against the original, table by table, and takes its place in one rename. Nobody has the file open. What dies before
 * leaves the original, and the copy is thrown away by the next one.
 */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { syncPath } from '../durable-folder.ts';
import { literal } from './duckdb-session.ts';
import { DATABASE_FILE } from './duckdb-warehouse.ts';

export interface CompactOptions {
  /** DATA_DIR. */
  readonly dir: string;
  readonly memoryMib: number;
  readonly threads: number;
  readonly faultPoint?: (name: string) => void;
}

export async function compactDatabase({ dir, memoryMib, threads, faultPoint }: CompactOptions): Promise<void> {
  const path = join(dir, DATABASE_FILE);
  if (!existsSync(path)) return;
  const copy = `${path}.compact`;
  for (const left of [copy, `${copy}.wal`]) await rm(left, { force: true });
  const settings = {
    memory_limit: `${memoryMib}MiB`,
    threads: String(threads),
    temp_directory: join(dir, 'work', 'spill'),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  };
  // What the WAL holds goes into the file, so that nothing of it is beside the copy later.
  await withConnection(path, settings, (connection) => run(connection, ['CHECKPOINT']));
  await withConnection(':memory:', settings, async (connection) => {
    await run(connection, [
      `ATTACH ${literal(path)} AS original (READ_ONLY)`,
      `ATTACH ${literal(copy)} AS compacted`,
      'COPY FROM DATABASE original TO compacted',
      'CHECKPOINT compacted',
    ]);
    await requireEqual(connection);
    await run(connection, ['DETACH compacted', 'DETACH original']);
  });
  await syncPath(copy);
  faultPoint?.('while-compacting');
  for (const one of [path, copy]) if (existsSync(`${one}.wal`)) throw new Error(`${one}.wal is still there`);
  await rename(copy, path);
  await syncPath(dir);
}

async function requireEqual(connection: DuckDBConnection): Promise<void> {
  const tables = await connection.runAndReadAll(
    "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'original' AND NOT internal",
  );
  for (const [schema, table] of tables.getRows()) {
    const [one, other] = await Promise.all(
      ['original', 'compacted'].map(async (database) => {
        const name = `${database}."${String(schema)}"."${String(table)}"`;
        // A sum, not an exclusive or: a row that is there twice does not cancel out.
        const found = await connection.runAndReadAll(`SELECT count(*), sum(hash(t)::HUGEINT) FROM ${name} t`);
        return String(found.getRowsJson());
      }),
    );
    if (one !== other) throw new Error(`${String(schema)}.${String(table)} and its copy differ`);
  }
}

async function run(connection: DuckDBConnection, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await connection.run(statement);
}

async function withConnection<T>(
  path: string,
  settings: Record<string, string>,
  use: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const instance = await DuckDBInstance.create(path, settings);
  const connection = await instance.connect();
  try {
    return await use(connection);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
