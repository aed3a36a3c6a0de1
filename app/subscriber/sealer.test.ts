import assert from 'node:assert/strict';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { order } from '../warehouse/warehouse-data.contract.ts';
import { foreign, orders, Pipeline } from './pipeline.contract.ts';

describe('the sealer', () => {
  let pipeline: Pipeline;
  beforeEach(async () => {
    pipeline = await Pipeline.open();
    await pipeline.bus.publish([orders('a'), orders('b', 'c')]);
    await pipeline.consume(1);
  });
  afterEach(() => pipeline.dispose());

  const waiting = (): number => pipeline.bus.settledCount().messages;
  /** A file stands where the folder of bronze should be: nothing can be sealed. */
  const blockBronze = async (): Promise<() => Promise<void>> => {
    const bronze = join(pipeline.dir, 'bronze');
    await rename(bronze, `${bronze}.aside`);
    await writeFile(bronze, '');
    return async () => {
      await rm(bronze);
      await rename(`${bronze}.aside`, bronze);
    };
  };

  it('keeps a message on the bus until its file is sealed, and lets it go then', async () => {
    const whileSealing: number[] = [];
    pipeline.atPoint = (name) => {
      if (name === 'while-sealing') whileSealing.push(waiting());
    };
    await pipeline.sealing(async (sealer) => {
      await sealer.sealAll();
      pipeline.atPoint = () => undefined;
    });
    assert.ok(whileSealing.length > 0);
    assert.ok(
      whileSealing.every((messages) => messages === 2),
      whileSealing.join(', '),
    );
    assert.equal(waiting(), 0);
  });

  it('keeps every message when sealing fails, and seals it the next time', async () => {
    const unblock = await blockBronze();
    await pipeline.sealing(async (sealer) => {
      await assert.rejects(sealer.sealAll());
      assert.equal(waiting(), 2);
      await unblock();
      await sealer.sealAll();
      assert.equal(waiting(), 0);
    });
  });

  it("seals another publisher's message as it was stored: it comes back from bronze", async () => {
    await pipeline.bus.publish([foreign({ data: Buffer.from(`${JSON.stringify(order('f').body)}\n`) })]);
    await pipeline.consume(2);
    await pipeline.sealing((sealer) => sealer.sealAll());
    assert.equal(waiting(), 0);
    await pipeline.closeStores();
    for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
      await rm(join(pipeline.dir, name), { force: true });
    await pipeline.openStores();
    assert.equal((await pipeline.warehouse.counts())['orders']?.stored, 4);
  });

  it('keeps a message that cannot be sealed on the bus, and seals its neighbours', async () => {
    const store = pipeline.warehouse.seal.bind(pipeline.warehouse);
    const [first] = await pipeline.bus.settled({ limit: 1, bytesMax: 1_000_000 });
    pipeline.warehouse.seal = (messages) =>
      store(
        messages.map((one) => (one.messageId === first?.message.messageId ? { ...one, data: Buffer.from('{}') } : one)),
      );
    await pipeline.sealing(async (sealer) => {
      await assert.rejects(sealer.sealAll(), { code: 'WAREHOUSE_UNAVAILABLE' });
      assert.equal(waiting(), 1);
    });
  });

  it('seals entries of the audit that no message brought', async () => {
    await pipeline.sealing((sealer) => sealer.sealAll());
    await pipeline.warehouse.removeSamples();
    await pipeline.sealing(async () => undefined);
    await pipeline.closeStores();
    for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
      await rm(join(pipeline.dir, name), { force: true });
    await pipeline.openStores();
    assert.equal((await pipeline.warehouse.audit({ step: 'samples.remove', limit: 10 })).length, 1);
  });

  it('does not hold up a stop when sealing fails: the messages are on the bus at the next start', async () => {
    const unblock = await blockBronze();
    await pipeline.sealing(async () => undefined);
    await unblock();
    await pipeline.closeStores();
    await pipeline.openStores();
    assert.equal(waiting(), 2);
    await pipeline.sealing((sealer) => sealer.sealAll());
    assert.equal(waiting(), 0);
  });

  it('seals what waits when it stops', async () => {
    await pipeline.sealing(async () => undefined);
    assert.equal(waiting(), 0);
  });

  it('puts small sealed files together after a seal on its interval, and ends no stop in the middle of it', async () => {
    const compact = pipeline.warehouse.compact.bind(pipeline.warehouse);
    const begun = Promise.withResolvers<void>();
    const order: string[] = [];
    pipeline.warehouse.compact = async () => {
      order.push(`begun with ${waiting()} waiting`);
      begun.resolve();
      const done = await compact();
      order.push('ended');
      return done;
    };
    await pipeline.sealing(() => begun.promise, 50);
    assert.deepEqual(order, ['begun with 0 waiting', 'ended']);
  });

  it('is told when files cannot be put together, and goes on sealing', async () => {
    const told = Promise.withResolvers<void>();
    pipeline.warehouse.compact = () => Promise.reject(new Error('damaged'));
    pipeline.telemetry.compactionFailed = () => told.resolve();
    await pipeline.sealing(async (sealer) => {
      await told.promise;
      await pipeline.bus.publish([orders('z')]);
      await pipeline.consume(2);
      await sealer.sealAll();
      assert.equal(waiting(), 0);
    }, 50);
  });

  it('has given bronze all that the bus forgot: a lost warehouse comes back whole', async () => {
    await pipeline.sealing((sealer) => sealer.sealAll());
    await pipeline.bus.publish([orders('d')]);
    await pipeline.consume(2);
    await pipeline.closeStores();
    for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
      await rm(join(pipeline.dir, name), { force: true });
    await mkdir(join(pipeline.dir, 'bronze'), { recursive: true });
    await pipeline.openStores();
    const { redelivered } = await pipeline.bus.reconcile((ids) => pipeline.warehouse.ledgerHolds(ids));
    assert.equal(redelivered, 1);
    await pipeline.consume(3);
    const { accepted, stored, difference } = (await pipeline.equation()).total;
    assert.deepEqual({ accepted, stored, difference }, { accepted: 4, stored: 4, difference: 0 });
  });
});
