/**
 * `/data_analysis`: statistics of sales by country, each a number with two decimals, half to even.
 *
 * The warehouse answers exact sums, counts, extremes and medians of DECIMAL values; the mean is divided here with whole
 * numbers. Only `std` is computed in binary floating point (in one pass that does not cancel, relative error near
 * 1e-12): two decimals of it are right unless the true value lies within 1e-9 of a half cent.
 */
import { z } from 'zod';
import { AppError } from '../../errors.ts';
import type { AggregateQuery, Measure } from '../../warehouse/query.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { Row, RowValue } from '../contract.ts';
import type { DatasetRoute, RoutePlan } from '../route.ts';
import { COUNTRIES } from './contract.ts';
import { centsValue, decimal, meanCents, toCents } from './decimal.ts';

const METRICS = ['mean', 'median', 'min', 'max', 'std', 'sum', 'count'] as const;
type Metric = (typeof METRICS)[number];
type Country = (typeof COUNTRIES)[number];
type Query = Readonly<Record<string, unknown>>;

const GLOBAL = 'GLOBAL';
/** Four digits that a book sale can have; keeps bounds inside every warehouse's calendar. */
const YEAR = /^[12]\d{3}$/;

const countryFlag = (country: Country): string => `include_${country.toLowerCase()}`;
const flag = (about: string) => z.enum(['true', 'false']).optional().describe(about);
const statistic = z.union([z.number(), z.string().describe('More than 15 digits.'), z.null()]);

const query = z.strictObject({
  ...Object.fromEntries(METRICS.map((metric) => [metric, flag(`Answer the ${metric} of the amounts, in EUR.`)])),
  ...Object.fromEntries(COUNTRIES.map((country) => [countryFlag(country), flag(`Take in sales of ${country}.`)])),
  count: flag('Answer how many sales there are.'),
  year: z.string().optional().describe('Only sales of this year (UTC), as 2024.'),
  global: flag('One result over all chosen countries, under the key GLOBAL, in place of one each.'),
});

const answer = z
  .record(z.string(), z.partialRecord(z.enum(METRICS), statistic))
  .describe('Country code, or GLOBAL, to its statistics.');

export const routes: readonly DatasetRoute[] = [
  {
    path: '/data_analysis',
    dataset: 'book_sales',
    summary: 'Statistics of book sales by country',
    description:
      'At least one metric and one country. Two decimals, half to even; `std` is the sample standard deviation, null for one sale. A chosen country without a matching sale is answered with count 0, sum 0 and null for the rest; if no chosen country has one, the answer is NOTHING_MATCHES.',
    query,
    answer,
    errors: ['METRIC_MISSING', 'COUNTRY_MISSING', 'YEAR_INVALID', 'NOTHING_MATCHES'],
    examples: [
      { query: 'mean=true&include_ar=true', summary: "Argentina's mean" },
      {
        query: 'mean=true&std=true&count=true&include_ar=true&include_uy=true&year=2024',
        summary: 'Two countries in one year',
      },
      { query: 'sum=true&include_es=true&include_mx=true&global=true', summary: 'One total over two countries' },
    ],
    plan,
  },
];

function plan(asked: Query): RoutePlan {
  const metrics = METRICS.filter((metric) => asked[metric] === 'true');
  if (metrics.length === 0) {
    throw new AppError({
      code: 'METRIC_MISSING',
      publicMessage: `METRIC_MISSING: no metric was asked for. Add at least one of ${METRICS.map((metric) => `${metric}=true`).join(', ')}.`,
    });
  }
  const countries = COUNTRIES.filter((country) => asked[countryFlag(country)] === 'true');
  if (countries.length === 0) {
    throw new AppError({
      code: 'COUNTRY_MISSING',
      publicMessage: `COUNTRY_MISSING: no country was asked for. Add at least one of ${COUNTRIES.map((country) => `${countryFlag(country)}=true`).join(', ')}.`,
    });
  }
  const global = asked['global'] === 'true';
  const year = readYear(asked['year']);
  return {
    reads: [readOf({ metrics, countries, global, year })],
    answer: (results) => body({ results, metrics, countries, global, year }),
  };
}

