import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { articlesSample } from './articles/generate-sample.ts';
import { bookSalesSample } from './book_sales/generate-sample.ts';
import type { Contract } from './contract.ts';
import { valueProblem } from './judge-example.ts';
import { loadDatasets, type Registry } from './registry.ts';
import { type SampleRows, sampleRows } from './sample-rows.contract.ts';
import { tripsSample } from './trips/generate-sample.ts';

const ROWS = { articles: 312, book_sales: 1153, flights: 2000, trips: 3000 } as const;

describe('sample data', () => {
  let registry: Registry;
  const samples = new Map<string, SampleRows>();

  before(async () => {
    registry = await loadDatasets();
    for (const [name, contract] of registry.contracts)
      samples.set(name, await sampleRows(contract, registry.folders.get(name) as URL));
  });

  function sample(name: string): { readonly contract: Contract; readonly sample: SampleRows } {
    return { contract: registry.contracts.get(name) as Contract, sample: samples.get(name) as SampleRows };
  }

  for (const [name, count] of Object.entries(ROWS)) {
    it(`of ${name} has ${count} rows, and its contract takes every one`, () => {
      const { refused, rows } = sample(name).sample;
      assert.deepEqual(refused, []);
      assert.equal(rows.length, count);
    });

    it(`of ${name} holds only values that a second opinion finds valid`, () => {
      const { contract, sample: read } = sample(name);
      for (const row of read.rows) {
        for (const [field, value] of Object.entries(row)) {
          const definition = contract.fields[field];
          assert.ok(definition !== undefined, field);
          assert.equal(value === null ? undefined : valueProblem(definition, value), undefined, `${field} ${value}`);
        }
      }
    });

    it(`of ${name} holds each event once`, () => {
      assert.equal(new Set(sample(name).sample.eventIds).size, count);
    });

    it(`of ${name} names its source and licence`, () => {
      const { contract } = sample(name);
      assert.notEqual(contract.sample.source, '');
      assert.notEqual(contract.sample.license, '');
    });
  }

  it('is what the generators make today', async () => {
    const text = (file: string) => readFile(new URL(file, import.meta.url), 'utf8');
    assert.equal(await text('book_sales/sample.ndjson'), bookSalesSample());
    assert.equal(await text('trips/sample.csv'), tripsSample());
    assert.equal(await text('articles/sample.ndjson'), articlesSample());
  });

  it("gives Argentina's sales a mean of exactly 656.56", () => {
    const cents = sample('book_sales')
      .sample.rows.filter((row) => row['country'] === 'AR')
      .map((row) => BigInt(String(row['amount']).replace('.', '')));
    assert.equal(
      cents.reduce((sum, each) => sum + each, 0n),
      65_656n * BigInt(cents.length),
    );
  });

  it('sells in seven countries in every year from 2021 to 2025, once only in Uruguay in 2021', () => {
    const groups = Map.groupBy(
      sample('book_sales').sample.rows,
      (row) => `${row['country']} ${String(row['sold_at']).slice(0, 4)}`,
    );
    assert.equal(groups.size, 7 * 5);
    assert.equal(groups.get('UY 2021')?.length, 1);
  });

  it('begins the trips with the documented example, word for word', async () => {
    const [, first] = (await readFile(new URL('trips/sample.csv', import.meta.url), 'utf8')).split('\n');
    assert.equal(
      first,
      'Turin,POINT (7.672837913286881 44.9957109242058),POINT (7.720368637535126 45.06782385393849),2018-05-21 02:54:04,baba_car',
    );
  });

  it('has trips of three cities and several companies in 2018', () => {
    const { rows } = sample('trips').sample;
    assert.deepEqual([...new Set(rows.map((row) => row['region']))].sort(), ['Hamburg', 'Prague', 'Turin']);
    assert.equal(new Set(rows.map((row) => row['datasource'])).size, 5);
    assert.ok(rows.every((row) => String(row['datetime']).startsWith('2018-')));
  });

  it('keeps articles without a text: empty ones and absent ones', () => {
    const { rows } = sample('articles').sample;
    assert.equal(rows.filter((row) => row['text'] === '').length, 6);
    assert.equal(rows.filter((row) => row['text'] === undefined || row['text'] === null).length, 6);
  });
});
