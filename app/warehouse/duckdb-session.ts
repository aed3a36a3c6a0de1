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
const WAL_BYTES_MAX = 64 * 1024 * 1024;
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
    // Where ranges of files are staged. Later no database can be attached any more.
    "ATTACH ':memory:' AS landing",
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

interface Limits {
  /** How many may wait for their turn. */
  readonly queueMax: number;
  /** Waiting and running together. */
  readonly timeoutMs: number;
}

/** An interrupt that comes between two statements is forgotten, so it is said again until it is heard. */
const INTERRUPT_EVERY_MS = 20;

export class DuckdbSession {
  readonly #options: SessionOptions;
  #connection: DuckDBConnection | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  /** Works that have not ended. */
  #pending = 0;
  #waiting = 0;
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Runs when every earlier work of this session has ended. Errors leave as AppError. */
  exclusive<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#inTurn(() => this.#held(work));
  }

  /** The same for what callers ask for, who may be many: throws OVERLOADED (no turn came) or QUERY_TIMEOUT too. */
  bounded<T>(work: (sql: Sql) => Promise<T>, { queueMax, timeoutMs }: Limits): Promise<T> {
    const waits = this.#pending > 0;
    if (waits && this.#waiting >= queueMax) {
      return Promise.reject(overloaded(`${this.#waiting} reads wait already, limit is ${queueMax} (READ_QUEUE_MAX)`));
    }
    if (waits) this.#waiting += 1;
    const deadlineMs = performance.now() + timeoutMs;
    const late = Promise.withResolvers<never>();
    let place: 'waiting' | 'left' | 'taken' = 'waiting';
    const leave = (next: 'left' | 'taken'): void => {
      if (waits && place === 'waiting') this.#waiting -= 1;
      place = next;
    };
    const timer = setTimeout(() => {
      leave('left');
      late.reject(overloaded(`no turn came within ${timeoutMs} ms (READ_TIMEOUT_MS)`));
    }, timeoutMs);
    const turn = this.#inTurn(() => {
      clearTimeout(timer);
      if (place === 'left') return late.promise;
      leave('taken');
      return this.#interrupted(() => this.#held(work), { deadlineMs, timeoutMs });
    });
    return Promise.race([turn, late.promise]);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    this.#pending += 1;
    const result = this.#tail.then(run).finally(() => {
      this.#pending -= 1;
    });
    this.#tail = result.then(nothing, nothing);
    return result;
  }

  async #held<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    try {
      return await work(this.#sqlOf(await this.#connected()));
    } catch (error) {
      throw warehouseError(error, this.#options.onBroken);
    }
  }

  /** What was interrupted costs the connection: an interrupt that came too late for it would hit the next work. */
  async #interrupted<T>(
    run: () => Promise<T>,
    { deadlineMs, timeoutMs }: { readonly deadlineMs: number; readonly timeoutMs: number },
  ): Promise<T> {
    let fired = false;
    let timer: NodeJS.Timeout;
    const interrupt = (): void => {
      fired = true;
      this.#connection?.interrupt();
      timer = setTimeout(interrupt, INTERRUPT_EVERY_MS);
    };
    timer = setTimeout(interrupt, Math.max(0, deadlineMs - performance.now()));
    try {
      const answer = await run();
      // A stream that is interrupted between chunks ends like a whole one, and a part is no answer.
      if (fired) throw new Error('interrupted between chunks');
      return answer;
    } catch (error) {
      throw fired ? tookTooLong(timeoutMs, error) : error;
    } finally {
      clearTimeout(timer);
      if (fired) this.#disconnect();
    }
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

/** An instance that declared itself dead after a failed write, or found a state that cannot be. */
const DEAD = /^(FATAL|INTERNAL) /;
/** Of a value, a statement or a resource: these quote what a row holds, and a row may speak of corruption. */
const NO_DAMAGE =
  /^(Conversion|Invalid Input|Out of Range|Mismatch Type|Invalid Type|Constraint|Parser|Binder|Catalog|Permission|Out of Memory|INTERRUPT) Error/;
/** A checksum or a format: only a new file helps. */
const DAMAGE = /corrupt|checksum|invalidated|serializ|not a valid DuckDB database/i;
/** What DuckDB says of a value that does not fit its column. */
const UNFIT = /^(Conversion|Invalid Input|Out of Range|Mismatch Type|Invalid Type) Error/;

export function isBroken(error: unknown): boolean {
  const message = messageOf(error);
  return DEAD.test(message) || (!NO_DAMAGE.test(message) && DAMAGE.test(message));
}

export function isUnfit(error: unknown): boolean {
  return UNFIT.test(messageOf(error));
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

function overloaded(reason: string): AppError {
  return new AppError({
    code: 'OVERLOADED',
    publicMessage: `OVERLOADED: ${reason}. Try again after the time in Retry-After.`,
  });
}

function tookTooLong(timeoutMs: number, cause: unknown): AppError {
  return new AppError({
    code: 'QUERY_TIMEOUT',
    publicMessage: `QUERY_TIMEOUT: the answer took longer than ${timeoutMs} ms (READ_TIMEOUT_MS). Ask for less, or again later.`,
    cause,
  });
}
