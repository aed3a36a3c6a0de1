/** Reads over HTTP while data moves: versions, pages that never shift, followers that miss nothing, cursors that end. */
import assert from 'node:assert/strict';
import { type Answer, assertProblem, flight, type RunningService, startService } from './service.contract.ts';

const RECORDS = '/v1/datasets/flights/records';

interface Page {
  readonly data: readonly Readonly<Record<string, unknown>>[];
  readonly asOf: string | null;
  readonly truncated: boolean;
  readonly nextCursor: string | null;
  readonly resumeCursor?: string;
}

const pageOf = (answer: Answer): Page => {
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text) as Page;
};

describe('reads over HTTP', () => {
  let running: RunningService;
  let sent = 0;
  before(async () => {
    running = await startService();
    await add(10);
  });
  after(() => running.stop());

  const newest = { 'cache-control': 'no-cache' };
  const read = async (query: string): Promise<Page> =>
    pageOf(await running.ask(`${RECORDS}?${query}`, { headers: newest }));
  const add = async (rows: number): Promise<void> => {
    const body = Array.from({ length: rows }, () => {
      sent += 1;
      // Earlier and later than all before, in turns: new rows land on every page.
      return flight(sent % 2 === 0 ? sent : -sent);
    });
    assert.equal((await running.send('flights', body)).status, 202);
    await running.settled();
  };

  for (const order of ['departed_at', '-departed_at', 'delay', 'commit']) {
    it(`gives each row of the first page's moment once while rows arrive, ordered by ${order}`, async () => {
      const expected = sent;
      const ids: unknown[] = [];
      for (let cursor = ''; ; ) {
        const page = await read(`order=${order}&limit=3${cursor}`);
        ids.push(...page.data.map((row) => row['_id']));
        assert.equal(page.truncated, page.nextCursor !== null);
        if (page.nextCursor === null) break;
        cursor = `&cursor=${page.nextCursor}`;
        if (ids.length === 3) await add(3);
      }
      assert.equal(ids.length, expected);
      assert.equal(new Set(ids).size, expected);
    });
  }

  it('lets a follower go on where it ended, and gives it each new row once', async () => {
    let cursor = '';
    const seen = new Set<unknown>();
    let rows = 0;
    for (let round = 0; round < 4; round += 1) {
      for (;;) {
        const page = await read(`order=commit&limit=4${cursor}`);
        rows += page.data.length;
        for (const row of page.data) seen.add(row['_id']);
        const next = page.nextCursor ?? page.resumeCursor;
        assert.ok(next !== undefined && (page.nextCursor === null) === (page.resumeCursor !== undefined));
        cursor = `&cursor=${next}`;
        if (page.nextCursor === null) break;
      }
      assert.deepEqual([rows, seen.size], [sent, sent]);
      if (round < 3) await add(round + 1);
    }
  });

  it('refuses a cursor that was bent, and one of another query, route or service', async () => {
    const { nextCursor } = await read('limit=1');
    const cursor = nextCursor ?? assert.fail();
    for (const wrong of [
      `${cursor.slice(0, -1)}${cursor.endsWith('A') ? 'B' : 'A'}`,
      `${cursor}!`,
      'A'.repeat(40),
      'A'.repeat(20_000),
    ])
      assert.ok([400, 431].includes((await running.ask(`${RECORDS}?limit=1&cursor=${wrong}`)).status));
    for (const path of [
      `${RECORDS}?order=delay&cursor=${cursor}`,
      `${RECORDS}?where=delay:gte:1&cursor=${cursor}`,
      `/v1/datasets/trips/records?cursor=${cursor}`,
    ])
      assertProblem(await running.ask(path), 'CURSOR_INVALID');
    assert.equal(pageOf(await running.ask(`${RECORDS}?limit=5&cursor=${cursor}`)).data.length, 5);
    const other = await startService();
    try {
      assertProblem(await other.ask(`${RECORDS}?limit=1&cursor=${cursor}`), 'CURSOR_INVALID');
    } finally {
      await other.stop();
    }
  });

  it('answers asOf and ETag that change together, with the partitions that are touched and no others', async () => {
    const year = (from: number) => `${RECORDS}?limit=1&from=${from}-01-01&to=${from + 1}-01-01`;
    const one = await running.ask(year(2001));
    const before = pageOf(one).asOf ?? assert.fail();
    await running.send('flights', { ...flight(1), departed_at: '2005-05-05T05:05:00Z' });
    await running.settled();
    const untouched = await running.ask(year(2001), { headers: newest });
    assert.deepEqual([pageOf(untouched).asOf, untouched.headers.get('etag')], [before, one.headers.get('etag')]);
    const touched = await running.ask(year(2005), { headers: newest });
    assert.ok((pageOf(touched).asOf ?? '') > before);
    const cached = await running.ask(year(2001), { headers: { 'if-none-match': one.headers.get('etag') ?? '' } });
    assert.deepEqual([cached.status, cached.text], [304, '']);
    assert.equal(pageOf(await running.ask(year(1990))).asOf, null);
  });

  it('keeps JSON and CSV apart, with the same rows and the envelope in headers', async () => {
    const json = await running.ask(`${RECORDS}?order=departed_at&limit=2`, { headers: newest });
    const csv = await running.ask(`${RECORDS}?order=departed_at&limit=2`, {
      headers: { ...newest, accept: 'text/csv' },
    });
    assert.notEqual(json.headers.get('etag'), csv.headers.get('etag'));
    assert.equal(csv.headers.get('content-type'), 'text/csv; charset=utf-8');
    const page = pageOf(json);
    const [head, ...rows] = csv.text.trimEnd().split('\r\n');
    assert.equal(head, 'departed_at,delay,distance,origin,destination,_id');
    assert.deepEqual(
      rows,
      page.data.map((row) => Object.values(row).join(',')),
    );
    assert.deepEqual(
      [csv.headers.get('vigia-as-of'), csv.headers.get('vigia-truncated'), csv.headers.get('vigia-next-cursor')],
      [page.asOf, 'true', page.nextCursor],
    );
    const followed = await running.ask(`${RECORDS}?order=commit`, { headers: { ...newest, accept: 'text/csv' } });
    assert.ok((followed.headers.get('vigia-resume-cursor') ?? '').length > 20);
  });

  it('aggregates as JSON and CSV, says what was cut off and what is an estimate', async () => {
    const path = '/v1/datasets/flights/aggregates?measure=count&measure=avg:delay&by=origin&bucket=departed_at:year';
    const { data, truncated } = pageOf(await running.ask(`${path}&order=-count`, { headers: newest }));
    assert.equal(truncated, false);
    assert.equal(
      data.reduce((sum, row) => sum + Number(row['count']), 0),
      sent + 1,
    );
    const csv = await running.ask(`${path}&limit=1`, { headers: { ...newest, accept: 'text/csv' } });
    assert.match(csv.text, /^origin,departed_at_year,count,avg_delay\r\nSMF,/);
    assert.equal(csv.headers.get('vigia-truncated'), 'true');
  });

  for (const path of [RECORDS, '/v1/datasets', '/livez', '/docs', '/data_analysis?count=true&include_ar=true']) {
    it(`answers HEAD ${path} as GET without a body`, async () => {
      const [got, head] = [await running.ask(path), await running.ask(path, { method: 'HEAD' })];
      assert.deepEqual([head.status, head.text], [got.status, '']);
      for (const name of ['content-type', 'content-length', 'etag', 'cache-control'])
        if (path !== '/v1/datasets' || name !== 'content-length')
          assert.equal(head.headers.get(name), got.headers.get(name), name);
    });
  }
});

describe('a cursor after rows were erased', () => {
  it('is gone, and the sample rows with it', async function () {
    this.timeout(20_000);
    const running = await startService({ SAMPLE_DATA: 'on' });
    try {
      await running.settled();
      const first = pageOf(await running.ask(`${RECORDS}?limit=10`));
      const cursor = first.nextCursor ?? assert.fail();
      pageOf(await running.ask(`${RECORDS}?limit=10&cursor=${cursor}`));
      await running.service.warehouse.removeSamples();
      assertProblem(await running.ask(`${RECORDS}?limit=10&cursor=${cursor}`), 'CURSOR_GONE');
      assert.deepEqual(pageOf(await running.ask(RECORDS, { headers: { 'cache-control': 'no-cache' } })).data, []);
      const { total } = await running.service.equation();
      assert.deepEqual([total.difference, total.stored], [0, 0]);
      assert.ok(total.erased > 2_000);
    } finally {
      await running.stop();
    }
  });
});
