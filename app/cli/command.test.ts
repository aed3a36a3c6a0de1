import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { progressLines } from './progress-lines.ts';
import { systemErrorText, userName } from '../system-error.ts';

const HERE = fileURLToPath(import.meta.url);

describe('what the operating system refused', () => {
  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('is told as a sentence with the path', async () => {
    assert.equal(systemErrorText(await failure(readFile(`${HERE}.none`))), `There is no ${HERE}.none.`);
    const below = join(HERE, 'data');
    assert.equal(systemErrorText(await failure(mkdir(below))), `${below}: a file is where a folder should be.`);
    // Root is refused nothing, so this one is made as Node makes it.
    const denied = Object.assign(new Error('EACCES: permission denied, open'), { code: 'EACCES', path: '/data/lock' });
    assert.equal(
      systemErrorText(denied),
      `User ${userName()} may not use /data/lock. Be the user whose file it is, or set another DATA_DIR.`,
    );
  });

  it('is left as it is when it is another error', () => {
    assert.equal(systemErrorText(new Error('There is nothing to back up.')), undefined);
  });
});

describe('progress of a command', () => {
  it('is told once a second and not in the first one', () => {
    const said: string[] = [];
    let nowMs = 0;
    const tell = progressLines(
      (line) => said.push(line),
      () => nowMs,
    );
    for (; nowMs < 2_500; nowMs += 100) tell(`${nowMs} ms`);
    assert.deepEqual(said, ['1000 ms', '2000 ms']);
  });
});
