import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AppError } from '../errors.ts';
import { order } from '../warehouse/warehouse-data.contract.ts';
import { foreign, orders, Pipeline } from './pipeline.contract.ts';

describe('the subscriber', () => {
  let pipeline: Pipeline;
  beforeEach(async () => {
    pipeline = await Pipeline.open();
  });
  afterEach(() => pipeline.dispose());

  const lines = (...ids: readonly string[]): Buffer =>
    Buffer.from(ids.map((id) => JSON.stringify(order(id).body)).join('\n'));
  const dead = () => pipeline.bus.deadLetters({ filter: {}, limit: 10 });

  it('acknowledges what the warehouse committed, and nothing before', async () => {
    const unsettledAtCommit: Promise<number>[] = [];
    pipeline.atPoint = (name) => {
      if (name === 'before-commit' || name === 'after-commit-before-ack')
        unsettledAtCommit.push(pipeline.bus.snapshot().then(({ unsettled }) => unsettled.length));
    };
    await pipeline.bus.publish([orders('a'), orders('b')]);
    await pipeline.consume(1);
    assert.deepEqual(await Promise.all(unsettledAtCommit), [2, 2]);
    assert.deepEqual((await pipeline.bus.snapshot()).unsettled, []);
    assert.equal((await pipeline.warehouse.counts())['orders']?.stored, 2);
  });

  it('changes nothing when a delivery comes again after its commit', async () => {
    let failures = 1;
    pipeline.atPoint = (name) => {
      if (name !== 'after-commit-before-ack' || failures === 0) return;
      failures -= 1;
      throw new Error('the process lost its way');
    };
    await pipeline.bus.publish([orders('a', 'b')]);
    await pipeline.consume(1);
    assert.equal(pipeline.outcomes[0]?.datasets['orders']?.replayedMessages, 1);
    const { accepted, stored, duplicate, difference } = (await pipeline.equation()).total;
    assert.deepEqual(
      { accepted, stored, duplicate, difference },
      { accepted: 2, stored: 2, duplicate: 0, difference: 0 },
    );
    assert.deepEqual((await pipeline.bus.snapshot()).unsettled, []);
  });

  it('acknowledges what is committed although whoever is told of it fails', async () => {
    pipeline.atCommit = () => {
      throw new Error('the follower is broken');
    };
    await pipeline.bus.publish([orders('a')]);
    await pipeline.consume(1);
    assert.deepEqual((await pipeline.bus.snapshot()).unsettled, []);
    assert.equal(pipeline.outcomes.length, 1);
    assert.equal(await pipeline.metric('vigia_redelivered_messages_total{dataset="orders"}'), 0);
  });

  it('tells how long a row took to be readable when it is stored first, and of no duplicate, conflict or replay', async () => {
    const readable = (): Promise<number> => pipeline.metric('vigia_accept_to_readable_seconds_count{dataset="orders"}');
    await pipeline.bus.publish([orders('a', 'b')]);
    await pipeline.consume(1);
    assert.equal(await readable(), 2);
    let failures = 1;
    pipeline.atPoint = (name) => {
      if (name !== 'after-commit-before-ack' || failures === 0) return;
      failures -= 1;
      throw new Error('the process lost its way');
    };
    // One duplicate, one new; nothing is told of the first delivery of both, whose process lost its way after the commit.
    await pipeline.bus.publish([orders('a', 'c')]);
    await pipeline.consume(2);
    assert.equal(await readable(), 2);
    await pipeline.bus.publish([orders('a', 'd')]);
    await pipeline.consume(3);
    assert.equal(await readable(), 3);
  });

  it('tells of a dead letter that is put back how long it took since it was accepted', async () => {
    pipeline.atPoint = (name) => {
      if (name === 'before-commit') throw new AppError({ code: 'MESSAGE_FAILED', publicMessage: 'not now' });
    };
    await pipeline.bus.publish([orders('a')]);
    const acceptedAtMs = (await pipeline.bus.snapshot()).unsettled[0]?.publishedAtMs ?? Number.NaN;
    pipeline.subscribe();
    await pipeline.until((asked) => asked >= 3);
    await pipeline.drain();
    pipeline.atPoint = () => undefined;
    assert.equal((await pipeline.bus.replay({ filter: {}, limit: 10, dryRun: false })).rows, 1);
    await pipeline.consume(1);
    const seconds = ((pipeline.outcomes[0]?.committedAtMs ?? Number.NaN) - acceptedAtMs) / 1000;
    const sum = await pipeline.metric('vigia_accept_to_readable_seconds_sum{dataset="orders"}');
    assert.ok(Math.abs(sum - seconds) < 1e-6, `${sum} of ${seconds} s`);
  });

  it('sends what cannot be read to the dead letters with its code, and stores its neighbours', async () => {
    const unknown = foreign({ dataset: 'nothing' });
    const mangled = { ...orders('x'), data: Buffer.from('{"messageId":') };
    await pipeline.bus.publish([orders('a'), unknown, mangled, orders('b')]);
    pipeline.subscribe();
    await pipeline.until(() => pipeline.outcomes.some(({ datasets }) => datasets['orders'] !== undefined));
    await pipeline.drain();
    const letters = await dead();
    assert.deepEqual(
      new Map(letters.map(({ message, code }) => [message.messageId, code])),
      new Map([
        [unknown.messageId, 'MESSAGE_DATASET_UNKNOWN'],
        [mangled.messageId, 'MESSAGE_MALFORMED'],
      ]),
    );
    assert.equal((await pipeline.warehouse.counts())['orders']?.stored, 2);
    const { deadLettered, difference } = (await pipeline.equation()).total;
    assert.deepEqual([deadLettered, difference], [2, 0]);
  });

  it('leaves the delivery unacknowledged when the dead-letter publish fails', async () => {
    await pipeline.closeStores();
    const words = await failingDisk(pipeline.dir);
    assert.deepEqual(words, ['published', 'failed']);
    await pipeline.openStores();
    assert.deepEqual(await dead(), []);
    assert.equal((await pipeline.bus.snapshot()).unsettled.length, 2);
    pipeline.subscribe();
    await pipeline.until(() => pipeline.outcomes.length >= 1);
    await pipeline.drain();
    assert.deepEqual(
      (await dead()).map(({ code }) => code),
      ['MESSAGE_DATASET_UNKNOWN'],
    );
    const { stored, deadLettered, difference } = (await pipeline.equation()).total;
    assert.deepEqual({ stored, deadLettered, difference }, { stored: 1, deadLettered: 1, difference: 0 });
  }).timeout(20_000);

  it('kills no message while the warehouse is away, however long, and stores all when it is back', async () => {
    await pipeline.bus.publish([orders('a'), orders('b')]);
    await pipeline.warehouse.close();
    pipeline.subscribe();
    await pipeline.until((asked) => asked >= 12);
    assert.deepEqual(await dead(), []);
    assert.equal((await pipeline.bus.snapshot()).unsettled.length, 2);
    await pipeline.openWarehouse();
    await pipeline.until(() => pipeline.outcomes.length >= 1);
    await pipeline.until(
      () => pipeline.outcomes.reduce((sum, { datasets }) => sum + (datasets['orders']?.stored ?? 0), 0) === 2,
    );
    await pipeline.drain();
    assert.equal((await pipeline.warehouse.counts())['orders']?.stored, 2);
    assert.deepEqual((await pipeline.bus.snapshot()).unsettled, []);
    assert.equal((await pipeline.equation()).total.difference, 0);
  });

  it('takes a foreign message when it is delivered: its rows count as late, its bad ones as rejected', async () => {
    const message = foreign({ data: Buffer.concat([lines('a', 'b'), Buffer.from('\n{"order_id":1}\n')]) });
    await pipeline.bus.publish([message]);
    assert.equal((await pipeline.equation()).total.accepted, 0);
    await pipeline.consume(1);
    const { accepted, stored, difference } = (await pipeline.equation()).total;
    assert.deepEqual({ accepted, stored, difference }, { accepted: 2, stored: 2, difference: 0 });
    const counts = (await pipeline.warehouse.counts())['orders'];
    assert.deepEqual([counts?.stored, counts?.rejected], [2, 1]);
  });

  it('stores a foreign message once, although it is published and delivered again', async () => {
    const message = foreign({ data: lines('a') });
    await pipeline.bus.publish([message]);
    await pipeline.consume(1);
    await pipeline.bus.publish([message]);
    await pipeline.consume(2);
    assert.equal((await pipeline.warehouse.counts())['orders']?.stored, 1);
    assert.equal((await pipeline.equation()).total.difference, 0);
  });

  it('settles what is under way when it drains, and leaves the rest on the bus', async () => {
    await pipeline.bus.publish(Array.from({ length: 700 }, (_, at) => orders(`n${at}`)));
    pipeline.subscribe();
    await pipeline.until((asked) => asked >= 1);
    await pipeline.drain();
    const { unsettled } = await pipeline.bus.snapshot();
    const { stored, inFlight, difference } = (await pipeline.equation()).total;
    assert.ok(unsettled.length > 0 && stored > 0, `${unsettled.length} left, ${stored} stored`);
    assert.equal(stored + unsettled.length, 700);
    assert.deepEqual([inFlight, difference], [unsettled.length, 0]);
  });
});

/** Runs dead-letter.contract.ts on a disk that syncs the publish and nothing after it. */
async function failingDisk(dir: string): Promise<string[]> {
  const program = fileURLToPath(import.meta.resolve('./dead-letter.contract.ts'));
  const trace = ['-f', '-qq', '-o', '/dev/null', '-P', join(dir, 'bus', 'data.mdb')];
  const fault = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO:when=2+'];
  const run = promisify(execFile)('strace', [...trace, ...fault, process.execPath, program, dir], {
    // One worker thread: strace counts calls for each thread.
    env: { PATH: process.env['PATH'], UV_THREADPOOL_SIZE: '1' },
  });
  const { stdout } = await run.catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new Error('strace is missing: sudo apt-get install -y strace') : error;
  });
  return stdout.trim().split('\n');
}
