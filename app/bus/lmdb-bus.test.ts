import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AppError } from '../errors.ts';
import { makeMessage, Recorder } from './bus.contract.ts';
import type { Bus, Settlement } from './bus.ts';
import { type LmdbBusOptions, openLmdbBus } from './lmdb-bus.ts';
import { openTables } from './lmdb-tables.ts';

const MIB = 1024 * 1024;
const BATCH = { batchMessagesMax: 10, batchBytesMax: MIB, batchWaitMs: 0 };
const DRAIN = { timeoutMs: 5_000 };

describe('the embedded bus', () => {
  let dir: string;
  let bus: Bus;
  const openBus = async (options: Partial<LmdbBusOptions> = {}): Promise<void> => {
    bus = await openLmdbBus({
      dir,
      now: () => 1_000_000,
      diskFullPercent: 100,
      mapBytesMax: 64 * MIB,
      attemptsMax: 100,
      backoffMinMs: 1,
      backoffMaxMs: 1,
      ...options,
    });
  };
  beforeEach(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'vigia.bus-'));
  });
  afterEach(async () => {
    await bus.close();
    await rm(dir, { recursive: true });
  });

  describe('when space runs out', () => {
    it('refuses to publish at the watermark, with the values, and goes on delivering', async () => {
      await openBus();
      const message = makeMessage();
      await bus.publish([message]);
      await bus.close();
      await openBus({ diskFullPercent: 0 });
      const refusal = {
        code: 'DISK_FULL',
        status: 503,
        publicMessage: /is \d+\.\d % full, writes stop at 0 % \(DISK_FULL_PERCENT\)/,
      };
      await assert.rejects(bus.publish([makeMessage()]), refusal);
      await assert.rejects(bus.check(), refusal);
      const recorder = new Recorder();
      const subscription = bus.subscribe(recorder.handler, BATCH);
      await recorder.untilDelivered(1);
      await subscription.drain(DRAIN);
      assert.deepEqual(recorder.ids, [message.messageId]);
      assert.equal(bus.settledCount().messages, 1);
    });

    it('refuses above BUS_BYTES_MAX and takes messages again when stored ones are released', async () => {
      await openBus({ mapBytesMax: MIB });
      const publish = (): Promise<void> => bus.publish([makeMessage({ data: Buffer.alloc(300 * 1024) })]);
      for (let sent = 0; sent < 3; sent += 1) await publish();
      await assert.rejects(publish(), {
        code: 'DISK_FULL',
        publicMessage: /would hold \d+ bytes, limit is 1048576 \(BUS_BYTES_MAX\)/,
      });
      const recorder = new Recorder();
      const subscription = bus.subscribe(recorder.handler, BATCH);
      await recorder.untilDelivered(3);
      await subscription.drain(DRAIN);
      await assert.rejects(publish(), { code: 'DISK_FULL' });
      const settled = await bus.settled({ limit: 1, bytesMax: 1 });
      await bus.release(settled.map(({ settleOrder }) => settleOrder));
      await publish();
    });
  });

  it('names the moment between durable and answered', async () => {
    const order: string[] = [];
    await openBus({ faultPoint: (name) => order.push(name, `${bus.backlog()[0]?.messages} durable`) });
    await bus.publish([makeMessage()]).then(() => order.push('answered'));
    assert.deepEqual(order, ['after-publish', '1 durable', 'answered']);
  });

  it('refuses a message that could spoil the commit of its neighbours, and only that', async () => {
    await openBus();
    const good = makeMessage();
    const bad = [
      makeMessage({ messageId: 'position-7' }),
      makeMessage({ dataset: '' }),
      makeMessage({ dataset: 'd'.repeat(3_000) }),
      makeMessage({ requestId: 'r'.repeat(3_000) }),
    ];
    const results = await Promise.allSettled([...bad.map((message) => bus.publish([message])), bus.publish([good])]);
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? 'durable' : (result.reason as AppError).code)),
      ['INTERNAL', 'INTERNAL', 'INTERNAL', 'INTERNAL', 'durable'],
    );
    assert.deepEqual(
      (await bus.snapshot()).unsettled.map(({ messageId }) => messageId),
      [good.messageId],
    );
  });

  describe('between deliveries', () => {
    /** Fails one message until it was delivered `deliveries` times; returns the wait written down after the last. */
    const waitAfter = async (deliveries: number, options: Partial<LmdbBusOptions>): Promise<number> => {
      let nowMs = 0;
      await openBus({ ...options, now: () => nowMs });
      await bus.publish([makeMessage()]);
      for (let delivered = 0; delivered < deliveries; delivered += 1) {
        if (delivered > 0) await openBus({ ...options, now: () => nowMs });
        const recorder = new Recorder(async () => [undefined]);
        const subscription = bus.subscribe(recorder.handler, BATCH);
        await recorder.untilDelivered(1);
        await subscription.drain(DRAIN);
        await bus.close();
        // The next start finds the wait over.
        nowMs += 1_000_000_000;
      }
      const tables = openTables({ dir, bytesMax: MIB, noSync: false });
      const [entry] = tables.unsettled.getRange();
      await tables.root.close();
      await openBus();
      return (entry?.value.notBeforeMs ?? 0) - (nowMs - 1_000_000_000);
    };

    it('waits twice as long after each failure', async () => {
      assert.equal(await waitAfter(3, { backoffMinMs: 1_000, backoffMaxMs: 60_000, random: () => 0.5 }), 3_000);
    });

    it('never waits longer than the longest wait, and at least half of it', async () => {
      assert.equal(await waitAfter(4, { backoffMinMs: 1_000, backoffMaxMs: 5_000, random: () => 0 }), 2_500);
    });

    it('does not trust a clock that went back: no message waits longer than the longest wait', async () => {
      await openBus({ now: () => 1e12 });
      await bus.publish([makeMessage()]);
      for (const nowMs of [1e12, 1e12 - 1e9]) {
        await bus.close();
        await openBus({ now: () => nowMs });
        const recorder = new Recorder(async () => [undefined]);
        const subscription = bus.subscribe(recorder.handler, BATCH);
        await recorder.untilDelivered(1);
        await subscription.drain(DRAIN);
      }
    });
  });

  it('says that a message failed by the class and code of the error, never by its text', async () => {
    await openBus({ attemptsMax: 1 });
    await bus.publish([makeMessage()]);
    const recorder = new Recorder(async () => {
      throw new AppError({ code: 'INTERNAL', publicMessage: 'amount 656.56', detail: 'amount 656.56' });
    });
    const subscription = bus.subscribe(recorder.handler, BATCH);
    await recorder.untilDelivered(1);
    await subscription.drain(DRAIN);
    const [letter] = await bus.deadLetters({ filter: {}, limit: 1 });
    assert.equal(letter?.reason, 'every attempt failed, the last with AppError INTERNAL');
  });

  it('refuses to reconcile under a subscriber', async () => {
    await openBus();
    const subscription = bus.subscribe(new Recorder().handler, BATCH);
    await assert.rejects(
      bus.reconcile(async () => new Set()),
      /before subscribing/,
    );
    await subscription.drain(DRAIN);
  });

  it('delivers what a pause held back when the pause ends between the look for work and the sleep', async () => {
    let looksBefore = Number.POSITIVE_INFINITY;
    await openBus({
      elapsedMs: () => {
        looksBefore -= 1;
        return looksBefore >= 0 ? 0 : 1_000_000;
      },
    });
    const messages = [makeMessage(), makeMessage()];
    await bus.publish(messages);
    const recorder = new Recorder(async (batch) => {
      if (recorder.batches.length > 1) return batch.map(() => ({ kind: 'ack' }));
      // The pause begins and the look for work finds it; the sleep finds it over.
      looksBefore = 2;
      throw new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'WAREHOUSE_UNAVAILABLE: away.' });
    });
    const subscription = bus.subscribe(recorder.handler, BATCH);
    await recorder.untilDelivered(4);
    await subscription.drain(DRAIN);
    assert.equal(bus.settledCount().messages, 2);
  });

  describe('with more than a turn can read', () => {
    const many = Array.from({ length: 2_100 }, () => makeMessage());
    const settleAll = async (settlement: Settlement): Promise<void> => {
      await openBus();
      await bus.publish(many);
      const recorder = new Recorder(async (batch) => batch.map(() => settlement));
      const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: many.length });
      await recorder.untilDelivered(many.length);
      await subscription.drain(DRAIN);
    };
    /** True when something else had its turn before the reading ended. */
    const givesWay = async (read: () => Promise<readonly unknown[]>): Promise<boolean> => {
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      await read();
      return turned;
    };

    it('hands the loop back while it reads settled messages', async () => {
      await settleAll({ kind: 'ack' });
      assert.equal(await givesWay(() => bus.settled({ limit: many.length, bytesMax: 64 * MIB })), true);
      assert.equal((await bus.settled({ limit: 10_000, bytesMax: 64 * MIB })).length, many.length);
    });

    it('hands the loop back while it looks for dead letters', async () => {
      await settleAll({ kind: 'dead_letter', code: 'MESSAGE_MALFORMED', reason: 'not an envelope' });
      assert.equal(await givesWay(() => bus.deadLetters({ filter: { dataset: 'trips' }, limit: 1 })), true);
    });
  });
});
