/** How a read is answered: from the version, the cache, the warehouse, or the past, driven with reads that fail on demand. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AppError } from '../errors.ts';
import { createTelemetry } from '../telemetry/telemetry.ts';
import { asAppError, sendProblem } from './problem.ts';
import { newestVersion, ReadAnswers } from './read-answer.ts';
import type { Caller, Exchange } from './route.ts';
import { type Answer, assertProblem } from './service.contract.ts';

const READER: Caller = { keyId: 'reader', scopes: new Set(['read']) };

describe('a read', () => {
  let server: Server;
  let answers: ReadAnswers;
  let caller: Caller;
  let commitNumber: number;
  let generation: string;
  let nowMs: number;
  let runs: number;
  let run: () => Promise<string>;
  const telemetry = createTelemetry({
    version: '0',
    logLevel: 'silent',
    logFile: '',
    logFileBytesMax: 1 << 20,
    logFilesMax: 1,
    datasets: [],
    codes: [],
    now: Date.now,
  });
  const away = async (): Promise<string> => {
    throw new AppError({
      code: 'WAREHOUSE_UNAVAILABLE',
      publicMessage: 'WAREHOUSE_UNAVAILABLE: it is away. Try again.',
    });
  };

  beforeEach(async () => {
    caller = READER;
    commitNumber = 1;
    generation = 'g';
    nowMs = 1_000_000;
    runs = 0;
    run = async () => `{"run":${runs}}`;
    answers = new ReadAnswers({
      config: { CACHE_AGE_MAX_MS: 1_000, CACHE_STALE_MAX_MS: 60_000, CACHE_BYTES_MAX: 1 << 20 },
      telemetry,
      now: () => nowMs,
    });
    server = createServer((request, response) => {
      const version = () => ({ generation, commitNumber, committedAtMs: 0 });
      const plan = {
        question: request.url ?? '',
        mediaType: 'application/json',
        contractVersion: 1,
        version,
        run: async () => {
          runs += 1;
          const at = version();
          return { body: await run(), headers: { 'Vigia-Run': 'yes' }, version: at };
        },
      };
      answers
        .answer({ request, response, caller } as unknown as Exchange, plan)
        .catch((error: unknown) => sendProblem(response, asAppError(error), '0'.repeat(32)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  it('is never of an earlier generation, however new it is and whether or not the warehouse answers', async () => {
    assert.equal((await ask()).text, '{"run":1}');
    generation = 'after an erasure';
    assert.equal((await ask()).text, '{"run":2}');
    generation = 'after another';
    run = away;
    assertProblem(await ask(), 'WAREHOUSE_UNAVAILABLE');
  });

  const ask = async (headers: Readonly<Record<string, string>> = {}, path = '/q'): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { headers });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  it('is answered again from memory while nothing changed, however old, with its age', async () => {
    const first = await ask();
    nowMs += 3_600_000;
    const later = await ask();
    assert.deepEqual([later.text, later.headers.get('etag')], [first.text, first.headers.get('etag')]);
    assert.deepEqual([first.headers.get('age'), later.headers.get('age')], ['0', '3600']);
    assert.equal(later.headers.get('cache-control'), 'private, no-cache');
    assert.equal(later.headers.get('vary'), 'Authorization, Accept');
    assert.equal(later.headers.get('vigia-run'), 'yes');
    assert.equal(runs, 1);
  });

  it('is answered 304 from the version alone', async () => {
    const etag = (await ask()).headers.get('etag') ?? '';
    run = away;
    for (const wanted of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const answer = await ask({ 'if-none-match': wanted });
      assert.deepEqual([answer.status, answer.text, answer.headers.get('etag')], [304, '', etag]);
    }
    commitNumber = 2;
    nowMs += 2_000;
    run = async () => 'new';
    assert.equal((await ask({ 'if-none-match': etag })).status, 200);
    assert.equal(runs, 2);
  });

  it('may be a second old while data flows, and not older', async () => {
    await ask();
    commitNumber = 2;
    nowMs += 1_000;
    assert.equal((await ask()).text, '{"run":1}');
    nowMs += 1;
    assert.equal((await ask()).text, '{"run":2}');
  });

  it('is the newest for who asks with no-cache', async () => {
    await ask();
    commitNumber = 2;
    assert.equal((await ask({ 'cache-control': 'max-age=0, no-cache' })).text, '{"run":2}');
    assert.equal((await ask({ 'cache-control': 'no-cache' })).text, '{"run":2}');
    assert.equal(runs, 2);
  });

  it('is answered from the past while the warehouse is away, for a minute, with its age', async () => {
    await ask();
    commitNumber = 2;
    run = away;
    nowMs += 60_000;
    const stale = await ask();
    assert.deepEqual([stale.status, stale.text, stale.headers.get('age')], [200, '{"run":1}', '60']);
    nowMs += 1;
    assertProblem(await ask(), 'WAREHOUSE_UNAVAILABLE');
  });

  it('tells who wants the newest of the outage, and who asks something new', async () => {
    await ask();
    commitNumber = 2;
    run = away;
    assertProblem(await ask({ 'cache-control': 'no-cache' }), 'WAREHOUSE_UNAVAILABLE');
    assertProblem(await ask({}, '/other'), 'WAREHOUSE_UNAVAILABLE');
  });

  it('stops asking a warehouse that failed five times in a row, and says for how long', async () => {
    run = away;
    for (let read = 0; read < 5; read += 1) assertProblem(await ask({}, `/${read}`), 'WAREHOUSE_UNAVAILABLE');
    const refused = await ask({}, '/6');
    assert.match(assertProblem(refused, 'WAREHOUSE_UNAVAILABLE').detail, /5 times in a row.*5000 ms/);
    assert.equal(refused.headers.get('retry-after'), '5');
    assert.equal(runs, 5);
  });

  it("counts a caller's own mistake as no failure, and answers it never from the past", async () => {
    await ask();
    commitNumber = 2;
    nowMs += 2_000;
    run = async () => {
      throw new AppError({ code: 'QUERY_TOO_LARGE', publicMessage: 'QUERY_TOO_LARGE: too many rows. Ask for fewer.' });
    };
    for (let read = 0; read < 8; read += 1) assertProblem(await ask(), 'QUERY_TOO_LARGE');
    assert.equal(runs, 9);
  });

  it('is run once for all who ask together, but never for who came after a newer commit', async () => {
    const gate = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    run = () => {
      if (runs === 2) begun.resolve();
      return gate.promise;
    };
    const early = [ask(), ask(), ask()];
    while (runs === 0) await new Promise(setImmediate);
    commitNumber = 2;
    const late = ask({ 'cache-control': 'no-cache' });
    await begun.promise;
    gate.resolve('same');
    await Promise.all([...early, late]);
    assert.equal(runs, 2);
  });

  it('is kept apart for keys that may see different things', async () => {
    await ask();
    const plain = (await ask()).headers.get('etag');
    for (const other of [
      { ...READER, datasets: new Set(['flights']) },
      { keyId: 'a', scopes: new Set(['admin'] as const) },
    ]) {
      caller = other;
      assert.notEqual((await ask()).headers.get('etag'), plain);
    }
    assert.equal(runs, 3);
    caller = { ...READER, keyId: 'another reader' };
    await ask();
    assert.equal(runs, 3);
  });

  it('is kept nowhere when the cache has no room', async () => {
    answers = new ReadAnswers({
      config: { CACHE_AGE_MAX_MS: 1_000, CACHE_STALE_MAX_MS: 60_000, CACHE_BYTES_MAX: 0 },
      telemetry,
      now: () => nowMs,
    });
    await ask();
    await ask();
    assert.equal(runs, 2);
  });
});

describe('the version of several reads', () => {
  it('is the one that changes when any of them does', () => {
    const at = (commitNumber: number) => ({ generation: 'g', commitNumber, committedAtMs: commitNumber });
    assert.equal(newestVersion([at(3), at(7), at(5)]).commitNumber, 7);
    assert.throws(() => newestVersion([]), /no versions/);
  });
});
