import assert from 'node:assert/strict';
import { DuckDBInstance } from '@duckdb/node-api';
import { AppError, type ErrorCode } from '../errors.ts';
import { DuckdbReaders } from './duckdb-readers.ts';

/** Hours of work, unless it is interrupted. */
const ENDLESS = 'SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3';
const budget = { timeoutMs: 5_000, rowsMax: 100 };
const failsWith = (code: ErrorCode) => (error: unknown) => error instanceof AppError && error.code === code;

describe('DuckdbReaders', () => {
  let instance: DuckDBInstance;
  let readers: DuckdbReaders;

  beforeEach(async () => {
    instance = await DuckDBInstance.create(':memory:', { threads: '1', memory_limit: '100MB' });
  });

  afterEach(async () => {
    await readers.close();
    instance.closeSync();
  });

  it('answers columns and rows with their parameters bound', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const { columns, rows } = await readers.run("SELECT $1 AS word, 1 AS one, $1 || '!' AS loud", ["'; --"], budget);
    assert.deepEqual(columns, ['word', 'one', 'loud']);
    assert.deepEqual(rows, [["'; --", 1, "'; --!"]]);
  });

  it('interrupts a query at its time limit and serves the next one', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const startedMs = performance.now();
    await assert.rejects(readers.run(ENDLESS, [], { timeoutMs: 40, rowsMax: 1 }), failsWith('QUERY_TIMEOUT'));
    assert.ok(performance.now() - startedMs < 2_000);
    assert.deepEqual((await readers.run('SELECT 1', [], budget)).rows, [[1]]);
  });

  it('interrupts also between the chunks of an answer', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const many = readers.run('SELECT range FROM range(1000000000)', [], { timeoutMs: 30, rowsMax: 1_000_000_000 });
    await assert.rejects(many, failsWith('QUERY_TIMEOUT'));
  });

  it('refuses a read when the queue is full, and one that waits too long, and runs those that waited', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 2 });
    const running = assert.rejects(
      readers.run(ENDLESS, [], { timeoutMs: 150, rowsMax: 1 }),
      failsWith('QUERY_TIMEOUT'),
    );
    const waiting = readers.run('SELECT 2', [], budget);
    const impatient = assert.rejects(
      readers.run('SELECT 3', [], { timeoutMs: 20, rowsMax: 1 }),
      failsWith('OVERLOADED'),
    );
    assert.equal(readers.waiting, 2);
    await assert.rejects(readers.run('SELECT 4', [], budget), failsWith('OVERLOADED'));
    await impatient;
    assert.equal(readers.waiting, 1);
    await running;
    assert.deepEqual((await waiting).rows, [[2]]);
  });

  it('answers no more rows than the budget allows', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const exactly = await readers.run('SELECT range FROM range(5000)', [], { ...budget, rowsMax: 5_000 });
    assert.equal(exactly.rows.length, 5_000);
    await assert.rejects(
      readers.run('SELECT range FROM range(5001)', [], { ...budget, rowsMax: 5_000 }),
      failsWith('QUERY_TOO_LARGE'),
    );
    assert.deepEqual((await readers.run('SELECT 1', [], budget)).rows, [[1]]);
  });

  it('lets the event loop run while it makes rows of a large answer', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    let turns = 0;
    const counting = setInterval(() => {
      turns += 1;
    }, 0);
    await readers.run("SELECT range, range::VARCHAR, 'x' FROM range(60000)", [], { ...budget, rowsMax: 100_000 });
    clearInterval(counting);
    assert.ok(turns > 5, `${turns} turns`);
  });

  it('tells a broken query and a query too large for memory apart, and takes a new connection after either', async () => {
    const sessions: unknown[] = [];
    const prepare = async (connection: { run: (sql: string) => Promise<unknown> }): Promise<void> => {
      sessions.push(await connection.run("SET TimeZone = 'UTC'"));
    };
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0, prepare });
    await assert.rejects(readers.run('SELECT * FROM nowhere', [], budget), (error) => {
      return error instanceof AppError && error.code === 'WAREHOUSE_UNAVAILABLE' && /nowhere/.test(String(error.cause));
    });
    await instance.connect().then((connection) => connection.run("SET GLOBAL temp_directory = ''"));
    const large = 'SELECT list(range) FROM range(100000000)';
    await assert.rejects(readers.run(large, [], budget), failsWith('QUERY_TOO_LARGE'));
    await readers.run('SELECT 1', [], budget);
    await readers.run('SELECT 1', [], budget);
    assert.equal(sessions.length, 3);
  });

  it("passes on an error of the caller's own shaping as it is", async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const shape = (): never => {
      throw new RangeError('mine');
    };
    await assert.rejects(readers.read({ sql: 'SELECT 1', params: [], budget, shape }), RangeError);
  });

  it('ends everything when it closes: the running, the waiting and the late', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 2 });
    await readers.run('SELECT 1', [], budget);
    const reads = [readers.run(ENDLESS, [], { timeoutMs: 60_000, rowsMax: 1 }), readers.run('SELECT 1', [], budget)];
    const outcomes = reads.map((read) => assert.rejects(read, failsWith('STOPPING')));
    await new Promise((resolve) => setImmediate(resolve));
    await readers.close();
    await Promise.all(outcomes);
    await assert.rejects(readers.run('SELECT 1', [], budget), failsWith('STOPPING'));
  });

  it('ends a read that is still connecting when it closes', async () => {
    readers = new DuckdbReaders({ instance, connections: 1, queueMax: 0 });
    const connecting = assert.rejects(
      readers.run(ENDLESS, [], { timeoutMs: 60_000, rowsMax: 1 }),
      failsWith('STOPPING'),
    );
    await readers.close();
    await connecting;
  });
});
