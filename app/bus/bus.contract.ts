/**
 * What every bus promises, as tests: `describeBus` runs on each implementation (bus.contract.test.ts).
 * Nothing here waits for time to pass; every wait is for a delivery.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Bus, BusMessage, Delivery, Handler, Settlement, SubscribeOptions } from './bus.ts';

export interface BusSettings {
  readonly attemptsMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export interface BusHarness {
  /** Opens a bus on what the one before left; the first finds nothing. */
  open(settings?: Partial<BusSettings>): Promise<Bus>;
  /** Ends the bus as a crash would: nothing more is written. */
  crash(bus: Bus): Promise<void>;
  dispose(): Promise<void>;
}

const ACK: Settlement = { kind: 'ack' };
const BATCH: SubscribeOptions = { batchMessagesMax: 100, batchBytesMax: 1024 * 1024, batchWaitMs: 0 };
const DRAIN = { timeoutMs: 5_000 };
/** Longer than any test: what waits this long does not come. */
const NEVER_MS = 3_600_000;

export function makeMessage(given: Partial<BusMessage> = {}): BusMessage {
  return {
    messageId: randomBytes(16).toString('hex'),
    dataset: 'flights',
    requestId: randomBytes(16).toString('hex'),
    rowCount: 1,
    data: Buffer.from('{"rows":[]}'),
    attributes: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' },
    ...given,
  };
}

/** Records what the handler gets; `until` resolves as soon as the record satisfies. */
export class Recorder {
  readonly batches: (readonly Delivery[])[] = [];
  readonly #settle: Handler;
  #waiting: { readonly satisfied: () => boolean; readonly resolve: () => void }[] = [];

  constructor(settle: Handler = async (deliveries) => deliveries.map(() => ACK)) {
    this.#settle = settle;
  }

  get deliveries(): readonly Delivery[] {
    return this.batches.flat();
  }

  get ids(): readonly string[] {
    return this.deliveries.map((delivery) => delivery.message.messageId);
  }

  readonly handler: Handler = async (deliveries) => {
    this.batches.push(deliveries);
    this.#tell();
    try {
      return await this.#settle(deliveries);
    } finally {
      this.#tell();
    }
  };

  until(satisfied: (recorder: Recorder) => boolean): Promise<void> {
    if (satisfied(this)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ satisfied: () => satisfied(this), resolve }));
  }

  #tell(): void {
    const done = this.#waiting.filter(({ satisfied }) => satisfied());
    this.#waiting = this.#waiting.filter((one) => !done.includes(one));
    for (const { resolve } of done) resolve();
  }

  untilDelivered(count: number): Promise<void> {
    return this.until(({ deliveries }) => deliveries.length >= count);
  }
}

const ids = (messages: readonly { readonly messageId: string }[]): string[] =>
  messages.map(({ messageId }) => messageId);

