/** Idempotency-Key: the same answer again, for the same key, dataset and body, and nothing stored twice. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { assertHealthy, assertProblem, flight, type RunningService, startService } from './service.contract.ts';

const DAY_MS = 86_400_000;
const TRIP = {
  region: 'Turin',
  origin_coord: 'POINT (7.67 44.99)',
  destination_coord: 'POINT (7.72 45.06)',
  datetime: '2018-05-21 02:54:04',
  datasource: 'baba_car',
};

describe('an Idempotency-Key', () => {
  let running: RunningService;
  let nextKey = 0;
  before(async () => {
    running = await startService();
  });
  after(() => running.stop());
  const newKey = (): string => {
    nextKey += 1;
    return `key-${nextKey}`;
  };
  const send = (body: unknown, key: string, more: Readonly<Record<string, string>> = {}) =>
    running.send('flights', body, { headers: { 'idempotency-key': key, ...more } });
  const trips = async (): Promise<number> => {
    await assertHealthy(running);
    const { text } = await running.ask('/v1/datasets/trips/aggregates?measure=count', {
      headers: { 'cache-control': 'no-cache' },
    });
    return (JSON.parse(text) as { data: { count: number }[] }).data[0]?.count ?? 0;
  };

  it('replays the answer to the letter and publishes nothing again', async () => {
    const key = newKey();
    const first = await send(flight(1), key);
    const before = await running.acceptedRows();
    const again = await send(flight(1), key);
    assert.deepEqual([again.status, again.text], [202, first.text]);
    assert.equal(again.headers.get('location'), first.headers.get('location'));
    assert.equal(first.headers.get('idempotency-replayed'), null);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(await running.acceptedRows(), before);
  });

  it('is the same quoted or bare, and compares the body after inflation', async () => {
    const key = newKey();
    const first = await send(flight(2), key);
    const again = await send(gzipSync(JSON.stringify(flight(2))), `"${key}"`, { 'content-encoding': 'gzip' });
    assert.equal(again.text, first.text);
  });

  it('refuses another body and leaves the first answer as it was', async () => {
    const key = newKey();
    const first = await send(flight(3), key);
    const before = await running.acceptedRows();
    assert.match(assertProblem(await send(flight(4), key), 'IDEMPOTENCY_KEY_REUSED').detail, /24 h.*new key/);
    assert.equal(await running.acceptedRows(), before);
    assert.equal((await send(flight(3), key)).text, first.text);
  });

  it('keeps a 422 too: the retry sends nothing to quarantine again, and another body is refused', async () => {
    const key = newKey();
    const first = await send({ bad: 1 }, key);
    assertProblem(first, 'ALL_ROWS_REJECTED');
    const again = await send({ bad: 1 }, key);
    assert.deepEqual([again.status, again.headers.get('idempotency-replayed')], [422, 'true']);
    assert.deepEqual([again.text, again.headers.get('location')], [first.text, first.headers.get('location')]);
    assertProblem(await send(flight(31), key), 'IDEMPOTENCY_KEY_REUSED');
    // Rejected rows are outside the equation, so a message behind theirs is waited for.
    await send(flight(30), newKey());
    await assertHealthy(running);
    const requestId = first.headers.get('vigia-request-id') ?? '';
    assert.equal((await running.service.warehouse.quarantine({ requestId, limit: 9 })).length, 1);
  });

  const REFUSED = [
    ['MALFORMED_JSON', '{', {}],
    ['BODY_EMPTY', '[]', {}],
    ['MEDIA_TYPE_UNSUPPORTED', '{}', { 'content-type': 'text/plain' }],
    ['MALFORMED_GZIP', '{}', { 'content-encoding': 'gzip' }],
    ['BODY_TOO_LARGE', ' '.repeat(5 * 1024 * 1024), {}],
    ['CSV_HEADER_WRONG', 'a\n1\n', { 'content-type': 'text/csv' }],
  ] as const;
  for (const [code, body, headers] of REFUSED) {
    it(`stays free when the body as a whole is refused with ${code}, for the mended one`, async () => {
      const key = newKey();
      const before = await running.acceptedRows();
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const answer = await send(body, key, headers);
        assertProblem(answer, code);
        assert.equal(answer.headers.get('idempotency-replayed'), null);
      }
      assert.equal(await running.acceptedRows(), before);
      const mended = await send(flight(40 + nextKey), key);
      assert.deepEqual([mended.status, mended.headers.get('idempotency-replayed')], [202, null]);
    });
  }

  it('belongs to its dataset and to its API key', async () => {
    const key = newKey();
    await send(flight(5), key);
    const other = await running.send('trips', TRIP, { headers: { 'idempotency-key': key } });
    assert.equal(other.status, 202);
    assert.equal(other.headers.get('idempotency-replayed'), null);
  });

  it('is told 409 while the first request runs, and is served after it', async () => {
    const key = newKey();
    const scope = { apiKeyId: 'anonymous', dataset: 'flights', key };
    const bodyHash = hash('sha256', JSON.stringify(flight(6)));
    await running.service.state.claimIdempotency(scope, { bodyHash, requestId: 'f'.repeat(32), nowMs: Date.now() });
    const answer = await send(flight(6), key);
    assertProblem(answer, 'IDEMPOTENCY_KEY_RUNNING');
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    await running.service.state.releaseIdempotency(scope);
    assert.equal((await send(flight(6), key)).status, 202);
  });

  it('answers twenty at once with one acceptance, and 409 or its replay to the others', async () => {
    const key = newKey();
    const before = await running.acceptedRows();
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(flight(7), key)));
    assert.deepEqual(
      [...new Set(answers.map(({ status }) => status))].filter((status) => status !== 409),
      [202],
    );
    assert.equal(new Set(answers.filter(({ status }) => status === 202).map(({ text }) => text)).size, 1);
    assert.equal(await running.acceptedRows(), before + 1);
  });

  it('makes a retry of rows without a key of their own the same rows, also when the answer was lost', async () => {
    const before = await trips();
    const key = newKey();
    const scope = { apiKeyId: 'anonymous', dataset: 'trips', key };
    const post = () => running.send('trips', [TRIP, TRIP], { headers: { 'idempotency-key': key } });
    assert.equal((await post()).status, 202);
    // As if the process had died between publish and answer: the lease ends, the answer is not there.
    await running.service.state.sweep(Date.now() + 2 * DAY_MS);
    assert.equal((await post()).status, 202);
    assert.equal(await trips(), before + 2);
    assert.notEqual(
      (await running.service.state.claimIdempotency(scope, { bodyHash: 'x', requestId: 'y', nowMs: Date.now() })).kind,
      'claimed',
    );
  });

  it('is forgotten after 24 h', async () => {
    const key = newKey();
    await send(flight(8), key);
    running.clock.aheadMs += DAY_MS + 1;
    const later = await send(flight(9), key);
    assert.equal(later.status, 202);
    assert.equal(later.headers.get('idempotency-replayed'), null);
  });
});

describe('an Idempotency-Key while the disk is full', () => {
  it('keeps no 503, so that the retry is judged anew', async () => {
    const full = await startService({ DISK_FULL_PERCENT: '1' });
    try {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const answer = await full.send('flights', flight(1), { headers: { 'idempotency-key': 'k' } });
        assert.match(assertProblem(answer, 'DISK_FULL').detail, /DISK_FULL_PERCENT/);
        assert.equal(answer.headers.get('idempotency-replayed'), null);
      }
      assert.equal(await full.acceptedRows(), 0);
      assert.equal((await full.ask('/v1/datasets/flights/records')).status, 200);
    } finally {
      await full.stop();
    }
  });

  it('tells why the request failed, also when the key cannot be released', async () => {
    const full = await startService({ DISK_FULL_PERCENT: '1' });
    try {
      const release = async (): Promise<never> => {
        throw new Error('the state store is away');
      };
      Object.assign(full.service.state, { releaseIdempotency: release });
      assertProblem(await full.send('flights', flight(1), { headers: { 'idempotency-key': 'k' } }), 'DISK_FULL');
    } finally {
      await full.stop();
    }
  });
});
