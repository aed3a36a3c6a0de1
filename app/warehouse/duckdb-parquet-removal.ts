/** Takes the content of rows out of a Parquet file: all their columns become null, and the other rows stay as they are. */
import { dirname } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { literal, quoted } from './duckdb-session.ts';

const MEMORY_LIMIT = '512MiB';
/** Of DuckDB's own writer: a group is held as a whole. */
const ROW_GROUP_ROWS = 50_000;

interface Options {
  readonly path: string;
  /** Numbers of rows, from 0. */
  readonly indexes: ReadonlySet<number>;
  /** In another folder or under another name. Absent: they are only counted. */
  readonly target?: string;
}

/** Answers how many of the rows had content. */
export async function emptyParquetRows({ path, indexes, target }: Options): Promise<number> {
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: MEMORY_LIMIT, threads: '1' });
  const connection = await instance.connect();
  try {
    const folders = [path, target ?? path].map((one) => literal(`${dirname(one)}/`));
    for (const statement of [
      'SET GLOBAL autoinstall_known_extensions = false',
      'SET GLOBAL autoload_known_extensions = false',
      `SET GLOBAL allowed_directories = [${folders.join(', ')}]`,
      'SET GLOBAL enable_external_access = false',
      'SET GLOBAL lock_configuration = true',
    ]) {
      await connection.run(statement);
    }
    await connection.run('CREATE TABLE gone AS SELECT unnest(from_json($1, \'["BIGINT"]\')) AS place', [
      JSON.stringify([...indexes]),
    ]);
    const read = `read_parquet(${literal(path)}, file_row_number = true)`;
    const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet(${literal(path)})`);
    const columns = described.getRowObjectsJson().map(({ column_name: name }) => quoted(String(name)));
    const isGone = 'file_row_number IN (SELECT place FROM gone)';
    const anything = columns.map((name) => `${name} IS NOT NULL`).join(' OR ');
    const counted = await connection.runAndReadAll(`SELECT count(*) FROM ${read} WHERE ${isGone} AND (${anything})`);
    const rows = Number(counted.getRows()[0]?.[0]);
    if (target === undefined || rows === 0) return rows;
    const emptied = columns.map((name) => `if(g.place IS NULL, r.${name}, NULL) AS ${name}`);
    await connection.run(
      `COPY (SELECT ${emptied.join(', ')} FROM ${read} r LEFT JOIN gone g ON g.place = r.file_row_number ORDER BY r.file_row_number)
       TO ${literal(target)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS})`,
    );
    return rows;
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
