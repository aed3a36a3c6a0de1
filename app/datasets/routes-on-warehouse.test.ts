import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { readEnvelope } from '../record/read-envelope.ts';
import { openDuckdbWarehouse } from '../warehouse/duckdb-warehouse.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';
import type { Row } from './contract.ts';
import { loadDatasets, type Registry } from './registry.ts';
import { sampleRows } from './sample-rows.contract.ts';

const BUDGET = { timeoutMs: 10_000, rowsMax: 10_000 };

/** Every own route asked of the sample in a real warehouse, and computed again from the sample's rows. */
describe('the datasets’ routes on the sample in DuckDB', () => {
  let folder: string;
  let registry: Registry;
  let warehouse: Warehouse;
  const rows = new Map<string, readonly Row[]>();

  before(async function () {
    this.timeout(30_000);
    folder = await mkdtemp(path.join(os.tmpdir(), 'vigia-routes-'));
    registry = await loadDatasets();
    warehouse = await openDuckdbWarehouse({
      dir: folder,
      contracts: registry.contracts,
      memoryMib: 256,
      threads: 1,
      readers: 1,
      readQueueMax: 8,
      percentileRowsMax: 1_000_000,
      now: () => Date.UTC(2026, 0, 1),
      onBroken: (error) => assert.fail(String(error)),
    });
    let sequence = 0;
    for (const [name, contract] of registry.contracts) {
      const sample = await sampleRows(contract, registry.folders.get(name) as URL);
      rows.set(name, sample.rows);
      await warehouse.store(
        sample.messages.map((message) => {
          sequence += 1;
          return { envelope: readEnvelope(message), data: message.data, sequence, late: false };
        }),
      );
    }
  });
  after(async () => {
    await warehouse.close();
    await rm(folder, { recursive: true });
  });

  async function get(url: string): Promise<unknown> {
    const { pathname, searchParams } = new URL(url, 'http://vigia');
    const route = registry.routes.find((candidate) => candidate.path === pathname);
    assert.ok(route !== undefined, pathname);
    const plan = route.plan(route.query.parse(Object.fromEntries(searchParams)));
    const results = [];
    for (const read of plan.reads) results.push(await warehouse.aggregate(read, BUDGET));
    const body = plan.answer(results);
    route.answer.parse(body);
    return body;
  }

  const sales = (country: string, year?: number) =>
    (rows.get('book_sales') ?? [])
      .filter(
        (row) => row['country'] === country && (year === undefined || String(row['sold_at']).startsWith(String(year))),
      )
      .map((row) => Number(String(row['amount']).replace('.', '')))
      .sort((left, right) => left - right);

  it('answer the documented example, byte for byte', async () => {
    assert.equal(JSON.stringify(await get('/data_analysis?mean=true&include_ar=true')), '{"AR":{"mean":656.56}}');
  });

  it('answer every statistic of every country as computed from the rows', async () => {
    const countries = ['AR', 'CL', 'CO', 'ES', 'MX', 'PE', 'UY'];
    const metrics = ['mean', 'median', 'min', 'max', 'std', 'sum', 'count'].map((metric) => `${metric}=true`).join('&');
    const asked = countries.map((country) => `include_${country.toLowerCase()}=true`).join('&');
    const body = (await get(`/data_analysis?${metrics}&${asked}&year=2024`)) as Record<string, Record<string, number>>;
    for (const country of countries) {
      const cents = sales(country, 2024);
      const mean = cents.reduce((sum, each) => sum + each, 0) / cents.length;
      const middle = ((cents[(cents.length - 1) >> 1] ?? 0) + (cents[cents.length >> 1] ?? 0)) / 2;
      const std = Math.sqrt(cents.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (cents.length - 1));
      const even = (value: number) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value)) / 100;
      assert.deepEqual(
        body[country],
        {
          mean: even(mean),
          median: even(middle),
          min: (cents[0] ?? 0) / 100,
          max: (cents.at(-1) ?? 0) / 100,
          std: Math.round(std) / 100,
          sum: cents.reduce((sum, each) => sum + each, 0) / 100,
          count: cents.length,
        },
        country,
      );
    }
  });

  it('answer no standard deviation where one sale was made', async () => {
    assert.deepEqual(await get('/data_analysis?std=true&count=true&include_uy=true&year=2021'), {
      UY: { std: null, count: 1 },
    });
  });

  it('answer one result over all chosen countries', async () => {
    const sum = [...sales('ES'), ...sales('MX')].reduce((total, each) => total + each, 0);
    assert.deepEqual(await get('/data_analysis?sum=true&include_es=true&include_mx=true&global=true'), {
      GLOBAL: { sum: sum / 100 },
    });
  });

  it('find nothing in a year without sales', async () => {
    await assert.rejects(get('/data_analysis?mean=true&include_ar=true&year=1999'), { code: 'NOTHING_MATCHES' });
    await assert.rejects(get('/data_analysis?mean=true&include_ar=true&year=1999&global=true'), {
      code: 'NOTHING_MATCHES',
    });
  });

  it('answer the trips of a week, the same by region and by a box around it', async () => {
    const week = (rows.get('trips') ?? []).filter(
      (row) =>
        row['region'] === 'Turin' && String(row['datetime']) >= '2018-05-21' && String(row['datetime']) < '2018-05-28',
    );
    const byRegion = (await get('/stats?region=Turin&week=21&year=2018')) as {
      trips: number;
      bySource: Record<string, number>;
      boundingBox: unknown;
    };
    assert.ok(week.length > 5);
    assert.equal(byRegion.trips, week.length);
    assert.equal(
      Object.values(byRegion.bySource).reduce((sum, each) => sum + each, 0),
      week.length,
    );
    const points = week
      .flatMap((row) => [row['origin_coord'], row['destination_coord']])
      .map((point) => (String(point).match(/-?[\d.]+/g) ?? []).map(Number));
    const edge = (fn: 'min' | 'max', axis: 0 | 1) => Math[fn](...points.map((point) => point[axis] ?? Number.NaN));
    const box = { minLon: edge('min', 0), minLat: edge('min', 1), maxLon: edge('max', 0), maxLat: edge('max', 1) };
    for (const [name, value] of Object.entries(box)) {
      // Floats are answered with 12 significant digits.
      assert.ok(Math.abs((byRegion.boundingBox as typeof box)[name as keyof typeof box] - value) < 1e-9, name);
    }
    const byBox = await get('/stats?min_lon=7&min_lat=44&max_lon=8&max_lat=46&week=21&year=2018');
    assert.deepEqual(
      { ...byRegion, region: undefined, box: undefined },
      { ...(byBox as object), region: undefined, box: undefined },
    );
  });

  it('answer a week without trips with zeros', async () => {
    const body = (await get('/stats?region=Turin&week=2&year=2020')) as { trips: number; boundingBox: unknown };
    assert.deepEqual([body.trips, body.boundingBox], [0, null]);
  });

  it('count an article’s readers once in each saga and once for each character', async () => {
    const derive = registry.contracts.get('articles')?.derived?.derive;
    const articles = (rows.get('articles') ?? []).map((row) => ({ ...row, ...derive?.(row) }) as Row);
    const total = (list: readonly Row[]) => list.reduce((sum, row) => sum + Number(row['readers']), 0);
    const empty = articles.filter((row) => row['saga'] === null);
    assert.equal(empty.length, 12);
    const bySaga = (await get('/articles/readers?by=saga')) as {
      data: { saga: string; value: number }[];
      total: number;
      unclassified: unknown;
    };
    assert.deepEqual(bySaga.unclassified, { articles: 12, readers: total(empty) });
    assert.equal(bySaga.total, total(articles) - total(empty));
    for (const { saga, value } of bySaga.data)
      assert.equal(value, total(articles.filter((row) => row['saga'] === saga)), saga);
    const names = (row: Row) =>
      (row['entities'] as readonly { readonly name: string; readonly count: number }[]).map((entity) => entity.name);
    const byEntity = (await get('/articles/readers?by=entity')) as {
      data: { entity: string; value: number }[];
      total: null;
    };
    assert.equal(byEntity.data.length, new Set(articles.flatMap(names)).size);
    for (const { entity, value } of byEntity.data)
      assert.equal(value, total(articles.filter((row) => names(row).includes(entity))), entity);
  });
});
