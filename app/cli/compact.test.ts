import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareFormat } from '../data-format.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import { lockDataDir } from '../state/lock.ts';
import { runScript } from './command-process.contract.ts';

describe('npm run compact', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-compact-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });
  const run = () => runScript('compact', [], { DATA_DIR: dir });
  const fill = async (): Promise<void> => {
    await prepareFormat({ dataDir: dir, version: '0', now: Date.now, tell: () => undefined });
    const state = await openLmdbState({
      dir: join(dir, 'state'),
      now: Date.now,
      idempotencyHours: 24,
      processId: process.pid,
    });
    await state.setFact('a', 1);
    await state.close();
  };

  it('says what became of the stores, and of databases that were set aside', async () => {
    await fill();
    const { code, stdout } = await run();
    assert.equal(code, 0);
    assert.match(stdout, /^[\d.]+ [KM]iB became [\d.]+ [KM]iB; what was deleted is in none of them\.\n$/);
    await writeFile(join(dir, 'warehouse.duckdb.replaced-1'), '');
    const again = await run();
    assert.equal(again.code, 2);
    assert.match(again.stdout, /warehouse\.duckdb\.replaced-1 was set aside earlier and holds what it held/);
  });

  it('leaves a folder alone that a service uses, or that holds nothing', async () => {
    const empty = await run();
    assert.deepEqual([empty.code, empty.stdout], [1, '']);
    assert.match(empty.stderr, /nothing to compact/);
    await fill();
    const lock = await lockDataDir(dir);
    const { code, stderr } = await run();
    await lock.release();
    assert.equal(code, 1);
    assert.match(stderr, /is in use by process/);
  });
});
