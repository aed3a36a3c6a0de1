/** What a kill cannot show, because the kernel keeps what a killed process wrote: the order of syncs and renames. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const INGEST = fileURLToPath(import.meta.resolve('../cli/ingest.ts'));
const TELEMETRY = fileURLToPath(import.meta.resolve('../telemetry/start.ts'));
const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';
const TRIP = 'Turin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:54:04,baba_car';
const SETTINGS = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent', SAMPLE_DATA: 'off', LANDING_LOOK_MS: '50' };
const run = promisify(execFile);

describe('durability of a landing file', function () {
  this.timeout(60_000);
  let dir: string;
  beforeEach(async () => {
    dir = await realpath(await mkdtemp(join(tmpdir(), 'vigia-landing-durability-')));
    await run('strace', ['-V']).catch(() => assert.fail('strace is missing: apt-get install strace'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('its bytes are synced before each of its moves, and both folders after, new ones with their parents', async () => {
    const data = join(dir, 'data');
    await writeFile(join(dir, 'a.csv'), `${HEADER}\n${TRIP}\n`);
    const calls = await traced(data, join(dir, 'a.csv'));
    const moves = calls.filter(({ name, paths }) => name === 'rename' && paths[1]?.endsWith('a.csv'));
    assert.deepEqual(
      moves.map(({ paths }) => paths.map((path) => dirname(path.replace(`${data}/`, '')))),
      [
        ['landing/trips', 'landing/trips'],
        ['landing/trips', 'archive/trips'],
      ],
    );
    for (const move of moves) {
      const [from = '', to = ''] = move.paths;
      const before = syncedIn(calls.slice(0, calls.indexOf(move)));
      const after = syncedIn(calls.slice(calls.indexOf(move)));
      assert.ok(before.has(from), `${from} was moved before its bytes were synced`);
      assert.ok(before.has(dirname(dirname(to))), `${dirname(to)} was new, and its parent was not synced`);
      for (const folder of [dirname(from), dirname(to)]) assert.ok(after.has(folder), `${folder} was not synced`);
    }
  });

  interface Call {
    readonly name: string;
    readonly paths: readonly string[];
  }

  async function traced(dataDir: string, file: string): Promise<readonly Call[]> {
    const log = join(dir, 'calls');
    const strace = ['-f', '-y', '-qq', '-o', log, '-e', 'trace=fsync,rename'];
    const node = [process.execPath, `--import=${TELEMETRY}`, INGEST, file, '--dataset', 'trips'];
    await run('strace', [...strace, ...node], {
      env: { PATH: process.env['PATH'], DATA_DIR: dataDir, ...SETTINGS },
    });
    const lines = (await readFile(log, 'utf8')).split('\n');
    return lines.flatMap((line) => {
      const [, name, text] = /^\d+ +(fsync|rename)\((.*)$/.exec(line) ?? [];
      if (name === undefined || text === undefined) return [];
      const paths = [...text.matchAll(/[<"]([^>"]+)[>"]/g)].map(([, path = '']) => path);
      return [{ name, paths }];
    });
  }

  function syncedIn(calls: readonly Call[]): ReadonlySet<string | undefined> {
    return new Set(calls.filter(({ name }) => name === 'fsync').map(({ paths }) => paths[0]));
  }
});
