import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { openDuckdbWarehouse } from './duckdb-warehouse.ts';
import { rebuildWarehouse } from './duckdb-rebuild.ts';
import type { EmbeddedWarehouse, WarehouseOptions } from './embedded-warehouse.ts';
import type { FoundRecords, RecordSelector } from './erasable.ts';
import type { StorableMessage } from './warehouse.ts';
import { CONTRACTS, eventIdOf, message, note, order, sealable } from './warehouse-data.contract.ts';

const CANARY = 'canary-7f3a';
const EVERYTHING = Number.MAX_SAFE_INTEGER;
const ERASURE = 'e'.repeat(32);
const ORDER = eventIdOf(`${CANARY}|2024-01-01`);
const BY_KEY: RecordSelector = { kind: 'key', values: { order_id: CANARY } };

describe('records taken out for good', () => {
  let dir: string;
  let warehouse: EmbeddedWarehouse;
  let settleOrder: number;
  const options = (): WarehouseOptions => ({
    dir,
    contracts: CONTRACTS,
    memoryMib: 256,
    threads: 1,
    readers: 1,
    readQueueMax: 4,
    percentileRowsMax: 1000,
    now: () => Date.parse('2024-03-02T12:00:00Z'),
    onBroken: (error) => assert.fail(String(error)),
    faultPoint: (name) => atFault(name),
  });
  let atFault: (name: string) => void;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-erasure-'));
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
  /** Stored, a duplicate, in conflict, on another day, and rejected; with others around them. */
  const keepAll = async (): Promise<void> => {
    await keep(message({ rows: [order('a'), order(CANARY), order('b')] }));
    await keep(
      message({
        rows: [order(CANARY), order('c'), order(CANARY, { units: 7 })],
        rejects: [reject(CANARY), reject('d')],
      }),
      message({ rows: [order(CANARY, { ordered_at: '2024-01-05T10:00:00Z' })] }),
    );
  };
  const reject = (id: string) => ({ body: `{"order_id":"${id}","ordered_at":"2024-01-01T10:00:00Z","amount":"x"}` });
  const find = (selector: RecordSelector, dataset = 'orders'): Promise<FoundRecords> =>
    warehouse.findRecords({ dataset, selector, erasureId: ERASURE, scanned: new Set() });
  const erase = async (selector: RecordSelector, dataset = 'orders'): Promise<number> => {
    const { records } = await find(selector, dataset);
    const rows = await warehouse.eraseRecords({ dataset, selector, erasureId: ERASURE, actor: 'me', records });
    await warehouse.emptyErased({ dataset, erasureId: ERASURE });
    return rows;
  };
  const terms = async (dataset = 'orders') => {
    const { lateRows: _late, ...states } =
      (await warehouse.accounting(EVERYTHING, [])).datasets[dataset] ?? assert.fail();
    return states;
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
  const stored = async (): Promise<readonly unknown[]> => {
    const query = {
      dataset: 'orders',
      where: [],
      limit: 100,
      order: { field: 'order_id', descending: false },
    } as const;
    const { data } = await warehouse.records(query, { timeoutMs: 5_000, rowsMax: 1_000 });
    return data.map((row) => row['order_id']);
  };

  it('are found by their key wherever they lie: stored, duplicate, in conflict, rejected, on any day', async () => {
    await keepAll();
    const { records, silver, quarantine } = await find(BY_KEY);
    assert.deepEqual(records.map(({ kind, index }) => `${kind} ${index}`).sort(), [
      'reject 3',
      'row 0',
      'row 0',
      'row 1',
      'row 2',
    ]);
    assert.deepEqual([silver, quarantine], [2, 2]);
  });

  it('are found by their id with what came under it that day, and no other day', async () => {
    await keepAll();
    const { records, silver, quarantine } = await find({ kind: 'event', eventId: ORDER });
    assert.deepEqual(records.map(({ kind, index }) => `${kind} ${index}`).sort(), [
      'reject 3',
      'row 0',
      'row 1',
      'row 2',
    ]);
    assert.deepEqual([silver, quarantine], [1, 2]);
  });

  it('leave every state for erased, and nothing of them is in bronze', async () => {
    await keepAll();
    assert.equal(await inBronze(), true);
    assert.equal(await erase(BY_KEY), 4);
    assert.deepEqual(await terms(), { stored: 3, duplicate: 0, quarantined: 0, expired: 0, erased: 4 });
    assert.deepEqual(await stored(), ['a', 'b', 'c']);
    assert.deepEqual(
      (await warehouse.quarantine({ limit: 10 })).map(({ body }) => body),
      [reject('d').body],
    );
    assert.equal(await inBronze(), false);
    assert.deepEqual((await find(BY_KEY)).records, []);
    const told = (await warehouse.audit({ limit: 50 })).map((entry) => JSON.stringify(entry));
    assert.equal(told.filter((entry) => entry.includes('"erase"')).length, 1);
    assert.ok(!told.some((entry) => entry.includes(CANARY) || entry.includes(ORDER)));
  });

  it('stay gone after a rebuild, which makes the same books', async () => {
    await keepAll();
    await erase(BY_KEY);
    await keep(message({ rows: [order(CANARY, { units: 9 })] }));
    const before = await terms();
    await warehouse.close();
    const { different } = await rebuildWarehouse(options());
    assert.deepEqual(different, []);
    warehouse = await openDuckdbWarehouse(options());
    assert.deepEqual(await terms(), before);
    assert.deepEqual(await stored(), ['a', 'b', 'c', CANARY], 'one that came after is a new one');
  });

  it('are one row of quarantine, when that is asked for', async () => {
    await keepAll();
    const [row] = (await warehouse.quarantine({ limit: 10 })).filter(({ body }) => body === reject('d').body);
    const [messageId = '', index = ''] = (row?.id ?? '').split('-');
    assert.equal(await erase({ kind: 'row', messageId, index: Number(index) }), 0, 'it was never accepted');
    assert.deepEqual(
      (await warehouse.quarantine({ limit: 10 })).filter(({ body }) => body === row?.body),
      [],
    );
    assert.deepEqual(await terms(), { stored: 5, duplicate: 1, quarantined: 1, expired: 0, erased: 0 });
  });

  it('are told apart by their occurrence where rows have no key', async () => {
    await keep(message({ dataset: 'notes', rows: [note(CANARY, 0), note(CANARY, 1)] }));
    const { eventId } = note(CANARY, 1);
    assert.equal(await erase({ kind: 'event', eventId }, 'notes'), 1);
    assert.deepEqual(await terms('notes'), { stored: 1, duplicate: 0, quarantined: 0, expired: 0, erased: 1 });
    await warehouse.close();
    assert.deepEqual((await rebuildWarehouse(options())).different, []);
    warehouse = await openDuckdbWarehouse(options());
    assert.equal((await terms('notes')).stored, 1);
  });

  it('are looked for again after the tombstones, up to their commit and not beyond', async () => {
    await keepAll();
    const first = await find(BY_KEY);
    const late = message({ rows: [order(CANARY)] });
    await warehouse.store([late]);
    const asked = { dataset: 'orders', selector: BY_KEY, erasureId: ERASURE, actor: 'me' };
    await warehouse.eraseRecords({ ...asked, records: first.records });
    const fresh = message({ rows: [order(CANARY)] });
    await warehouse.store([fresh]);
    await warehouse.seal(sealable([late, fresh], settleOrder));
    const second = await warehouse.findRecords({ ...asked, scanned: first.scanned });
    assert.deepEqual(
      second.records.map(({ messageId }) => messageId),
      [late.envelope.messageId],
    );
    await warehouse.eraseRecords({ ...asked, records: second.records });
    await warehouse.emptyErased(asked);
    assert.deepEqual(await terms(), { stored: 4, duplicate: 0, quarantined: 0, expired: 0, erased: 5 });
    await warehouse.close();
    assert.deepEqual((await rebuildWarehouse(options())).different, []);
    warehouse = await openDuckdbWarehouse(options());
    assert.deepEqual(await stored(), ['a', 'b', 'c', CANARY]);
  });

  it('are gone at the next open when the process died after the tombstones, and can be gone on with', async () => {
    for (const point of ['erase-after-tombstones', 'erase-after-commit', 'erase-while-rewriting']) {
      await keepAll();
      atFault = (name) => {
        if (name === point) throw new Error(point);
      };
      await assert.rejects(erase(BY_KEY));
      atFault = () => undefined;
      await warehouse.close();
      warehouse = await openDuckdbWarehouse(options());
      assert.ok(!(await stored()).includes(CANARY), point);
      await erase(BY_KEY);
      assert.equal(await inBronze(), false, point);
      const { erased } = await terms();
      assert.equal(erased, 4, point);
      await warehouse.close();
      await rm(dir, { recursive: true });
      settleOrder = 1;
      warehouse = await openDuckdbWarehouse(options());
    }
  });
});
