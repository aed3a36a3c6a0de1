import assert from 'node:assert/strict';
import { contract as flights } from '../datasets/flights/contract.ts';
import { contract as trips } from '../datasets/trips/contract.ts';
import { AppError } from '../errors.ts';
import { AskedAggregates } from './asked-aggregates.ts';
import type { Exchange } from './route.ts';

function exchangeOf(text: string): Exchange {
  const url = `/v1/datasets/x/aggregates${text}`;
  return { request: { url }, query: new URLSearchParams(text) } as unknown as Exchange;
}

describe('aggregate queries by their text', () => {
  it('are the same query for the same text, and another for another', () => {
    const asked = new AskedAggregates({ rowsMax: 100 });
    const first = asked.of(flights, exchangeOf('?measure=count&by=origin'));
    assert.equal(asked.of(flights, exchangeOf('?measure=count&by=origin')), first);
    const other = asked.of(flights, exchangeOf('?measure=count&by=destination'));
    assert.deepEqual(other.query.by, ['destination']);
    assert.notEqual(other.canonical, first.canonical);
  });

  it('are judged for each dataset by its own contract', () => {
    const asked = new AskedAggregates({ rowsMax: 100 });
    asked.of(flights, exchangeOf('?measure=count&by=origin'));
    assert.throws(() => asked.of(trips, exchangeOf('?measure=count&by=origin')), AppError);
    assert.equal(asked.of(trips, exchangeOf('?measure=count')).query.dataset, 'trips');
  });

  it('are refused every time when they are wrong, also without any text', () => {
    const asked = new AskedAggregates({ rowsMax: 100 });
    for (const text of ['?measure=count&limit=101', '?measure=nothing', ''])
      for (const _ of [1, 2]) assert.throws(() => asked.of(flights, exchangeOf(text)), AppError);
  });
});
