/** The routes of the united systems on sample data, each example as product.md prints it. */
import assert from 'node:assert/strict';
import { type Answer, assertProblem, type RunningService, startService } from './service.contract.ts';

const COUNTRIES = ['ar', 'cl', 'co', 'es', 'mx', 'pe', 'uy'];

describe("the datasets' own routes", function () {
  this.timeout(20_000);
  let running: RunningService;
  before(async () => {
    running = await startService({ SAMPLE_DATA: 'on' });
    await running.settled();
  });
  after(() => running.stop());

  const bodyOf = (answer: Answer): Readonly<Record<string, Readonly<Record<string, number | null>>>> => {
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get('vigia-as-of') ?? '', /^\d{4}-\d\d-\d\dT/);
    assert.equal(answer.headers.get('vigia-truncated'), 'false');
    assert.match(answer.headers.get('etag') ?? '', /^"/);
    return JSON.parse(answer.text) as Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  };

  describe('/data_analysis', () => {
    it('answers the mean of Argentina exactly as printed', async () => {
      const answer = await running.ask('/data_analysis?mean=true&include_ar=true');
      assert.equal(answer.text, '{"AR":{"mean":656.56}}');
      bodyOf(answer);
    });

    it('answers every metric of every country, and of all together', async () => {
      const metrics = ['mean', 'median', 'min', 'max', 'std', 'sum', 'count'];
      const query = [...metrics, ...COUNTRIES.map((country) => `include_${country}`)]
        .map((name) => `${name}=true`)
        .join('&');
      const each = bodyOf(await running.ask(`/data_analysis?${query}`));
      assert.deepEqual(Object.keys(each).sort(), COUNTRIES.map((country) => country.toUpperCase()).sort());
      for (const statistics of Object.values(each))
        assert.deepEqual(Object.keys(statistics).sort(), [...metrics].sort());
      const all = bodyOf(await running.ask(`/data_analysis?${query}&global=true`));
      assert.deepEqual(Object.keys(all), ['GLOBAL']);
      const sum = (name: string) => Object.values(each).reduce((total, one) => total + Number(one[name]), 0);
      assert.equal(all['GLOBAL']?.['count'], sum('count'));
      assert.ok(Math.abs(Number(all['GLOBAL']?.['sum']) - sum('sum')) < 0.005);
    });

    for (const [what, query, code, names] of [
      [
        'no metric',
        'include_ar=true',
        'METRIC_MISSING',
        /mean=true, median=true, min=true, max=true, std=true, sum=true, count=true/,
      ],
      [
        'no country',
        'mean=true',
        'COUNTRY_MISSING',
        /include_ar=true, include_cl=true, include_co=true, include_es=true, include_mx=true, include_pe=true, include_uy=true/,
      ],
      ['a year without a sale', 'mean=true&include_ar=true&year=1999', 'NOTHING_MATCHES', /1999/],
      ['a year that is none', 'mean=true&include_ar=true&year=20x4', 'YEAR_INVALID', /four digits/],
    ] as const) {
      it(`says ${code} for ${what}, naming what is wanted`, async () => {
        assert.match(assertProblem(await running.ask(`/data_analysis?${query}`), code).detail, names);
      });
    }
  });

  describe('/stats', () => {
    it('answers trips of an ISO week by region, with a daily average of a seventh', async () => {
      const answer = await running.ask('/stats?region=Turin&week=21&year=2018');
      const stats = JSON.parse(answer.text) as { trips: number; dailyAverage: number };
      bodyOf(answer);
      assert.ok(stats.trips > 0, answer.text);
      assert.ok(Math.abs(stats.dailyAverage - stats.trips / 7) < 0.01);
      const box = await running.ask('/stats?min_lon=7&min_lat=44&max_lon=8&max_lat=46&week=21&year=2018');
      assert.equal((JSON.parse(box.text) as { trips: number }).trips, stats.trips);
    });

    it('takes week 53 only where it exists, and no box that is inside out', async () => {
      assertProblem(await running.ask('/stats?region=Turin&week=53&year=2018'), 'PARAMETER_INVALID');
      assertProblem(
        await running.ask('/stats?min_lon=8&min_lat=44&max_lon=7&max_lat=46&week=21&year=2018'),
        'PARAMETER_INVALID',
      );
      assert.ok([200, 404].includes((await running.ask('/stats?region=Turin&week=53&year=2020')).status));
    });
  });

  describe('/articles/readers', () => {
    it("counts an article's readers once in each group", async () => {
      for (const by of ['saga', 'entity']) {
        const answer = await running.ask(`/articles/readers?by=${by}`);
        assert.equal(answer.status, 200, answer.text);
        bodyOf(answer);
      }
    });

    it('refuses a group it does not have', async () => {
      assertProblem(await running.ask('/articles/readers?by=author'), 'PARAMETER_INVALID');
      assertProblem(await running.ask('/articles/readers'), 'PARAMETER_MISSING');
    });
  });

  it('answer their own examples, as the document prints them', async () => {
    const document = JSON.parse((await running.ask('/openapi.json')).text) as { paths: Record<string, unknown> };
    for (const path of ['/data_analysis', '/stats', '/articles/readers']) assert.ok(path in document.paths, path);
  });

  it('are answered 304 by their version', async () => {
    const path = '/data_analysis?mean=true&include_ar=true';
    const etag = (await running.ask(path)).headers.get('etag') ?? '';
    assert.equal((await running.ask(path, { headers: { 'if-none-match': etag } })).status, 304);
  });
});

