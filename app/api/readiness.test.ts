import assert from 'node:assert/strict';
import { AppError, type ErrorCode } from '../errors.ts';
import { Readiness } from './readiness.ts';
import { startService } from './service.contract.ts';

const failingWith = (code: ErrorCode) => async (): Promise<never> => {
  throw new AppError({ code, publicMessage: code });
};

describe('readiness', () => {
  it('is shown as DISK_FULL and stays 200 while the disk is full: writes get 503, reads go on', async () => {
    const running = await startService({ DISK_FULL_PERCENT: '1' });
    try {
      const { status, text } = await running.ask('/readyz');
      assert.equal(status, 200);
      assert.deepEqual(JSON.parse(text), {
        status: 'ok',
        checks: { bus: 'DISK_FULL', state: 'ok', warehouse: 'ok' },
      });
    } finally {
      await running.stop();
    }
  });

  it('ends with any other failure, also beside a full disk', async () => {
    const told: unknown[] = [];
    const readiness = new Readiness({
      checks: { bus: failingWith('DISK_FULL'), state: failingWith('STATE_UNAVAILABLE') },
      telemetry: { readiness: (change) => told.push(change) },
    });
    await readiness.begin();
    assert.deepEqual(await readiness.look(), {
      status: 'failing',
      checks: { bus: 'DISK_FULL', state: 'STATE_UNAVAILABLE' },
    });
    assert.deepEqual(told, [{ ready: false, reason: 'state: STATE_UNAVAILABLE' }]);
  });
});
