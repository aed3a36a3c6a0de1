/** POST records: formats, verdicts, the answer's numbers, and what is published when. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import { gzipSync } from 'node:zlib';
import { ByteBudget } from './byte-budget.ts';
import type { Problem } from './problem.ts';
import { readBody } from './request-body.ts';
import {
  type Answer,
  assertHealthy,
  assertProblem,
  flight,
  openRaw,
  type RunningService,
  startService,
} from './service.contract.ts';

interface Accepted {
  readonly id: string;
  readonly received: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly states: Readonly<Record<string, number>>;
  readonly errors: readonly {
    readonly index: number;
    readonly code: string;
    readonly pointer: string;
    readonly expected: string;
    readonly got: string;
  }[];
}

const accepted = (answer: Answer): Accepted => {
  assert.equal(answer.status, 202, answer.text);
  return JSON.parse(answer.text) as Accepted;
};

describe('posting records', () => {
  let running: RunningService;
  before(async () => {
    running = await startService();
  });
  after(() => running.stop());

  const flights = (from: number): readonly Readonly<Record<string, unknown>>[] => [
    flight(from),
    flight(from + 1),
    flight(from + 2),
  ];
  const csvOf = (rows: readonly Readonly<Record<string, unknown>>[]): string =>
    [Object.keys(rows[0] ?? {}).join(','), ...rows.map((row) => Object.values(row).join(','))].join('\r\n');
  const formats = [
    { type: 'application/json', rows: 1, body: () => JSON.stringify(flight(10)) },
    { type: 'application/json', rows: 3, body: () => JSON.stringify(flights(20)) },
    {
      type: 'application/x-ndjson',
      rows: 3,
      body: () =>
        flights(30)
          .map((row) => JSON.stringify(row))
          .join('\n'),
    },
    { type: 'text/csv', rows: 3, body: () => csvOf(flights(40)) },
  ];
  for (const { type, rows, body } of formats) {
    for (const encoding of ['identity', 'gzip']) {
      it(`stores each of ${rows} rows of ${type} (${encoding}) once, whatever was sent before`, async () => {
        const headers = { 'content-type': type, 'content-encoding': encoding };
        const answer = await running.send('flights', encoding === 'gzip' ? gzipSync(body()) : body(), { headers });
        const receipt = accepted(answer);
        assert.deepEqual(
          [receipt.received, receipt.accepted, receipt.rejected, receipt.states['inFlight']],
          [rows, rows, 0, rows],
        );
        assert.deepEqual(receipt.errors, []);
        assert.equal(answer.headers.get('location'), `/v1/receipts/${receipt.id}`);
        assert.equal(answer.headers.get('cache-control'), 'no-store');
        assert.match(answer.headers.get('vigia-request-id') ?? '', /^[0-9a-f]{32}$/);
        await assertHealthy(running);
      });
    }
  }

  it('stored what the four formats sent, and nothing twice', async () => {
    const { text } = await running.ask('/v1/datasets/flights/aggregates?measure=count');
    assert.deepEqual((JSON.parse(text) as { data: unknown }).data, [{ count: 10 }]);
  });

  it('gives a verdict for each rejected row, however many, and keeps the good ones', async () => {
    const rows = Array.from({ length: 600 }, (_, index) =>
      index % 2 === 0 ? flight(1_000 + index) : { ...flight(index), delay: 'late' },
    );
    const receipt = accepted(await running.send('flights', rows));
    assert.deepEqual([receipt.received, receipt.accepted, receipt.rejected], [600, 300, 300]);
    assert.deepEqual(
      receipt.errors.map(({ index }) => index),
      Array.from({ length: 300 }, (_, index) => index * 2 + 1),
    );
    for (const { code, pointer, expected, got } of receipt.errors)
      assert.deepEqual({ code, pointer, got }, { code: 'FIELD_TYPE', pointer: '/delay', got: 'late' }, expected);
    await assertHealthy(running);
    const { text } = await running.ask(`/v1/receipts/${receipt.id}?limit=1000`);
    const kept = JSON.parse(text) as {
      states: Record<string, number>;
      rows: { data: { index: number; state: string }[] };
    };
    assert.equal(kept.states['stored'], 300);
    assert.deepEqual(
      kept.rows.data.map(({ index, state }) => `${index} ${state}`),
      receipt.errors.map(({ index }) => `${index} rejected`),
    );
  });

  it('refuses a body without one good row, keeps its rows in quarantine and says where', async () => {
    const answer = await running.send('flights', [{ ...flight(1), delay: 'late' }, { nothing: 1 }]);
    const problem = assertProblem(answer, 'ALL_ROWS_REJECTED') as Problem & { readonly receipt: Accepted };
    assert.deepEqual(
      problem.errors.map(({ index, code }) => [index, code]),
      [
        [0, 'FIELD_TYPE'],
        [1, 'FIELD_UNKNOWN'],
      ],
    );
    assert.deepEqual([problem.receipt.received, problem.receipt.accepted, problem.receipt.rejected], [2, 0, 2]);
    assert.equal(answer.headers.get('location'), `/v1/receipts/${problem.receipt.id}`);
    // The rows are outside the equation, so a message that is accounted for is waited for.
    accepted(await running.send('flights', flight(5_000)));
    await running.settled();
    const { text } = await running.ask(`/v1/receipts/${problem.receipt.id}`);
    assert.equal((JSON.parse(text) as { rows: { data: unknown[] } }).rows.data.length, 2);
  });

  it('publishes nothing before the body ended well, however much of it has come', async () => {
    const before = await running.acceptedRows();
    const rows = Array.from({ length: 2_000 }, (_, index) => `${JSON.stringify(flight(20_000 + index))}\n`).join('');
    const head = `POST /v1/datasets/flights/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${rows.length + 5}\r\n\r\n`;
    const { socket, answer } = await openRaw(running.port, head + rows);
    await running.ask('/readyz');
    assert.equal(await running.acceptedRows(), before);
    socket.write('{"a":');
    assert.equal(accepted(await answer).accepted, 2_000);
    assert.equal(await running.acceptedRows(), before + 2_000);
    socket.destroy();
    await assertHealthy(running);
  });
});

describe('a body', () => {
  /** A request as far as reading its body is concerned. */
  const requestOf = (stream: Readable, length: string | undefined): IncomingMessage =>
    Object.assign(stream, {
      headers: length === undefined ? {} : { 'content-length': length },
    }) as unknown as IncomingMessage;
  const read = async (request: IncomingMessage): Promise<string> => {
    const budget = new ByteBudget(1024);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of readBody(request, budget)) chunks.push(chunk);
    } finally {
      assert.equal(budget.used, 0);
    }
    return Buffer.concat(chunks).toString();
  };

  for (const length of ['4', undefined]) {
    const kind = length === undefined ? 'streamed' : 'gathered';
    it(`arrives whole, ${kind}`, async () => {
      assert.equal(await read(requestOf(Readable.from([Buffer.from('ab'), Buffer.from('cd')]), length)), 'abcd');
    });

    it(`that broke off before it was read is told at once, ${kind}`, async () => {
      const stream = new Readable({ read: () => undefined });
      stream.destroy();
      await once(stream, 'close');
      await assert.rejects(read(requestOf(stream, length)), { code: 'BODY_INCOMPLETE' });
    });

    it(`that breaks off while it is read is told, ${kind}`, async () => {
      const stream = new Readable({ read: () => undefined });
      stream.push(Buffer.from('ab'));
      const reading = read(requestOf(stream, length));
      setImmediate(() => stream.destroy(new Error('reset')));
      await assert.rejects(reading, { code: 'BODY_INCOMPLETE' });
    });
  }
});
