/** What every bus promises of rows that are taken out of dead letters for good, as tests. */
import assert from 'node:assert/strict';
import { type BusHarness, makeMessage, Recorder } from './bus.contract.ts';
import type { Bus, BusMessage } from './bus.ts';

const BATCH = { batchMessagesMax: 100, batchBytesMax: 1024 * 1024, batchWaitMs: 0 } as const;

export function describeRemoval(name: string, makeHarness: () => Promise<BusHarness>): void {
  describe(`rows taken out of dead letters on ${name}`, () => {
    let harness: BusHarness;
    let bus: Bus;
    beforeEach(async () => {
      harness = await makeHarness();
      bus = await harness.open();
    });
    afterEach(async () => {
      await bus.close();
      await harness.dispose();
    });
    const bury = async (...messages: readonly BusMessage[]): Promise<void> => {
      await bus.publish(messages);
      const recorder = new Recorder(async (deliveries) =>
        deliveries.map(() => ({ kind: 'dead_letter', code: 'MESSAGE_FAILED', reason: 'no' })),
      );
      const subscription = bus.subscribe(recorder.handler, BATCH);
      await recorder.untilDelivered(messages.length);
      await subscription.drain({ timeoutMs: 5_000 });
    };
    const letters = () => bus.deadLetters({ filter: {}, limit: 10 });

    it('are counted with the transaction that takes them, by dataset and reason, also over a restart', async () => {
      await bury(makeMessage({ rowCount: 3 }), makeMessage({ dataset: 'trips', rowCount: 2 }));
      const [trip, flight] = await letters();
      assert.ok(trip !== undefined && flight !== undefined);
      const rest = { data: Buffer.from('less'), rowCount: 1 };
      assert.equal(await bus.removeFromDead([{ sequence: flight.sequence, rest, removedRows: 2 }], 'erased'), 1);
      assert.equal(
        await bus.removeFromDead([{ sequence: trip.sequence, rest: undefined, removedRows: 2 }], 'expired'),
        1,
      );
      await harness.crash(bus);
      bus = await harness.open();
      const { deadLetters, removedRows, acceptedRows } = await bus.snapshot();
      assert.deepEqual(removedRows, { erased: { flights: 2 }, expired: { trips: 2 } });
      assert.deepEqual(acceptedRows, { flights: 3, trips: 2 });
      assert.deepEqual(
        deadLetters.map(({ dataset, rowCount }) => [dataset, rowCount]),
        [['flights', 1]],
      );
      assert.deepEqual(
        (await letters()).map(({ message }) => message),
        [{ ...flight.message, ...rest }],
      );
      assert.equal(await bus.read(trip.message.messageId), undefined);
    });

    it('are found by their request, whether the message is still there or not', async () => {
      const whole = makeMessage({ rowCount: 2 });
      const part = makeMessage({ rowCount: 3, requestId: whole.requestId });
      await bury(whole, part);
      const [second, first] = await letters();
      assert.ok(first !== undefined && second !== undefined);
      await bus.removeFromDead([{ sequence: first.sequence, rest: undefined, removedRows: 2 }], 'erased');
      const rest = { data: Buffer.from('less'), rowCount: 2 };
      await bus.removeFromDead([{ sequence: second.sequence, rest, removedRows: 1 }], 'erased');
      const expected = [
        { messageId: whole.messageId, state: 'erased', rowCount: 2 },
        { messageId: part.messageId, state: 'erased', rowCount: 1 },
        { messageId: part.messageId, state: 'dead', rowCount: 2 },
      ];
      assert.deepEqual(await bus.findByRequest(whole.requestId), expected);
      await bus.close();
      bus = await harness.open();
      assert.deepEqual(await bus.findByRequest(whole.requestId), expected);
    });

    it('are left where the letter was put back meanwhile, and the rest of it is delivered', async () => {
      await bury(makeMessage({ rowCount: 2 }), makeMessage({ rowCount: 2 }));
      const [revived, left] = await letters();
      assert.ok(revived !== undefined && left !== undefined);
      await bus.replay({ filter: { messageIds: [revived.message.messageId] }, limit: 1, dryRun: false });
      const rest = { data: Buffer.from('less'), rowCount: 1 };
      const rests = [revived, left].map(({ sequence }) => ({ sequence, rest, removedRows: 1 }));
      assert.equal(await bus.removeFromDead(rests, 'erased'), 1);
      assert.deepEqual((await bus.snapshot()).removedRows.erased, { flights: 1 });
      await bus.replay({ filter: {}, limit: 1, dryRun: false });
      const recorder = new Recorder();
      const subscription = bus.subscribe(recorder.handler, BATCH);
      await recorder.untilDelivered(2);
      await subscription.drain({ timeoutMs: 5_000 });
      const delivered = recorder.deliveries.map(({ message }) => message.data.toString()).sort();
      assert.deepEqual(delivered, ['less', revived.message.data.toString()]);
    });
  });
}
