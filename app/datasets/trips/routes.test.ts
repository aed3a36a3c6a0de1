import assert from 'node:assert/strict';
import { AppError } from '../../errors.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { Row } from '../contract.ts';
import type { DatasetRoute } from '../route.ts';
import { routes } from './routes.ts';

const route = routes[0] as DatasetRoute;
const BOX = 'min_lon=7.5&min_lat=44.9&max_lon=7.8&max_lat=45.2';

function parse(query: string) {
  return route.query.safeParse(Object.fromEntries(new URLSearchParams(query)));
}

function plan(query: string) {
  const parsed = parse(query);
  assert.ok(parsed.success, query);
  return route.plan(parsed.data);
}

function answer(query: string, ...data: readonly (readonly Row[])[]): unknown {
  const version = { generation: 'g', commitNumber: 1, committedAtMs: 1 };
  const results: AggregateResult[] = data.map((rows) => ({
    data: rows,
    truncated: false,
    approximate: false,
    version,
  }));
  const body = plan(query).answer(results);
  route.answer.parse(body);
  return body;
}

function refusal(query: string) {
  try {
    plan(query);
  } catch (error) {
    if (error instanceof AppError)
      return {
        code: error.code,
        status: error.status,
        message: error.publicMessage,
        parameters: error.errors.map((each) => each.parameter),
      };
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('/stats', () => {
  it('answers trips, daily average, companies and the box of both ends', () => {
    const total = {
      count: 20,
      min_origin_coord_lon: 7.6,
      max_origin_coord_lon: 7.7,
      min_origin_coord_lat: 45,
      max_origin_coord_lat: 45.1,
      min_destination_coord_lon: 7.58,
      max_destination_coord_lon: 7.69,
      min_destination_coord_lat: 45.01,
      max_destination_coord_lat: 45.12,
    };
    const sources = [
      { datasource: 'funny_car', count: 12 },
      { datasource: 'baba_car', count: 8 },
    ];
    assert.equal(
      JSON.stringify(answer('region=Turin&week=21&year=2018', [total], sources)),
      JSON.stringify({
        region: 'Turin',
        year: 2018,
        week: 21,
        from: '2018-05-21',
        to: '2018-05-27',
        trips: 20,
        dailyAverage: 2.85714285714,
        bySource: { funny_car: 12, baba_car: 8 },
        boundingBox: { minLon: 7.58, minLat: 45, maxLon: 7.7, maxLat: 45.12 },
      }),
    );
  });

  it('answers a week without trips with zeros and no box', () => {
    assert.deepEqual(answer(`${BOX}&week=1&year=2019`, [{ count: 0 }], []), {
      box: { minLon: 7.5, minLat: 44.9, maxLon: 7.8, maxLat: 45.2 },
      year: 2019,
      week: 1,
      from: '2018-12-31',
      to: '2019-01-06',
      trips: 0,
      dailyAverage: 0,
      bySource: {},
      boundingBox: null,
    });
  });

  it('reads the ISO week of the ISO year, Monday to Monday', () => {
    for (const read of plan('region=Turin&week=01&year=2019').reads) {
      assert.deepEqual([read.fromMs, read.toMs], [Date.UTC(2018, 11, 31), Date.UTC(2019, 0, 7)]);
    }
  });

  it('asks for both ends of a trip inside the box, its edges included, as the caller wrote them', () => {
    const [read] = plan('min_lon=-0.0000001&min_lat=44.9&max_lon=7.8&max_lat=45.2&week=21&year=2018').reads;
    assert.deepEqual(
      read?.where.map(({ field, op, values }) => `${field} ${op} ${values}`),
      [
        'origin_coord_lon gte -0.0000001',
        'origin_coord_lon lte 7.8',
        'origin_coord_lat gte 44.9',
        'origin_coord_lat lte 45.2',
        'destination_coord_lon gte -0.0000001',
        'destination_coord_lon lte 7.8',
        'destination_coord_lat gte 44.9',
        'destination_coord_lat lte 45.2',
      ],
    );
  });

  it('takes week 53 only in a year that has one', () => {
    assert.equal(plan('region=Turin&week=53&year=2020').reads.length, 2);
    const { code, message, parameters } = refusal('region=Turin&week=53&year=2018');
    assert.equal(code, 'PARAMETER_INVALID');
    assert.deepEqual(parameters, ['week']);
    assert.match(message, /2018 has no week 53: it has 52\. Ask for week 1 of 2019/);
  });

  it('refuses a box whose edges are the wrong way round', () => {
    assert.deepEqual(
      [
        refusal('min_lon=8&min_lat=44&max_lon=7&max_lat=45&week=1&year=2018'),
        refusal('min_lon=7&min_lat=46&max_lon=8&max_lat=45&week=1&year=2018'),
      ].map(({ status, parameters }) => [status, parameters]),
      [
        [400, ['min_lon']],
        [400, ['min_lat']],
      ],
    );
  });

  it('takes a box of no size', () => {
    assert.equal(plan('min_lon=7&min_lat=45&max_lon=7&max_lat=45&week=1&year=2018').reads.length, 2);
  });

  it('wants a region or a box, not both, not neither, not half a box', () => {
    assert.equal(refusal(`region=Turin&${BOX}&week=1&year=2018`).code, 'PARAMETER_INVALID');
    assert.equal(refusal('region=Turin&max_lat=45&week=1&year=2018').parameters[0], 'max_lat');
    assert.deepEqual(
      [refusal('week=1&year=2018').code, refusal('week=1&year=2018').parameters],
      ['PARAMETER_MISSING', ['region']],
    );
    assert.deepEqual(refusal('min_lon=7&max_lat=45&week=1&year=2018').parameters, ['min_lat', 'max_lon']);
  });

  it('refuses weeks, years and degrees that are none', () => {
    for (const query of [
      'region=Turin&week=0&year=2018',
      'region=Turin&week=54&year=2018',
      'region=Turin&week=x&year=2018',
      'region=Turin&week=1&year=18',
      'region=Turin&year=2018',
      'region=Turin&week=1',
      'region=&week=1&year=2018',
      'min_lon=181&min_lat=44&max_lon=7&max_lat=45&week=1&year=2018',
      'min_lon=1e1&min_lat=44&max_lon=7&max_lat=45&week=1&year=2018',
      'min_lon=7&min_lat=-90.5&max_lon=7&max_lat=45&week=1&year=2018',
    ]) {
      assert.equal(parse(query).success, false, query);
    }
  });

  it('gives examples that plan', () => {
    for (const example of route.examples) assert.equal(plan(example.query).reads.length, 2);
  });
});
