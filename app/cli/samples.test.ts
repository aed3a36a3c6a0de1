import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openService, type Service } from '../main.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import { runScript } from './command-process.contract.ts';

const SAMPLE_ROWS = 6_465;

describe('sample data', function () {
  this.timeout(30_000);
  let dataDir: string;
  const running: Service[] = [];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-samples-'));
  });

  afterEach(async () => {
    for (const service of running.splice(0)) await service.stop({ reason: 'the test is over' });
    await rm(dataDir, { recursive: true });
  });

  const settings = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent', CACHE_AGE_MAX_MS: '0' };

  async function start(more: Readonly<Record<string, string>> = {}): Promise<Service> {
    const service = await openService(readConfig({ ...settings, DATA_DIR: dataDir, ...more }));
    running.push(service);
    return service;
  }

  async function stop(): Promise<void> {
    await running.pop()?.stop({ reason: 'the test goes on without it' });
  }

  async function terms(service: Service) {
    const { total } = await service.equation();
    return total;
  }

  async function setFact(value: string): Promise<void> {
    const options = { dir: join(dataDir, 'state'), now: Date.now, idempotencyHours: 24, processId: process.pid };
    const state = await openLmdbState(options);
    await state.setFact('samples', value);
    await state.close();
  }

  const remove = () => runScript('samples', ['remove'], { DATA_DIR: dataDir, ...settings });

  it('is readable when the service begins to listen, all of it marked as sample', async () => {
    const service = await start();
    const { stored, inFlight, difference } = await terms(service);
    assert.deepEqual({ stored, inFlight, difference }, { stored: SAMPLE_ROWS, inFlight: 0, difference: 0 });
    const audit = await service.warehouse.audit({ step: 'store', limit: 100 });
    assert.deepEqual([...new Set(audit.map(({ actor }) => actor))], ['sample']);
  });

  it('is not loaded when it is switched off', async () => {
    assert.equal((await terms(await start({ SAMPLE_DATA: 'off' }))).accepted, 0);
  });

  it('is not loaded beside records of others, nor a second time', async () => {
    const first = await start({ SAMPLE_DATA: 'off' });
    const answer = await fetch(new URL('/v1/datasets/flights/records', first.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"departed_at":"2001-05-01T08:00:00Z","delay":1,"distance":679,"origin":"SFO","destination":"SEA"}',
    });
    assert.equal(answer.status, 202);
    await stop();
    assert.equal((await terms(await start())).accepted, 1);
  });

  it('is not loaded once a key was made', async () => {
    assert.equal((await runScript('keys', ['add', '--scope', 'read'], { DATA_DIR: dataDir })).code, 0);
    assert.equal((await terms(await start())).accepted, 0);
  });

  /** A start that kills itself, as a power cut would, with samples on the bus and none stored. */
  async function startThatDies(): Promise<void> {
    const dying = { ...settings, DATA_DIR: dataDir, NODE_ENV: 'test', FAULT_POINT: 'before-commit:1' };
    assert.equal((await runScript('start', [], dying)).code, null);
  }

  it('is loaded to its end by the next start when one died half-way, each row once', async () => {
    await startThatDies();
    const { accepted, stored, duplicate, difference } = await terms(await start());
    assert.deepEqual({ stored, difference }, { stored: SAMPLE_ROWS, difference: 0 });
    assert.equal(duplicate, accepted - SAMPLE_ROWS);
  });

  it('is removed by the running service when the command asks, and other records stay', async () => {
    const service = await start();
    const answer = await fetch(new URL('/v1/datasets/trips/records', service.url), {
      method: 'POST',
      headers: { 'content-type': 'text/csv' },
      body: 'region,origin_coord,destination_coord,datetime,datasource\nTurin,POINT (7.67 44.99),POINT (7.72 45.06),2018-05-22 08:00:00,baba_car\n',
    });
    assert.equal(answer.status, 202);
    assert.deepEqual(await remove(), { code: 0, stdout: 'The sample data is gone.\n', stderr: '' });
    const { stored, erased, difference } = await terms(service);
    assert.deepEqual({ stored, erased, difference }, { stored: 1, erased: SAMPLE_ROWS, difference: 0 });
    const again = await remove();
    assert.deepEqual([again.code, again.stdout], [0, `There is no sample data in ${dataDir}.\n`]);
  });

  it('is removed by the command itself when no service runs, and does not come back', async () => {
    await start();
    await stop();
    assert.deepEqual(await remove(), { code: 0, stdout: 'The sample data is gone.\n', stderr: '' });
    const { stored, erased } = await terms(await start());
    assert.deepEqual({ stored, erased }, { stored: 0, erased: SAMPLE_ROWS });
  });

  it('is removed by the next start when the removal died half-way', async () => {
    await start();
    await stop();
    await setFact('remove');
    const service = await start();
    // Waits for the removal, if the service has not done it yet.
    assert.equal((await remove()).code, 0);
    assert.equal((await terms(service)).stored, 0);
  });

  it('is removed too when its load was cut off, what was on the bus included', async () => {
    await startThatDies();
    assert.deepEqual(await remove(), { code: 0, stdout: 'The sample data is gone.\n', stderr: '' });
    const { accepted, stored, erased, inFlight } = await terms(await start());
    assert.notEqual(accepted, 0);
    assert.deepEqual({ stored, erased, inFlight }, { stored: 0, erased: accepted, inFlight: 0 });
  });

  it('is not there in a folder that does not exist, which stays so', async () => {
    const { code, stdout } = await runScript('samples', ['remove'], { DATA_DIR: join(dataDir, 'none') });
    assert.deepEqual([code, stdout], [0, `There is no sample data in ${join(dataDir, 'none')}.\n`]);
  });

  for (const args of [[], ['load'], ['remove', 'all']]) {
    it(`takes "${args.join(' ')}" as wrong usage: 64 and the help`, async () => {
      const { code, stderr } = await runScript('samples', args, { DATA_DIR: dataDir });
      assert.equal(code, 64);
      assert.match(stderr, /^say: npm run samples -- remove\n\nnpm run samples -- remove\n/);
    });
  }
});
