/** Questions to a Prometheus over HTTP. Every answer is checked; every failure says what was asked of whom. */
import { z } from 'zod';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface SeriesRange {
  readonly labels: Readonly<Record<string, string>>;
  /** [Unix seconds, value], rising. */
  readonly points: readonly (readonly [number, number])[];
}

/** Prometheus could not be asked, refused the query, or answered with something else than an answer. */
export class PrometheusError extends Error {
  override readonly name = 'PrometheusError';
}

/** Rules over 30 days are read in well under a second; Prometheus itself gives up after two minutes. */
const TIMEOUT_MS = 30_000;

const labels = z.record(z.string(), z.string());
const point = z.tuple([z.number(), z.string().transform(Number)]);
const vectorAnswer = z.object({
  data: z.object({ resultType: z.literal('vector'), result: z.array(z.object({ metric: labels, value: point })) }),
});
const matrixAnswer = z.object({
  data: z.object({
    resultType: z.literal('matrix'),
    result: z.array(z.object({ metric: labels, values: z.array(point) })),
  }),
});

/** The value of a query now, or at a time. */
export async function queryAt(options: {
  readonly url: string;
  readonly query: string;
  readonly atSeconds?: number;
}): Promise<readonly Sample[]> {
  const { atSeconds, query, url } = options;
  const time = atSeconds === undefined ? {} : { time: String(atSeconds) };
  const { data } = await ask({ url, path: 'query', parameters: { query, ...time }, schema: vectorAnswer });
  return data.result.map(({ metric, value: [, value] }) => ({ labels: metric, value }));
}

/** Its values on a grid; Prometheus answers at most 11,000 points a series. */
export async function queryRange(options: {
  readonly url: string;
  readonly query: string;
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stepSeconds: number;
}): Promise<readonly SeriesRange[]> {
  const { fromSeconds, query, stepSeconds, toSeconds, url } = options;
  const parameters = { query, start: String(fromSeconds), end: String(toSeconds), step: String(stepSeconds) };
  const { data } = await ask({ url, path: 'query_range', parameters, schema: matrixAnswer });
  return data.result.map(({ metric, values }) => ({ labels: metric, points: values }));
}

async function ask<Answer>(options: {
  readonly url: string;
  readonly path: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly schema: z.ZodType<Answer>;
}): Promise<Answer> {
  const { parameters, path, schema, url } = options;
  const asked = `${url} (${parameters['query'] ?? path})`;
  try {
    const response = await fetch(new URL(`api/v1/${path}`, url.endsWith('/') ? url : `${url}/`), {
      method: 'POST',
      body: new URLSearchParams(parameters),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new PrometheusError(`${asked} answered ${response.status}: ${text.slice(0, 300)}`);
    return schema.parse(JSON.parse(text));
  } catch (error) {
    if (error instanceof PrometheusError) throw error;
    throw new PrometheusError(`${asked}: ${causeOf(error)}`, { cause: error });
  }
}

/** fetch says "fetch failed" and hides why in its cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message;
}
