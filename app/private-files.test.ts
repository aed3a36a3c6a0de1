import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runScript } from './cli/command-process.contract.ts';

const MAIN = fileURLToPath(import.meta.resolve('./main.ts'));
const TELEMETRY = fileURLToPath(import.meta.resolve('./telemetry/start.ts'));
const SETTINGS = { PORT: '0', METRICS_PORT: '0', SAMPLE_DATA: 'off', LANDING_LOOK_MS: '50', LOG_LEVEL: 'info' };
const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';
const TRIP = 'Turin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:54:04,baba_car';
/** As most users have it: everybody may read. */
const USUAL_UMASK = 0o022;
const OTHERS = 0o077;

describe('the files of a data folder', function () {
  this.timeout(30_000);
  let dir: string;
  let dataDir: string;
  let umaskBefore: number;
  before(() => {
    umaskBefore = process.umask(USUAL_UMASK);
  });
  after(() => {
    process.umask(umaskBefore);
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-private-'));
    dataDir = join(dir, 'data');
  });
  afterEach(() => rm(dir, { recursive: true }));

  const modeOf = async (...path: readonly string[]): Promise<string> =>
    ((await stat(join(dir, ...path))).mode & 0o777).toString(8);
  async function openOnes(): Promise<readonly string[]> {
    const names = (await readdir(dataDir, { recursive: true })).filter((name) => !name.startsWith('landing'));
    const open: string[] = [];
    for (const name of names) if ((await stat(join(dataDir, name))).mode & OTHERS) open.push(name);
    assert.ok(names.includes('state/data.mdb') && names.includes('format.json'));
    return open;
  }
  /** Until it says where it listens. */
  async function runService(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const child = spawn(process.execPath, [`--import=${TELEMETRY}`, MAIN], {
      env: { PATH: process.env['PATH'], DATA_DIR: dataDir, ...SETTINGS, ...more },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    for await (const chunk of child.stdout) if (String(chunk).includes('service.started')) child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  }

  it('are their owner’s alone, but for the folders that files are put into', async () => {
    await runService();
    assert.deepEqual(await openOnes(), []);
    assert.equal(await modeOf('data'), '700');
    assert.equal(await modeOf('data', 'warehouse.duckdb'), '600');
    assert.deepEqual([await modeOf('data', 'landing'), await modeOf('data', 'landing', 'trips')], ['755', '755']);
  });

  it('are so too when a command makes the folder, its backup and what is restored; a log others may read', async () => {
    const file = join(dir, 'a.csv');
    await writeFile(file, `${HEADER}\n${TRIP}\n`, { mode: 0o600 });
    const env = { ...SETTINGS, DATA_DIR: dataDir, LOG_FILE: join(dataDir, 'logs', 'new', 'vigia.log') };
    const ingested = await runScript('ingest', [file, '--dataset', 'trips'], env);
    assert.equal(ingested.code, 0, ingested.stderr);
    const log = ['logs', 'logs/new', 'logs/new/vigia.log'];
    assert.deepEqual((await openOnes()).toSorted(), log);
    assert.deepEqual(await Promise.all(log.map((name) => modeOf('data', name))), ['755', '755', '644']);
    assert.equal(await modeOf('data', 'landing', 'trips'), '755');
    assert.equal((await runScript('backup', [join(dir, 'backup')], env)).code, 0);
    assert.equal(await modeOf('backup'), '700');
    assert.equal(
      (await runScript('restore', [join(dir, 'backup')], { ...SETTINGS, DATA_DIR: join(dir, 'restored') })).code,
      0,
    );
    assert.deepEqual([await modeOf('restored'), await modeOf('restored', 'state')], ['700', '700']);
    assert.equal(await modeOf('restored', 'landing', 'trips'), '755');
  });

  it('leave a folder that was there as it was', async () => {
    for (const [name, mode] of [['data', 0o711] as const, ['data/landing', 0o1777] as const]) {
      await mkdir(join(dir, name));
      await chmod(join(dir, name), mode);
    }
    await runService();
    assert.deepEqual([await modeOf('data'), await modeOf('data', 'landing')], ['711', '777']);
  });
});
