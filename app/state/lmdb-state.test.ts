import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
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

  it('is still durable when it closes with writes under way', async () => {
    const writes = Array.from({ length: 50 }, (_, at) => state.setFact(`fact-${at}`, at));
    await state.close();
    await Promise.all(writes);
    state = await openLmdbState({ dir, now: Date.now, idempotencyHours: 24, processId: process.pid });
    assert.equal(await state.fact('fact-49'), 49);
  });
});
