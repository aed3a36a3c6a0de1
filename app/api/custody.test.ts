/** Quarantine, dead letters, replay and audit over HTTP: nothing vanishes, and personal values are for admin alone. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { assertProblem, flight, type RunningService, sale, startService } from './service.contract.ts';

interface Page<T> {
  readonly data: readonly T[];
  readonly truncated: boolean;
  readonly nextCursor: string | null;
}
interface Quarantined {
  readonly id: string;
  readonly dataset: string;
  readonly index: number;
  readonly origin: string;
  readonly code: string;
  readonly pointer: string;
  readonly expected: string;
  readonly got: string;
  readonly body: string;
}
interface DeadLetter {
  readonly messageId: string;
  readonly dataset: string;
  readonly rows: number;
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
}
interface Audited {
  readonly id: string;
  readonly step: string;
  readonly actor: string;
  readonly read: number;
  readonly stored: number;
  readonly rejected: number;
  readonly outcome: string;
}

describe('custody', () => {
  let running: RunningService;
  let admin: string;
  let keeper: string;
  before(async () => {
    running = await startService();
    admin = (await running.makeKey({ scopes: ['admin'] })).token;
    keeper = (await running.makeKey({ scopes: ['quarantine', 'write'] })).token;
  });
  after(() => running.stop());

  const read = async <T>(path: string, key: string): Promise<Page<T>> => {
    const answer = await running.ask(path, { key });
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text) as Page<T>;
  };
  const everyPage = async <T extends { readonly id?: string; readonly messageId?: string }>(
    path: string,
  ): Promise<readonly T[]> => {
    const all: T[] = [];
    for (let cursor = ''; ; ) {
      const page = await read<T>(`${path}${path.includes('?') ? '&' : '?'}limit=2${cursor}`, admin);
      assert.ok(page.data.length <= 2);
      all.push(...page.data);
      if (page.nextCursor === null) {
        assert.equal(page.truncated, false);
        return all;
      }
      assert.equal(page.truncated, true);
      cursor = `&cursor=${page.nextCursor}`;
    }
  };
  /** A later message is settled only after those before it. */
  let nextFlight = 90_000;
  const flush = async (): Promise<void> => {
    for (let message = 0; message < 2; message += 1) {
      nextFlight += 1;
      assert.equal((await running.send('flights', flight(nextFlight), { key: admin })).status, 202);
      await running.settled();
    }
  };
  const publishPoison = async (dataset: string): Promise<string> => {
    const messageId = randomBytes(16).toString('hex');
    await running.service.bus.publish([
      { messageId, dataset, requestId: '', rowCount: 0, data: Buffer.from([0xff, 0xfe]), attributes: {} },
    ]);
    return messageId;
  };

  it('keeps every rejected row with its reason, newest first, page by page', async () => {
    for (let index = 0; index < 5; index += 1)
      await running.send('flights', { ...flight(index), delay: `late ${index}` }, { key: admin });
    await flush();
    const all = await everyPage<Quarantined>('/v1/quarantine?dataset=flights');
    const delays = all.map(({ body }) => (JSON.parse(body) as { delay: string }).delay);
    // Rows of one commit have no order among them.
    assert.deepEqual([...delays].sort(), ['late 0', 'late 1', 'late 2', 'late 3', 'late 4']);
    await running.send('flights', { ...flight(6), delay: 'newest' }, { key: admin });
    await flush();
    assert.match((await read<Quarantined>('/v1/quarantine', admin)).data[0]?.body ?? '', /newest/);
    assert.equal(new Set(all.map(({ id }) => id)).size, 5);
    for (const row of all) {
      assert.deepEqual([row.code, row.pointer, row.origin, row.index], ['FIELD_TYPE', '/delay', 'request', 0]);
      assert.match(row.expected, /whole number/);
    }
    assert.deepEqual((await read<Quarantined>('/v1/quarantine?code=FIELD_RANGE', admin)).data, []);
  });

  it('sets a row apart whose key belongs to other content, and accounts for it', async () => {
    await running.send('flights', flight(50), { key: admin });
    await flush();
    const answer = await running.send('flights', { ...flight(50), delay: 15 }, { key: admin });
    await flush();
    const { data } = await read<Quarantined>('/v1/quarantine?code=KEY_CONFLICT', admin);
    assert.deepEqual(
      data.map(({ origin, dataset }) => [origin, dataset]),
      [['pipeline', 'flights']],
    );
    const { id } = JSON.parse(answer.text) as { id: string };
    const receipt = JSON.parse((await running.ask(`/v1/receipts/${id}`, { key: admin })).text) as {
      states: Record<string, number>;
      rows: { data: unknown };
    };
    assert.equal(receipt.states['quarantined'], 1);
    assert.deepEqual(receipt.rows.data, [{ index: 0, state: 'quarantined', code: 'KEY_CONFLICT', pointer: '' }]);
  });

  it('shows personal values to admin alone: bodies, verdicts and answers', async () => {
    const secret = 'someone@private.example';
    const bad = [
      { ...sale(1), buyer_email: secret, copies: 0 },
      { ...sale(2), buyer_email: `no at sign ${secret.replace('@', '')}` },
      { ...sale(3), buyer_email: secret, speed: 1 },
    ];
    const answer = await running.send('book_sales', bad, { key: keeper });
    const line = await running.send('book_sales', `{"buyer_email":"${secret}"`, {
      key: keeper,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    for (const { text } of [answer, line]) assert.doesNotMatch(text, /private\.example/);
    await flush();
    const masked = await read<Quarantined>('/v1/quarantine?dataset=book_sales', keeper);
    assert.equal(masked.data.length, 4);
    assert.doesNotMatch(JSON.stringify(masked), /private\.example/);
    const first = masked.data.find(({ index, code }) => index === 0 && code === 'FIELD_RANGE');
    assert.equal((JSON.parse(first?.body ?? '{}') as { title: string }).title, 'The Salt Road');
    const plain = await read<Quarantined>('/v1/quarantine?dataset=book_sales', admin);
    assert.equal(plain.data.filter(({ body }) => body.includes('private.example')).length, 4);
  });

  it('sets a poison message apart with its reason while good ones go on', async () => {
    const malformed = await publishPoison('flights');
    const unknown = await publishPoison('starships');
    await flush();
    const all = await everyPage<DeadLetter>('/v1/dead-letters');
    assert.deepEqual(
      all.map(({ messageId, dataset, code }) => [messageId, dataset, code]),
      [
        [unknown, 'starships', 'MESSAGE_DATASET_UNKNOWN'],
        [malformed, 'flights', 'MESSAGE_MALFORMED'],
      ],
    );
    for (const { reason, attempts } of all) {
      assert.match(reason, /^MESSAGE_/);
      assert.equal(attempts, 1);
    }
    const filtered = await read<DeadLetter>(
      '/v1/dead-letters?code=MESSAGE_MALFORMED&from=2001-01-01T00:00:00Z',
      keeper,
    );
    assert.deepEqual(
      filtered.data.map(({ messageId }) => messageId),
      [malformed],
    );
    assert.deepEqual((await read<DeadLetter>('/v1/dead-letters?to=2001-01-01T00:00:00Z', keeper)).data, []);
  });

  const replay = (body: unknown) =>
    running.ask('/v1/dead-letters/replay', {
      method: 'POST',
      key: admin,
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  it('counts what a replay would put back, and changes nothing', async () => {
    const before = await read<DeadLetter>('/v1/dead-letters', admin);
    const answer = await replay({ dataset: 'flights', dryRun: true });
    assert.deepEqual(JSON.parse(answer.text), { messages: 1, rows: 0, dryRun: true });
    assert.deepEqual(await read<DeadLetter>('/v1/dead-letters', admin), before);
    assert.deepEqual((await read<Audited>('/v1/audit?step=replay', admin)).data, []);
  });

  it('puts matching messages back, which are judged anew, and says who did it', async () => {
    const answer = await replay({ dataset: 'flights' });
    assert.deepEqual(JSON.parse(answer.text), { messages: 1, rows: 0, dryRun: false });
    await flush();
    const { data } = await read<DeadLetter>('/v1/dead-letters?dataset=flights', admin);
    assert.deepEqual(
      data.map(({ code, attempts }) => [code, attempts]),
      [['MESSAGE_MALFORMED', 1]],
    );
    const audit = await read<Audited>('/v1/audit?step=replay', admin);
    assert.deepEqual(
      audit.data.map(({ actor, outcome }) => [actor, outcome]),
      [[admin.split('_')[1], 'ok']],
    );
  });

  for (const [what, body, code, names] of [
    ['an unknown field', { everything: true }, 'PARAMETER_INVALID', /everything/],
    ['a message id that is none', { messageIds: ['x'] }, 'PARAMETER_INVALID', /\/messageIds\/0/],
    ['a time that is none', { from: 'yesterday' }, 'PARAMETER_INVALID', /\/from/],
    ['a body that is no JSON', '{', 'MALFORMED_JSON', /quotes/],
    ['a body over 1 MiB', `"${'x'.repeat(1024 * 1024)}"`, 'BODY_TOO_LARGE', /1048576/],
  ] as const) {
    it(`refuses a replay with ${what} and puts nothing back`, async () => {
      assert.match(assertProblem(await replay(body), code).detail, names);
      assert.equal((await read<DeadLetter>('/v1/dead-letters', admin)).data.length, 2);
    });
  }

  it('refuses a replay in another content type', async () => {
    const answer = await running.ask('/v1/dead-letters/replay', {
      method: 'POST',
      key: admin,
      headers: { 'content-type': 'text/csv' },
      body: '{}',
    });
    assertProblem(answer, 'MEDIA_TYPE_UNSUPPORTED');
  });

  it('audits each stored batch with its numbers, and never a payload', async () => {
    const all = await everyPage<Audited>('/v1/audit?step=store');
    assert.ok(all.length >= 5);
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
    assert.ok(all.some(({ rejected, outcome }) => rejected === 4 || (rejected > 0 && outcome === 'ok')));
    assert.doesNotMatch(JSON.stringify(all), /private\.example|late/);
  });

  it('tells that the entry a page was to start from is gone', async () => {
    for (const path of [`/v1/audit?cursor=${'0'.repeat(32)}`, `/v1/quarantine?cursor=${'0'.repeat(32)}-0`])
      assertProblem(await running.ask(path, { key: admin }), 'CURSOR_GONE');
  });
});
