import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openTables } from './bus/lmdb-tables.ts';
import { type EquationTerms, equationText, isOverdue } from './equation.ts';
import { orders, Pipeline } from './subscriber/pipeline.contract.ts';
import { openInstance } from './warehouse/duckdb-session.ts';

describe('the loss equation', () => {
  let pipeline: Pipeline;
  beforeEach(async () => {
    pipeline = await Pipeline.open();
  });
  afterEach(() => pipeline.dispose());

  /** Three rows stored in one message, two in flight in another. */
  const fill = async (): Promise<void> => {
    await pipeline.bus.publish([orders('a', 'b', 'c')]);
    await pipeline.consume(1);
    await pipeline.bus.publish([orders('d', 'e')]);
    assert.deepEqual(pick(await total()), { accepted: 5, stored: 3, inFlight: 2, difference: 0 });
  };
  const total = async (): Promise<EquationTerms> => (await pipeline.equation()).total;
  const onBus = async (change: (tables: ReturnType<typeof openTables>) => Promise<unknown>): Promise<void> => {
    await pipeline.closeStores();
    const tables = openTables({ dir: join(pipeline.dir, 'bus'), bytesMax: 256 * 1024 * 1024, noSync: false });
    await change(tables);
    await tables.root.close();
    await pipeline.openStores();
  };
  const onWarehouse = async (sql: string): Promise<void> => {
    await pipeline.closeStores();
    const path = join(pipeline.dir, 'warehouse.duckdb');
    const instance = await openInstance({ path, memoryMib: 256, threads: 1, tempDir: pipeline.dir, directories: [] });
    const connection = await instance.connect();
    await connection.run(sql);
    connection.closeSync();
    instance.closeSync();
    await pipeline.openStores();
  };

  it('calls a row overdue past the redelivery deadline, and not a moment earlier', () => {
    const overdueAfter = (ms: number): boolean =>
      isOverdue({ acceptedAtMs: 5_000, nowMs: 5_000 + ms, overdueMs: 60_000 });
    assert.deepEqual([0, 60_000, 60_001].map(overdueAfter), [false, false, true]);
  });

  it('is written with the terms that are not 0', async () => {
    assert.equal(equationText(await total()), 'accepted 0, difference 0');
    await fill();
    assert.equal(equationText(await total()), 'accepted 5 = stored 3 + in flight 2, difference 0');
  });

  it('counts as overdue what is in flight past the deadline, and nothing that is settled', async () => {
    await fill();
    const overdue = async (): Promise<number> => (await total()).overdue;
    assert.equal(await overdue(), 0);
    pipeline.aheadMs = 60_001;
    assert.equal(await overdue(), 2);
  });

  it('shows a message that the bus lost as so many rows above zero', async () => {
    await fill();
    await onBus(async ({ unsettled }) => {
      const [first] = unsettled.getKeys();
      assert.ok(first);
      await unsettled.remove(first);
    });
    assert.deepEqual(pick(await total()), { accepted: 5, stored: 3, inFlight: 0, difference: 2 });
  });

  it('shows a message that is on the bus twice as so many rows below zero', async () => {
    await fill();
    await onBus(async ({ unsettled, tail }) => {
      const [entry] = unsettled.getRange();
      assert.ok(entry);
      const sequence = (tail.get('tail')?.sequence ?? 0) + 1;
      await unsettled.put([entry.key[0], sequence], { ...entry.value, messageId: randomBytes(16).toString('hex') });
    });
    assert.deepEqual(pick(await total()), { accepted: 5, stored: 3, inFlight: 4, difference: -2 });
  });

  it('shows a row that the warehouse lost as one above zero', async () => {
    await fill();
    await onWarehouse(`DELETE FROM silver.orders WHERE order_id = 'b'`);
    assert.deepEqual(pick(await total()), { accepted: 5, stored: 2, inFlight: 2, difference: 1 });
  });

  it('shows a row that is in the warehouse twice as one below zero', async () => {
    await fill();
    await onWarehouse(`INSERT INTO silver.orders SELECT * FROM silver.orders WHERE order_id = 'b'`);
    assert.deepEqual(pick(await total()), { accepted: 5, stored: 4, inFlight: 2, difference: -1 });
  });

  it('blames the dataset it happened in', async () => {
    await fill();
    await onWarehouse(`DELETE FROM silver.orders WHERE order_id = 'b'`);
    const { datasets } = await pipeline.equation();
    assert.deepEqual([datasets['orders']?.difference, datasets['notes']?.difference], [1, 0]);
  });

  it('is zero at every look while rows flow', async () => {
    const LOOKS = 60;
    const seen: EquationTerms[] = [];
    let flowing = true;
    const flow = (async () => {
      for (let number = 0; flowing; number += 1) await pipeline.bus.publish([orders(`n${number}`, `m${number}`)]);
    })();
    pipeline.subscribe();
    while (seen.length < LOOKS) seen.push(await total());
    flowing = false;
    await flow;
    assert.deepEqual(new Set(seen.map(({ difference }) => difference)), new Set([0]));
    assert.ok(seen.some(({ inFlight }) => inFlight > 0));
    assert.ok((seen.at(-1)?.stored ?? 0) > (seen[0]?.stored ?? 0));
  }).timeout(10_000);
});

function pick({ accepted, stored, inFlight, difference }: EquationTerms): Partial<EquationTerms> {
  return { accepted, stored, inFlight, difference };
}
