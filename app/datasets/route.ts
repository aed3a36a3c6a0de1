/** A dataset's own route, as data: the api folder mounts it, checks the query, writes headers and problems. */
import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { AggregateQuery } from '../warehouse/query.ts';
import type { AggregateResult } from '../warehouse/warehouse.ts';

export interface DatasetRoute {
  /** `/stats` */
  readonly path: string;
  readonly dataset: string;
  readonly summary: string;
  readonly description: string;
  /** Every parameter the route takes; others are answered PARAMETER_UNKNOWN. Text in, values out. */
  readonly query: z.ZodObject;
  /** The shape of the 200 body, for the OpenAPI document. */
  readonly answer: z.ZodType;
  /** The route's own codes, for the OpenAPI document. */
  readonly errors?: readonly ErrorCode[];
  readonly examples: readonly { readonly query: string; readonly summary: string }[];
  /**
   * Judges the query beyond its schema (AppError with the route's own codes) and names what it reads, so that the
   * api can compute versions, cache and 304 without running it.
   */
  readonly plan: (query: Readonly<Record<string, unknown>>) => RoutePlan;
}

export interface RoutePlan {
  /** The reads, independent of one another. */
  readonly reads: readonly AggregateQuery[];
  /** Makes the body from the results, in the order of `reads`. May throw AppError NOTHING_MATCHES. */
  readonly answer: (results: readonly AggregateResult[]) => unknown;
}
