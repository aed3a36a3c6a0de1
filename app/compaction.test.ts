import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLmdbBus } from './bus/lmdb-bus.ts';
import type { BusMessage } from './bus/bus.ts';
import { compactStores, compactWhenDue, isDue } from './compaction.ts';
import { readConfig } from './config.ts';
import { COMPACTION_FACT } from './erasure.ts';
import { openLmdbState } from './state/lmdb-state.ts';
import type { State } from './state/state.ts';

const CANARY = 'canary-7f3a-9c51';

describe('a compaction of the stores', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-compaction-'));
  });
  afterEach(async () => {
    await rm(dataDir, { recursive: true });
  });

  const openState = (): Promise<State> =>
    openLmdbState({ dir: join(dataDir, 'state'), now: Date.now, idempotencyHours: 24, processId: process.pid });
  const withState = async <T>(use: (state: State) => Promise<T>): Promise<T> => {
    const state = await openState();
    try {
      return await use(state);
    } finally {
      await state.close();
    }
  };
  const options = (faultPoint: (name: string) => void = () => undefined) => ({
    config: readConfig({ WAREHOUSE_MEMORY_MIB: '256' }),
    dataDir,
    now: Date.now,
    faultPoint,
  });
  const holds = async (name: string): Promise<boolean> =>
    (await readFile(join(dataDir, name, 'data.mdb'))).includes(CANARY);
  const openBus = () =>
    openLmdbBus({
      dir: join(dataDir, 'bus'),
      now: Date.now,
      diskFullPercent: 100,
      mapBytesMax: 64 * 1024 * 1024,
      attemptsMax: 3,
      backoffMinMs: 1,
      backoffMaxMs: 4,
    });
  const message = (text: string, id: string): BusMessage => ({
    messageId: id.repeat(32),
    dataset: 'trips',
    requestId: 'f'.repeat(32),
    rowCount: 1,
    data: Buffer.from(text),
    attributes: {},
  });
  /** A fact and a message that went, beside some that stay. */
  const leaveTraces = async (): Promise<void> => {
    await withState(async (state) => {
      await state.setFact('secret', CANARY);
      await state.setFact('secret', 'nothing');
      await state.setFact(COMPACTION_FACT, 1);
    });
    const bus = await openBus();
    await bus.publish([message(CANARY, 'a'), message('kept', 'b')]);
    const subscription = bus.subscribe(
      async (deliveries) => deliveries.map(() => ({ kind: 'dead_letter', code: 'MESSAGE_FAILED', reason: 'no' })),
      {
        batchMessagesMax: 10,
        batchBytesMax: 1_000,
        batchWaitMs: 0,
        onDeadLetter: () => void (dead.push(1) === 2 && all.resolve()),
      },
    );
    const dead: number[] = [];
    const all = Promise.withResolvers<void>();
    await all.promise;
    await subscription.drain({ timeoutMs: 5_000 });
    const [, gone] = await bus.deadLetters({ filter: {}, limit: 10 });
    assert.ok(gone !== undefined);
    await bus.removeFromDead([{ sequence: gone.sequence, rest: undefined, removedRows: 1 }], 'erased');
    await bus.close();
  };

  it('leaves what is there and nothing of what was deleted, once', async () => {
    await leaveTraces();
    assert.deepEqual([await holds('state'), await holds('bus')], [true, true], 'or this proves nothing');
    assert.notEqual(await compactWhenDue(options()), undefined);
    assert.deepEqual([await holds('state'), await holds('bus')], [false, false]);
    await withState(async (state) => {
      assert.equal(await state.fact('secret'), 'nothing');
      assert.equal(await isDue(state), false);
      await state.setFact('later', 'too');
      assert.equal(await state.fact('later'), 'too');
    });
    const bus = await openBus();
    const { deadLetters, removedRows, cut } = await bus.snapshot();
    assert.deepEqual([deadLetters.length, removedRows.erased, cut], [1, { trips: 1 }, 2]);
    await bus.publish([message('more', 'c')]);
    await bus.close();
    assert.equal(await compactWhenDue(options()), undefined);
    assert.deepEqual((await readdir(dataDir)).sort(), ['bus', 'state']);
  });

  it('that was cut off is still due, and done by the next start, wherever it was', async () => {
    for (const passings of [1, 2]) {
      await leaveTraces();
      let left = passings;
      const dying = compactWhenDue(
        options(() => {
          left -= 1;
          if (left === 0) throw new Error('killed');
        }),
      );
      await assert.rejects(dying, /killed/);
      assert.notEqual(await compactWhenDue(options()), undefined);
      assert.deepEqual([await holds('state'), await holds('bus')], [false, false]);
      await withState((state) => state.setFact('secret', 'free again'));
      await rm(join(dataDir, 'bus'), { recursive: true });
    }
  });

  it('lets nobody write into the state store that is about to be replaced: it would be lost', async () => {
    await withState((state) => state.setFact('secret', CANARY));
    const guest = await openState();
    let refused: unknown;
    let asked = false;
    // The copy is made and not in its place yet.
    const write = (): void => {
      if (asked) return;
      asked = true;
      refused = guest.setFact('lost', 'this').then(
        () => 'written',
        (error: unknown) => error,
      );
    };
    await compactStores(options(write));
    assert.match(String((await refused) as Error), /STATE_UNAVAILABLE/);
    await guest.close();
    assert.equal(await withState((state) => state.fact('lost')), undefined);
  });

  it('names the databases that were set aside: they hold what they held', async () => {
    await withState((state) => state.setFact('secret', CANARY));
    await writeFile(join(dataDir, 'warehouse.duckdb.broken-2026'), CANARY);
    assert.deepEqual((await compactStores(options())).setAside, ['warehouse.duckdb.broken-2026']);
  });
});
