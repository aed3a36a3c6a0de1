import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DiskGauge } from './disk-gauge.ts';

describe('the disk gauge', () => {
  it('refuses with a retryable error when the disk cannot be asked, and looks again at once', async () => {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'vigia-disk-'));
    await rm(dir, { recursive: true });
    const gauge = new DiskGauge({ dir, fullPercent: 101 });
    for (let look = 0; look < 2; look += 1) {
      await assert.rejects(gauge.refuseWhenFull(), {
        name: 'AppError',
        code: 'BUS_UNAVAILABLE',
        status: 503,
        message: /statfs failed: Error: ENOENT/,
      });
    }
  });
});
