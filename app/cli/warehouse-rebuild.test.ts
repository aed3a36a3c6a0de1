import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { contract } from '../datasets/flights/contract.ts';
import { lockDataDir } from '../state/lock.ts';
import { openDuckdbWarehouse } from '../warehouse/duckdb-warehouse.ts';
import { eventIdOf, message, sealable } from '../warehouse/warehouse-data.contract.ts';

const COMMAND = fileURLToPath(new URL('warehouse-rebuild.ts', import.meta.url));

describe('npm run warehouse:rebuild', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-rebuild-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  const run = (...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [COMMAND, ...args], { env: { DATA_DIR: dir } }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: stdout + stderr });
      });
    });

  async function fill(): Promise<void> {
    const warehouse = await openDuckdbWarehouse({
      dir,
      contracts: new Map([['flights', contract]]),
      memoryMib: 256,
      threads: 1,
      readers: 1,
      readQueueMax: 0,
      percentileRowsMax: 1,
      now: Date.now,
      onBroken: () => {},
    });
    const flight = (origin: string, delay: number) => ({
      eventId: eventIdOf(origin),
      body: { departed_at: '2001-01-14T21:55:00Z', delay, distance: 480, origin, destination: 'SAN' },
    });
    const messages = [
      message({ dataset: 'flights', rows: [flight('SMF', 1), flight('LAX', 2), flight('LAX', 3)] }),
      message({ dataset: 'flights', rows: [flight('JFK', 4)] }),
    ];
    await warehouse.store(messages);
    await warehouse.seal(sealable(messages.slice(0, 1)));
    await warehouse.close();
  }

  it('sets the file aside, makes an equal one and says what the bus still holds', async () => {
    await fill();
    const { code, text } = await run();
    assert.match(text, /flights: equal: stored 2, duplicate 0, quarantined 1, .*sum\(delay\) 3, sum\(distance\) 960/);
    assert.match(text, /1 message is in no bronze file yet/);
    assert.equal(code, 0);
    assert.equal((await readdir(dir)).filter((name) => name.includes('.replaced-')).length, 1);
  }).timeout(20_000);

  it('exits 2 and shows both when a row had been lost before', async () => {
    await fill();
    const instance = await DuckDBInstance.create(join(dir, 'warehouse.duckdb'));
    const connection = await instance.connect();
    await connection.run("DELETE FROM silver.flights WHERE origin = 'SMF'");
    connection.closeSync();
    instance.closeSync();
    const { code, text } = await run();
    assert.match(text, /flights: DIFFERENT: stored 2.*\n {2}before: \{"stored":1/);
    assert.equal(code, 2);
  }).timeout(20_000);

  it('works on a folder without a database and says that nothing was compared, but not on an empty one', async () => {
    assert.match((await run()).text, /There is nothing to rebuild in/);
    assert.deepEqual(await readdir(dir), []);
    await mkdir(join(dir, 'bronze'));
    const { code, text } = await run();
    assert.match(text, /could not be compared: there was none/);
    assert.equal(code, 0);
  }).timeout(20_000);

  it('leaves a folder of a newer version alone', async () => {
    await fill();
    await writeFile(join(dir, 'format.json'), '{"format":99,"madeBy":"9.9.9"}');
    const { code, text } = await run();
    assert.deepEqual([code, /has data format 99, made by 9\.9\.9/.test(text)], [1, true]);
    assert.deepEqual(
      (await readdir(dir)).filter((name) => name.includes('.replaced-')),
      [],
    );
  }).timeout(20_000);

  it('refuses while a service holds the folder, explains itself, and refuses arguments', async () => {
    const lock = await lockDataDir(dir);
    const refused = await run();
    await lock.release();
    assert.equal(refused.code, 1);
    assert.match(refused.text, new RegExp(`${process.pid}`));
    assert.match((await run('--help')).text, /Exit codes/);
    assert.equal((await run('now')).code, 64);
  }).timeout(20_000);
});
