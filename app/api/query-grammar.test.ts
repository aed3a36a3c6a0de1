import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Contract } from '../datasets/contract.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { aggregateArbitrary, boundsArbitrary, everyType, whereArbitrary } from '../warehouse/query-data.contract.ts';
import { canonicalQuery, parseAggregateQuery, parseRecordsQuery } from './query-grammar.ts';

const limits = { rowsMax: 10_000 };
const aggregate = (text: string, contract: Contract = everyType) =>
  parseAggregateQuery(contract, new URLSearchParams(text), limits);
const records = (text: string, contract: Contract = everyType) =>
  parseRecordsQuery(contract, new URLSearchParams(text), limits);
const urlOf = (canonical: string): string => canonical.slice(canonical.indexOf('?') + 1);

describe('query grammar', () => {
  it('reads every part of an aggregate query', () => {
    assert.deepEqual(
      aggregate(
        'measure=avg:amount,count&by=select&bucket=at:hour&where=sum_order:gte:10&where=select:in:b,a\\,c&from=2018-01-01&to=2018-02-01T00:00:00%2B01:00&tz=Europe/Berlin&order=-avg_amount&limit=5',
      ),
      {
        dataset: 'every_type',
        measures: [{ fn: 'avg', field: 'amount' }, { fn: 'count' }],
        by: ['select'],
        buckets: [{ field: 'at', unit: 'hour' }],
        where: [
          { field: 'sum_order', op: 'gte', values: ['10'] },
          { field: 'select', op: 'in', values: ['a,c', 'b'] },
        ],
        fromMs: Date.parse('2018-01-01T00:00:00Z'),
        toMs: Date.parse('2018-01-31T23:00:00Z'),
        timeZone: 'Europe/Berlin',
        order: [{ name: 'avg_amount', descending: true }],
        limit: 5,
      },
    );
  });

  it('reads a records query, by event time unless told otherwise', () => {
    assert.deepEqual(records(''), {
      query: { dataset: 'every_type', where: [], order: { field: 'at', descending: false }, limit: 100 },
    });
    assert.deepEqual(records('order=-amount&limit=7&cursor=abc&from=&to='), {
      query: { dataset: 'every_type', where: [], order: { field: 'amount', descending: true }, limit: 7 },
      cursor: 'abc',
    });
    assert.equal(records('order=commit').query.order, 'commit');
  });

  it('takes everything after the operator as the value, colons and commas included', () => {
    const { query } = records(`where=${encodeURIComponent('select:eq:a:b,c\\')}&where=at:lt:2018-05-21T02:54:04Z`);
    assert.deepEqual(
      query.where.map(({ values }) => values),
      [['a:b,c\\'], ['2018-05-21T02:54:04Z']],
    );
  });

  it('reads bounds as wall clock where the event time is one', () => {
    const clocked: Contract = { ...everyType, eventDate: 'clock' };
    assert.equal(records('from=2018-05-21T02:54:04', clocked).query.fromMs, Date.parse('2018-05-21T02:54:04Z'));
    refused(() => records('from=2018-05-21T02:54:04'), { parameter: 'from' });
  });

  it('names the unknown parameter, and knows cursor for records only', () => {
    refused(() => aggregate('measure=count&limitt=1'), { code: 'PARAMETER_UNKNOWN', parameter: 'limitt' });
    refused(() => aggregate('measure=count&cursor=x'), { code: 'PARAMETER_UNKNOWN', parameter: 'cursor' });
    refused(() => records('measure=count'), { code: 'PARAMETER_UNKNOWN', parameter: 'measure' });
    refused(() => records('__proto__=1'), { code: 'PARAMETER_UNKNOWN', parameter: '__proto__' });
  });

  const wrong: readonly (readonly [string, string, string])[] = [
    ['measure=median:amount', 'measure', 'median:amount'],
    ['measure=avg:nothing', 'measure', 'nothing'],
    ['measure=', 'measure', ''],
    ['measure=count&by=', 'by', ''],
    ['measure=count&by=nothing', 'by', 'nothing'],
    ['measure=count&by=constructor', 'by', 'constructor'],
    ['measure=count&bucket=at:fortnight', 'bucket', 'at:fortnight'],
    ['measure=count&bucket=at', 'bucket', 'at'],
    ['measure=count&where=select', 'where', 'select'],
    ['measure=count&where=select:like:a', 'where', 'select:like:a'],
    ['measure=count&where=select:eq', 'where', 'select:eq'],
    ['measure=count&where=select:null:x', 'where', 'select:null:x'],
    ['measure=count&where=select:in:a%5Cb', 'where', 'select:in:a\\b'],
    ['measure=count&where=sum_order:eq:abc', 'where', 'abc'],
    ['measure=count&order=-nothing', 'order', 'nothing'],
    ['measure=count&limit=-1', 'limit', '-1'],
    ['measure=count&limit=0', 'limit', '0'],
    ['measure=count&limit=10001', 'limit', '10001'],
    ['measure=count&limit=1e3', 'limit', '1e3'],
    ['measure=count&limit=1&limit=2', 'limit', '2 values'],
    ['measure=count&tz=Mars/Olympus', 'tz', 'Mars/Olympus'],
    ['measure=count&from=yesterday', 'from', 'yesterday'],
    ['measure=count&from=2018-01-01T00:00:00+01:00', 'from', '2018-01-01T00:00:00 01:00'],
    ['measure=count&from=2018-01-01T00:00:00.0001Z', 'from', '2018-01-01T00:00:00.0001Z'],
    ['measure=count&from=2019-01-01&to=2018-01-01', 'from', '2019-01-01'],
  ];
  for (const [text, parameter, got] of wrong) {
    it(`refuses ${text}, saying value, rule and what is allowed`, () => {
      refused(() => aggregate(text), { parameter, got });
    });
  }

  it('refuses orders of records that do not exist', () => {
    refused(() => records('order=-commit'), { parameter: 'order', got: '-commit' });
    refused(() => records('order=names'), { parameter: 'order', got: 'names' });
    refused(() => records('order=at,day'), { parameter: 'order', got: 'at,day' });
  });

  it('says that a measure is missing and which there are', () => {
    refused(() => aggregate('by=select'), { code: 'PARAMETER_MISSING', parameter: 'measure' });
  });

  it('shows no more than the start of a long value', () => {
    assert.throws(
      () => aggregate(`measure=${'x'.repeat(5_000)}`),
      (error) =>
        error instanceof AppError && error.publicMessage.length < 400 && (error.errors[0]?.got?.length ?? 0) < 70,
    );
  });

  it('gives equal questions one text: order of filters, of values in a list, and spelling aside', () => {
    const one = aggregate(
      'measure=count&where=amount:gte:10.50&where=select:in:b,a,b&from=2018-01-01&where=select:in:a,b',
    );
    const other = aggregate(
      'where=select:in:a,b&where=amount:gte:0010.5&measure=count&from=2018-01-01T01:00:00%2B01:00&tz=UTC&limit=1000',
    );
    assert.equal(canonicalQuery(one), canonicalQuery(other));
  });

  it('gives different questions different texts', () => {
    const texts = [
      ...[
        'measure=count',
        'measure=count&by=select',
        'measure=count&limit=1',
        'measure=count&tz=Europe/Rome',
        'measure=count&from=2018-01-01',
        'measure=count&to=2018-01-01',
      ],
      ...[
        'measure=count&where=select:eq:a%26where=flag:null',
        'measure=count&where=select:eq:a&where=flag:null',
        'measure=count&where=select:in:a%5C,b',
        'measure=count&where=select:in:a,b',
      ],
    ].map((text) => canonicalQuery(aggregate(text)));
    const { query } = records('');
    texts.push(
      ...[
        query,
        { ...query, commitMax: 1 },
        { ...query, after: { value: null, eventId: 'a' } },
        { ...query, after: { value: 'null', eventId: 'a' } },
      ].map(canonicalQuery),
    );
    assert.equal(new Set(texts).size, texts.length);
  });

  it('reads its own canonical text back to the same question', () => {
    fc.assert(
      fc.property(aggregateArbitrary, (query) => {
        fc.pre(query.fromMs === undefined || query.toMs === undefined || query.fromMs <= query.toMs);
        const canonical = canonicalQuery(aggregate(urlOf(canonicalQuery(query))));
        assert.equal(canonicalQuery(aggregate(urlOf(canonical))), canonical);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(whereArbitrary, boundsArbitrary, fc.boolean(), (where, bounds, descending) => {
        fc.pre(bounds.fromMs === undefined || bounds.toMs === undefined || bounds.fromMs <= bounds.toMs);
        const asked = { dataset: 'every_type', where, ...bounds, order: { field: 'day', descending }, limit: 9 };
        const { query } = records(urlOf(canonicalQuery(asked)));
        assert.deepEqual({ ...query, where: [] }, { ...asked, where: [] });
        assert.deepEqual(
          records(urlOf(canonicalQuery(query))).query.where.length,
          new Set(query.where.map((one) => JSON.stringify(one))).size,
        );
      }),
      { numRuns: 300 },
    );
  });

  it('never crashes on a query string: it is a query or an AppError', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'measure',
        'avg:amount',
        'where',
        'select:in:',
        'at:lt:',
        'bucket',
        'from',
        '2018-01-01',
        'order',
        'limit',
        '5',
        '\\',
        ',',
        ':',
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, piece), { maxLength: 4 }), (pairs) => {
        const params = new URLSearchParams(pairs);
        for (const parse of [parseAggregateQuery, parseRecordsQuery]) {
          try {
            parse(everyType, params, limits);
          } catch (error) {
            assert.ok(error instanceof AppError && error.status === 400, String(error));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

function refused(
  ask: () => unknown,
  { code = 'PARAMETER_INVALID', parameter, got }: { code?: ErrorCode; parameter: string; got?: string },
): void {
  assert.throws(ask, (error) => {
    assert.ok(error instanceof AppError, String(error));
    const [detail] = error.errors;
    assert.deepEqual(
      [error.code, detail?.parameter, got === undefined ? undefined : detail?.got],
      [code, parameter, got],
    );
    assert.ok((detail?.expected ?? '') !== '' && error.publicMessage.startsWith(`${code}: `));
    return true;
  });
}
