import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { openLmdbState } from './lmdb-state.ts';
import type { State } from './state.ts';

const run = promisify(execFile);
const OTHER_PROCESS = `
  import { openLmdbState } from ${JSON.stringify(path.join(import.meta.dirname, 'lmdb-state.ts'))};
  const [dir, id] = process.argv.slice(1);
  const state = await openLmdbState({ dir, now: Date.now, idempotencyHours: 24, processId: process.pid });
  await state.addApiKey({ id, secretHash: 'f', scopes: ['read'], label: 'cli', createdAtMs: 1 });
  await state.close();
`;

describe('the embedded state store', () => {
  let dir: string;
  let state: State;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'vigia.state-'));
    state = await openLmdbState({ dir, now: Date.now, idempotencyHours: 24, processId: process.pid });
  });
  afterEach(async () => {
    await state.close();
    await rm(dir, { recursive: true });
  });

  it('shows what another process wrote while this one reads and writes', async function () {
    this.timeout(10_000);
    const processes = ['one', 'two'].map((id) =>
      run(process.execPath, ['--input-type=module', '-e', OTHER_PROCESS, dir, id]),
    );
    let running = true;
    const ended = Promise.all(processes).finally(() => {
      running = false;
    });
    let facts = 0;
    for (; running; facts += 1) await state.setFact('turn', facts);
    await ended;
    assert.deepEqual((await state.apiKeys()).map(({ id }) => id).sort(), ['one', 'two']);
    assert.equal(await state.fact('turn'), facts - 1);
  });

  it('makes the names of its file and of its folder durable before it answers', async function () {
    this.timeout(20_000);
    await run('strace', ['-V']).catch(() => assert.fail('strace is missing: apt-get install strace'));
    const parent = await realpath(await mkdtemp(path.join(os.tmpdir(), 'vigia-state-')));
    try {
      const log = path.join(parent, 'calls');
      const folder = path.join(parent, 'state');
      const node = [process.execPath, '--input-type=module', '-e', OTHER_PROCESS, folder, 'one'];
      await run('strace', ['-f', '-y', '-qq', '-o', log, '-e', 'trace=fsync', ...node]);
      const synced = [...(await readFile(log, 'utf8')).matchAll(/fsync\(\d+<([^>]+)>/g)].map(([, name]) => name);
      for (const name of [folder, parent]) assert.ok(synced.includes(name), `${name} was not synced`);
    } finally {
      await rm(parent, { recursive: true });
    }
  });

  it('is still durable when it closes with writes under way', async () => {
    const writes = Array.from({ length: 50 }, (_, at) => state.setFact(`fact-${at}`, at));
    await state.close();
    await Promise.all(writes);
    state = await openLmdbState({ dir, now: Date.now, idempotencyHours: 24, processId: process.pid });
    assert.equal(await state.fact('fact-49'), 49);
  });
});
