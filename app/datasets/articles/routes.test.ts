import assert from 'node:assert/strict';
import { AppError } from '../../errors.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { Row } from '../contract.ts';
import type { DatasetRoute } from '../route.ts';
import { contract } from './contract.ts';
import { routes } from './routes.ts';

const route = routes[0] as DatasetRoute;
const APART = [{ count: 12, sum_readers: 340 }];

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

describe('/articles/readers', () => {
  it('answers readers by saga with a total, and apart those of texts without a saga', () => {
    assert.deepEqual(
      answer(
        'by=saga',
        [
          { saga: 'dune', sum_readers: 70 },
          { saga: 'star_wars', sum_readers: 30 },
        ],
        APART,
        [{ sum_readers: 100 }],
      ),
      {
        by: 'saga',
        measure: 'readers',
        data: [
          { saga: 'dune', value: 70 },
          { saga: 'star_wars', value: 30 },
        ],
        total: 100,
        unclassified: { articles: 12, readers: 340 },
      },
    );
  });

  it('answers readers by entity without a total, because the groups share articles', () => {
    const body = answer('by=entity', [{ entity: 'Chani', sum_readers: '9007199254740993' }], APART) as {
      readonly data: unknown;
      readonly total: unknown;
    };
    assert.deepEqual(body.data, [{ entity: 'Chani', value: '9007199254740993' }]);
    assert.equal(body.total, null);
  });

  it('counts an article once in each group: rows of silver by saga, of the fact model by entity', () => {
    const shape = (query: string) =>
      plan(query).reads.map(({ model, by, measures }) => [
        model ?? 'silver',
        by.join(),
        measures.map((each) => `${each.fn}:${each.field ?? ''}`).join(),
      ]);
    assert.deepEqual(shape('by=saga'), [
      ['silver', 'saga', 'sum:readers'],
      ['silver', '', 'count:,sum:readers'],
      ['silver', '', 'sum:readers'],
    ]);
    assert.deepEqual(shape('by=entity'), [
      ['fact_readers', 'entity', 'sum:readers'],
      ['silver', '', 'count:,sum:readers'],
    ]);
    assert.deepEqual(shape('by=entity&measure=articles')[0], ['fact_readers', 'entity', 'count:']);
    assert.deepEqual(shape('by=entity&measure=mentions')[2], ['fact_readers', '', 'sum:entity_count']);
    assert.deepEqual(shape('by=saga&measure=mentions')[0], ['fact_readers', 'saga', 'sum:entity_count']);
  });

  it('adds up mentions and total readers', () => {
    assert.equal(
      (answer('by=entity&measure=mentions', [], APART, [{ sum_entity_count: 9 }]) as { readonly total: unknown }).total,
      9,
    );
    assert.equal(
      (answer('by=saga&measure=total_readers', [], APART, [{ sum_readers: 5 }]) as { readonly total: unknown }).total,
      5,
    );
    assert.equal(
      (answer('by=saga&measure=articles', [], APART, [{ count: 3 }]) as { readonly total: unknown }).total,
      3,
    );
  });

  it('refuses a total by entity, naming a model that exists', () => {
    assert.throws(
      () => plan('by=entity&measure=total_readers'),
      (error: unknown) => {
        assert.ok(error instanceof AppError);
        assert.equal(error.code, 'GRAIN_TOO_FINE');
        const [, model = ''] = /model articles_(\w+) answers it/.exec(error.publicMessage) ?? [];
        return model in contract.gold;
      },
    );
  });

  it('answers zeros while nothing was stored', () => {
    assert.deepEqual(answer('by=saga', [], [{ count: 0, sum_readers: null }], [{ sum_readers: null }]), {
      by: 'saga',
      measure: 'readers',
      data: [],
      total: 0,
      unclassified: { articles: 0, readers: 0 },
    });
  });

  it('limits the groups, 100 unless asked otherwise, and never the total', () => {
    assert.deepEqual(
      plan('by=saga').reads.map((read) => read.limit),
      [100, 1, 1],
    );
    assert.equal(plan('by=entity&limit=1000').reads[0]?.limit, 1000);
    for (const limit of ['0', '1001', '-1', 'x', '1.5'])
      assert.equal(parse(`by=saga&limit=${limit}`).success, false, limit);
  });

  it('wants a known group and measure', () => {
    for (const query of ['', 'by=author', 'by=saga&measure=sum', 'by=saga&year=2024'])
      assert.equal(parse(query).success, false, query);
  });

  it('gives examples that plan', () => {
    for (const example of route.examples) assert.ok(plan(example.query).reads.length >= 2);
  });
});
