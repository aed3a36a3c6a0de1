/**
 * Lists for people, newest first, page by page: what quarantine, dead letters and audit have in common. The cursor is
 * the id of a page's last entry.
 */
import { z } from 'zod';
import { AppError, type ErrorCode } from '../errors.ts';
import { checkDataset } from './access.ts';
import { parseQuery, sendJson } from './json-answer.ts';
import type { Access, Caller, Exchange, Route } from './route.ts';

interface PageQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly dataset?: string | undefined;
}

/** The filters that were given, and where the page lies. */
export type Asked<Q extends PageQuery> = Given<Omit<Q, 'limit' | 'cursor'>> & {
  readonly limit: number;
  readonly after?: string;
};

interface List<Q extends PageQuery, T> {
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly description: string;
  readonly query: z.ZodObject & z.ZodType<Q>;
  /** What is shown of an entry. */
  readonly entry: z.ZodType;
  /** What the id of an entry looks like. */
  readonly id: RegExp;
  /** Said when the store that holds the list does not answer. */
  readonly unavailable: ErrorCode;
  readonly find: (asked: Asked<Q>) => Promise<readonly T[]>;
  readonly idOf: (entry: T) => string;
  readonly show: (entry: T, caller: Caller) => unknown;
}

export function listRoute<Q extends PageQuery, T>(list: List<Q, T>): Route {
  const { path, access, summary, description, query, entry, unavailable } = list;
  return {
    method: 'get',
    path,
    access,
    tag: 'Custody',
    summary,
    description,
    query,
    answers: {
      200: {
        description: 'A page.',
        schema: z.object({ data: z.array(entry), truncated: z.boolean(), nextCursor: z.string().nullable() }),
      },
    },
    errors: [
      'PARAMETER_UNKNOWN',
      'PARAMETER_INVALID',
      'CURSOR_INVALID',
      'CURSOR_GONE',
      // Admin keys, too, may be limited to datasets.
      'DATASET_FORBIDDEN',
      unavailable,
    ],
    handle: (exchange) => answerPage(list, exchange),
  };
}

async function answerPage<Q extends PageQuery, T>(list: List<Q, T>, exchange: Exchange): Promise<void> {
  const { limit, cursor, ...filter }: Q = parseQuery(list.query, exchange.query);
  checkFilter(exchange.caller, filter.dataset);
  if (cursor !== undefined && !list.id.test(cursor)) throw cursorInvalid();
  // One more than the page holds says that there is more.
  const found = await list.find({ ...given(filter), ...given({ after: cursor }), limit: limit + 1 });
  // A cursor is given out only when more follows: nothing after it means that its entry is gone.
  if (cursor !== undefined && found.length === 0) throw cursorGone();
  const entries = found.slice(0, limit);
  const last = entries.at(-1);
  const truncated = found.length > limit;
  sendJson(exchange, 200, {
    data: entries.map((entry) => list.show(entry, exchange.caller)),
    truncated,
    nextCursor: truncated && last !== undefined ? list.idOf(last) : null,
  });
}

/** A key limited to datasets must name one of them. */
export function checkFilter(caller: Caller, dataset: string | undefined): void {
  if (caller.datasets === undefined) return;
  if (dataset !== undefined) {
    checkDataset(caller, dataset);
    return;
  }
  throw new AppError({
    code: 'DATASET_FORBIDDEN',
    publicMessage: `DATASET_FORBIDDEN: this key may see ${[...caller.datasets].join(', ')}. Add dataset=… to the query.`,
  });
}

type Given<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the fields that were not given: an absent filter and an undefined one are not the same to the stores. */
export function given<T extends object>(filter: T): Given<T> {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as Given<T>;
}

function cursorGone(): AppError {
  return new AppError({
    code: 'CURSOR_GONE',
    publicMessage: 'CURSOR_GONE: the entry where this page was to start is gone. Start again without cursor.',
    errors: [{ code: 'CURSOR_GONE', parameter: 'cursor' }],
  });
}

function cursorInvalid(): AppError {
  return new AppError({
    code: 'CURSOR_INVALID',
    publicMessage:
      'CURSOR_INVALID: this is no cursor of this list. Send nextCursor as it was answered, or start again without cursor.',
    errors: [{ code: 'CURSOR_INVALID', parameter: 'cursor', expected: 'nextCursor of this list' }],
  });
}
