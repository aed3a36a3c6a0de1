/** Limits refuse with a number and a pause; they never hang and never stay behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  assertHealthy,
  assertProblem,
  flight,
  openRaw,
  type RawExchange,
  type RunningService,
  startService,
} from './service.contract.ts';

const KIB = 1024;
const NDJSON = { 'content-type': 'application/x-ndjson' };
const HEAD = 'POST /v1/datasets/flights/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n';
const line = (number: number, bytes: number): string => `${JSON.stringify(flight(number)).padEnd(bytes - 1)}\n`;

describe('the bytes of bodies in flight', () => {
  let running: RunningService;
  before(async () => {
    running = await startService({ BODY_BYTES_IN_FLIGHT_MAX: String(1024 * KIB) });
  });
  after(() => running.stop());

  it('refuse one body that is over the limit alone, publish nothing of it, and are given back', async () => {
    const body = Array.from({ length: 20 }, (_, index) => line(index, 100 * KIB)).join('');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const problem = assertProblem(await running.send('flights', body, { headers: NDJSON }), 'BODY_BYTES_EXHAUSTED');
      assert.match(problem.detail, /1048576 bytes \(BODY_BYTES_IN_FLIGHT_MAX\)/);
    }
    assert.equal(await running.acceptedRows(), 0);
    assert.equal((await running.send('flights', flight(1))).status, 202);
    await assertHealthy(running);
  });

  it('refuse one of two bodies that are over it together, and take the other', async () => {
    const body = line(10, 700 * KIB);
    const begun = `${HEAD}Content-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`;
    const [other] = await oneRefused(begun, 2);
    other?.socket.write('\n');
    assert.equal((await other?.answer)?.status, 202);
    other?.socket.destroy();
    assert.equal((await running.send('flights', line(11, 900 * KIB), { headers: NDJSON })).status, 202);
    await assertHealthy(running);
  });

  /** Of requests that are over the limit together: the one that is refused, and those that go on. */
  const oneRefused = async (begun: string, count: number): Promise<readonly RawExchange[]> => {
    const all = await Promise.all(Array.from({ length: count }, () => openRaw(running.port, begun)));
    const refused = await Promise.race(all.map(async ({ answer }, index) => ({ answer: await answer, index })));
    assertProblem(refused.answer, 'BODY_BYTES_EXHAUSTED');
    all[refused.index]?.socket.destroy();
    return all.filter((_, index) => index !== refused.index);
  };

  it('count small bodies from the moment they are announced', async () => {
    const row = JSON.stringify(flight(30)).padEnd(64 * KIB);
    const others = await oneRefused(`${HEAD}Content-Length: ${row.length}\r\n\r\n`, 17);
    for (const { socket } of others) socket.write(row);
    for (const { answer, socket } of others) {
      assert.equal((await answer).status, 202);
      socket.destroy();
    }
    assert.equal((await running.send('flights', line(32, 900 * KIB), { headers: NDJSON })).status, 202);
    await assertHealthy(running);
  });

  it('count what refused rows become, which is many times their bytes', async () => {
    const verdicts = await running.send('flights', '1\n'.repeat(1_000), { headers: NDJSON });
    assert.ok(verdicts.text.length > 40 * 2_000, String(verdicts.text.length));
    assertProblem(verdicts, 'ALL_ROWS_REJECTED');
    assertProblem(await running.send('flights', '1\n'.repeat(5_000), { headers: NDJSON }), 'BODY_BYTES_EXHAUSTED');
    assert.equal((await running.send('flights', line(50, 900 * KIB), { headers: NDJSON })).status, 202);
    await assertHealthy(running);
  });

  it("count an operator's body too", async () => {
    const head = HEAD.replace('datasets/flights/records', 'dead-letters/replay').replace('x-ndjson', 'json');
    const body = '{"dryRun":true}'.padEnd(700 * KIB);
    const [other] = await oneRefused(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`, 2);
    other?.socket.write(' ');
    assert.equal((await other?.answer)?.status, 200);
    other?.socket.destroy();
    assert.equal((await running.send('flights', line(41, 900 * KIB), { headers: NDJSON })).status, 202);
  });

  it('are given back when a body breaks off', async () => {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const held = await openRaw(running.port, `${HEAD}Content-Length: ${900 * KIB}\r\n\r\n${line(20, 800 * KIB)}`);
      held.socket.end();
      assertProblem(await held.answer, 'BODY_INCOMPLETE');
    }
    assert.equal((await running.send('flights', line(21, 900 * KIB), { headers: NDJSON })).status, 202);
    await assertHealthy(running);
  });
});

describe('the rate of one key', () => {
  it('is refused above its limit with a pause, while another key is served', async () => {
    const running = await startService({ RATE_LIMIT_PER_SECOND: '5' });
    try {
      const { token: key } = await running.makeKey({ scopes: ['read'] });
      const { token: other } = await running.makeKey({ scopes: ['read'] });
      const answers = await Promise.all(Array.from({ length: 20 }, () => running.ask('/v1/slo', { key })));
      const refused = answers.filter(({ status }) => status === 429);
      // The second may turn once while twenty requests are under way.
      assert.ok(refused.length >= 10 && refused.length <= 15, String(refused.length));
      for (const answer of refused)
        assert.match(assertProblem(answer, 'RATE_LIMITED').detail, /more than 5 requests.*RATE_LIMIT_PER_SECOND/);
      assert.equal((await running.ask('/v1/slo', { key: other })).status, 200);
      assert.equal((await running.ask('/livez')).status, 200);
    } finally {
      await running.stop();
    }
  });
});

describe('small limits', () => {
  let running: RunningService;
  before(async () => {
    running = await startService({
      ROWS_PER_REQUEST_MAX: '3',
      JSON_DEPTH_MAX: '2',
      RECORD_BYTES_MAX: '1024',
      READ_ROWS_MAX: '2',
      READ_QUEUE_MAX: '0',
      READERS: '1',
    });
  });
  after(() => running.stop());

  it('hold at their bound and not below it', async () => {
    const rows = [1, 2, 3, 4].map((number) => flight(number));
    assert.equal((await running.send('flights', rows.slice(0, 3))).status, 202);
    assert.match(assertProblem(await running.send('flights', rows), 'TOO_MANY_ROWS').detail, /3 rows/);
    assert.equal((await running.send('flights', line(5, 1024 + 1), { headers: NDJSON })).status, 202);
    const tooLarge = assertProblem(
      await running.send('flights', line(6, 1024 + 2), { headers: NDJSON }),
      'ALL_ROWS_REJECTED',
    );
    assert.deepEqual([tooLarge.errors[0]?.code, tooLarge.errors[0]?.got], ['RECORD_TOO_LARGE', '1025 bytes']);
    await assertHealthy(running);
    assert.equal((await running.ask('/v1/datasets/flights/records?limit=2')).status, 200);
    assertProblem(await running.ask('/v1/datasets/flights/records?limit=3'), 'PARAMETER_INVALID');
    const page = JSON.parse((await running.ask('/v1/datasets/flights/records')).text) as {
      data: unknown[];
      truncated: boolean;
    };
    assert.deepEqual([page.data.length, page.truncated], [2, true]);
  });

  it('refuse a read when all readers are taken and no place is left to wait', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        running.ask(`/v1/datasets/flights/aggregates?measure=count&where=delay:gte:${index}`),
      ),
    );
    for (const answer of answers) if (answer.status !== 200) assertProblem(answer, 'OVERLOADED');
    assert.ok(answers.some(({ status }) => status === 200));
    assert.ok(answers.some(({ status }) => status === 503));
  });
});

describe('a stop', () => {
  it('answers the request under way, refuses the next one on its connection, and loses neither', async () => {
    const running = await startService();
    const row = JSON.stringify(flight(1));
    const { socket, answer } = await openRaw(
      running.port,
      `${HEAD}Content-Length: ${row.length}\r\n\r\n${row.slice(0, -1)}`,
    );
    await running.ask('/readyz');
    const stopped = running.stop();
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    const closed = once(socket, 'close');
    socket.write(`}${HEAD}Content-Length: ${row.length}\r\n\r\n${row}`);
    assert.equal((await answer).status, 202);
    await closed;
    assert.doesNotMatch(received.slice(20), /HTTP\/1\.1 202/);
    await stopped;
  });
});
