/**
 * A Parquet file as NDJSON: each row a line, in the order of the file, spelt as the contract's reader takes it.
 *
 * Read by a DuckDB of its own, which may open that file's folder and nothing else, so that a file made to break its
 * reader breaks no warehouse. Memory is a page of each column and one chunk of rows, however large the file is.
 *
 * Values keep what they are: a decimal and an integer beyond 2^53 travel as text, a moment in UTC gets its `Z`. A local
 * time stays one, and where the contract asks for an instant it is refused row by row, as it is over HTTP.
 */
import { DuckDBInstance } from '@duckdb/node-api';
import type { Contract, Field } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { kindOf, literal, quoted } from './duckdb-session.ts';

/** Pages of wide columns; a row group is never held as a whole. */
const MEMORY_LIMIT = '512MiB';
const SAFE_INTEGER_MAX = Number.MAX_SAFE_INTEGER;

/** Throws AppError MALFORMED_PARQUET. */
export async function* parquetLines(options: {
  readonly path: string;
  /** Where it really lies, whatever `path` says: the reader looks there. */
  readonly folder: string;
  readonly contract: Contract;
}): AsyncGenerator<Buffer> {
  const { path, folder, contract } = options;
  const instance = await openReader(folder);
  try {
    const connection = await instance.connect();
    // Old writers leave text unmarked.
    const read = `read_parquet(${literal(path)}, binary_as_string = true)`;
    const columns = (await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${read}`)).getRowObjectsJson();
    const members = columns.map(({ column_name: name, column_type: type }) =>
      memberSql(String(name), String(type), contract.fields[String(name)]),
    );
    const result = await connection.stream(`SELECT concat('{', ${members.join(", ',', ")}, '}') FROM ${read}`);
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return;
      const lines = chunk.getColumnValues(0);
      yield Buffer.from(`${lines.join('\n')}\n`);
    }
  } catch (error) {
    throw malformed(error);
  } finally {
    instance.closeSync();
  }
}

/** One thread and the order kept: a file that is read again gives every row the same index. */
async function openReader(folder: string): Promise<DuckDBInstance> {
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: MEMORY_LIMIT, threads: '1' });
  const connection = await instance.connect();
  const statements = [
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL temp_directory = ''",
    'SET GLOBAL autoinstall_known_extensions = false',
    'SET GLOBAL autoload_known_extensions = false',
    `SET GLOBAL allowed_directories = [${literal(`${folder}/`)}]`,
    'SET GLOBAL enable_external_access = false',
    'SET GLOBAL lock_configuration = true',
  ];
  for (const statement of statements) await connection.run(statement);
  connection.closeSync();
  return instance;
}

/** SQL of `"name":value`. */
function memberSql(name: string, type: string, field: Field | undefined): string {
  return `${literal(`${JSON.stringify(name)}:`)}, coalesce(${valueSql(quoted(name), type, field)}, 'null')`;
}

/** SQL of a value's JSON text; NULL of none. */
function valueSql(value: string, type: string, field: Field | undefined): string {
  const text = `CAST(${value} AS VARCHAR)`;
  const inQuotes = `'"' || ${text} || '"'`;
  if (type.includes('[') || /^(STRUCT|MAP|UNION|LIST)/.test(type)) return `CAST(to_json(${value}) AS VARCHAR)`;
  if (type === 'BOOLEAN') return text;
  if (/^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type)) return integerSql(value);
  if (type === 'FLOAT' || type === 'DOUBLE') return `CASE WHEN isfinite(${value}) THEN ${text} ELSE ${inQuotes} END`;
  if (type.startsWith('DECIMAL')) {
    if (field?.type === 'decimal') return inQuotes;
    return type.endsWith(',0)') ? integerSql(value) : text;
  }
  if (type === 'TIMESTAMP WITH TIME ZONE') return `'"' || replace(replace(${text}, ' ', 'T'), '+00', 'Z') || '"'`;
  return `CAST(to_json(${text}) AS VARCHAR)`;
}

function integerSql(value: string): string {
  const text = `CAST(${value} AS VARCHAR)`;
  return `CASE WHEN ${value} BETWEEN -${SAFE_INTEGER_MAX} AND ${SAFE_INTEGER_MAX} THEN ${text} ELSE '"' || ${text} || '"' END`;
}

function malformed(cause: unknown): Error {
  if (cause instanceof AppError) return cause;
  return new AppError({
    code: 'MALFORMED_PARQUET',
    publicMessage:
      'MALFORMED_PARQUET: the file is no Parquet file that can be read to its end; nothing of it was taken. Write it again, or as CSV or NDJSON.',
    detail: kindOf(cause),
    cause,
  });
}