describe('an answer made of several reads', function () {
  this.timeout(20_000);
  const PATH = '/stats?region=Turin&week=21&year=2018';
  let running: RunningService;
  before(async () => {
    running = await startService();
    await trip(0);
  });
  after(() => running.stop());

  const trip = async (minute: number): Promise<void> => {
    const row = {
      region: 'Turin',
      origin_coord: 'POINT (7.67 44.99)',
      destination_coord: 'POINT (7.72 45.06)',
      datetime: `2018-05-21 02:${String(minute).padStart(2, '0')}:04`,
      datasource: 'baba_car',
    };
    assert.equal((await running.send('trips', row)).status, 202);
    await running.settled();
  };
  /** A trip lands before every second read of the next `rounds` answers; returns how many reads there were. */
  const commitBetweenReads = (rounds: number): { readonly reads: () => number; readonly undo: () => void } => {
    const { warehouse } = running.service;
    const { aggregate } = warehouse;
    let reads = 0;
    Object.assign(warehouse, {
      aggregate: async (...asked: Parameters<typeof aggregate>) => {
        reads += 1;
        if (reads % 2 === 0 && reads / 2 <= rounds) await trip(reads);
        return aggregate(...asked);
      },
    });
    return { reads: () => reads, undo: () => Object.assign(warehouse, { aggregate }) };
  };
  const tripsOf = (answer: Answer): readonly number[] => {
    const { trips, bySource } = JSON.parse(answer.text) as { trips: number; bySource: Record<string, number> };
    return [trips, Object.values(bySource).reduce((sum, count) => sum + count, 0)];
  };

  it('reads again when a commit came between them, so that all are of one version', async () => {
    const commits = commitBetweenReads(1);
    const answer = await running.ask(PATH);
    commits.undo();
    assert.deepEqual([tripsOf(answer), commits.reads()], [[2, 2], 4], answer.text);
    const again = await running.ask(PATH, { headers: { 'cache-control': 'no-cache' } });
    assert.deepEqual([again.headers.get('etag'), again.text], [answer.headers.get('etag'), answer.text]);
  });

  it('has no ETag and is not kept when commits keep coming between them', async () => {
    await trip(40);
    const commits = commitBetweenReads(Number.POSITIVE_INFINITY);
    const mixed = await running.ask(PATH, { headers: { 'cache-control': 'no-cache' } });
    commits.undo();
    assert.deepEqual([mixed.status, commits.reads()], [200, 6]);
    assert.deepEqual([mixed.headers.get('etag'), mixed.headers.get('cache-control')], [null, 'private, no-store']);
    const next = await running.ask(PATH, { headers: { 'cache-control': 'no-cache' } });
    assert.deepEqual(tripsOf(next), [6, 6]);
    assert.match(next.headers.get('etag') ?? '', /^"/);
  });
});
