/**
 * A route as data: what Express mounts, what the OpenAPI document says and what the guard asks are the same object.
 */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { Scope } from '../state/state.ts';

/** Who is calling. While no key was ever made everybody on loopback is `anonymous` and may do everything. */
export interface Caller {
  readonly keyId: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Absent: all datasets. */
  readonly datasets?: ReadonlySet<string>;
}

export interface Exchange {
  readonly request: Request;
  readonly response: Response;
  readonly requestId: string;
  readonly caller: Caller;
  /** The query string, decoded once; repeated names are kept. */
  readonly query: URLSearchParams;
  readonly startedAtMs: number;
}

/** `open`: no key asked, ever. `any`: a valid key with whatever scope. */
export type Access = Scope | 'open' | 'any';

export interface RouteAnswer {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Default application/json. */
  readonly mediaTypes?: readonly string[];
}

interface RouteExample {
  readonly summary: string;
  /** Path and query, as a caller would write them. */
  readonly path: string;
  readonly body?: { readonly mediaType: string; readonly text: string };
}

export interface Route {
  readonly method: 'get' | 'post' | 'delete';
  /** Express form: `/v1/receipts/:id`. */
  readonly path: string;
  readonly access: Access;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  /** Query parameters. `undefined` says that the handler judges the query itself and `queryDocumented` describes it. */
  readonly query?: z.ZodObject;
  readonly body?: {
    readonly description: string;
    readonly mediaTypes: Readonly<Record<string, z.ZodType>>;
    readonly required: boolean;
  };
  readonly headers?: z.ZodObject;
  readonly answers: Readonly<Record<number, RouteAnswer>>;
  readonly errors: readonly ErrorCode[];
  /** The first one fills the Swagger page's fields; those with a body are one for each media type. */
  readonly examples?: readonly RouteExample[];
  /** Probes and static pages are left out of host checks, admission control and access limits as product.md says. */
  readonly exempt?: boolean;
  readonly handle: (exchange: Exchange) => Promise<void> | void;
}
