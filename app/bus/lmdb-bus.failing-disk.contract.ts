import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AppError } from '../errors.ts';
import { failDisk } from '../failing-disk.fixture.ts';
import { makeMessage, Recorder } from './bus.contract.ts';
import { openLmdbBus } from './lmdb-bus.ts';

const MIB = 1024 * 1024;

describe('the embedded bus on a full disk', () => {
  it('tells of settlements that cannot be written, and delivers their messages again', async () => {
    const failures: unknown[] = [];
    let mend = (): void => undefined;
    const dir = await mkdtemp(path.join(os.tmpdir(), 'vigia.bus-'));
    const bus = await openLmdbBus({
      dir,
      now: () => 1_000_000,
      diskFullPercent: 100,
      mapBytesMax: 64 * MIB,
      attemptsMax: 100,
      backoffMinMs: 1,
      backoffMaxMs: 1,
      onSettleFailure: ({ error, messages }) => {
        mend();
        failures.push([error instanceof AppError && error.code, messages]);
      },
    });
    await bus.publish([makeMessage(), makeMessage()]);
    const recorder = new Recorder(async (batch) => {
      if (recorder.batches.length === 1) mend = failDisk(dir, 'full');
      return batch.map(() => ({ kind: 'ack' }));
    });
    const subscription = bus.subscribe(recorder.handler, {
      batchMessagesMax: 10,
      batchBytesMax: MIB,
      batchWaitMs: 0,
    });
    await recorder.untilDelivered(4);
    await subscription.drain({ timeoutMs: 5_000 });
    assert.deepEqual(failures, [['DISK_FULL', 2]]);
    assert.equal(bus.settledCount().messages, 2);
    await bus.close();
    await rm(dir, { recursive: true });
  });
});
