import assert from 'node:assert/strict';
import { AppError, type ErrorCode } from '../../errors.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { Row } from '../contract.ts';
import type { DatasetRoute } from '../route.ts';
import { routes } from './routes.ts';

const route = routes[0] as DatasetRoute;
const ALL = 'mean median min max std sum count'.split(' ');

function plan(query: string) {
  return route.plan(route.query.parse(Object.fromEntries(new URLSearchParams(query))));
}

function answer(query: string, data: readonly Row[]): unknown {
  const body = plan(query).answer([result(data)]);
  route.answer.parse(body);
  return body;
}

function result(data: readonly Row[]): AggregateResult {
  return {
    data,
    truncated: false,
    approximate: false,
    version: { generation: 'g', commitNumber: 1, committedAtMs: 1 },
  };
}

function refusal(act: () => unknown): { readonly code: ErrorCode; readonly message: string } {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, message: error.publicMessage };
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('/data_analysis', () => {
  it('answers the mean of one country, exactly', () => {
    assert.equal(
      JSON.stringify(answer('mean=true&include_ar=true', [{ country: 'AR', count: 200, sum_amount: '131312.00' }])),
      '{"AR":{"mean":656.56}}',
    );
  });

  it('divides exact sums and rounds half to even', () => {
    const mean = (sum: string | number, count: number) =>
      answer('mean=true&include_cl=true', [{ country: 'CL', count, sum_amount: sum }]);
    assert.deepEqual(mean('0.25', 2), { CL: { mean: 0.12 } });
    assert.deepEqual(mean(0.27, 2), { CL: { mean: 0.14 } });
    assert.deepEqual(mean('100.00', 3), { CL: { mean: 33.33 } });
  });

  it('answers metrics and countries in the documented order, whatever the order asked', () => {
    const row = {
      count: 2,
      sum_amount: 3,
      p50_amount: 1.5,
      min_amount: 1,
      max_amount: 2,
      stddev_amount: 0.714142842854,
    };
    const query = `${[...ALL]
      .reverse()
      .map((metric) => `${metric}=true`)
      .join('&')}&include_uy=true&include_ar=true`;
    assert.equal(
      JSON.stringify(
        answer(query, [
          { country: 'UY', ...row },
          { country: 'AR', ...row },
        ]),
      ),
      JSON.stringify(
        Object.fromEntries(
          ['AR', 'UY'].map((country) => [
            country,
            { mean: 1.5, median: 1.5, min: 1, max: 2, std: 0.71, sum: 3, count: 2 },
          ]),
        ),
      ),
    );
  });

  it('answers null as the standard deviation of one sale', () => {
    assert.deepEqual(
      answer('std=true&count=true&include_uy=true&year=2021', [{ country: 'UY', count: 1, stddev_amount: null }]),
      { UY: { std: null, count: 1 } },
    );
  });

  it('answers a chosen country without sales with zeros and nulls', () => {
    const query = `${ALL.map((metric) => `${metric}=true`).join('&')}&include_ar=true&include_pe=true`;
    const row = {
      country: 'AR',
      count: 1,
      sum_amount: 5,
      p50_amount: 5,
      min_amount: 5,
      max_amount: 5,
      stddev_amount: null,
    };
    const body = answer(query, [row]) as { readonly PE: unknown };
    assert.deepEqual(body.PE, { mean: null, median: null, min: null, max: null, std: null, sum: 0, count: 0 });
  });

  it('answers one result under GLOBAL over all chosen countries', () => {
    const query = 'mean=true&include_ar=true&include_es=true&global=true';
    assert.deepEqual(plan(query).reads[0]?.by, []);
    assert.deepEqual(answer(query, [{ count: 4, sum_amount: '10.02' }]), { GLOBAL: { mean: 2.5 } });
  });

  it('answers text where a number would lose a cent', () => {
    assert.deepEqual(
      answer('sum=true&include_es=true', [{ country: 'ES', count: 1, sum_amount: '99999999999999.99' }]),
      { ES: { sum: '99999999999999.99' } },
    );
    assert.deepEqual(answer('count=true&include_es=true', [{ country: 'ES', count: '9007199254740993' }]), {
      ES: { count: '9007199254740993' },
    });
  });

  it('reads only what was asked for: countries, the UTC year, the measures', () => {
    const [read] = plan('median=true&include_mx=true&include_co=true&year=2024').reads;
    assert.deepEqual(read?.where, [{ field: 'country', op: 'in', values: ['CO', 'MX'] }]);
    assert.deepEqual(
      [read?.fromMs, read?.toMs],
      [Date.parse('2024-01-01T00:00:00Z'), Date.parse('2025-01-01T00:00:00Z')],
    );
    assert.deepEqual(read?.measures, [{ fn: 'count' }, { fn: 'p50', field: 'amount' }]);
    assert.equal('fromMs' in (plan('count=true&include_mx=true').reads[0] ?? {}), false);
  });

  it('names the metrics when none was asked for', () => {
    const { code, message } = refusal(() => plan('include_ar=true&mean=false'));
    assert.equal(code, 'METRIC_MISSING');
    for (const metric of ALL) assert.ok(message.includes(`${metric}=true`), metric);
  });

  it('names the countries when none was asked for', () => {
    const { code, message } = refusal(() => plan('mean=true'));
    assert.equal(code, 'COUNTRY_MISSING');
    for (const country of 'ar cl co es mx pe uy'.split(' '))
      assert.ok(message.includes(`include_${country}=true`), country);
  });

  it('refuses a year that is not one', () => {
    for (const year of ['abc', '', '24', '20240', '0000', '-2024', '2024.5', '9999']) {
      assert.equal(refusal(() => plan(`mean=true&include_ar=true&year=${year}`)).code, 'YEAR_INVALID', year);
    }
  });

  it('says so when nothing matches, with countries and year', () => {
    for (const [query, rows] of [
      ['mean=true&include_ar=true&year=1999', []],
      ['mean=true&include_ar=true&year=1999&global=true', [{ count: 0, sum_amount: null }]],
    ] as const) {
      const { code, message } = refusal(() => answer(query, rows));
      assert.equal(code, 'NOTHING_MATCHES');
      assert.match(message, /countries AR, year 1999/);
    }
    assert.doesNotMatch(refusal(() => answer('mean=true&include_ar=true', [])).message, /year \d/);
  });

  it('takes only true and false as flags, and no other parameter', () => {
    for (const query of ['mean=yes&include_ar=true', 'mean=true&include_ar=1', 'mean=true&include_br=true']) {
      assert.equal(route.query.safeParse(Object.fromEntries(new URLSearchParams(query))).success, false, query);
    }
  });

  it('gives examples that plan', () => {
    for (const example of route.examples) assert.equal(plan(example.query).reads.length, 1);
  });
});
