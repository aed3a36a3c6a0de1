import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openLmdbState } from './lmdb-state.ts';
import { describeState, STATE_SETTINGS, type StateHarness } from './state.contract.ts';

/** A second implementation is one line. */
const IMPLEMENTATIONS: readonly (readonly [string, () => Promise<StateHarness>])[] = [['lmdb', lmdbHarness]];

for (const [name, makeHarness] of IMPLEMENTATIONS) describeState(name, makeHarness);

async function lmdbHarness(): Promise<StateHarness> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'vigia-state-'));
  return {
    open: () => openLmdbState({ dir, processId: process.pid, ...STATE_SETTINGS }),
    dispose: () => rm(dir, { recursive: true }),
  };
}
