/**
 * Durability beyond SIGKILL: the kernel keeps what a killed process wrote, so that a kill cannot find a missing sync.
 * Here the system calls of the real service are watched, and the disk fails under it.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServiceProcess, startService } from '../service-process.ts';
import { settledEquation } from '../stored-records.ts';
import { acknowledgedEarly, answeredEarly, firstAnswerAt, type Promised, syncedBefore } from './promises.ts';
import { type Answered, custodyOf, sendFlight } from './sender.ts';
import { type Fault, requireStrace, startFailing, startTraced, type SystemCall } from './traced-service.ts';

const ENV = {
  NODE_ENV: 'test',
  BATCH_WAIT_MS: '0',
  SEAL_INTERVAL_MS: '500',
  BACKOFF_MIN_MS: '50',
  QUEUE_TIME_TARGET_MS: '10000',
  OTEL_SDK_DISABLED: 'true',
};
const ONE_BY_ONE = 8;
const AT_ONCE = 24;

describe('durability seen from outside', function () {
  this.timeout(60_000);
  let dataDir: string;
  const started: ServiceProcess[] = [];
  before(requireStrace);
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-durability-'));
  });
  afterEach(async () => {
    for (const service of started.splice(0)) {
      service.kill('SIGKILL');
      await service.ended;
    }
    await rm(dataDir, { recursive: true });
  });

  describe('the order of writes, syncs and answers', () => {
    /** Sends one by one, so that the n-th request is message n, then several at once; stops and returns the trace. */
    const watch = async (env: Readonly<Record<string, string>>) => {
      const traced = await startTraced({ dataDir, env: { ...ENV, ...env } });
      try {
        const alone: Promised[] = [];
        for (let number = 1; number <= ONE_BY_ONE; number += 1) {
          const { requestId } = accepted(
            await sendFlight(traced.service, number, number % 2 ? `key-${number}` : undefined),
          );
          alone.push({ requestId, sequence: number });
        }
        const together = await Promise.all(
          Array.from({ length: AT_ONCE }, (_, at) => sendFlight(traced.service, ONE_BY_ONE + 1 + at)),
        );
        const all = [...alone, ...together.map(accepted).map(({ requestId }) => ({ requestId, sequence: 0 }))];
        await settledEquation(traced.service);
        traced.service.kill('SIGTERM');
        return { alone, all, calls: await traced.calls() };
      } finally {
        traced.service.kill('SIGKILL');
        await traced.remove();
      }
    };

    it('sends no 202 before the sync of its message returned, and acknowledges none before the commit is synced', async () => {
      const { alone, all, calls } = await watch({});
      assert.equal(all.length, ONE_BY_ONE + AT_ONCE);
      assert.deepEqual(answeredEarly(calls, all), []);
      assert.deepEqual(acknowledgedEarly(calls, alone), []);
      assertNamesSynced(calls);
    });

    it('would notice a bus that says durable without syncing', async () => {
      const { all, calls } = await watch({ FAULT_POINT: 'bus-no-sync' });
      assert.equal(answeredEarly(calls, all).length, all.length);
    });

    /** A new file is there after a power cut only when the folders that lead to it were synced. */
    const assertNamesSynced = (calls: readonly SystemCall[]): void => {
      const synced = syncedBefore(calls, firstAnswerAt(calls));
      for (const folder of [dataDir, join(dataDir, 'bus')]) assert.ok(synced.has(folder), `${folder} was not synced`);
    };
  });

  describe('when the disk fails', () => {
    const REQUESTS = 20;

    /** Tables are made by a first start; what fails is what comes after. */
    const failing = async (fault: Omit<Fault, 'path'>, file: string) => {
      const first = await startService({ dataDir, env: ENV });
      first.kill('SIGTERM');
      assert.equal((await first.ended).code, 0, first.output());
      const service = await startFailing({ dataDir, env: ENV, fault: { ...fault, path: join(dataDir, file) } });
      started.push(service);
      return service;
    };
    const sendAll = async (service: ServiceProcess): Promise<Answered[]> => {
      const answers: Answered[] = [];
      for (let number = 1; number <= REQUESTS; number += 1) answers.push(await sendFlight(service, number));
      return answers;
    };
    /** On a disk that works again: every promise is kept, and nothing is there twice. */
    const assertKept = async (answers: readonly Answered[]): Promise<void> => {
      const service = await startService({ dataDir, env: ENV });
      started.push(service);
      try {
        const { equation, lost, doubled, strange } = await custodyOf(service, answers);
        assert.deepEqual({ lost, doubled, strange }, { lost: [], doubled: [], strange: [] });
        assert.equal(equation.difference, 0);
        assert.equal(equation.deadLettered, 0);
      } finally {
        service.kill('SIGTERM');
      }
      assert.equal((await service.ended).code, 0);
    };

    const ending: readonly (readonly [string, Omit<Fault, 'path'>])[] = [
      ['sync', { call: 'fdatasync', error: 'EIO', when: '3+' }],
      ['write', { call: 'writev', error: 'EIO', when: '3+' }],
      ['synchronous write', { call: 'pwrite64', error: 'EIO', when: '4+' }],
    ];
    for (const [what, fault] of ending) {
      it(`answers 503 and never 202 after a failed ${what} of the bus, ends, and has lost nothing`, async () => {
        const service = await failing(fault, 'bus/data.mdb');
        const answers = await sendAll(service);
        const refused = answers.findIndex(({ status }) => status === 503);
        assert.ok(refused > 0, statusesOf(answers));
        assert.equal(answers[refused]?.code, 'BUS_UNAVAILABLE');
        assert.ok(
          answers.slice(refused).every(({ status }) => status === 503 || status === 0),
          statusesOf(answers),
        );
        const { code, signal } = await service.ended;
        // lmdb words a failed write of one page into a buffer that is too short: its C code may abort (app/bus/README.md).
        assert.ok(code === 1 || signal === 'SIGABRT', `ended with ${code}, ${signal}`);
        await assertKept(answers);
      });
    }

    it('answers 503 DISK_FULL while the bus finds no space, 202 when there is some again, and has lost nothing', async () => {
      const service = await failing({ call: 'writev', error: 'ENOSPC', when: '3..5' }, 'bus/data.mdb');
      const answers = await sendAll(service);
      const refusals = answers.filter(({ status }) => status !== 202);
      assert.ok(refusals.length > 0, statusesOf(answers));
      assert.deepEqual(new Set(refusals.map(({ code }) => code)), new Set(['DISK_FULL']));
      assert.equal(answers.at(-1)?.status, 202, statusesOf(answers));
      await settledEquation(service);
      service.kill('SIGTERM');
      assert.equal((await service.ended).code, 0);
      await assertKept(answers);
    });

    it("ends when a sync of the warehouse's log fails, and has lost nothing", async () => {
      const service = await failing({ call: 'fsync', error: 'EIO', when: '3+' }, 'warehouse.duckdb.wal');
      const answers = await sendAll(service);
      assert.equal(answers[0]?.status, 202, statusesOf(answers));
      assert.equal((await service.ended).code, 1);
      await assertKept(answers);
    });

    it("goes on or ends when the warehouse's log finds no space for a while, and has lost nothing", async () => {
      const service = await failing({ call: 'write', error: 'ENOSPC', when: '3..6' }, 'warehouse.duckdb.wal');
      const answers = await sendAll(service);
      assert.equal(answers[0]?.status, 202, statusesOf(answers));
      const settled = settledEquation(service).then(() => service.kill('SIGTERM'));
      const { code } = await Promise.race([service.ended, settled.then(() => service.ended)]);
      assert.ok(code === 0 || code === 1, `ended with ${code}`);
      await settled.catch(() => undefined);
      await assertKept(answers);
    });
  });
});

function accepted(answer: Answered): Answered {
  assert.equal(answer.status, 202, JSON.stringify(answer));
  return answer;
}

function statusesOf(answers: readonly Answered[]): string {
  return answers.map(({ status, code }) => `${status} ${code}`).join(', ');
}
