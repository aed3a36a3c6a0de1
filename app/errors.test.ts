import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { AppError, ERRORS, type ErrorCode } from './errors.ts';

interface Section {
  readonly code: string;
  readonly status: number;
  readonly text: string;
}

describe('the error table and errors.md', () => {
  let sections: readonly Section[];
  before(async () => {
    const page = await readFile(new URL('./errors.md', import.meta.url), 'utf8');
    sections = [...page.matchAll(/^### (\S+)\n\*\*(\d{3})\*\* · (.+)$/gm)].map(([, code = '', status, text = '']) => ({
      code,
      status: Number(status),
      text,
    }));
    assert.equal(
      sections.length,
      [...page.matchAll(/^### /gm)].length,
      'every heading is followed by its status and text',
    );
  });

  it('explain the same codes in the same order, with the same statuses', () => {
    assert.deepEqual(
      sections.map(({ code, status }) => [code, status]),
      Object.entries(ERRORS).map(([code, entry]) => [code, entry.status]),
    );
  });

  it('tell the reader what happened and what to do, in two sentences or more', () => {
    const short = sections.filter(({ text }) => text.split(/[.;] /).length < 2 || !text.endsWith('.'));
    assert.deepEqual(short, []);
  });

  it('name only settings that exist', async () => {
    const { SETTINGS } = await import('./config.ts');
    const named = sections.flatMap(({ text }) =>
      [...text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map(([, name = '']) => name),
    );
    assert.deepEqual(
      named.filter((name) => !(name in SETTINGS)),
      [],
    );
    assert.ok(named.length > 10);
  });

  it('give each code a title of one sentence and an upper snake case name', () => {
    for (const [code, { title }] of Object.entries(ERRORS)) {
      assert.match(code, /^[A-Z0-9]+(_[A-Z0-9]+)*$/);
      assert.doesNotMatch(title, /\.$/);
    }
  });

  it('offer a retry with 409, 429 and 503 alone, and never for a message that used up its attempts', () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      const retried = [409, 429, 503].includes(entry.status) && code !== 'MESSAGE_FAILED';
      assert.equal('retryable' in entry, retried, code);
    }
  });
});

describe('an AppError', () => {
  it('carries status and retry of its code, and keeps the cause', () => {
    const cause = new Error('disk');
    const error = new AppError({
      code: 'BUS_UNAVAILABLE',
      publicMessage: 'The bus is unavailable.',
      detail: 'EIO',
      cause,
    });
    assert.equal(error.status, 503);
    assert.equal(error.retryable, true);
    assert.equal(error.retryAfterSeconds, 1);
    assert.equal(error.message, 'BUS_UNAVAILABLE: EIO');
    assert.equal(error.cause, cause);
  });

  it('asks nobody to retry what will fail again', () => {
    const error = new AppError({ code: 'YEAR_INVALID', publicMessage: 'year=abc is not a year.' });
    assert.equal(error.retryable, false);
    assert.equal(error.retryAfterSeconds, undefined);
    assert.deepEqual(error.errors, []);
    assert.equal(error.message, 'YEAR_INVALID: year=abc is not a year.');
  });

  it('keeps a longer wait that its thrower names', () => {
    const code: ErrorCode = 'RATE_LIMITED';
    assert.equal(new AppError({ code, publicMessage: 'Too many.', retryAfterSeconds: 30 }).retryAfterSeconds, 30);
  });
});
