import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type BusHarness, describeBus } from './bus.contract.ts';
import { openLmdbBus } from './lmdb-bus.ts';
import { describeRemoval } from './removal.contract.ts';

/** A second implementation is one line. */
const IMPLEMENTATIONS: readonly (readonly [string, () => Promise<BusHarness>])[] = [['lmdb', lmdbHarness]];

for (const [name, makeHarness] of IMPLEMENTATIONS) {
  describeBus(name, makeHarness);
  describeRemoval(name, makeHarness);
}

async function lmdbHarness(): Promise<BusHarness> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'vigia-bus-'));
  const settings = { attemptsMax: 3, backoffMinMs: 1, backoffMaxMs: 4 };
  return {
    open: (given) =>
      openLmdbBus({
        dir,
        now: Date.now,
        diskFullPercent: 100,
        mapBytesMax: 256 * 1024 * 1024,
        ...settings,
        ...given,
      }),
    // One process cannot die alone; closing writes nothing that was not committed. Real kills: loadtests/kills.
    crash: (bus) => bus.close(),
    dispose: () => rm(dir, { recursive: true }),
  };
}
