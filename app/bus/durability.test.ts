/**
 * Durability seen from outside, by the system calls: a crash test cannot find a missing sync, because the kernel keeps
 * what a killed process wrote. strace watches a real publisher and lets the disk fail under it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BusMessage } from './bus.ts';
import { openLmdbBus } from './lmdb-bus.ts';

const FIXTURE = fileURLToPath(import.meta.resolve('./durability.fixture.ts'));
const run = promisify(execFile);
/** The first two pages of the file. */
const META_BYTES = 2 * 4096;
/** Of six publications: each writes a meta page, and some a data page by itself. */
const CALLS_MAX = 8;

describe('durability of the embedded bus', function () {
  this.timeout(20_000);
  let dir: string;
  before(async () => {
    await run('strace', ['-V']).catch(() => assert.fail('strace is missing: apt-get install strace'));
  });
  beforeEach(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'vigia-durability-'));
    // Tables are made by the first start; what is watched is publishing.
    await publisher(dir, 0);
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** Fails one write after another, in a new folder each time, until it is a meta page's: which that is, timing decides. */
  async function publisherWithoutMetaPage(inject: string): Promise<string[]> {
    for (let call = 2; call <= CALLS_MAX; call += 1) {
      const trace = path.join(dir, 'trace');
      const faults = ['-e', 'trace=pwrite64', '-e', `inject=${inject}:when=${call}`];
      // A failed write of one data page may end in an abort of lmdb's own code; that is not what is looked for here.
      const lines = await publisher(dir, 6, faults, { trace }).catch(() => undefined);
      const offset = failedOffset((await readFile(trace, 'utf8')).split('\n'));
      if (lines !== undefined && offset !== undefined && offset < META_BYTES) return lines;
      await rm(dir, { recursive: true });
      await mkdir(dir);
      await publisher(dir, 0);
    }
    return assert.fail(`none of ${CALLS_MAX} writes was a meta page's`);
  }

  it('answers no publish before the sync of its data and the write of its meta page returned', async () => {
    assert.deepEqual(unsynced(await watch(dir, 20)), []);
  });

  it('would notice a bus that does not sync', async () => {
    assert.equal(unsynced(await watch(dir, 5, 'noSync')).length, 5);
  });

  const failures: readonly {
    readonly fault: string;
    readonly inject: string;
    readonly refusal: string;
    readonly ends: boolean;
    /** Calls are counted, not told apart: only the trace says whether the one that failed wrote a meta page. */
    readonly metaPage?: true;
  }[] = [
    { fault: 'a failed sync', inject: 'fdatasync:error=EIO:when=3', refusal: 'BUS_UNAVAILABLE', ends: true },
    { fault: 'a failed write', inject: 'writev:error=EIO:when=3', refusal: 'BUS_UNAVAILABLE', ends: true },
    {
      fault: 'a failed meta page',
      inject: 'pwrite64:error=EIO',
      refusal: 'BUS_UNAVAILABLE',
      ends: true,
      metaPage: true,
    },
    {
      fault: 'a disk full at the meta page',
      inject: 'pwrite64:error=ENOSPC',
      refusal: 'BUS_UNAVAILABLE',
      ends: true,
      metaPage: true,
    },
    { fault: 'a full disk', inject: 'writev:error=ENOSPC:when=3', refusal: 'DISK_FULL', ends: false },
  ];
  for (const { fault, inject, refusal, ends, metaPage } of failures) {
    it(`refuses on ${fault} and ${ends ? 'ends for good' : 'goes on when there is space again'}; what was durable is there`, async () => {
      const faults = ['-e', `trace=${inject.split(':')[0]}`, '-e', `inject=${inject}`];
      const lines = metaPage === true ? await publisherWithoutMetaPage(inject) : await publisher(dir, 6, faults);
      const answers = lines.filter(
        (line) => line.startsWith('durable') || line === 'DISK_FULL' || line === 'BUS_UNAVAILABLE',
      );
      const firstRefusal = answers.findIndex((answer) => !answer.startsWith('durable'));
      assert.equal(answers.length, 6);
      assert.ok(firstRefusal > 0);
      assert.equal(answers[firstRefusal], refusal);
      const after = answers.slice(firstRefusal + 1);
      assert.ok(
        after.every((answer) => (ends ? answer === 'BUS_UNAVAILABLE' : answer.startsWith('durable'))),
        after.join(', '),
      );
      assert.equal(lines.includes('failed'), ends);
      assert.ok(lines.includes(`check ${ends ? 'BUS_UNAVAILABLE' : 'ok'}`));
      assert.equal(lines.at(-1), 'closed');
      const durable = answers.filter((answer) => answer.startsWith('durable')).map((answer) => answer.split(' ')[1]);
      for (const id of durable) assert.ok(await stillThere(dir, id ?? ''), `${id} was answered and is gone`);
    });
  }
});

