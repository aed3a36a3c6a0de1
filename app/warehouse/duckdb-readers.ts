/**
 * The warehouse's reader connections: few, because DuckDB's readers starve its one writer when they are many.
 *
 * Every read ends: it waits in a queue that is bounded (then OVERLOADED), runs and waits within its budget (then it is
 * interrupted: QUERY_TIMEOUT), and answers no more rows than its budget (else QUERY_TOO_LARGE). Rows are made in
 * chunks with the event loop in between. After any failure the connection is replaced.
 */
import type { DuckDBConnection, DuckDBInstance, DuckDBResult, DuckDBValue } from '@duckdb/node-api';
import { AppError } from '../errors.ts';
import type { ReadBudget } from './warehouse.ts';

interface DuckdbReadersOptions {
  readonly instance: DuckDBInstance;
  /** READERS. */
  readonly connections: number;
  /** READ_QUEUE_MAX. */
  readonly queueMax: number;
  /** Runs on each new connection, as `SET TimeZone='UTC'`. */
  readonly prepare?: (connection: DuckDBConnection) => Promise<void>;
}

export interface ReadRows<T> {
  readonly columns: readonly string[];
  readonly rows: readonly T[];
}

interface ReadRequest<T> {
  readonly sql: string;
  readonly params: readonly DuckDBValue[];
  readonly budget: ReadBudget;
  readonly shape: (values: readonly DuckDBValue[]) => T;
}

interface Waiter {
  readonly take: () => void;
  readonly refuse: (error: AppError) => void;
}

/** An interrupt that comes before the statement has started is forgotten, so it is said again until it is heard. */
const INTERRUPT_EVERY_MS = 20;

export class DuckdbReaders {
  readonly #instance: DuckDBInstance;
  readonly #queueMax: number;
  readonly #prepare: DuckdbReadersOptions['prepare'];
  readonly #idle: DuckDBConnection[] = [];
  readonly #waiting: Waiter[] = [];
  readonly #running = new Set<Promise<unknown>>();
  readonly #interrupts = new Set<() => void>();
  #free: number;
  #closed = false;

  constructor({ instance, connections, queueMax, prepare }: DuckdbReadersOptions) {
    this.#instance = instance;
    this.#free = connections;
    this.#queueMax = queueMax;
    this.#prepare = prepare;
  }

  /** Reads that wait for a connection. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Rows as DuckDB's own values. */
  run(sql: string, params: readonly DuckDBValue[], budget: ReadBudget): Promise<ReadRows<readonly DuckDBValue[]>> {
    return this.read({ sql, params, budget, shape: (values) => values });
  }

  /** Rows made by `shape`, which runs in the chunk loop and so must be quick. An error of `shape` is passed on as it is. */
  async read<T>(request: ReadRequest<T>): Promise<ReadRows<T>> {
    const deadlineMs = performance.now() + request.budget.timeoutMs;
    await this.#acquire(request.budget.timeoutMs);
    const reading = this.#readOnConnection(request, deadlineMs);
    this.#running.add(reading);
    try {
      return await reading;
    } finally {
      this.#running.delete(reading);
      this.#release();
    }
  }

