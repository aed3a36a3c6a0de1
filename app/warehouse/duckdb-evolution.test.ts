import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type Json } from '@duckdb/node-api';
import type { Contract } from '../datasets/contract.ts';
import { DATABASE_FILE, openDuckdbWarehouse } from './duckdb-warehouse.ts';
import { rebuildWarehouse } from './duckdb-rebuild.ts';
import type { EmbeddedWarehouse } from './embedded-warehouse.ts';
import { CONTRACTS, message, note, order, orders, sealable } from './warehouse-data.contract.ts';

/** New optional fields before, between and behind the old ones; a wider decimal; a field that may be absent now. */
const { order_id, ordered_at, amount, ...others } = orders.fields;
const SECOND: Contract = {
  ...orders,
  version: 2,
  fields: {
    channel: { type: 'string', description: 'New.', example: 'web', optional: true },
    order_id: order_id ?? assert.fail(),
    ordered_at: ordered_at ?? assert.fail(),
    amount: {
      ...amount,
      type: 'decimal',
      precision: 20,
      scale: 2,
      min: '-1',
      max: '99999999999.99',
      description: '',
      example: '1',
    },
    target: { type: 'point', description: 'New.', example: 'POINT (1 2)', optional: true },
    ...others,
  },
};
const AFTER = new Map(CONTRACTS).set('orders', SECOND);

describe('a silver table whose contract grew', () => {
  let dir: string;
  const opened: EmbeddedWarehouse[] = [];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-evolution-'));
  });

  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await rm(dir, { recursive: true });
  });

  const options = (contracts: ReadonlyMap<string, Contract>) => ({
    dir,
    contracts,
    memoryMib: 256,
    threads: 1,
    readers: 1,
    readQueueMax: 8,
    percentileRowsMax: 1_000,
    now: Date.now,
    onBroken: (error: unknown) => assert.fail(String(error)),
  });

  async function open(contracts: ReadonlyMap<string, Contract> = CONTRACTS): Promise<EmbeddedWarehouse> {
    const warehouse = await openDuckdbWarehouse(options(contracts));
    opened.push(warehouse);
    return warehouse;
  }

  async function close(): Promise<void> {
    await opened.pop()?.close();
  }

  async function inside<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const instance = await DuckDBInstance.create(join(dir, DATABASE_FILE));
    const connection = await instance.connect();
    try {
      return await work(connection);
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  }

  const rows = (sql: string): Promise<readonly Readonly<Record<string, Json>>[]> =>
    inside(async (connection) => (await connection.runAndReadAll(sql)).getRowObjectsJson());

  const OLD = ['a', 'b', 'c'].map((id) => order(id, { gift: true, place: 'POINT (7.5 45.25)' }));

  async function storeFirst(): Promise<string> {
    const warehouse = await open();
    const messages = [message({ rows: OLD }), message({ dataset: 'notes', rows: [note('x')] })];
    await warehouse.store(messages);
    await warehouse.seal(sealable(messages));
    const { generation } = warehouse.version('orders', {});
    await close();
    return generation;
  }

  it('has its rows as they were, NULL in what is new, in the order of the contract; cursors and views are new', async () => {
    const generation = await storeFirst();
    const warehouse = await open(AFTER);
    assert.notEqual(warehouse.version('orders', {}).generation, generation);
    // Of version 1: the same rows are duplicates. Of version 2: both are stored side by side.
    await warehouse.store([message({ rows: OLD.slice(0, 1) })]);
    await warehouse.store([
      message({ rows: [order('d', { channel: 'web', amount: '12345678901.25', target: 'POINT (1 2)' })] }),
    ]);
    await close();
    const stored = await rows(
      'SELECT * EXCLUDE (_message_id, _event_id, _commit) FROM silver.orders ORDER BY order_id',
    );
    assert.deepEqual(
      stored.map((row) => [
        row['order_id'],
        row['channel'],
        row['amount'],
        row['target_lon'],
        row['place_lat'],
        row['gift'],
      ]),
      [
        ['a', null, '1.50', null, 45.25, true],
        ['b', null, '1.50', null, 45.25, true],
        ['c', null, '1.50', null, 45.25, true],
        ['d', 'web', '12345678901.25', 1, null, null],
      ],
    );
    assert.deepEqual(Object.keys(stored[0] ?? {}).slice(0, 6), [
      'channel',
      'order_id',
      'ordered_at',
      'amount',
      'target_lon',
      'target_lat',
    ]);
    const view = await rows('SELECT gift, sum_amount FROM gold.orders_by_gift ORDER BY gift NULLS LAST');
    assert.deepEqual(
      view.map(({ sum_amount }) => sum_amount),
      ['4.50', '12345678901.25'],
    );
    const [ledger] = await rows(
      'SELECT sum(stored)::INTEGER AS stored, sum(len(duplicates))::INTEGER AS duplicate FROM custody.ledger',
    );
    assert.deepEqual(ledger, { stored: 5, duplicate: 1 });
    assert.deepEqual(await rows("SELECT contract_version FROM custody.datasets WHERE dataset = 'orders'"), [
      { contract_version: 2 },
    ]);
  });

  it('is made the same by a rebuild from the bronze of both versions', async () => {
    await storeFirst();
    const warehouse = await open(AFTER);
    const second = [message({ rows: [order('d', { channel: 'web' })] })];
    await warehouse.store(second);
    await warehouse.seal(sealable(second, 10));
    await close();
    const { different, after, before } = await rebuildWarehouse(options(AFTER));
    assert.deepEqual([different, before.kind, after['orders']?.stored], [[], 'read', 4]);
  });

  it('is left alone when nothing but words changed, and opens the same once more', async () => {
    const generation = await storeFirst();
    const described = new Map(CONTRACTS).set('orders', { ...orders, version: 2, description: 'Other words.' });
    assert.equal((await open(described)).version('orders', {}).generation, generation);
    await close();
    await open(AFTER);
    const moved = opened[0]?.version('orders', {}).generation;
    await close();
    assert.equal((await open(AFTER)).version('orders', {}).generation, moved);
  });

  it('grows too in a database that was made before contracts were kept, as far as its columns can tell', async () => {
    await storeFirst();
    await inside(
      async (connection) => void (await connection.run('ALTER TABLE custody.datasets DROP COLUMN contract')),
    );
    const { weight: _weight, ...fewer } = orders.fields;
    const without = new Map(CONTRACTS).set('orders', { ...orders, fields: fewer });
    await assert.rejects(open(without), /weight was taken away/);
    const required = { ...SECOND.fields, must: { type: 'boolean', description: 'New.', example: true } as const };
    await assert.rejects(
      open(new Map(CONTRACTS).set('orders', { ...SECOND, fields: required })),
      /must is new and not optional/,
    );
    await open(AFTER);
    await close();
    assert.equal((await rows('SELECT * FROM silver.orders')).length, 3);
  });

  it('that would lose or refuse rows stops the start, with every reason and both ways out, and stays as it is', async () => {
    await storeFirst();
    const narrow = {
      ...orders.fields,
      units: { type: 'integer', min: 1, max: 5, description: '', example: 1 } as const,
    };
    const contracts = new Map(CONTRACTS).set('orders', { ...orders, version: 2, fields: narrow });
    await assert.rejects(
      open(contracts),
      /silver\.orders holds rows of version 1 .*: units has a narrower range than before; units was optional and is not\. .*Go back to the old contract, or make a new version of it beside it: a dataset of its own \(orders_v2\)/,
    );
    assert.equal((await open()).version('orders', {}).commitNumber, 1);
  });
});
