/** The named queries, as data: what is asked over HTTP, and the same question as a person would write it in SQL. */

export interface NamedQuery {
  readonly name: string;
  readonly about: string;
  /** Of `GET /v1/datasets/flights/aggregates`; a `limit` is added, another one each time the answer must not be cached. */
  readonly query: string;
  readonly sql: string;
}

export const QUERIES: readonly NamedQuery[] = [
  {
    name: 'delay-by-origin',
    about: 'How late flights are, by airport of departure: one pass over all rows, 40 groups.',
    query: 'measure=count&measure=avg:delay&measure=max:delay&by=origin',
    sql: `SELECT origin, count(*), avg(delay), max(delay) FROM silver.flights
      GROUP BY origin ORDER BY origin`,
  },
  {
    name: 'late-by-day',
    about: 'The median and the 95th percentile by day, both exact: the dearest measure there is.',
    query: 'measure=count&measure=p50:delay&measure=p95:delay&bucket=departed_at:day',
    sql: `SELECT date_trunc('day', departed_at) AS day, count(*), quantile_cont(delay, 0.5), quantile_cont(delay, 0.95)
      FROM silver.flights GROUP BY day ORDER BY day`,
  },
  {
    name: 'routes-of-one-airport',
    about: 'Two filters and a range of two days, the twenty worst: the question of somebody on duty.',
    query:
      'measure=count&measure=avg:delay&measure=sum:distance&by=destination&where=origin:eq:SFO&where=delay:gte:15' +
      '&from=2001-01-03T00:00:00Z&to=2001-01-05T00:00:00Z&order=-avg_delay',
    sql: `SELECT destination, count(*), avg(delay) AS late, sum(distance) FROM silver.flights
      WHERE origin = 'SFO' AND delay >= 15 AND departed_at >= TIMESTAMPTZ '2001-01-03 00:00:00+00'
        AND departed_at < TIMESTAMPTZ '2001-01-05 00:00:00+00'
      GROUP BY destination ORDER BY late DESC, destination`,
  },
];
