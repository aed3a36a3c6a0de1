import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from './errors.ts';
import {
  askTask,
  forgetTasks,
  readTask,
  TaskError,
  type TaskHandler,
  type TaskStatus,
  watchTasks,
  withdrawTask,
} from './operator-tasks.ts';
import { openLmdbState } from './state/lmdb-state.ts';
import type { State } from './state/state.ts';

describe('operator tasks', () => {
  let dir: string;
  /** The command's and the service's: two openers of one store. */
  let command: State;
  let service: State;
  const watching: { stop(): Promise<void> }[] = [];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-tasks-'));
    const options = { dir, now: Date.now, idempotencyHours: 24, processId: process.pid };
    command = await openLmdbState(options);
    service = await openLmdbState(options);
  });

  afterEach(async () => {
    for (const one of watching.splice(0)) await one.stop();
    await command.close();
    await service.close();
    await rm(dir, { recursive: true });
  });

  const ask = (kind: string, args: unknown = {}): Promise<string> => askTask(command, { kind, args, nowMs: 1 });

  interface Ended {
    readonly kind: string;
    readonly error?: unknown;
  }

  /** Watches, and says when so many tasks have ended. */
  function watch(handlers: Readonly<Record<string, TaskHandler>>, count: number): Promise<readonly Ended[]> {
    const ended: Ended[] = [];
    return new Promise((resolve, reject) => {
      const parts = {
        state: service,
        now: () => 2,
        ended: (task: Ended): void => {
          ended.push(task);
          if (ended.length === count) resolve(ended);
        },
        failed: reject,
      };
      watching.push(watchTasks(parts, new Map(Object.entries(handlers))));
    });
  }

  const once = (run: TaskHandler['run']): TaskHandler => ({ interrupted: 'fail', run });
  async function until(id: string, holds: (status: TaskStatus) => boolean): Promise<TaskStatus> {
    for (;;) {
      const task = await readTask(command, id);
      assert.ok(task);
      if (holds(task.status)) return task.status;
      await new Promise(setImmediate);
    }
  }
  const status = (id: string, kind: TaskStatus['kind']): Promise<TaskStatus> => until(id, (one) => one.kind === kind);

  it('are done one after another, in the order they were asked for, each once', async () => {
    const order: unknown[] = [];
    const ids = [await ask('note', 1), await ask('note', 2), await ask('note', 3)];
    let running = 0;
    const ended = watch(
      {
        note: once(async (args) => {
          running += 1;
          assert.equal(running, 1);
          await new Promise(setImmediate);
          order.push(args);
          running -= 1;
          return { twice: Number(args) * 2 };
        }),
      },
      3,
    );
    await ended;
    assert.deepEqual(order, [1, 2, 3]);
    for (const [at, id] of ids.entries()) {
      assert.deepEqual(await status(id, 'done'), { kind: 'done', endedAtMs: 2, outcome: { twice: 2 * (at + 1) } });
    }
  });

  it('show their progress to the one who asked while they run', async () => {
    const id = await ask('slow');
    const seen = Promise.withResolvers<void>();
    const ended = watch(
      {
        slow: once(async (_args, { tell }) => {
          tell({ files: 7 });
          await seen.promise;
          return null;
        }),
      },
      1,
    );
    const running = await until(id, (one) => one.kind === 'running' && one.progress !== null);
    assert.deepEqual(running.kind === 'running' && running.progress, { files: 7 });
    seen.resolve();
    await ended;
  });

  it('that fail say why in words made for people, and never quote an unexpected error', async () => {
    const errors = [
      new TaskError('DIR is not empty.'),
      new AppError({ code: 'WAREHOUSE_UNAVAILABLE', publicMessage: 'WAREHOUSE_UNAVAILABLE: no.', detail: 'kind' }),
      new Error('row {"secret":1}'),
    ];
    const ids: string[] = [];
    for (const at of errors.keys()) ids.push(await ask('fail', at));
    ids.push(await ask('unheard of'));
    await watch({ fail: once((at) => Promise.reject(errors[Number(at)])) }, 4);
    const reasons = await Promise.all(ids.map((id) => status(id, 'failed')));
    assert.deepEqual(
      reasons.map((one) => (one.kind === 'failed' ? one.reason : '')),
      [
        'DIR is not empty.',
        'WAREHOUSE_UNAVAILABLE: no. (kind)',
        "An unexpected Error; the service's log has more.",
        'The running service knows no task named unheard of.',
      ],
    );
  });

  it('of a process that died are done again, or told as failed, as their handler says', async () => {
    const ids = [await ask('again'), await ask('fail')];
    const tasks = (await command.fact('operator-tasks')) as readonly object[];
    const dead = tasks.map((task) => ({
      ...task,
      status: { kind: 'running', runner: 'of a dead process', progress: null },
    }));
    await command.setFact('operator-tasks', dead);
    let runs = 0;
    await watch(
      {
        again: { interrupted: 'again', run: async () => (runs += 1) },
        fail: once(() => assert.fail('it must not run')),
      },
      1,
    );
    assert.deepEqual(await status(ids[0] ?? '', 'done'), { kind: 'done', endedAtMs: 2, outcome: 1 });
    const failed = await status(ids[1] ?? '', 'failed');
    assert.match(failed.kind === 'failed' ? failed.reason : '', /service ended while/);
  });

  it('that a stop cuts off are failed, or wait for the next service when they can be done again', async () => {
    const untilStop: TaskHandler['run'] = (_args, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    for (const interrupted of ['again', 'fail'] as const) {
      const id = await ask(interrupted);
      const ended = watch({ [interrupted]: { interrupted, run: untilStop } }, 1);
      await status(id, 'running');
      await watching.pop()?.stop();
      await ended;
      assert.equal((await readTask(command, id))?.status.kind, interrupted === 'again' ? 'running' : 'failed');
      await forgetTasks(command);
    }
  });

  it('can be taken back while nobody has begun them, and not after', async () => {
    const id = await ask('note');
    assert.equal(await withdrawTask(command, id), true);
    assert.equal(await readTask(command, id), undefined);
    const done = await ask('note');
    await watch({ note: once(async () => null) }, 1);
    await status(done, 'done');
    assert.equal(await withdrawTask(command, done), false);
  });

  it('are limited: few may wait, and of those that are over the newest are kept', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 16; at += 1) ids.push(await ask('note'));
    await assert.rejects(ask('note'), /16 tasks wait already, limit is 16/);
    await watch({ note: once(async () => null) }, 16);
    const next = await ask('note');
    await status(next, 'done');
    assert.equal(await readTask(command, ids[0] ?? ''), undefined);
    assert.equal(((await command.fact('operator-tasks')) as readonly unknown[]).length, 16);
  });
});
