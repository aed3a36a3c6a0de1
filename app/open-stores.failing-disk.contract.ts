/** Each way in which a store fails reaches the log and whoever must end the process, on real stores that really fail. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from './config.ts';
import { loadDatasets, type Registry } from './datasets/registry.ts';
import { failDisk } from './failing-disk.fixture.ts';
import { type OpenedStores, openStores } from './open-stores.ts';
import { createTelemetry, type Telemetry } from './telemetry/telemetry.ts';
import { published } from './subscriber/pipeline.contract.ts';
import { openInstance } from './warehouse/duckdb-session.ts';
import { message } from './warehouse/warehouse-data.contract.ts';

const CONFIG = readConfig({ WAREHOUSE_MEMORY_MIB: '256', BACKOFF_MIN_MS: '1', BACKOFF_MAX_MS: '1' });
const SUBSCRIPTION = { batchMessagesMax: 10, batchBytesMax: 1 << 20, batchWaitMs: 0 };
const DRAIN = { timeoutMs: 5_000 };

describe('stores that fail', () => {
  let registry: Registry;
  let dir: string;
  let telemetry: Telemetry;
  let stores: OpenedStores;
  let broken: unknown[];
  let atPoint: (name: string) => void;

  before(async () => {
    registry = await loadDatasets();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-stores-'));
    broken = [];
    atPoint = () => undefined;
    telemetry = createTelemetry({
      version: '1.2.3',
      logLevel: 'info',
      logFile: join(dir, 'log'),
      logFileBytesMax: CONFIG.LOG_FILE_BYTES_MAX,
      logFilesMax: CONFIG.LOG_FILES_MAX,
      datasets: [...registry.contracts.keys()],
      codes: [],
      now: Date.now,
    });
    await open();
  });
  afterEach(async () => {
    await close();
    await rm(dir, { recursive: true });
  });

  const open = async (): Promise<void> => {
    stores = await openStores({
      config: CONFIG,
      registry,
      telemetry,
      dataDir: dir,
      now: Date.now,
      onBroken: (error) => broken.push(error),
      faultPoint: (name) => atPoint(name),
    });
  };
  const close = async (): Promise<void> => {
    await stores.warehouse.close();
    await stores.bus.close();
    await stores.state.close();
  };
  const lines = async (): Promise<readonly Readonly<Record<string, unknown>>[]> => {
    await telemetry.shutdown({ timeoutMs: 1_000 });
    const text = await readFile(join(dir, 'log'), 'utf8');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  };
  const flights = () => {
    const body = { departed_at: '2001-05-01T08:00:00Z', delay: 1, distance: 679, origin: 'SFO', destination: 'SEA' };
    return { dataset: 'flights', rows: [{ eventId: 'd'.repeat(32), body }] };
  };
  /** Publishes a message and stores and acknowledges it; its bronze file is not sealed. */
  const storeOne = async (): Promise<void> => {
    const one = message(flights());
    const { messageId, dataset, requestId, rowCount } = one.envelope;
    await stores.bus.publish([{ messageId, dataset, requestId, rowCount, data: one.data, attributes: {} }]);
    const stored = Promise.withResolvers<void>();
    const subscription = stores.bus.subscribe(async (deliveries) => {
      await stores.warehouse.store(deliveries.map(({ sequence }) => ({ ...one, sequence })));
      stored.resolve();
      return deliveries.map(() => ({ kind: 'ack' }));
    }, SUBSCRIPTION);
    await stored.promise;
    await subscription.drain(DRAIN);
  };

  /** Runs SQL on the closed database, as nobody but a test does. */
  const onWarehouse = async (...statements: readonly string[]): Promise<void> => {
    const path = join(dir, 'warehouse.duckdb');
    const instance = await openInstance({ path, memoryMib: 256, threads: 1, tempDir: dir, directories: [] });
    const connection = await instance.connect();
    for (const statement of statements) await connection.run(statement);
    connection.closeSync();
    instance.closeSync();
  };

  it('end the process when the state store can make nothing durable, and say so', async () => {
    const mend = failDisk(join(dir, 'state'), 'broken');
    await assert.rejects(stores.state.setFact('one', 1), { code: 'STATE_UNAVAILABLE' });
    mend();
    assert.equal(broken.length, 1);
    assert.deepEqual(
      (await lines()).map(({ msg, reason, error_code: code }) => [msg, reason, code]),
      [['service.failed', 'the state store cannot make anything durable', 'STATE_UNAVAILABLE']],
    );
  });

  it('end the process when the bus can make nothing durable, and say so', async () => {
    const mend = failDisk(join(dir, 'bus'), 'broken');
    await assert.rejects(stores.bus.publish([published(flights())]), { code: 'BUS_UNAVAILABLE' });
    mend();
    assert.equal(broken.length, 1);
    assert.deepEqual(
      (await lines()).map(({ msg, reason, error_code: code }) => [msg, reason, code]),
      [['service.failed', 'the bus cannot make anything durable', 'BUS_UNAVAILABLE']],
    );
  });

  it('end the process when the warehouse file turns out damaged in use, and say so', async () => {
    atPoint = (name) => {
      if (name === 'before-commit') throw new Error('FATAL Error: Failed: database has been invalidated');
    };
    await assert.rejects(stores.warehouse.store([message(flights())]), { code: 'WAREHOUSE_UNAVAILABLE' });
    assert.equal(broken.length, 1);
    assert.deepEqual(
      (await lines()).map(({ msg, error_type: type }) => [msg, type]),
      [['warehouse.broken', 'Error']],
    );
  });

  it('only tell of settlements that a full disk refused: they are made again', async () => {
    await stores.bus.publish([published(flights())]);
    const settled = Promise.withResolvers<void>();
    let deliveries = 0;
    let mend: () => void = () => undefined;
    const subscription = stores.bus.subscribe(async (batch) => {
      deliveries += 1;
      if (deliveries === 1) mend = failDisk(join(dir, 'bus'), 'full');
      else {
        mend();
        settled.resolve();
      }
      return batch.map(() => ({ kind: 'ack' }));
    }, SUBSCRIPTION);
    await settled.promise;
    await subscription.drain(DRAIN);
    assert.deepEqual(broken, []);
    assert.equal((await lines())[0]?.['msg'], 'subscriber.batch_failed');
  });

  it('start a new generation when the warehouse lost what readers may have seen, and only then', async () => {
    const generation = () => stores.warehouse.version('flights', {}).generation;
    const first = generation();
    await storeOne();
    await close();
    await open();
    assert.equal(generation(), first);
    await close();
    await onWarehouse('DELETE FROM custody.ledger', 'DELETE FROM silver.flights');
    await open();
    assert.notEqual(generation(), first);
    assert.equal((await stores.bus.snapshot()).unsettled.length, 1);
    assert.deepEqual(
      (await lines()).map(({ msg, acknowledged, redelivered }) => [msg, acknowledged, redelivered]),
      [['bus.reconciled', 0, 1]],
    );
  });

  it('set a damaged warehouse file aside, and say where it lies and what came back', async () => {
    await storeOne();
    const settled = await stores.bus.settled({ limit: 10, bytesMax: 1 << 20 });
    await stores.warehouse.seal(
      settled.map(({ message: { messageId, dataset, data }, sequence, settleOrder, foreign }) => ({
        messageId,
        dataset,
        data,
        sequence,
        settleOrder,
        late: foreign,
      })),
    );
    await close();
    await writeFile(join(dir, 'warehouse.duckdb'), 'no database');
    await open();
    const [first, ...others] = await lines();
    assert.equal(first?.['msg'], 'warehouse.broken');
    assert.match(String(first?.['file']), /\.broken-/);
    const rebuilt = others.find(({ msg }) => msg === 'warehouse.rebuilt');
    assert.equal(rebuilt?.['records'], 1);
    assert.deepEqual(broken, []);
  });
});
