import assert from 'node:assert/strict';
import { AppError } from '../errors.ts';
import { Readiness } from './readiness.ts';

describe('readiness', () => {
  let failing: boolean;
  let told: { readonly ready: boolean; readonly reason?: string }[];
  let readiness: Readiness;
  beforeEach(() => {
    failing = false;
    told = [];
    readiness = new Readiness({
      checks: {
        bus: async () => undefined,
        warehouse: async () => {
          if (failing) throw new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'gone' });
        },
      },
      telemetry: { readiness: (change) => told.push(change) },
    });
  });

  it('is starting until it is told to begin, and tells nobody', async () => {
    assert.deepEqual(await readiness.look(), { status: 'starting' });
    assert.deepEqual(told, []);
  });
  it('tells each change once, with the part that fails and its code', async () => {
    await readiness.begin();
    await readiness.look();
    failing = true;
    assert.deepEqual(await readiness.look(), {
      status: 'failing',
      checks: { bus: 'ok', warehouse: 'WAREHOUSE_UNAVAILABLE' },
    });
    await readiness.look();
    failing = false;
    assert.deepEqual(await readiness.look(), { status: 'ok', checks: { bus: 'ok', warehouse: 'ok' } });
    assert.deepEqual(told, [
      { ready: true },
      { ready: false, reason: 'warehouse: WAREHOUSE_UNAVAILABLE' },
      { ready: true },
    ]);
  });
  it('is stopping for good, and leaves it to whoever stops to tell so', async () => {
    await readiness.begin();
    readiness.stop();
    failing = true;
    await readiness.begin();
    assert.deepEqual(await readiness.look(), { status: 'stopping' });
    assert.deepEqual(told, [{ ready: true }]);
  });
});
