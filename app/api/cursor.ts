/**
 * Cursors: where a page ended, signed, so that a caller can neither make nor bend one.
 *
 * A cursor belongs to one query (all of it but the limit, which may change from page to page) and to one generation
 * of the data: after a rebuild or an erasure its place means nothing. A cursor with `commitMax` goes on among the rows
 * of the first page's commit; one without (a resume cursor, `order=commit`) goes on among all rows.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { RecordsQuery } from '../warehouse/query.ts';
import { canonicalQuery } from './query-grammar.ts';

export interface PageCursor {
  /** The value of the order field of the page's last row; with `order=commit` its commit number. */
  readonly value: string | number | boolean | null;
  /** 32 hex. */
  readonly eventId: string;
  /** Absent in resume cursors. */
  readonly commitMax?: number;
}

interface CursorScope {
  /** The service's signing key. */
  readonly key: Buffer;
  readonly query: RecordsQuery;
  /** PartitionsVersion.generation. */
  readonly generation: string;
}

/** 128 bits: a forgery takes 2^127 requests. */
const SIGNATURE_BYTES = 16;
/** An order value of 1,024 characters in its longest JSON escapes, and the rest. */
const CURSOR_CHARACTERS_MAX = 10_000;
/** Keeps this use of the key apart from receipts and whatever else it signs. */
const PURPOSE = 'vigia cursor 1\n';

const payloadSchema = z.tuple([
  z.string(),
  z.string(),
  z.union([z.string(), z.number(), z.boolean(), z.null()]),
  z.string().regex(/^[0-9a-f]{32}$/),
  z.int().nonnegative().nullable(),
]);

export function encodeCursor(cursor: PageCursor, { key, query, generation }: CursorScope): string {
  const payload = Buffer.from(
    JSON.stringify([queryHash(query), generation, cursor.value, cursor.eventId, cursor.commitMax ?? null]),
  );
  return Buffer.concat([sign(payload, key), payload]).toString('base64url');
}

/** Throws AppError CURSOR_INVALID (not ours, or another query's) or CURSOR_GONE (another generation's). */
export function decodeCursor(text: string, { key, query, generation }: CursorScope): PageCursor {
  if (text.length > CURSOR_CHARACTERS_MAX || !/^[A-Za-z0-9_-]+$/.test(text)) throw invalid('is malformed');
  const bytes = Buffer.from(text, 'base64url');
  const payload = bytes.subarray(SIGNATURE_BYTES);
  const signature = bytes.subarray(0, SIGNATURE_BYTES);
  if (signature.length < SIGNATURE_BYTES || !timingSafeEqual(signature, sign(payload, key)))
    throw invalid('was not made by this service');
  const [hashOfQuery, ofGeneration, value, eventId, commitMax] = payloadSchema.parse(JSON.parse(payload.toString()));
  if (hashOfQuery !== queryHash(query))
    throw invalid('belongs to another query: keep every parameter but limit as it was');
  if (ofGeneration !== generation) {
    throw new AppError({
      code: 'CURSOR_GONE',
      publicMessage:
        'CURSOR_GONE: the data was rebuilt or rows were erased since this cursor was made. Start again without cursor.',
      errors: [{ code: 'CURSOR_GONE', parameter: 'cursor' }],
    });
  }
  return commitMax === null ? { value, eventId } : { value, eventId, commitMax };
}

function queryHash({ commitMax: _bound, after: _place, ...query }: RecordsQuery): string {
  return hash('sha256', canonicalQuery({ ...query, limit: 0 }), 'base64url');
}

function sign(payload: Buffer, key: Buffer): Buffer {
  return createHmac('sha256', key).update(PURPOSE).update(payload).digest().subarray(0, SIGNATURE_BYTES);
}

function invalid(reason: string): AppError {
  return new AppError({
    code: 'CURSOR_INVALID',
    publicMessage: `CURSOR_INVALID: the cursor ${reason}. Send nextCursor as it was answered, or start again without cursor.`,
    errors: [{ code: 'CURSOR_INVALID', parameter: 'cursor', expected: 'nextCursor or resumeCursor of this query' }],
  });
}
