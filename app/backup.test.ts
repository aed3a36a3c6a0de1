import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MANIFEST_FILE, type Manifest, writeBackup } from './backup.ts';
import { runScript } from './cli/command-process.contract.ts';
import { readConfig } from './config.ts';
import { DATA_FORMAT } from './data-format.ts';
import { unpackFolder } from './data-format.fixture.ts';
import { openService, type Service } from './main.ts';
import { lockHolder } from './state/lock.ts';

const FORMAT_0 = new URL('data-format-0.fixture.json.gz', import.meta.url);

describe('a backup', function () {
  this.timeout(60_000);
  let dir: string;
  let dataDir: string;
  let target: string;
  let service: Service | undefined;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-backup-'));
    dataDir = join(dir, 'data');
    target = join(dir, 'backup');
    await mkdir(dataDir);
  });

  afterEach(async () => {
    await stop();
    await rm(dir, { recursive: true });
  });

  const quiet = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent', SAMPLE_DATA: 'off', CACHE_AGE_MAX_MS: '0' };

  async function start(folder: string, more: Readonly<Record<string, string>> = {}): Promise<Service> {
    service = await openService(readConfig({ ...quiet, DATA_DIR: folder, ...more }));
    return service;
  }

  async function stop(): Promise<void> {
    await service?.stop({ reason: 'the test goes on without it' });
    service = undefined;
  }

  const backup = (folder = dataDir) => runScript('backup', [target], { DATA_DIR: folder });
  const restore = (folder: string) => runScript('restore', [target], { DATA_DIR: folder });
  const manifestOf = async (): Promise<Manifest> => JSON.parse(await readFile(join(target, MANIFEST_FILE), 'utf8'));

  const sale = (id: number): string =>
    JSON.stringify({
      id: `BS-${String(id).padStart(6, '0')}`,
      country: 'AR',
      amount: '1.00',
      sold_at: '2024-03-09T15:04:05Z',
      title: 'The Salt Road',
      isbn: '9780306406157',
      copies: 1,
    });

  async function post(url: string, id: number): Promise<number> {
    const answer = await fetch(new URL('/v1/datasets/book_sales/records', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: sale(id),
    });
    await answer.body?.cancel();
    return answer.status;
  }

  async function storedIds(url: string): Promise<readonly number[]> {
    const answer = await fetch(new URL('/v1/datasets/book_sales/records?limit=10000', url));
    const { data } = (await answer.json()) as { readonly data: readonly { readonly id: string }[] };
    return data.map(({ id }) => Number(id.slice(3))).sort((a, b) => a - b);
  }

  async function settled({ bus }: Service): Promise<void> {
    while (bus.backlog().some(({ messages }) => messages > 0)) await new Promise((done) => setTimeout(done, 10));
  }

  it('taken at a random moment under load, restored: nothing acknowledged before it is lost, nothing is doubled', async () => {
    const running = await start(dataDir, { SEAL_INTERVAL_MS: '50', BATCH_WAIT_MS: '5' });
    const acknowledgedAtMs = new Map<number, number>();
    let next = 0;
    let going = true;
    const load = Array.from({ length: 8 }, async () => {
      while (going) {
        next += 1;
        const id = next;
        if ((await post(running.url, id)) === 202) acknowledgedAtMs.set(id, Date.now());
      }
    });
    const moment = 100 + Math.floor(Math.random() * 900);
    while (acknowledgedAtMs.size < moment) await new Promise(setImmediate);
    const made = await backup();
    going = false;
    await Promise.all(load);
    assert.equal(made.code, 0, `${made.stderr} moment ${moment}`);
    await stop();

    const restored = join(dir, 'restored');
    const { code, stdout, stderr } = await restore(restored);
    assert.equal(code, 0, stderr + stdout);
    assert.match(stdout, /difference 0: nothing is lost or doubled/);
    const again = await start(restored);
    await settled(again);
    const began = Date.parse((await manifestOf()).startedAt);
    const ids = await storedIds(again.url);
    assert.equal(new Set(ids).size, ids.length);
    const promised = [...acknowledgedAtMs].filter(([, atMs]) => atMs < began).map(([id]) => id);
    assert.ok(promised.length >= moment);
    const held = new Set(ids);
    assert.deepEqual(
      promised.filter((id) => !held.has(id)),
      [],
    );
    // What was in flight is sent again: what the folder has is a duplicate, the rest is stored.
    const sentAgain = [...acknowledgedAtMs.keys()].filter((id) => !promised.includes(id));
    for (const id of sentAgain) assert.equal(await post(again.url, id), 202);
    await settled(again);
    const { total } = await again.equation();
    assert.deepEqual(
      { difference: total.difference, stored: total.stored, inFlight: total.inFlight },
      { difference: 0, stored: acknowledgedAtMs.size, inFlight: 0 },
    );
    assert.equal(total.accepted, total.stored + total.duplicate);
  });

  it('misses nothing when rows are stored, sealed and forgotten by the bus between any two of its steps', async () => {
    const { url, bus, sealer } = await start(dataDir, { SEAL_INTERVAL_MS: '3600000', BATCH_WAIT_MS: '1' });
    const before = [1, 2, 3];
    for (const id of before) assert.equal(await post(url, id), 202);
    let next = 100;
    const options = { dataDir, target, dataFormat: DATA_FORMAT, version: '0.1.0', now: Date.now };
    await writeBackup({
      ...options,
      faultPoint: async () => {
        next += 1;
        assert.equal(await post(url, next), 202);
        while (bus.backlog().some(({ messages }) => messages > 0)) await new Promise(setImmediate);
        await sealer.sealAll();
      },
    });
    await stop();
    const restored = join(dir, 'restored');
    const { code, stdout } = await restore(restored);
    assert.equal(code, 0, stdout);
    const running = await start(restored);
    await settled(running);
    const ids = await storedIds(running.url);
    assert.deepEqual(ids.slice(0, 3), before);
    // What came after the bus was copied and is in bronze counts as accepted, and its sequences are not used again.
    assert.ok(ids.length > 4);
    assert.equal(await post(running.url, 999), 202);
    await settled(running);
    const { total } = await running.equation();
    assert.deepEqual([total.accepted, total.stored, total.difference], [ids.length + 1, ids.length + 1, 0]);
  });

  it('of a folder without a service holds it whole: keys, dead letters, conflicts, files in landing and archive', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    await mkdir(join(dataDir, 'landing', 'trips'), { recursive: true });
    await mkdir(join(dataDir, 'archive', 'trips'), { recursive: true });
    await writeFile(join(dataDir, 'landing', 'trips', 'new.csv'), 'region\n');
    await utimes(join(dataDir, 'landing', 'trips', 'new.csv'), 1_000, 1_000);
    await writeFile(join(dataDir, 'archive', 'trips', '00-old.csv'), 'region\nTurin\n');
    await symlink('/etc/hostname', join(dataDir, 'landing', 'trips', 'link.csv'));
    assert.equal((await backup()).code, 0);
    const restored = join(dir, 'restored');
    const { code, stdout } = await restore(restored);
    assert.equal(code, 0);
    assert.match(stdout, /total: accepted 16 = .* difference 0/);
    assert.deepEqual(await readdir(join(restored, 'landing', 'trips')), ['new.csv']);
    assert.equal(await readFile(join(restored, 'archive', 'trips', '00-old.csv'), 'utf8'), 'region\nTurin\n');
    const running = await start(restored);
    await settled(running);
    const { state, equation } = running;
    assert.deepEqual(
      (await state.apiKeys()).map(({ id }) => id),
      ['fixture'],
    );
    const { deadLetterMessages, total } = await equation();
    assert.equal(deadLetterMessages['nothing_of_this_name'], 1);
    assert.deepEqual([total.duplicate, total.quarantined, total.difference], [1, 1, 0]);
  });

  it('that a service is asked for tells why it could not: the folder is not empty, or is the data folder', async () => {
    const { state } = await start(dataDir);
    await mkdir(target);
    await writeFile(join(target, 'mine'), '');
    const refused = await backup();
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(refused.stderr, /backup is not empty\. Choose a new folder/);
    const inside = await runScript('backup', [join(dataDir, 'bronze')], { DATA_DIR: dataDir });
    assert.match(inside.stderr, /is inside the data folder/);
    assert.ok(await state.fact('operator-tasks'));
  });

  it('without its manifest, damaged, incomplete or newer is refused, and the folder is not taken for whole', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    assert.equal((await backup()).code, 0);
    const manifest = await manifestOf();
    const attempt = async (folder: string, message: RegExp): Promise<void> => {
      const { code, stderr } = await restore(join(dir, folder));
      assert.equal(code, 1);
      assert.match(stderr, message);
    };
    await writeFile(join(target, MANIFEST_FILE), JSON.stringify({ ...manifest, dataFormat: 99 }));
    await attempt('newer', /has data format 99/);
    const strange = { path: '../strange', bytes: 0, sha256: '' };
    await writeFile(join(target, MANIFEST_FILE), JSON.stringify({ ...manifest, files: [strange] }));
    await attempt('strange', /names \.\.\/strange, which no backup has/);
    await writeFile(join(target, MANIFEST_FILE), JSON.stringify(manifest));
    const first = manifest.files.find(({ path }) => path.startsWith('bronze/'))?.path ?? '';
    await appendFile(join(target, first), 'x');
    await attempt('damaged', /is damaged: .* Take another backup/);
    const config = readConfig({ ...quiet, DATA_DIR: join(dir, 'damaged') });
    await assert.rejects(openService(config), /restore into .* did not end/);
    await rm(join(target, first));
    await attempt('incomplete', /is missing in/);
    await rm(join(target, MANIFEST_FILE));
    await attempt('none', /is no backup: it has no vigia-backup\.json/);
    await attempt('damaged', /is no backup/);
  });

  it('that the service dies over leaves no backup, says so, and the next service is whole and makes one', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    const dying = runScript('start', [], {
      ...quiet,
      DATA_DIR: dataDir,
      NODE_ENV: 'test',
      FAULT_POINT: 'while-backing-up:1',
    });
    // The migration makes a backup of its own, without a fault point.
    while ((await lockHolder(dataDir)) === undefined) await new Promise((done) => setTimeout(done, 20));
    const cutOff = await backup();
    assert.equal((await dying).code, null);
    assert.equal(cutOff.code, 1);
    assert.match(cutOff.stderr, /The service ended while it was doing this/);
    await assert.rejects(stat(join(target, MANIFEST_FILE)), { code: 'ENOENT' });
    const { equation } = await start(dataDir);
    assert.equal((await equation()).total.difference, 0);
    target = join(dir, 'second');
    assert.equal((await backup()).code, 0);
    assert.ok((await manifestOf()).files.length > 0);
  });

  it('is not restored over anything', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    assert.equal((await backup()).code, 0);
    const { code, stderr } = await restore(dataDir);
    assert.equal(code, 1);
    assert.match(stderr, /is not empty: it has .*bronze.* set another DATA_DIR/s);
  });

  it('costs no space on the same disk for what never changes, and refuses to keep a damaged bronze file', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    const options = { dataDir, target, dataFormat: DATA_FORMAT, version: '0.1.0', now: Date.now };
    const { files } = await writeBackup(options);
    const bronze = files.find(({ path }) => path.startsWith('bronze/'))?.path ?? '';
    assert.equal((await stat(join(target, bronze))).ino, (await stat(join(dataDir, bronze))).ino);
    await appendFile(join(dataDir, bronze), 'x');
    const again = { ...options, target: join(dir, 'again') };
    await assert.rejects(writeBackup(again), /is damaged: its content has the hash/);
    await assert.rejects(stat(join(dir, 'again', MANIFEST_FILE)), { code: 'ENOENT' });
  });

  it('has of landing what rests there, and nothing that is still being written', async () => {
    const landing = join(dataDir, 'landing', 'trips');
    await mkdir(landing, { recursive: true });
    const put = async (name: string | Buffer, { written }: { readonly written: 'now' | 'long ago' }): Promise<void> => {
      const path = Buffer.concat([Buffer.from(`${landing}/`), Buffer.from(name)]);
      await writeFile(path, 'whole');
      if (written === 'long ago') await utimes(path, 1_000, 1_000);
    };
    for (const name of ['moved-in.csv', 'upload.csv.part', '.hidden.csv', 'grows.csv', 'moved-in.csv.2.refused']) {
      await put(name, { written: 'long ago' });
    }
    await put('copying.csv', { written: 'now' });
    await put('wrong.csv.refused', { written: 'now' });
    await put(Buffer.from([0x63, 0xe9, 0x2e, 0x63, 0x73, 0x76]), { written: 'long ago' });
    let grown = 'whole';
    // Between the look at a file and its copy.
    const now = (): number => {
      grown += '.';
      writeFileSync(join(landing, 'grows.csv'), grown);
      utimesSync(join(landing, 'grows.csv'), 1_000, 1_000);
      return Date.now();
    };
    const options = { dataDir, target, dataFormat: DATA_FORMAT, version: '0.1.0', now, landingSettleMs: 3_600_000 };
    const { files } = await writeBackup(options);
    const names = ['moved-in.csv', 'moved-in.csv.2.refused', 'wrong.csv.refused'];
    assert.deepEqual(
      files.map(({ path }) => path),
      names.map((name) => `landing/trips/${name}`),
    );
    assert.deepEqual((await readdir(join(target, 'landing', 'trips'))).toSorted(), names);
  });

  it('is no backup while its manifest is missing: a death before the end leaves none', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    const died = new Error('killed');
    const faultPoint = (name: string): void => {
      if (name === 'while-backing-up') throw died;
    };
    const options = { dataDir, target, dataFormat: 0, version: '0.1.0', now: Date.now, faultPoint };
    await assert.rejects(writeBackup(options), died);
    const { code, stderr } = await restore(join(dir, 'restored'));
    assert.deepEqual([code, /is no backup/.test(stderr)], [1, true]);
  });

  for (const command of ['backup', 'restore'] as const) {
    it(`${command} takes no option for the name of a folder: 64`, async () => {
      const { code, stderr } = await runScript(command, ['--all'], { DATA_DIR: dataDir });
      assert.deepEqual([code, /^Unknown option '--all'/.test(stderr)], [64, true]);
    });
  }

  it('is none of a folder that a restore left half-way, and says so', async () => {
    await writeFile(join(dataDir, 'format.json'), '{"format":1,"madeBy":"0.1.0","unfinished":true}');
    const { code, stderr } = await backup();
    assert.deepEqual([code, /A restore into .* did not end/.test(stderr)], [1, true]);
  });

  for (const [command, args] of [
    ['backup', []],
    ['restore', ['one', 'two']],
  ] as const) {
    it(`${command} takes "${args.join(' ')}" as wrong usage: 64 and the help`, async () => {
      const { code, stderr } = await runScript(command, args, { DATA_DIR: dataDir });
      assert.equal(code, 64);
      assert.match(stderr, new RegExp(`^say: npm run ${command} -- DIR\n\nnpm run ${command} -- DIR\n`));
    });
  }
});