export function describeBus(name: string, makeHarness: () => Promise<BusHarness>): void {
  describe(`bus contract on ${name}`, () => {
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

    const reopen = async (settings?: Partial<BusSettings>): Promise<void> => {
      await bus.close();
      bus = await harness.open(settings);
    };
    /** Delivers everything there is to one handler until it has seen `count`, then drains. */
    const consume = async (
      count: number,
      settle?: Handler,
      options: Partial<SubscribeOptions> = {},
    ): Promise<Recorder> => {
      const recorder = new Recorder(settle);
      const subscription = bus.subscribe(recorder.handler, { ...BATCH, ...options });
      await recorder.untilDelivered(count);
      await subscription.drain(DRAIN);
      return recorder;
    };
    const bury = async (messages: readonly BusMessage[], code = 'MESSAGE_MALFORMED'): Promise<void> => {
      await bus.publish(messages);
      await consume(messages.length, async (deliveries) =>
        deliveries.map(() => ({ kind: 'dead_letter', code, reason: 'not an envelope' })),
      );
    };

    describe('publish', () => {
      it('is durable when it answers: a crash right after loses nothing', async () => {
        const messages = [makeMessage(), makeMessage({ dataset: 'trips', rowCount: 7 })];
        await bus.publish(messages);
        await harness.crash(bus);
        bus = await harness.open();
        const recorder = await consume(2);
        assert.deepEqual([...recorder.ids].sort(), ids(messages).sort());
      });

      it('carries every byte and attribute unchanged, small, empty and large', async () => {
        const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
        const messages = [every, Buffer.alloc(0), randomBytes(1024 * 1024)].map((data) =>
          makeMessage({ data, attributes: { tracestate: 'ä=1', empty: '' } }),
        );
        await bus.publish(messages);
        const recorder = await consume(3);
        const delivered = new Map(recorder.deliveries.map(({ message }) => [message.messageId, message]));
        for (const message of messages) assert.deepEqual(delivered.get(message.messageId), message);
      });

      it('takes an empty list and delivers nothing for it', async () => {
        await bus.publish([]);
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('keeps concurrent publishes apart and whole', async () => {
        const calls = Array.from({ length: 50 }, () => [makeMessage(), makeMessage()]);
        await Promise.all(calls.map((messages) => bus.publish(messages)));
        const { unsettled, acceptedRows } = await bus.snapshot();
        assert.deepEqual(ids(unsettled).sort(), ids(calls.flat()).sort());
        assert.deepEqual(acceptedRows, { flights: 100 });
      });

      it('refuses when the bus is closed', async () => {
        await bus.close();
        await assert.rejects(bus.publish([makeMessage()]), { code: 'BUS_UNAVAILABLE' });
        await assert.rejects(bus.check(), { code: 'BUS_UNAVAILABLE' });
        bus = await harness.open();
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });
    });

    describe('delivery', () => {
      it('tells sequence, publication time, first attempt and that it is our own', async () => {
        const beforeMs = Date.now();
        await bus.publish([makeMessage(), makeMessage()]);
        const { deliveries } = await consume(2);
        for (const delivery of deliveries) {
          assert.equal(delivery.attempt, 1);
          assert.equal(delivery.foreign, false);
          assert.ok(delivery.publishedAtMs >= beforeMs && delivery.publishedAtMs <= Date.now());
        }
        assert.equal(new Set(deliveries.map(({ sequence }) => sequence)).size, 2);
      });

      it('marks a message without a request as foreign and does not count it as accepted yet', async () => {
        await bus.publish([makeMessage({ requestId: '', rowCount: 5 }), makeMessage({ rowCount: 2 })]);
        const snapshot = await bus.snapshot();
        assert.deepEqual(snapshot.acceptedRows, { flights: 2 });
        assert.deepEqual(snapshot.unsettled.map(({ foreign }) => foreign).sort(), [false, true]);
        const { deliveries } = await consume(2);
        assert.deepEqual(
          deliveries.map(({ foreign, message }) => foreign === (message.requestId === '')),
          [true, true],
        );
      });

      it('reaches a subscriber that was there first, and one that comes later', async () => {
        const recorder = new Recorder();
        const subscription = bus.subscribe(recorder.handler, BATCH);
        const message = makeMessage();
        await bus.publish([message]);
        await recorder.untilDelivered(1);
        await subscription.drain(DRAIN);
        const later = makeMessage();
        await bus.publish([later]);
        assert.deepEqual((await consume(1)).ids, [later.messageId]);
        assert.deepEqual(recorder.ids, [message.messageId]);
      });

      it('closes a batch at the most messages', async () => {
        await bus.publish(Array.from({ length: 10 }, () => makeMessage()));
        const { batches } = await consume(10, undefined, { batchMessagesMax: 4 });
        assert.deepEqual(
          batches.map((batch) => batch.length),
          [4, 4, 2],
        );
      });

      it('closes a batch at the most bytes, and lets one larger message travel alone', async () => {
        const sizes = [600, 600, 5_000, 600];
        await bus.publish(sizes.map((size) => makeMessage({ data: Buffer.alloc(size) })));
        const { batches } = await consume(4, undefined, { batchBytesMax: 1_200 });
        for (const batch of batches) {
          const bytes = batch.reduce((sum, { message }) => sum + message.data.length, 0);
          assert.ok(bytes <= 1_200 || batch.length === 1, `${batch.length} messages with ${bytes} bytes`);
        }
      });

      it('does not wait for a full batch longer than told, nor at all when it is full', async () => {
        const recorder = new Recorder();
        const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: 3, batchWaitMs: NEVER_MS });
        await bus.publish([makeMessage(), makeMessage()]);
        assert.equal(recorder.batches.length, 0);
        await bus.publish([makeMessage()]);
        await recorder.untilDelivered(3);
        assert.equal(recorder.batches.length, 1);
        await subscription.drain(DRAIN);
      });

      it('lets no dataset wait behind the flood of another', async () => {
        await bus.publish(Array.from({ length: 50 }, () => makeMessage({ dataset: 'flood' })));
        await bus.publish(Array.from({ length: 50 }, () => makeMessage({ dataset: 'other-flood' })));
        await bus.publish([makeMessage({ dataset: 'trickle' })]);
        const { deliveries } = await consume(101, undefined, { batchMessagesMax: 10 });
        const position = deliveries.findIndex(({ message }) => message.dataset === 'trickle');
        assert.ok(position < 10, `delivered as number ${position}`);
      });

      it('lets nothing new wait behind a flood of what comes again', async () => {
        const replayed = Array.from({ length: 8 }, () => makeMessage());
        await bury(replayed);
        const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
        const recorder = new Recorder(async (batch) => {
          await gate;
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: 1 });
        await bus.publish([makeMessage()]);
        await recorder.untilDelivered(1);
        await bus.replay({ filter: {}, limit: 10, dryRun: false });
        const fresh = makeMessage();
        await bus.publish([fresh]);
        openGate();
        await recorder.untilDelivered(10);
        await subscription.drain(DRAIN);
        const position = recorder.ids.indexOf(fresh.messageId);
        assert.ok(position <= 2, `delivered as number ${position}`);
      });

      it('takes one subscriber at a time', async () => {
        const subscription = bus.subscribe(new Recorder().handler, BATCH);
        assert.throws(() => bus.subscribe(new Recorder().handler, BATCH), /one subscriber/);
        await subscription.drain(DRAIN);
      });
    });

    describe('settlement', () => {
      it('never delivers again what was acknowledged, also after a restart', async () => {
        await bus.publish([makeMessage(), makeMessage()]);
        await consume(2);
        assert.deepEqual((await bus.snapshot()).unsettled, []);
        await reopen();
        const message = makeMessage();
        await bus.publish([message]);
        assert.deepEqual((await consume(1)).ids, [message.messageId]);
      });

      it('delivers everything unsettled again after a crash, whoever held it', async () => {
        const messages = [makeMessage(), makeMessage()];
        await bus.publish(messages);
        const recorder = new Recorder(() => new Promise(() => undefined));
        bus.subscribe(recorder.handler, BATCH);
        await recorder.until(({ deliveries }) => deliveries.length === 2);
        await harness.crash(bus);
        bus = await harness.open();
        assert.deepEqual([...(await consume(2)).ids].sort(), ids(messages).sort());
      });

      it('delivers a message again when the handler throws, as a later attempt', async () => {
        await bus.publish([makeMessage()]);
        const { deliveries } = await consume(2, async (batch) => {
          if (batch[0]?.attempt === 1) throw new Error('no');
          return [ACK];
        });
        assert.deepEqual(
          deliveries.map(({ attempt }) => attempt),
          [1, 2],
        );
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('delivers again only what was left unsettled', async () => {
        const [good, left, missing] = [makeMessage(), makeMessage(), makeMessage()];
        await bus.publish([good, left, missing]);
        const { ids: delivered } = await consume(5, async (batch) =>
          batch.length === 3
            ? batch.slice(0, 2).map(({ message }) => (message.messageId === left.messageId ? undefined : ACK))
            : [ACK],
        );
        assert.deepEqual([...delivered.slice(3)].sort(), ids([left, missing]).sort());
      });

      it('finds the poison in a failed batch: the rest is settled, the poison alone is dead', async () => {
        const messages = Array.from({ length: 16 }, () => makeMessage({ rowCount: 3 }));
        const poison = messages[11]?.messageId;
        await bus.publish(messages);
        const recorder = new Recorder(async (batch) => {
          if (batch.some(({ message }) => message.messageId === poison)) throw new TypeError('secret payload');
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(recorder.handler, BATCH);
        const alone = (batch: readonly Delivery[]): boolean =>
          batch.length === 1 && batch[0]?.message.messageId === poison;
        await recorder.until(({ batches }) => batches.filter(alone).length === 3);
        await subscription.drain(DRAIN);
        const [letter, ...others] = await bus.deadLetters({ filter: {}, limit: 10 });
        assert.deepEqual(others, []);
        assert.equal(letter?.message.messageId, poison);
        assert.equal(letter?.code, 'MESSAGE_FAILED');
        assert.match(letter?.reason ?? '', /TypeError/);
        assert.doesNotMatch(letter?.reason ?? '', /secret/);
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('counts failures over a restart', async () => {
        await bus.publish([makeMessage()]);
        const fail = async (): Promise<never> => {
          throw new Error('no');
        };
        await consume(2, fail);
        await reopen();
        const { deliveries } = await consume(1, fail);
        assert.deepEqual(
          deliveries.map(({ attempt }) => attempt),
          [3],
        );
        assert.equal((await bus.deadLetters({ filter: {}, limit: 10 })).length, 1);
      });

      it('lets others flow while a failed one waits', async () => {
        await reopen({ backoffMinMs: NEVER_MS, backoffMaxMs: NEVER_MS });
        const failing = makeMessage();
        await bus.publish([failing]);
        const recorder = new Recorder(async (batch) =>
          batch.map(({ message }) => (message.messageId === failing.messageId ? undefined : ACK)),
        );
        const subscription = bus.subscribe(recorder.handler, BATCH);
        await recorder.untilDelivered(1);
        const others = [makeMessage(), makeMessage()];
        await bus.publish(others);
        await recorder.untilDelivered(3);
        await subscription.drain(DRAIN);
        assert.deepEqual(ids((await bus.snapshot()).unsettled), [failing.messageId]);
      });

      it('buries nothing while a dependency is away, however long', async () => {
        const messages = [makeMessage(), makeMessage(), makeMessage()];
        await bus.publish(messages);
        let outages = 12;
        const recorder = new Recorder(async (batch) => {
          outages -= 1;
          if (outages >= 0) throw new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'away' });
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(recorder.handler, BATCH);
        await recorder.until(
          () =>
            outages < 0 &&
            new Set(
              recorder.batches
                .slice(12)
                .flat()
                .map((one) => one.sequence),
            ).size === 3,
        );
        await subscription.drain(DRAIN);
        const { unsettled, deadLetters } = await bus.snapshot();
        assert.deepEqual({ unsettled, deadLetters }, { unsettled: [], deadLetters: [] });
      });

      it('hands out nothing while it pauses for a dependency', async () => {
        await reopen({ backoffMinMs: NEVER_MS, backoffMaxMs: NEVER_MS });
        await bus.publish([makeMessage()]);
        const recorder = new Recorder(async () => {
          throw new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'away' });
        });
        const subscription = bus.subscribe(recorder.handler, BATCH);
        await recorder.untilDelivered(1);
        await bus.publish([makeMessage()]);
        await subscription.drain(DRAIN);
        assert.equal(recorder.batches.length, 1);
      });
    });

    describe('drain', () => {
      it('waits for the delivery under way and takes no other', async () => {
        const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
        const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
        const recorder = new Recorder(async (batch) => {
          enter();
          await gate;
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: 1 });
        const [first, second] = [makeMessage(), makeMessage()];
        await bus.publish([first, second]);
        await entered;
        const drained = subscription.drain(DRAIN);
        openGate();
        await drained;
        assert.equal(recorder.deliveries.length, 1);
        assert.equal((await bus.snapshot()).unsettled.length, 1);
      });

      it('gives up after its timeout; what was under way comes again', async () => {
        const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
        const subscription = bus.subscribe(() => {
          enter();
          return new Promise(() => undefined);
        }, BATCH);
        const message = makeMessage();
        await bus.publish([message]);
        await entered;
        await subscription.drain({ timeoutMs: 1 });
        assert.deepEqual((await consume(1)).ids, [message.messageId]);
      });

      it('lets a handler that outlived its drain settle once, not twice', async () => {
        const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
        const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
        const late = new Recorder(async (batch) => {
          enter();
          await gate;
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(late.handler, BATCH);
        await bus.publish([makeMessage()]);
        await entered;
        await subscription.drain({ timeoutMs: 1 });
        await consume(1);
        openGate();
        await subscription.drain(DRAIN);
        assert.equal(bus.settledCount().messages, 1);
        assert.equal((await bus.settled({ limit: 10, bytesMax: 1_000_000 })).length, 1);
      });
    });

    describe('dead letters', () => {
      it('keep id, bytes, reason and attempts, and are confirmed before the delivery is settled', async () => {
        const message = makeMessage({ rowCount: 4 });
        await bury([message], 'MESSAGE_VERSION_UNKNOWN');
        await harness.crash(bus);
        bus = await harness.open();
        const { unsettled, deadLetters } = await bus.snapshot();
        assert.deepEqual(unsettled, []);
        assert.deepEqual(ids(deadLetters), [message.messageId]);
        const [letter] = await bus.deadLetters({ filter: {}, limit: 1 });
        assert.deepEqual(letter?.message, message);
        assert.equal(letter?.code, 'MESSAGE_VERSION_UNKNOWN');
        assert.equal(letter?.reason, 'not an envelope');
        assert.equal(letter?.attempts, 1);
        assert.equal(letter?.foreign, false);
      });

      it('come newest first in pages that neither skip nor repeat', async () => {
        const messages = Array.from({ length: 7 }, () => makeMessage());
        for (const message of messages) await bury([message]);
        const paged: string[] = [];
        for (let after: string | undefined; ; ) {
          const page = await bus.deadLetters({ filter: {}, limit: 3, ...(after === undefined ? {} : { after }) });
          after = page.at(-1)?.message.messageId;
          if (after === undefined) break;
          paged.push(...page.map(({ message }) => message.messageId));
        }
        assert.deepEqual(paged, ids(messages).reverse());
        await assert.rejects(bus.deadLetters({ filter: {}, limit: 3, after: 'f'.repeat(32) }), { code: 'CURSOR_GONE' });
      });

      it('are filtered by dataset, code, ids and time of death', async () => {
        const trip = makeMessage({ dataset: 'trips' });
        const flight = makeMessage();
        await bury([trip], 'MESSAGE_MALFORMED');
        await bury([flight], 'MESSAGE_FAILED');
        const found = async (filter: Parameters<Bus['deadLetters']>[0]['filter']): Promise<string[]> =>
          (await bus.deadLetters({ filter, limit: 10 })).map(({ message }) => message.messageId);
        assert.deepEqual(await found({ dataset: 'trips' }), [trip.messageId]);
        assert.deepEqual(await found({ code: 'MESSAGE_FAILED' }), [flight.messageId]);
        assert.deepEqual(await found({ messageIds: [trip.messageId] }), [trip.messageId]);
        assert.deepEqual(await found({ fromMs: 0, toMs: Date.now() + 1 }), [flight.messageId, trip.messageId]);
        assert.deepEqual(await found({ toMs: 0 }), []);
        assert.deepEqual(await found({ dataset: 'trips', code: 'MESSAGE_FAILED' }), []);
      });

      it('stay where they are on a dry run of a replay, which tells what it would do', async () => {
        await bury([makeMessage({ rowCount: 2 }), makeMessage({ rowCount: 3 })]);
        assert.deepEqual(await bus.replay({ filter: {}, limit: 10, dryRun: true }), { messages: 2, rows: 5 });
        assert.deepEqual(await bus.replay({ filter: {}, limit: 1, dryRun: true }), { messages: 1, rows: 3 });
        assert.equal((await bus.deadLetters({ filter: {}, limit: 10 })).length, 2);
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('come again under the same id, attempts from zero, when replayed, and are accepted only once', async () => {
        const [wanted, other] = [makeMessage({ rowCount: 2 }), makeMessage({ dataset: 'trips' })];
        await bury([wanted, other]);
        const recorder = new Recorder();
        const subscription = bus.subscribe(recorder.handler, BATCH);
        assert.deepEqual(await bus.replay({ filter: { dataset: 'flights' }, limit: 10, dryRun: false }), {
          messages: 1,
          rows: 2,
        });
        await recorder.untilDelivered(1);
        await subscription.drain(DRAIN);
        assert.deepEqual(recorder.ids, [wanted.messageId]);
        assert.equal(recorder.deliveries[0]?.attempt, 1);
        const { acceptedRows, unsettled, deadLetters } = await bus.snapshot();
        assert.deepEqual(acceptedRows, { flights: 2, trips: 1 });
        assert.deepEqual(unsettled, []);
        assert.deepEqual(ids(deadLetters), [other.messageId]);
      });

      it('come again in full batches when replayed, and the one that fails still fails alone', async () => {
        const messages = Array.from({ length: 5 }, () => makeMessage());
        await bury(messages);
        const poison = messages[2]?.messageId;
        const recorder = new Recorder(async (batch) => {
          if (batch.some(({ message }) => message.messageId === poison)) throw new Error('still bad');
          return batch.map(() => ACK);
        });
        const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: 4 });
        await bus.replay({ filter: {}, limit: 10, dryRun: false });
        const alone = (batch: readonly Delivery[]): boolean =>
          batch.length === 1 && batch[0]?.message.messageId === poison;
        await recorder.until(({ batches }) => batches.filter(alone).length === 3);
        await subscription.drain(DRAIN);
        assert.equal(recorder.batches[0]?.length, 4);
        assert.deepEqual(
          (await bus.deadLetters({ filter: {}, limit: 10 })).map(({ message }) => message.messageId),
          [poison],
        );
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('are replayed without a subscriber too: the next one gets them', async () => {
        const message = makeMessage();
        await bury([message]);
        await bus.replay({ filter: {}, limit: 10, dryRun: false });
        await reopen();
        assert.deepEqual((await consume(1)).ids, [message.messageId]);
      });
    });

    describe('snapshot', () => {
      it('holds every message up to its cut and none beyond, while publishing goes on', async () => {
        const messages = Array.from({ length: 120 }, () => makeMessage({ rowCount: 2 }));
        let publishing = true;
        const publish = async (): Promise<void> => {
          await Promise.all(
            Array.from({ length: 8 }, async (_, worker) => {
              for (let at = worker; at < messages.length; at += 8) await bus.publish(messages.slice(at, at + 1));
            }),
          );
          publishing = false;
        };
        const looks: Awaited<ReturnType<Bus['snapshot']>>[] = [];
        const look = async (): Promise<void> => {
          while (publishing) {
            looks.push(await bus.snapshot());
            await nextTurn();
          }
        };
        await Promise.all([publish(), look()]);
        looks.push(await bus.snapshot());
        const { deliveries } = await consume(messages.length);
        for (const { cut, unsettled, acceptedRows } of looks) {
          const expected = deliveries.filter(({ sequence }) => sequence <= cut).map(({ message }) => message.messageId);
          assert.deepEqual(ids(unsettled).sort(), expected.sort());
          assert.equal(acceptedRows['flights'] ?? 0, 2 * expected.length);
        }
        assert.equal(looks.at(-1)?.unsettled.length, messages.length);
      });

      it('shows a message that dies in exactly one place at every moment', async () => {
        const messages = Array.from({ length: 40 }, () => makeMessage());
        await bus.publish(messages);
        const recorder = new Recorder(async (batch) =>
          batch.map(() => ({ kind: 'dead_letter', code: 'MESSAGE_MALFORMED', reason: 'x' })),
        );
        const subscription = bus.subscribe(recorder.handler, { ...BATCH, batchMessagesMax: 5 });
        for (let seen = 0; seen < messages.length; ) {
          const { unsettled, deadLetters } = await bus.snapshot();
          assert.deepEqual(ids([...unsettled, ...deadLetters]).sort(), ids(messages).sort());
          seen = deadLetters.length;
          await nextTurn();
        }
        await subscription.drain(DRAIN);
      });

      it('counts accepted rows by dataset over restarts, settled or not', async () => {
        await bus.publish([makeMessage({ rowCount: 2 }), makeMessage({ dataset: 'trips', rowCount: 5 })]);
        await consume(2);
        await reopen();
        await bus.publish([makeMessage({ rowCount: 1 })]);
        assert.deepEqual((await bus.snapshot()).acceptedRows, { flights: 3, trips: 5 });
      });
    });

    describe('backlog', () => {
      it('counts messages and rows by dataset with the exact age of the oldest, over a restart', async () => {
        await bus.publish([makeMessage({ rowCount: 2 }), makeMessage({ dataset: 'trips', rowCount: 5 })]);
        const later = makeMessage({ rowCount: 3 });
        await bus.publish([later]);
        const { unsettled } = await bus.snapshot();
        const laterAtMs = unsettled.find(({ messageId }) => messageId === later.messageId)?.publishedAtMs;
        const oldest = (dataset: string): number =>
          Math.min(...unsettled.filter((one) => one.dataset === dataset).map(({ publishedAtMs }) => publishedAtMs));
        const before = [
          { dataset: 'flights', messages: 2, rows: 5, oldestAtMs: oldest('flights') },
          { dataset: 'trips', messages: 1, rows: 5, oldestAtMs: oldest('trips') },
        ];
        assert.deepEqual([...bus.backlog()], before);
        await reopen({ attemptsMax: 2, backoffMinMs: NEVER_MS, backoffMaxMs: NEVER_MS });
        assert.deepEqual([...bus.backlog()], before);
        await consume(3, async (batch) =>
          batch.map(({ message }) => (message.messageId === later.messageId ? undefined : ACK)),
        );
        assert.deepEqual(
          [...bus.backlog()],
          [
            { dataset: 'flights', messages: 1, rows: 3, oldestAtMs: laterAtMs },
            { dataset: 'trips', messages: 0, rows: 0, oldestAtMs: undefined },
          ],
        );
      });
    });

    describe('lookups', () => {
      it("find a request's unsettled and dead messages with their rows, and no settled ones", async () => {
        const requestId = randomBytes(16).toString('hex');
        const [dead, stored, waiting] = [
          makeMessage({ requestId, rowCount: 2 }),
          makeMessage({ requestId, rowCount: 3 }),
          makeMessage({ requestId, rowCount: 4 }),
        ];
        await bury([dead]);
        await bus.publish([stored]);
        await consume(1);
        await bus.publish([waiting, makeMessage()]);
        const expected = [
          { messageId: dead.messageId, state: 'dead', rowCount: 2 },
          { messageId: waiting.messageId, state: 'unsettled', rowCount: 4 },
        ];
        assert.deepEqual(await bus.findByRequest(requestId), expected);
        await reopen();
        assert.deepEqual(await bus.findByRequest(requestId), expected);
        assert.deepEqual(await bus.findByRequest('unknown'), []);
      });

      it('read a message as long as the bus holds it', async () => {
        const message = makeMessage();
        await bus.publish([message]);
        assert.deepEqual(await bus.read(message.messageId), message);
        await consume(1);
        assert.deepEqual(await bus.read(message.messageId), message);
        const settled = await bus.settled({ limit: 1, bytesMax: 1 });
        await bus.release(settled.map(({ settleOrder }) => settleOrder));
        assert.equal(await bus.read(message.messageId), undefined);
      });
    });

    describe('settled messages', () => {
      it('are kept in the order of acknowledgement until they are released', async () => {
        const messages = Array.from({ length: 6 }, () => makeMessage());
        await bus.publish(messages);
        const { ids: delivered } = await consume(6, undefined, { batchMessagesMax: 2 });
        const settled = await bus.settled({ limit: 10, bytesMax: 1_000_000 });
        assert.deepEqual(
          settled.map(({ message }) => message.messageId),
          delivered,
        );
        const orders = settled.map(({ settleOrder }) => settleOrder);
        assert.deepEqual(
          orders,
          [...orders].sort((one, other) => one - other),
        );
        const bytes = messages.reduce((sum, { data }) => sum + data.length, 0);
        assert.deepEqual({ ...bus.settledCount(), oldestAtMs: 0 }, { messages: 6, bytes, oldestAtMs: 0 });
        await bus.release(orders.slice(0, 4));
        await bus.release(orders.slice(0, 4));
        assert.equal(bus.settledCount().messages, 2);
        await reopen();
        assert.equal(bus.settledCount().messages, 2);
        const left = await bus.settled({ limit: 10, bytesMax: 1_000_000 });
        assert.deepEqual(
          left.map(({ settleOrder }) => settleOrder),
          orders.slice(4),
        );
      });

      it('are read in pages by count and bytes, at least one however large', async () => {
        await bus.publish(Array.from({ length: 4 }, () => makeMessage({ data: Buffer.alloc(1_000) })));
        await consume(4);
        const sizes = async (limit: number, bytesMax: number): Promise<number> =>
          (await bus.settled({ limit, bytesMax })).length;
        assert.deepEqual([await sizes(3, 1_000_000), await sizes(10, 2_500), await sizes(10, 1)], [3, 2, 1]);
      });

      it('never get a settle order again that was released before a restart', async () => {
        await bus.publish([makeMessage()]);
        await consume(1);
        const [first] = await bus.settled({ limit: 1, bytesMax: 1 });
        await bus.release([first?.settleOrder ?? 0]);
        assert.deepEqual(bus.settledCount(), { messages: 0, bytes: 0, oldestAtMs: undefined });
        await reopen();
        await bus.publish([makeMessage()]);
        await consume(1);
        const [second] = await bus.settled({ limit: 1, bytesMax: 1 });
        assert.ok((second?.settleOrder ?? 0) > (first?.settleOrder ?? 0));
        assert.ok((second?.sequence ?? 0) > (first?.sequence ?? 0));
      });

      it('count once when released twice at the same time', async () => {
        await bus.publish([makeMessage(), makeMessage()]);
        await consume(2);
        const orders = (await bus.settled({ limit: 2, bytesMax: 1_000_000 })).map(({ settleOrder }) => settleOrder);
        await Promise.all([bus.release(orders), bus.release(orders)]);
        assert.deepEqual(bus.settledCount(), { messages: 0, bytes: 0, oldestAtMs: undefined });
      });
    });

    describe('reconcile', () => {
      it('acknowledges what the ledger holds and puts back what it lost', async () => {
        const lost = makeMessage();
        const kept = makeMessage();
        await bus.publish([lost, kept]);
        await consume(2);
        const committed = makeMessage({ dataset: 'trips' });
        const waiting = makeMessage();
        await bus.publish([committed, waiting]);
        await reopen();
        const ledger = new Set(ids([kept, committed]));
        const holds = async (asked: readonly string[]): Promise<ReadonlySet<string>> =>
          new Set(asked.filter((id) => ledger.has(id)));
        assert.deepEqual(await bus.reconcile(holds), { acknowledged: 1, redelivered: 1 });
        assert.deepEqual(await bus.reconcile(holds), { acknowledged: 0, redelivered: 0 });
        assert.deepEqual([...(await consume(2)).ids].sort(), ids([lost, waiting]).sort());
        assert.equal(bus.settledCount().messages, 4);
      });

      it('delivers what the ledger lost first and in settle order, also after a crash in between', async () => {
        const late = makeMessage();
        await bus.publish([late, makeMessage({ dataset: 'trips' }), makeMessage(), makeMessage({ dataset: 'trips' })]);
        await consume(5, async (batch) =>
          batch.map(({ message, attempt }) =>
            message.messageId === late.messageId && attempt === 1 ? undefined : ACK,
          ),
        );
        const settled = await bus.settled({ limit: 10, bytesMax: 1_000_000 });
        const decided = settled.map(({ message }) => message.messageId);
        assert.equal(decided.at(-1), late.messageId);
        const waiting = makeMessage({ dataset: 'articles' });
        await bus.publish([waiting]);
        await reopen();
        assert.deepEqual(await bus.reconcile(async () => new Set()), { acknowledged: 0, redelivered: 4 });
        await harness.crash(bus);
        bus = await harness.open();
        const { ids: delivered } = await consume(5, undefined, { batchMessagesMax: 2 });
        assert.deepEqual(delivered, [...decided, waiting.messageId]);
        await reopen();
        assert.deepEqual((await bus.snapshot()).unsettled, []);
      });

      it('leaves dead letters alone', async () => {
        const message = makeMessage();
        await bury([message]);
        await reopen();
        assert.deepEqual(await bus.reconcile(async (asked) => new Set(asked)), { acknowledged: 0, redelivered: 0 });
        assert.equal((await bus.deadLetters({ filter: {}, limit: 1 })).length, 1);
      });
    });
  });
}
