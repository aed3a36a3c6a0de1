import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { AppError } from '../errors.ts';
import { failDisk } from '../failing-disk.fixture.ts';
import { openLmdbState } from './lmdb-state.ts';
import type { State } from './state.ts';

describe('the embedded state store on a disk that fails', () => {
  let dir: string;
  let state: State;
  let failures: AppError[];
  beforeEach(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'vigia.state-'));
    failures = [];
    state = await openLmdbState({
      dir,
      now: Date.now,
      idempotencyHours: 24,
      processId: process.pid,
      onFailure: (error) => failures.push(error),
    });
  });
  afterEach(async () => {
    await state.close();
    await rm(dir, { recursive: true });
  });

  it('says once that it is broken for good, so that the process can end', async () => {
    const mend = failDisk(dir, 'broken');
    try {
      await assert.rejects(state.setFact('one', 1), { code: 'STATE_UNAVAILABLE' });
      await assert.rejects(state.setFact('two', 2), { code: 'STATE_UNAVAILABLE' });
    } finally {
      mend();
    }
    await assert.rejects(state.check(), { code: 'STATE_UNAVAILABLE' });
    assert.deepEqual(
      failures.map(({ code }) => code),
      ['STATE_UNAVAILABLE'],
    );
  });

  describe('on a full disk', () => {
    const scope = { apiKeyId: 'k1', dataset: 'flights', key: 'retry-1' };
    const claim = { bodyHash: 'a'.repeat(64), requestId: 'r1', nowMs: Date.now() };
    const answer = { status: 202, body: '{}', headers: {} };

    it('ends the lease of an answer that cannot be written: the retry is served with the same request id', async () => {
      await state.claimIdempotency(scope, claim);
      const mend = failDisk(dir, 'full');
      try {
        await assert.rejects(state.answerIdempotency(scope, answer), { code: 'STATE_UNAVAILABLE' });
      } finally {
        mend();
      }
      assert.deepEqual(failures, []);
      const retry = await state.claimIdempotency(scope, { ...claim, requestId: 'r2' });
      assert.deepEqual(retry, { kind: 'claimed', requestId: 'r1' });
      await state.answerIdempotency(scope, answer);
      assert.equal((await state.claimIdempotency(scope, claim)).kind, 'answered');
    });

    it('ends the lease of a release, and leaves none of a claim that cannot be written', async () => {
      await state.claimIdempotency(scope, claim);
      const other = { ...scope, key: 'retry-2' };
      const mend = failDisk(dir, 'full');
      try {
        await state.releaseIdempotency(scope);
        await assert.rejects(state.claimIdempotency(other, claim), { code: 'STATE_UNAVAILABLE' });
      } finally {
        mend();
      }
      for (const freed of [scope, other]) assert.equal((await state.claimIdempotency(freed, claim)).kind, 'claimed');
    });
  });
});
