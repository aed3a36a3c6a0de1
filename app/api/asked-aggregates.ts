/**
 * Aggregate queries by the text they were asked with.
 *
 * Dashboards ask the same again and again. What a query string means depends on the contract and on nothing else, so
 * it is judged and spelt out once; anew each time this was a sixth of what a 304 costs. A refused one is not kept.
 */
import { LRUCache } from 'lru-cache';
import type { Contract } from '../datasets/contract.ts';
import type { AggregateQuery } from '../warehouse/query.ts';
import { canonicalQuery, parseAggregateQuery, type QueryLimits } from './query-grammar.ts';
import type { Exchange } from './route.ts';

/** Callers choose the texts; an entry is about as large as its text, twice over. */
const TEXT_CHARACTERS_MAX = 1_048_576;

export interface AskedAggregate {
  readonly query: AggregateQuery;
  readonly canonical: string;
}

export class AskedAggregates {
  readonly #limits: QueryLimits;
  readonly #asked = new LRUCache<string, AskedAggregate>({
    maxSize: TEXT_CHARACTERS_MAX,
    sizeCalculation: (_, text) => text.length,
  });

  constructor(limits: QueryLimits) {
    this.#limits = limits;
  }

  /** Throws what `parseAggregateQuery` throws. */
  of(contract: Contract, exchange: Exchange): AskedAggregate {
    const { url } = exchange.request;
    const at = url.indexOf('?');
    const text = `${contract.name}${at < 0 ? '' : url.slice(at)}`;
    const known = this.#asked.get(text);
    if (known !== undefined) return known;
    const query = parseAggregateQuery(contract, exchange.query, this.#limits);
    const asked = { query, canonical: canonicalQuery(query) };
    this.#asked.set(text, asked);
    return asked;
  }
}
