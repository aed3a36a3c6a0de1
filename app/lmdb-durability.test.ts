import assert from 'node:assert/strict';
import { CommitHung, commitInTime, isOutOfSpace } from './lmdb-durability.ts';

describe('a commit of lmdb', () => {
  it('is told apart from one that never answers', async () => {
    assert.equal(await commitInTime(Promise.resolve(7), 60_000), 7);
    await assert.rejects(commitInTime(new Promise(() => undefined), 1), CommitHung);
  });

  it('fails with the reason that lmdb hides in a wrapper', async () => {
    const reason = Object.assign(new Error('No space left on device'), { code: 28 });
    const hidden = Promise.reject(reason);
    hidden.catch(() => undefined);
    await assert.rejects(
      commitInTime(Promise.reject(Object.assign(new Error('Commit failed'), { commitError: hidden }))),
      reason,
    );
    await assert.rejects(commitInTime(Promise.reject(reason)), reason);
  });

  it('may succeed later when there was no space, and not after any other failure', () => {
    const withCode = (code: unknown) => Object.assign(new Error('failed'), { code });
    assert.deepEqual(
      [-30_792, 28, 122].map((code) => isOutOfSpace(withCode(code))),
      [true, true, true],
    );
    assert.deepEqual(
      [5, 9, '28', undefined].map((code) => isOutOfSpace(withCode(code))),
      [false, false, false, false],
    );
    assert.equal(isOutOfSpace(new CommitHung('no answer')), false);
  });
});
