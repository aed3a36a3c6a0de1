import assert from 'node:assert/strict';
import { DuckDBInstance } from '@duckdb/node-api';
import { DuckdbSession, isBroken } from './duckdb-session.ts';

describe('a session of the warehouse', () => {
  let instance: DuckDBInstance;
  let session: DuckdbSession;
  beforeEach(async () => {
    instance = await DuckDBInstance.create(':memory:');
    session = new DuckdbSession({ instance, onBroken: () => undefined });
  });
  afterEach(async () => {
    await session.close();
    instance.closeSync();
  });

  const one = { queueMax: 1, timeoutMs: 5_000 };
  const answer = (limits = one) => session.bounded((sql) => sql.rows('SELECT 1 AS one'), limits);
  /** Holds the session until told. */
  const hold = (): { readonly release: () => void; readonly held: Promise<void> } => {
    const gate = Promise.withResolvers<void>();
    return { release: gate.resolve, held: session.exclusive(() => gate.promise) };
  };

  it('lets as many wait as its limit says, and refuses the next at once', async () => {
    const { release, held } = hold();
    const waiting = answer();
    await assert.rejects(answer(), { code: 'OVERLOADED' });
    release();
    assert.deepEqual(await waiting, [{ one: 1 }]);
    await held;
    assert.deepEqual(await answer({ ...one, queueMax: 0 }), [{ one: 1 }], 'who need not wait is not refused');
  });

  it('lets nobody wait longer than the timeout, and gives up the place', async () => {
    const { release, held } = hold();
    await assert.rejects(answer({ queueMax: 1, timeoutMs: 5 }), { code: 'OVERLOADED' });
    const waiting = answer();
    release();
    await held;
    assert.deepEqual(await waiting, [{ one: 1 }]);
  });

  it('interrupts what takes longer than the timeout, and answers the next', async () => {
    const endless = session.bounded(
      (sql) => sql.rows('SELECT count(*) FROM range(1e9::BIGINT) a, range(1e9::BIGINT) b'),
      {
        queueMax: 1,
        timeoutMs: 5,
      },
    );
    await assert.rejects(endless, { code: 'QUERY_TIMEOUT' });
    const open = session.bounded(
      (sql) => sql.transaction(() => sql.rows('SELECT count(*) FROM range(1e9::BIGINT) a, range(1e9::BIGINT) b')),
      { queueMax: 1, timeoutMs: 5 },
    );
    await assert.rejects(open, { code: 'QUERY_TIMEOUT' });
    assert.deepEqual(await answer(), [{ one: 1 }]);
  });

  it('never takes what an interrupted stream had answered so far for a whole answer', async () => {
    let rows = 0;
    const part = session.bounded(
      async (sql) => {
        for await (const chunk of sql.stream('SELECT * FROM range(1e15::BIGINT)')) rows += chunk.length;
        return rows;
      },
      { queueMax: 1, timeoutMs: 20 },
    );
    await assert.rejects(part, { code: 'QUERY_TIMEOUT' });
    assert.ok(rows > 0);
    assert.deepEqual(await answer(), [{ one: 1 }]);
  });

  it('takes for damage what DuckDB says of its file, not what it quotes of a row', () => {
    for (const [text, broken] of [
      ['FATAL Error: Failed: database has been invalidated because of a previous fatal error.', true],
      ['INTERNAL Error: Attempted to access index 3', true],
      ['IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2', true],
      ['Serialization Error: Failed to deserialize: expected end of object', true],
      [`Conversion Error: Could not convert string 'corrupt' to INT32`, false],
      ['Invalid Input Error: Malformed JSON "checksum"', false],
      ['Constraint Error: value serialized', false],
    ] as const) {
      assert.equal(isBroken(new Error(text)), broken, text);
    }
  });
});
