/** Receipts: what became of each row of a request, for who made it. */
import assert from 'node:assert/strict';
import { makeReceiptId } from '../record/receipt-id.ts';
import { unstorableFlight } from '../unstorable-message.contract.ts';
import { assertProblem, flight, type RunningService, startService } from './service.contract.ts';

interface Receipt {
  readonly id: string;
  readonly received: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly states: Readonly<Record<string, number>>;
  readonly rows: {
    readonly data: readonly { readonly index: number; readonly state: string; readonly code?: string }[];
    readonly truncated: boolean;
    readonly nextCursor: string | null;
  };
}

describe('a receipt', () => {
  let running: RunningService;
  let maker: string;
  let other: string;
  let admin: string;
  before(async () => {
    running = await startService();
    maker = (await running.makeKey({ scopes: ['write'] })).token;
    other = (await running.makeKey({ scopes: ['write', 'read', 'quarantine'] })).token;
    admin = (await running.makeKey({ scopes: ['admin'] })).token;
  });
  after(() => running.stop());

  const post = async (body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<string> => {
    const answer = await running.send('flights', body, { key: maker, headers });
    return answer.headers.get('location') ?? assert.fail(answer.text);
  };
  /** As if the process had died between publish and answer: the retry publishes the same rows under the same request. */
  const postTwice = async (body: unknown, key: string): Promise<string> => {
    const { state } = running.service;
    const { answerIdempotency } = state;
    Object.assign(state, {
      answerIdempotency: async (...[scope]: Parameters<typeof answerIdempotency>): Promise<never> => {
        await state.releaseIdempotency(scope);
        throw new Error('died before the answer');
      },
    });
    const headers = { 'idempotency-key': key };
    assertProblem(await running.send('flights', body, { key: maker, headers }), 'INTERNAL');
    Object.assign(state, { answerIdempotency });
    await running.settled();
    const location = await post(body, headers);
    await running.settled();
    return location;
  };
  const receiptAt = async (location: string, key = maker): Promise<Receipt> => {
    const answer = await running.ask(location, { key });
    assert.equal(answer.status, 200, answer.text);
    const receipt = JSON.parse(answer.text) as Receipt;
    assert.equal(
      Object.values(receipt.states).reduce((sum, rows) => sum + rows, 0),
      receipt.accepted,
    );
    assert.equal(receipt.received, receipt.accepted + receipt.rejected);
    return receipt;
  };

  it('tells each row in one state: stored, duplicate, quarantined, rejected', async () => {
    await post([flight(1), flight(2)]);
    await running.settled();
    const location = await post([flight(1), { ...flight(2), delay: 99 }, flight(3), { bad: 1 }]);
    await running.settled();
    const receipt = await receiptAt(location);
    assert.deepEqual([receipt.received, receipt.accepted, receipt.rejected], [4, 3, 1]);
    const { stored, duplicate, quarantined } = receipt.states;
    assert.deepEqual({ stored, duplicate, quarantined }, { stored: 1, duplicate: 1, quarantined: 1 });
    assert.deepEqual(
      receipt.rows.data.map(({ index, state, code }) => [index, state, code]),
      [
        [0, 'duplicate', undefined],
        [1, 'quarantined', 'KEY_CONFLICT'],
        [3, 'rejected', 'FIELD_UNKNOWN'],
      ],
    );
  });

  it('pages over the rows that are not stored', async () => {
    const location = await post([flight(10), ...Array.from({ length: 5 }, () => ({ bad: 1 }))]);
    await running.settled();
    const indexes: number[] = [];
    for (let cursor = ''; ; ) {
      const { rows } = await receiptAt(`${location}?limit=2${cursor}`);
      indexes.push(...rows.data.map(({ index }) => index));
      assert.equal(rows.truncated, rows.nextCursor !== null);
      if (rows.nextCursor === null) break;
      cursor = `&cursor=${rows.nextCursor}`;
    }
    assert.deepEqual(indexes, [1, 2, 3, 4, 5]);
  });

  it('is answered to the key that made it and to admin, and to nobody else', async () => {
    const location = await post(flight(20));
    await running.settled();
    assert.deepEqual((await receiptAt(location)).states, (await receiptAt(location, admin)).states);
    const foreign = assertProblem(await running.ask(location, { key: other }), 'RECEIPT_INVALID');
    assert.doesNotMatch(JSON.stringify(foreign), /flights/);
    assertProblem(await running.ask(location), 'KEY_MISSING');
  });

  it('cannot be made up or changed', async () => {
    const location = await post(flight(30));
    const id = location.split('/').at(-1) ?? '';
    for (const wrong of [`${id}A`, id.slice(0, -2), `A${id.slice(1)}`, `${id}%00`, 'x'.repeat(600)])
      assertProblem(await running.ask(`/v1/receipts/${wrong}`, { key: maker }), 'RECEIPT_INVALID');
    assertProblem(await running.ask(`${location}?cursor=x`, { key: maker }), 'PARAMETER_INVALID');
  });

  it('is the same for a retry, whose rows are counted once', async () => {
    const headers = { 'idempotency-key': 'receipt-1' };
    const first = await post([flight(40), flight(41)], headers);
    assert.equal(await post([flight(40), flight(41)], headers), first);
    await running.settled();
    assert.equal((await receiptAt(first)).states['stored'], 2);
  });

  it('speaks of each row once, in its own state, when the request is on the bus twice', async () => {
    await post(flight(50));
    await running.settled();
    const body = [flight(50), { ...flight(50), delay: 99 }, flight(51), flight(52), { bad: 1 }];
    const location = await postTwice(body, 'receipt-2');
    const receipt = await receiptAt(location);
    const { stored, duplicate, quarantined } = receipt.states;
    assert.deepEqual({ stored, duplicate, quarantined }, { stored: 2, duplicate: 1, quarantined: 1 });
    const notStored = [
      [0, 'duplicate'],
      [1, 'quarantined'],
      [4, 'rejected'],
    ];
    assert.deepEqual(
      receipt.rows.data.map(({ index, state }) => [index, state]),
      notStored,
    );
    const first = await receiptAt(`${location}?limit=1`);
    const rest = await receiptAt(`${location}?cursor=${first.rows.nextCursor}`);
    assert.deepEqual(
      [...first.rows.data, ...rest.rows.data].map(({ index, state }) => [index, state]),
      notStored,
    );
  });

  it('has a row in flight until the redelivery deadline, then overdue, whether the bus still holds it or not', async () => {
    // After its first delivery the message waits for its second until the test is over.
    const waiting = await startService({ BACKOFF_MIN_MS: '600000', BACKOFF_MAX_MS: '600000', OVERDUE_MS: '30000' });
    try {
      const held = unstorableFlight();
      await waiting.service.bus.publish([held]);
      const key = await waiting.service.state.signingKey();
      const states = async (requestId: string, ageMs: number) => {
        const facts = { dataset: 'flights', apiKeyId: 'anonymous', accepted: 1, rejected: 0, requestId };
        const id = makeReceiptId({ ...facts, receivedAtMs: Date.now() - ageMs }, key);
        const { states: found } = JSON.parse((await waiting.ask(`/v1/receipts/${id}`)).text) as Receipt;
        return { inFlight: found['inFlight'], overdue: found['overdue'] };
      };
      for (const requestId of [held.requestId, 'a'.repeat(32)]) {
        assert.deepEqual(await states(requestId, 20_000), { inFlight: 1, overdue: 0 });
        assert.deepEqual(await states(requestId, 31_000), { inFlight: 0, overdue: 1 });
      }
      waiting.clock.aheadMs = 31_000;
      const { inFlight, overdue } = (await waiting.service.equation()).total;
      assert.deepEqual({ inFlight, overdue }, { inFlight: 1, overdue: 1 });
    } finally {
      await waiting.stop();
    }
  });

  it('is gone after its 30 days, and not a moment earlier', async () => {
    const facts = {
      dataset: 'flights',
      apiKeyId: maker.split('_')[1] ?? '',
      accepted: 1,
      rejected: 0,
      requestId: 'd'.repeat(32),
    };
    const key = await running.service.state.signingKey();
    const at = (ageMs: number) => `/v1/receipts/${makeReceiptId({ ...facts, receivedAtMs: Date.now() - ageMs }, key)}`;
    const days = 30 * 86_400_000;
    assert.equal((await running.ask(at(days - 60_000), { key: maker })).status, 200);
    assert.match(
      assertProblem(await running.ask(at(days + 1_000), { key: maker }), 'RECEIPT_GONE').detail,
      /30 days \(RECEIPT_DAYS\)/,
    );
  });

  it('counts the rows of a message that left the bus after it was found: none is called overdue', async () => {
    const facts = { dataset: 'flights', apiKeyId: maker.split('_')[1] ?? '', accepted: 3, rejected: 0 };
    const ids = { messageId: 'c'.repeat(32), requestId: 'c'.repeat(32) };
    const { bus, state } = running.service;
    await bus.publish([{ ...ids, dataset: 'flights', rowCount: 3, data: Buffer.from('?'), attributes: {} }]);
    Object.assign(bus, { read: async () => undefined });
    const id = makeReceiptId({ ...facts, ...ids, receivedAtMs: Date.now() }, await state.signingKey());
    const { inFlight = 0, deadLettered = 0, overdue } = (await receiptAt(`/v1/receipts/${id}`)).states;
    assert.deepEqual([inFlight + deadLettered, overdue], [3, 0]);
  });
});
