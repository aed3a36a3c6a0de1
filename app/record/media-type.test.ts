import assert from 'node:assert/strict';
import { AppError } from '../errors.ts';
import { readMediaType } from './media-type.ts';

describe('readMediaType', () => {
  const taken = [
    ['application/json', undefined, 'json', false],
    ['Application/JSON; charset=UTF-8', undefined, 'json', false],
    ['application/json;charset="utf-8"', 'identity', 'json', false],
    ['application/x-ndjson', 'gzip', 'ndjson', true],
    ['application/ndjson', ' GZIP ', 'ndjson', true],
    ['text/csv; header=present; charset=utf8', 'x-gzip', 'csv', true],
    ['text/csv;', '', 'csv', false],
  ] as const;
  for (const [type, encoding, format, gzip] of taken) {
    it(`takes ${type} with encoding ${encoding}`, () =>
      assert.deepEqual(readMediaType(type, encoding), { format, gzip }));
  }

  const refused: readonly (readonly [string | undefined, string | undefined])[] = [
    [undefined, undefined],
    ['', undefined],
    ['text/plain', undefined],
    ['application/jsonp', undefined],
    ['application/json, text/csv', undefined],
    ['application/json; charset=latin1', undefined],
    ['application/json; header=present', undefined],
    ['text/csv; header=absent', undefined],
    ['application/json', 'br'],
    ['application/json', 'gzip, gzip'],
  ];
  for (const [type, encoding] of refused) {
    it(`refuses ${type} with encoding ${encoding}, naming what is taken`, () => {
      assert.throws(
        () => readMediaType(type, encoding),
        (error) =>
          error instanceof AppError &&
          error.code === 'MEDIA_TYPE_UNSUPPORTED' &&
          error.publicMessage.includes('application/x-ndjson'),
      );
    });
  }
});
