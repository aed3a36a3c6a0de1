import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { openDuckdbWarehouse } from './duckdb-warehouse.ts';
import { rebuildWarehouse } from './duckdb-rebuild.ts';
import type { EmbeddedWarehouse, WarehouseOptions } from './embedded-warehouse.ts';
import type { ExpiringLayer, StorableMessage } from './warehouse.ts';
import { CONTRACTS, message, order, sealable } from './warehouse-data.contract.ts';

const OLD = '2024-03-01T12:00:00.250Z';
const NEW = '2024-03-05T00:00:00.000Z';
const BETWEEN_MS = Date.parse('2024-03-05T00:00:00Z');
const CANARY = 'canary-7f3a';

describe('what a warehouse keeps no longer', () => {
  let dir: string;
  let warehouse: EmbeddedWarehouse;
  let atFault: (name: string) => void;
  let settleOrder: number;
  const options = (): WarehouseOptions => ({
    dir,
    contracts: CONTRACTS,
    memoryMib: 256,
    threads: 1,
    readers: 1,
    readQueueMax: 4,
    percentileRowsMax: 1000,
    now: () => Date.parse('2024-03-06T12:00:00Z'),
    onBroken: (error) => assert.fail(String(error)),
    faultPoint: (name) => atFault(name),
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-retention-'));
    atFault = () => undefined;
    settleOrder = 1;
    warehouse = await openDuckdbWarehouse(options());
  });
  afterEach(async () => {
    await warehouse.close();
    await rm(dir, { recursive: true });
  });

  const keep = async (...messages: readonly StorableMessage[]): Promise<void> => {
    await warehouse.store(messages);
    await warehouse.seal(sealable(messages, settleOrder));
    settleOrder += messages.length;
  };
  /** Old: 3 stored, a duplicate, a conflict, a reject. New: 1 stored and a conflict with an old one. */
  const keepBoth = async (): Promise<void> => {
    const rows = [order('a'), order('b'), order('a'), order('a', { units: 1 })];
    await keep(message({ rows, rejects: [{ body: CANARY }], receivedAt: OLD }));
    await keep(message({ rows: [order(CANARY)], receivedAt: OLD }));
    await keep(message({ rows: [order('c'), order('b', { units: 2 })], receivedAt: NEW }));
  };
  const expire = (layer: ExpiringLayer, rowsMax = 100) =>
    warehouse.expire({ dataset: 'orders', layer, beforeMs: BETWEEN_MS, rowsMax });
  const terms = async () => {
    const { lateRows: _late, ...states } =
      (await warehouse.accounting(Number.MAX_SAFE_INTEGER, [])).datasets['orders'] ?? assert.fail();
    return states;
  };
  const rebuilt = async (): Promise<void> => {
    const before = await terms();
    await warehouse.close();
    assert.deepEqual((await rebuildWarehouse(options())).different, []);
    warehouse = await openDuckdbWarehouse(options());
    assert.deepEqual(await terms(), before);
  };
  const inBronze = async (): Promise<boolean> => {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const names = (await readdir(join(dir, 'bronze'), { recursive: true })).filter((name) => name.endsWith('.parquet'));
    let found = false;
    for (const name of names) {
      const rows = await connection.runAndReadAll(`SELECT t::VARCHAR FROM '${join(dir, 'bronze', name)}' t`);
      found ||= JSON.stringify(rows.getRowsJson()).includes(CANARY);
    }
    connection.closeSync();
    instance.closeSync();
    return found;
  };

  it('leaves silver by its time of receipt, and nothing else', async () => {
    await keepBoth();
    assert.deepEqual(await expire('silver'), { rows: 3, files: 0, more: false });
    const expected = { stored: 1, duplicate: 1, quarantined: 2, expired: 3, erased: 0 };
    assert.deepEqual(await terms(), expected);
    assert.equal((await warehouse.quarantine({ limit: 10 })).length, 3);
    assert.deepEqual(await expire('silver'), { rows: 0, files: 0, more: false });
    await rebuilt();
  });

  it('leaves quarantine, rejected rows too, which were in no state', async () => {
    await keepBoth();
    assert.deepEqual(await expire('quarantine'), { rows: 1, files: 0, more: false });
    assert.deepEqual(await terms(), { stored: 4, duplicate: 1, quarantined: 1, expired: 1, erased: 0 });
    assert.equal((await warehouse.quarantine({ limit: 10 })).length, 1);
    await rebuilt();
  });

  it('leaves bronze without content, and every other layer with it', async () => {
    await keepBoth();
    await expire('silver');
    assert.equal(await inBronze(), true);
    assert.deepEqual(await expire('bronze'), { rows: 2, files: 2, more: false });
    assert.equal(await inBronze(), false);
    assert.deepEqual(await terms(), { stored: 1, duplicate: 0, quarantined: 1, expired: 5, erased: 0 });
    assert.deepEqual(await expire('bronze'), { rows: 0, files: 0, more: false });
    const steps = (await warehouse.audit({ limit: 50 })).map(({ step }) => step);
    assert.equal(steps.filter((step) => step === 'retention.bronze').length, 2);
  });

  it('goes some rows at a time', async () => {
    await keepBoth();
    assert.deepEqual(await expire('silver', 1), { rows: 2, files: 0, more: true });
    assert.deepEqual(await expire('silver', 1), { rows: 1, files: 0, more: false });
    assert.deepEqual(await expire('quarantine', 1), { rows: 1, files: 0, more: true });
    assert.deepEqual(await expire('quarantine', 1), { rows: 0, files: 0, more: false });
    // Files of one day go in the order of their names, which are hashes.
    const files = [await expire('bronze', 1), await expire('bronze', 1)];
    assert.deepEqual(
      files.map((one) => one.more),
      [true, false],
    );
    assert.deepEqual(
      files.map((one) => one.files),
      [1, 1],
    );
    assert.deepEqual(files.map((one) => one.rows).sort(), [0, 1]);
    assert.deepEqual(await terms(), { stored: 1, duplicate: 0, quarantined: 1, expired: 5, erased: 0 });
  });

  it('is gone, and counted once, when the process died on the way', async () => {
    for (const point of ['retention-after-tombstones', 'retention-after-commit', 'retention-while-rewriting']) {
      await keepBoth();
      atFault = (name) => {
        if (name === point) throw new Error(point);
      };
      await assert.rejects(expire('bronze'));
      atFault = () => undefined;
      await warehouse.close();
      warehouse = await openDuckdbWarehouse(options());
      await expire('bronze');
      assert.equal(await inBronze(), false, point);
      assert.deepEqual(await terms(), { stored: 1, duplicate: 0, quarantined: 1, expired: 5, erased: 0 }, point);
      await warehouse.close();
      await rm(dir, { recursive: true });
      settleOrder = 1;
      warehouse = await openDuckdbWarehouse(options());
    }
  });

  it('is what was erased before, still erased', async () => {
    await keepBoth();
    const asked = {
      dataset: 'orders',
      erasureId: 'e'.repeat(32),
      selector: { kind: 'key', values: { order_id: CANARY } },
    } as const;
    const { records } = await warehouse.findRecords({ ...asked, scanned: new Set() });
    await warehouse.eraseRecords({ ...asked, actor: 'me', records });
    await warehouse.emptyErased(asked);
    await expire('bronze');
    assert.deepEqual(await terms(), { stored: 1, duplicate: 0, quarantined: 1, expired: 4, erased: 1 });
  });
});