  /** Refuses those who wait, interrupts those who run, closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(stopping());
    for (const interrupt of this.#interrupts) interrupt();
    await Promise.allSettled(this.#running);
    for (const connection of this.#idle.splice(0)) connection.disconnectSync();
  }

  async #readOnConnection<T>({ sql, params, budget, shape }: ReadRequest<T>, deadlineMs: number): Promise<ReadRows<T>> {
    const connection = await this.#connection();
    // close() came while this connected: there was nothing yet that it could interrupt.
    if (this.#closed) {
      connection.disconnectSync();
      throw stopping();
    }
    const interruption = this.#interruptAfter(connection, deadlineMs - performance.now());
    try {
      const answer = await runStatement({
        connection,
        sql,
        params,
        rowsMax: budget.rowsMax,
        shape,
        isInterrupted: () => interruption.fired,
      });
      // An interrupt that came too late for this statement would hit the next one.
      if (interruption.fired) connection.disconnectSync();
      else this.#idle.push(connection);
      return answer;
    } catch (error) {
      connection.disconnectSync();
      throw this.#toAppError(error, { timedOut: interruption.fired, budget });
    } finally {
      interruption.cancel();
      if (this.#closed) for (const one of this.#idle.splice(0)) one.disconnectSync();
    }
  }

  async #connection(): Promise<DuckDBConnection> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    let connection: DuckDBConnection | undefined;
    try {
      connection = await this.#instance.connect();
      await this.#prepare?.(connection);
      return connection;
    } catch (error) {
      connection?.disconnectSync();
      throw unavailable(error);
    }
  }

  #interruptAfter(
    connection: DuckDBConnection,
    timeoutMs: number,
  ): { readonly fired: boolean; readonly cancel: () => void } {
    let timer: NodeJS.Timeout;
    let fired = false;
    const interrupt = (): void => {
      fired = true;
      connection.interrupt();
      clearTimeout(timer);
      timer = setTimeout(interrupt, INTERRUPT_EVERY_MS);
    };
    timer = setTimeout(interrupt, Math.max(0, timeoutMs));
    this.#interrupts.add(interrupt);
    const cancel = (): void => {
      clearTimeout(timer);
      this.#interrupts.delete(interrupt);
    };
    return {
      get fired() {
        return fired;
      },
      cancel,
    };
  }

  #acquire(timeoutMs: number): Promise<void> {
    if (this.#closed) return Promise.reject(stopping());
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    if (this.#waiting.length >= this.#queueMax) {
      return Promise.reject(
        overloaded(`${this.#waiting.length} reads wait already, limit is ${this.#queueMax} (READ_QUEUE_MAX)`),
      );
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const place = this.#waiting.indexOf(waiter);
        if (place >= 0) this.#waiting.splice(place, 1);
        reject(overloaded(`no connection came free within ${timeoutMs} ms (READERS, READ_TIMEOUT_MS)`));
      };
      const timer = setTimeout(leave, timeoutMs);
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        end();
      };
      const waiter: Waiter = { take: () => settle(resolve), refuse: (error) => settle(() => reject(error)) };
      this.#waiting.push(waiter);
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next.take();
  }

  #toAppError(
    error: unknown,
    { timedOut, budget }: { readonly timedOut: boolean; readonly budget: ReadBudget },
  ): unknown {
    if (error instanceof ShapeError) return error.cause;
    if (error instanceof AppError) return error;
    if (this.#closed) return stopping();
    if (timedOut) return timeout(budget, error);
    return isOutOfMemory(error) ? tooMuchMemory(error) : unavailable(error);
  }
}

interface StatementOptions<T> {
  readonly connection: DuckDBConnection;
  readonly sql: string;
  readonly params: readonly DuckDBValue[];
  readonly rowsMax: number;
  readonly shape: (values: readonly DuckDBValue[]) => T;
  readonly isInterrupted: () => boolean;
}

async function runStatement<T>({
  connection,
  sql,
  params,
  rowsMax,
  shape,
  isInterrupted,
}: StatementOptions<T>): Promise<ReadRows<T>> {
  const statement = await connection.prepare(sql);
  try {
    statement.bind([...params]);
    const result = await statement.stream();
    return { columns: result.columnNames(), rows: await collect({ result, rowsMax, shape, isInterrupted }) };
  } finally {
    statement.destroySync();
  }
}

interface CollectOptions<T> extends Pick<StatementOptions<T>, 'rowsMax' | 'shape' | 'isInterrupted'> {
  readonly result: DuckDBResult;
}

/** A chunk is at most 2,048 rows: a few milliseconds of the event loop. */
async function collect<T>({ result, rowsMax, shape, isInterrupted }: CollectOptions<T>): Promise<readonly T[]> {
  const rows: T[] = [];
  for (;;) {
    const chunk = await result.fetchChunk();
    // Judged before the end is believed: an interrupted stream may end like a whole one, and a part is no answer.
    if (isInterrupted()) throw new Error('interrupted between chunks');
    if (chunk === null || chunk.rowCount === 0) return rows;
    if (rows.length + chunk.rowCount > rowsMax) throw tooManyRows(rowsMax);
    for (const values of chunk.getRows()) rows.push(shaped(shape, values));
  }
}

/** Keeps an error of the caller's own function apart from those of the driver. */
class ShapeError extends Error {}

function shaped<T>(shape: (values: readonly DuckDBValue[]) => T, values: readonly DuckDBValue[]): T {
  try {
    return shape(values);
  } catch (cause) {
    throw new ShapeError('a row could not be shaped', { cause });
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Out of Memory Error');
}

function stopping(): AppError {
  return new AppError({
    code: 'STOPPING',
    publicMessage: 'STOPPING: the service is stopping and reads no more. Try again in a moment.',
  });
}

function overloaded(reason: string): AppError {
  return new AppError({
    code: 'OVERLOADED',
    publicMessage: `OVERLOADED: ${reason}. Try again after the time in Retry-After.`,
  });
}

function timeout({ timeoutMs }: ReadBudget, cause: unknown): AppError {
  return new AppError({
    code: 'QUERY_TIMEOUT',
    publicMessage: `QUERY_TIMEOUT: the query took longer than ${timeoutMs} ms (READ_TIMEOUT_MS). Narrow it with from, to or where.`,
    cause,
  });
}

function tooManyRows(rowsMax: number): AppError {
  return new AppError({
    code: 'QUERY_TOO_LARGE',
    publicMessage: `QUERY_TOO_LARGE: the answer has more than ${rowsMax} rows. Ask for fewer with limit, from, to or where.`,
  });
}

function tooMuchMemory(cause: unknown): AppError {
  return new AppError({
    code: 'QUERY_TOO_LARGE',
    publicMessage:
      'QUERY_TOO_LARGE: the query needs more memory than the warehouse has (WAREHOUSE_MEMORY_MIB). Narrow it with from, to or where.',
    cause,
  });
}

function unavailable(cause: unknown): AppError {
  return new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: 'WAREHOUSE_UNAVAILABLE: the warehouse could not answer. Try again after the time in Retry-After.',
    detail: cause instanceof Error ? `a read failed: ${cause.name}` : 'a read failed',
    cause,
  });
}
