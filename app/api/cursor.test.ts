import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { AppError, type ErrorCode } from '../errors.ts';
import type { RecordsQuery } from '../warehouse/query.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';

const query: RecordsQuery = {
  dataset: 'flights',
  where: [{ field: 'delay', op: 'gte', values: ['1'] }],
  order: { field: 'delay', descending: false },
  limit: 10,
};
const scope = { key: randomBytes(32), query, generation: 'g1' };
const cursor = { value: 5, eventId: 'ab'.repeat(16), commitMax: 7 };

function refused(text: string, code: ErrorCode, changed: Partial<typeof scope> = {}): void {
  assert.throws(
    () => decodeCursor(text, { ...scope, ...changed }),
    (error) => error instanceof AppError && error.code === code,
  );
}

describe('cursors', () => {
  it('come back as they were, whatever the order value', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => one + 0),
      fc.boolean(),
      fc.constant(null),
    );
    fc.assert(
      fc.property(value, fc.option(fc.nat(), { nil: undefined }), (one, commitMax) => {
        const place = { value: one, eventId: cursor.eventId, ...(commitMax === undefined ? {} : { commitMax }) };
        const text = encodeCursor(place, scope);
        assert.match(text, /^[A-Za-z0-9_-]+$/);
        assert.deepEqual(decodeCursor(text, scope), place);
      }),
    );
  });

  it('survive another page size and the bounds of the page they lead to, but no other change of the query', () => {
    const text = encodeCursor(cursor, scope);
    const again = { ...query, limit: 99, commitMax: 7, after: { value: 5, eventId: cursor.eventId } };
    assert.deepEqual(decodeCursor(text, { ...scope, query: again }), cursor);
    refused(text, 'CURSOR_INVALID', { query: { ...query, dataset: 'trips' } });
    refused(text, 'CURSOR_INVALID', { query: { ...query, where: [] } });
    refused(text, 'CURSOR_INVALID', { query: { ...query, order: { field: 'delay', descending: true } } });
    refused(text, 'CURSOR_INVALID', { query: { ...query, order: 'commit' } });
    refused(text, 'CURSOR_INVALID', { query: { ...query, fromMs: 0 } });
  });

  it('are gone when the data is of another generation', () => {
    refused(encodeCursor(cursor, scope), 'CURSOR_GONE', { generation: 'g2' });
  });

  it('cannot be made without the key, nor bent in any byte', () => {
    const text = encodeCursor(cursor, scope);
    refused(text, 'CURSOR_INVALID', { key: randomBytes(32) });
    const bytes = Buffer.from(text, 'base64url');
    for (let index = 0; index < bytes.length; index += 1) {
      const bent = Buffer.from(bytes);
      bent[index] = (bent[index] ?? 0) ^ 1;
      refused(bent.toString('base64url'), 'CURSOR_INVALID');
    }
    for (const other of ['', 'x', '***', text.slice(0, 20), `${text}=`, 'A'.repeat(20_000)])
      refused(other, 'CURSOR_INVALID');
  });
});