function readYear(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && YEAR.test(value)) return Number(value);
  throw new AppError({
    code: 'YEAR_INVALID',
    publicMessage: 'YEAR_INVALID: year is not a year. Give four digits from 1000 to 2999, as in year=2024.',
    errors: [
      { code: 'YEAR_INVALID', parameter: 'year', expected: 'four digits from 1000 to 2999', got: String(value) },
    ],
  });
}

function readOf(options: {
  readonly metrics: readonly Metric[];
  readonly countries: readonly Country[];
  readonly global: boolean;
  readonly year: number | undefined;
}): AggregateQuery {
  const { metrics, countries, global, year } = options;
  const measures: Measure[] = [{ fn: 'count' }];
  if (metrics.includes('sum') || metrics.includes('mean')) measures.push({ fn: 'sum', field: 'amount' });
  if (metrics.includes('median')) measures.push({ fn: 'p50', field: 'amount' });
  if (metrics.includes('min')) measures.push({ fn: 'min', field: 'amount' });
  if (metrics.includes('max')) measures.push({ fn: 'max', field: 'amount' });
  if (metrics.includes('std')) measures.push({ fn: 'stddev', field: 'amount' });
  return {
    dataset: 'book_sales',
    where: [{ field: 'country', op: 'in', values: countries }],
    ...(year === undefined ? {} : { fromMs: Date.UTC(year, 0, 1), toMs: Date.UTC(year + 1, 0, 1) }),
    limit: COUNTRIES.length,
    measures,
    by: global ? [] : ['country'],
    buckets: [],
    timeZone: 'UTC',
    order: [],
  };
}

function body(options: {
  readonly results: readonly AggregateResult[];
  readonly metrics: readonly Metric[];
  readonly countries: readonly Country[];
  readonly global: boolean;
  readonly year: number | undefined;
}): Readonly<Record<string, Readonly<Record<string, number | string | null>>>> {
  const { results, metrics, countries, global, year } = options;
  const rows = results.flatMap((result) => result.data);
  if (rows.every((row) => BigInt(String(row['count'])) === 0n)) {
    throw new AppError({
      code: 'NOTHING_MATCHES',
      publicMessage: `NOTHING_MATCHES: no sale matches: countries ${countries.join(', ')}${year === undefined ? '' : `, year ${year}`}. Choose another year or other countries of ${COUNTRIES.join(', ')}.`,
    });
  }
  const groups = global ? [GLOBAL] : countries;
  return Object.fromEntries(
    groups.map((group) => {
      const row = global ? rows[0] : rows.find((candidate) => candidate['country'] === group);
      return [group, Object.fromEntries(metrics.map((metric) => [metric, statisticOf(metric, row)]))];
    }),
  );
}

function statisticOf(metric: Metric, row: Row | undefined): number | string | null {
  const count = BigInt(String(row?.['count'] ?? 0));
  switch (metric) {
    case 'count':
      return count <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(count) : count.toString();
    case 'sum':
      return amount(row?.['sum_amount']) ?? 0;
    case 'mean': {
      const sum = row?.['sum_amount'];
      return count === 0n || !isNumeric(sum) ? null : centsValue(meanCents(decimal(sum), count));
    }
    case 'median':
      return amount(row?.['p50_amount']);
    case 'min':
      return amount(row?.['min_amount']);
    case 'max':
      return amount(row?.['max_amount']);
    case 'std':
      return amount(row?.['stddev_amount']);
  }
}

function amount(value: RowValue | undefined): number | string | null {
  return isNumeric(value) ? centsValue(toCents(decimal(value))) : null;
}

function isNumeric(value: RowValue | undefined): value is string | number {
  return typeof value === 'number' || typeof value === 'string';
}