/** Runs the fixture to its end and returns its lines. */
async function publisher(
  dir: string,
  messages: number,
  strace: readonly string[] = [],
  { mode = '', trace = '/dev/null' }: { readonly mode?: string; readonly trace?: string } = {},
): Promise<string[]> {
  const node = [process.execPath, FIXTURE, dir, String(messages), mode];
  const [program = '', ...args] = strace.length > 0 ? ['strace', '-f', '-qq', '-o', trace, ...strace, ...node] : node;
  // One worker thread: strace counts calls for each thread.
  const { stdout } = await run(program, args, { env: { PATH: process.env['PATH'], UV_THREADPOOL_SIZE: '1' } });
  return stdout.trim().split('\n');
}

/** Where in the file the call that was made to fail would have written. */
function failedOffset(calls: readonly string[]): number | undefined {
  const failed = calls.findIndex((line) => line.endsWith('(INJECTED)'));
  const [pid = ''] = calls[failed]?.split(' ') ?? [];
  const begun = calls
    .slice(0, failed + 1)
    .findLast((line) => line.startsWith(`${pid} `) && line.includes(' pwrite64('));
  const offset = /, (\d+)(?:\) +=| <unfinished)/.exec(begun ?? '')?.[1];
  return offset === undefined ? undefined : Number(offset);
}

async function watch(dir: string, messages: number, mode = ''): Promise<string[]> {
  const log = path.join(dir, 'calls');
  await publisher(dir, messages, ['-e', 'trace=openat,fdatasync,pwrite64,write'], { mode, trace: log });
  return (await readFile(log, 'utf8')).split('\n');
}

/** The answers that came without a finished sync, and a synchronous meta write after it, since the answer before. */
function unsynced(calls: readonly string[]): string[] {
  const early: string[] = [];
  const begun = new Map<string, string>();
  let synchronous: string | undefined;
  let state: 'written' | 'synced' | 'durable' = 'written';
  for (const line of calls) {
    // `PID call(… <unfinished ...>` and later `PID <... call resumed>…`: a sync counts when it ends, an answer when it begins.
    const [, thread = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const answer = /^write\(1, "(durable \w+)/.exec(text)?.[1];
    if (answer !== undefined && state !== 'durable') early.push(answer);
    if (answer !== undefined) state = 'written';
    if (text.endsWith('<unfinished ...>')) begun.set(thread, text);
    const call = text.startsWith('<... ') ? `${begun.get(thread)} ${text}` : text;
    synchronous = /data\.mdb".*O_DSYNC.*= (\d+)$/.exec(call)?.[1] ?? synchronous;
    if (/^fdatasync.* = 0$/.test(call)) state = 'synced';
    else if (state === 'synced' && call.startsWith(`pwrite64(${synchronous},`) && / = \d+$/.test(call))
      state = 'durable';
  }
  return early;
}

async function stillThere(dir: string, messageId: string): Promise<BusMessage | undefined> {
  const bus = await openLmdbBus({
    dir,
    now: Date.now,
    diskFullPercent: 100,
    mapBytesMax: 64 * 1024 * 1024,
    attemptsMax: 3,
    backoffMinMs: 1,
    backoffMaxMs: 1,
  });
  try {
    return await bus.read(messageId);
  } finally {
    await bus.close();
  }
}
