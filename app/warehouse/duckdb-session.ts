/**
 * The DuckDB instance and its connections, each used by one caller at a time.
 *
 * The instance reads and writes only below the folders that the warehouse owns, loads no extension and cannot be
 * reconfigured, so that a hole in a query could not open another file. Every failure leaves as an AppError whose
 * detail holds DuckDB's kind of error and never its text: that may quote a row.
 */
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue, type Json } from '@duckdb/node-api';
import { AppError } from '../errors.ts';

/** The WAL is folded into the file at the commit that finds it larger: about 1 s of replay at start, ~0.1 s of commit. */
export const WAL_BYTES_MAX = 64 * 1024 * 1024;
const TEMP_BYTES_MAX = '16GiB';

export interface InstanceOptions {
  /** The file, or ':memory:'. */
  readonly path: string;
  readonly memoryMib: number;
  readonly threads: number;
  readonly tempDir: string;
  /** The only folders SQL may touch. */
  readonly directories: readonly string[];
}

/** The order matters: after external access is off and the configuration locked, nothing can be set. */
export async function openInstance(options: InstanceOptions): Promise<DuckDBInstance> {
  const { path, memoryMib, threads, tempDir, directories } = options;
  const instance = await DuckDBInstance.create(path, {
    memory_limit: `${memoryMib}MiB`,
    threads: String(threads),
  });
  const connection = await instance.connect();
  const statements = [
    'SET GLOBAL preserve_insertion_order = false',
    `SET GLOBAL temp_directory = ${literal(tempDir)}`,
    `SET GLOBAL max_temp_directory_size = '${TEMP_BYTES_MAX}'`,
    "SET GLOBAL TimeZone = 'UTC'",
    `SET GLOBAL checkpoint_threshold = '${WAL_BYTES_MAX}B'`,
    'SET GLOBAL autoinstall_known_extensions = false',
    'SET GLOBAL autoload_known_extensions = false',
    `SET GLOBAL allowed_directories = [${directories.map((directory) => literal(`${directory}/`)).join(', ')}]`,
    'SET GLOBAL enable_external_access = false',
    'SET GLOBAL lock_configuration = true',
  ];
  for (const statement of statements) await connection.run(statement);
  connection.closeSync();
  return instance;
}

/** SQL text of a string. For names and paths of our own making; what a caller sent is always a parameter. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export type SqlRow = Readonly<Record<string, Json>>;

/** One connection while its session is held. */
export interface Sql {
  run(sql: string, params?: DuckDBValue[]): Promise<void>;
  rows(sql: string, params?: DuckDBValue[]): Promise<readonly SqlRow[]>;
  /** Chunks of at most 2,048 rows, so that a large answer is never in memory at once. */
  stream(sql: string): AsyncIterable<readonly SqlRow[]>;
  /** Of a query with two UINTEGER columns: each row's pair, without an object for it. */
  eachPair(sql: string, visit: (first: number, second: number) => void): Promise<void>;
  /** All or nothing. A rollback that fails costs the connection, which ends its transaction too. */
  transaction<T>(work: () => Promise<T>): Promise<T>;
}

export interface SessionOptions {
  readonly instance: DuckDBInstance;
  /** Told of errors that only a restart with a rebuild can mend. */
  readonly onBroken: (error: unknown) => void;
}

export class DuckdbSession {
  readonly #options: SessionOptions;
  #connection: DuckDBConnection | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Runs when every earlier work of this session has ended. Errors leave as AppError. */
  exclusive<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const result = this.#tail.then(async () => {
      try {
        return await work(this.#sqlOf(await this.#connected()));
      } catch (error) {
        throw warehouseError(error, this.#options.onBroken);
      }
    });
    this.#tail = result.then(nothing, nothing);
    return result;
  }

  interrupt(): void {
    this.#connection?.interrupt();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
    this.#disconnect();
  }

  async #connected(): Promise<DuckDBConnection> {
    if (this.#closed) throw unavailable('closed');
    this.#connection ??= await this.#options.instance.connect();
    return this.#connection;
  }

  #disconnect(): void {
    this.#connection?.closeSync();
    this.#connection = undefined;
  }

  #sqlOf(connection: DuckDBConnection): Sql {
    const run = async (sql: string, params?: DuckDBValue[]): Promise<void> => {
      await connection.run(sql, params);
    };
    return {
      run,
      rows: async (sql, params) => (await connection.runAndReadAll(sql, params)).getRowObjectsJson(),
      stream: async function* (sql) {
        const result = await connection.stream(sql);
        for await (const rows of result.yieldRowObjectJson()) yield rows;
      },
      eachPair: async (sql, visit) => {
        const result = await connection.stream(sql);
        for (;;) {
          const chunk = await result.fetchChunk();
          // A call into native code, as it is: once a chunk, not once a row.
          const rowCount = chunk?.rowCount ?? 0;
          if (chunk === null || rowCount === 0) return;
          const first = chunk.getColumnVector(0);
          const second = chunk.getColumnVector(1);
          for (let row = 0; row < rowCount; row += 1) visit(Number(first.getItem(row)), Number(second.getItem(row)));
        }
      },
      transaction: async (work) => {
        await run('BEGIN TRANSACTION');
        try {
          const result = await work();
          await run('COMMIT');
          return result;
        } catch (error) {
          await run('ROLLBACK').catch(() => this.#disconnect());
          throw error;
        }
      },
    };
  }
}

function nothing(): void {}

/** Only a new file helps: a checksum, a format, or an instance that declared itself dead after a failed write. */
const BROKEN = /corrupt|checksum|^FATAL|^INTERNAL|invalidated|serializ|not a valid DuckDB database/i;
/** What DuckDB says of a value that does not fit its column. */
const UNFIT = /^(Conversion|Invalid Input|Out of Range|Mismatch Type|Invalid Type) Error/;

export function isBroken(error: unknown): boolean {
  return BROKEN.test(messageOf(error));
}

export function isUnfit(error: unknown): boolean {
  return UNFIT.test(messageOf(error)) && !isBroken(error);
}

/** These speak of our SQL, in which values are parameters, or of our files. */
const OWN_TEXT = /^(Parser|Binder|Catalog|IO) Error/;

/** The kind of error without its text. */
export function kindOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (typeof code === 'string') return code;
  if (OWN_TEXT.test(messageOf(error))) return messageOf(error);
  return /^[A-Za-z ]{2,40} Error/.exec(messageOf(error))?.[0] ?? (error instanceof Error ? error.name : typeof error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Stops the start, with a message for the person who starts it. */
export class StartError extends Error {}

function warehouseError(error: unknown, onBroken: (error: unknown) => void): Error {
  if (error instanceof AppError || error instanceof StartError) return error;
  if (isBroken(error)) onBroken(error);
  return unavailable(kindOf(error));
}

function unavailable(reason: string): AppError {
  return new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: 'WAREHOUSE_UNAVAILABLE: the warehouse cannot answer now. Try again.',
    detail: reason,
  });
}
