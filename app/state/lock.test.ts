import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type DataDirLock, lockDataDir, lockHolder } from './lock.ts';

describe('the lock of a data folder', () => {
  let dir: string;
  let child: ChildProcess | undefined;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'vigia-lock-'));
  });
  afterEach(async () => {
    child?.kill('SIGKILL');
    await rm(dir, { recursive: true });
  });

  /** A process that is certainly gone: its pid was ours to know. */
  const goneProcess = async (): Promise<number> => {
    child = spawn('true');
    await once(child, 'exit');
    return child.pid ?? 0;
  };

  it('refuses a second service with the pid of the first and what to do', async () => {
    const lock = await lockDataDir(dir);
    await assert.rejects(
      lockDataDir(dir),
      new RegExp(`in use by process ${process.pid}\\. Stop it .* or set another DATA_DIR`),
    );
    await lock.release();
  });

  it('refuses while another process holds it', async () => {
    const lock = await lockDataDir(dir);
    child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    await rewrite(dir, { pid, startedAt: await startOf(pid) });
    await assert.rejects(lockDataDir(dir), new RegExp(`in use by process ${pid}`));
    await lock.release();
    assert.equal((await readLock(dir))['pid'], pid, 'a release must not end a lock that is not its own');
  });

  it('makes the folder, and leaves nothing behind when it is released', async () => {
    const folder = path.join(dir, 'new', 'data');
    const lock = await lockDataDir(folder);
    assert.deepEqual(await readdir(folder), ['vigia.lock']);
    await lock.release();
    assert.deepEqual(await readdir(folder), []);
    await (await lockDataDir(folder)).release();
  });

  it('takes over the lock of a process that is gone', async () => {
    await lockDataDir(dir);
    await rewrite(dir, { pid: await goneProcess() });
    const lock = await lockDataDir(dir);
    assert.equal((await readLock(dir))['pid'], process.pid);
    await lock.release();
  });

  it('takes over the lock of a process whose pid belongs to another one now', async () => {
    await lockDataDir(dir);
    await rewrite(dir, { startedAt: `${await startOf(process.pid)}0` });
    await (await lockDataDir(dir)).release();
  });

  it('tells who holds the folder, and nobody once that process is gone', async () => {
    assert.equal(await lockHolder(dir), undefined);
    const lock = await lockDataDir(dir);
    assert.equal(await lockHolder(dir), process.pid);
    await rewrite(dir, { pid: await goneProcess() });
    assert.equal(await lockHolder(dir), undefined);
    await lock.release();
  });

  it('takes over a file that is no lock at all', async () => {
    await writeFile(path.join(dir, 'vigia.lock'), '');
    await (await lockDataDir(dir)).release();
  });

  it('stays with the one who took a stale lock when another moves it by mistake and a third comes in between', async () => {
    await lockDataDir(dir);
    await rewrite(dir, { pid: await goneProcess() });
    const second: { lock?: DataDirLock; nonce?: unknown } = {};
    const third: unknown[] = [];
    const first = lockDataDir(dir, {
      faultPoint: async (name) => {
        if (name === 'stale-found') {
          second.lock = await lockDataDir(dir);
          second.nonce = (await readLock(dir))['nonce'];
        } else {
          assert.equal(await lockHolder(dir), process.pid);
          third.push(await lockDataDir(dir).catch((error: unknown) => String(error)));
        }
      },
    });
    await assert.rejects(first, /in use by process/);
    assert.deepEqual(
      third.map((outcome) => /in use by process/.test(String(outcome))),
      [true],
    );
    assert.deepEqual(await readdir(dir), ['vigia.lock']);
    assert.equal((await readLock(dir))['nonce'], second.nonce);
    await second.lock?.release();
    assert.deepEqual(await readdir(dir), []);
  });

  it('is kept aside, and released there, when the name is taken before it can be put back', async () => {
    await lockDataDir(dir);
    await rewrite(dir, { pid: await goneProcess() });
    let lock: DataDirLock | undefined;
    const first = lockDataDir(dir, {
      faultPoint: async (name) => {
        if (name === 'stale-found') lock = await lockDataDir(dir);
        // Somebody who has claimed the name and has not looked aside yet.
        else
          await writeFile(
            path.join(dir, 'vigia.lock'),
            JSON.stringify({ pid: process.pid, startedAt: '', nonce: 'third' }),
          );
      },
    });
    await assert.rejects(first, /in use by process/);
    await rm(path.join(dir, 'vigia.lock'));
    assert.equal((await readdir(dir)).length, 1);
    await assert.rejects(lockDataDir(dir), /in use by process/);
    await lock?.release();
    await (await lockDataDir(dir)).release();
    assert.deepEqual(await readdir(dir), []);
  });

  it('goes to exactly one of many that find it stale at once', async () => {
    await lockDataDir(dir);
    await rewrite(dir, { pid: await goneProcess() });
    const results = await Promise.allSettled(Array.from({ length: 16 }, () => lockDataDir(dir)));
    const won = results.filter((result) => result.status === 'fulfilled');
    assert.equal(won.length, 1);
    assert.deepEqual(await readdir(dir), ['vigia.lock']);
    await won[0]?.value.release();
  });
});

async function readLock(dir: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path.join(dir, 'vigia.lock'), 'utf8')) as Record<string, unknown>;
}

/** As another process would have written it. */
async function rewrite(dir: string, given: Record<string, unknown>): Promise<void> {
  const lock = { ...(await readLock(dir)), nonce: 'another', ...given };
  await writeFile(path.join(dir, 'vigia.lock'), JSON.stringify(lock));
}

async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return `${boot.trim()}:${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}
