/** Each gauge is moved by making happen what it tells of, on the composed service. */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from './config.ts';
import { openService, type Service } from './main.ts';
import { type Samples, samplesOf, total } from './observed-service.contract.ts';
import { unstorableFlight } from './unstorable-message.contract.ts';
import { openInstance } from './warehouse/duckdb-session.ts';

const FLIGHTS = { dataset: 'flights' };
const SETTINGS = {
  PORT: '0',
  METRICS_PORT: '0',
  SAMPLE_DATA: 'off',
  LOG_LEVEL: 'silent',
  BATCH_WAIT_MS: '1',
  // Nothing happens by itself: tests look when they want to know.
  SEAL_INTERVAL_MS: '3600000',
  ACCOUNTING_INTERVAL_MS: '3600000',
  BACKOFF_MIN_MS: '600000',
  BACKOFF_MAX_MS: '600000',
  WAREHOUSE_MEMORY_MIB: '256',
  QUEUE_TIME_TARGET_MS: '10000',
  NODE_ENV: 'test',
};

describe('the observer', function () {
  this.timeout(10_000);
  let dataDir: string;
  let service: Service;
  let aheadMs: number;
  const open = async (): Promise<void> => {
    service = await openService(readConfig({ ...SETTINGS, DATA_DIR: dataDir }), { now: () => Date.now() + aheadMs });
  };
  const close = (): Promise<void> => service.stop({ reason: 'the test is over' });
  const scrape = async (): Promise<Samples> => samplesOf(await (await fetch(service.metricsUrl)).text());
  const look = async (): Promise<Samples> => {
    await service.observer.look();
    return scrape();
  };
  const until = async (satisfied: (samples: Samples) => boolean): Promise<void> => {
    for (let tries = 0; tries < 1000; tries += 1) if (satisfied(await scrape())) return;
    assert.fail('it never came to be');
  };
  const settled = (rows: number): Promise<void> =>
    until(
      (now) =>
        ['stored', 'duplicate', 'quarantined'].reduce(
          (sum, outcome) => sum + total(now, 'vigia_records_total', { outcome }),
          0,
        ) >= rows,
    );
  const post = async (dataset: string, rows: readonly unknown[]): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify(rows) };
    return (await fetch(`${service.url}/v1/datasets/${dataset}/records`, init)).status;
  };

  beforeEach(async () => {
    aheadMs = 0;
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-observer-'));
    await open();
  });
  afterEach(async () => {
    await close();
    await rm(dataDir, { recursive: true });
  });

  it('lets the age of what waits grow by itself, from backlog to overdue', async () => {
    await service.bus.publish([unstorableFlight()]);
    // One failed delivery, then it waits for its second.
    await until(
      (now) => total(now, 'messaging_process_duration_seconds_count', { error_type: 'MESSAGE_FAILED' }) === 1,
    );
    aheadMs = 120_000;
    const samples = await look();
    assert.equal(total(samples, 'vigia_backlog_messages', FLIGHTS), 1);
    assert.equal(total(samples, 'vigia_backlog_records', FLIGHTS), 1);
    for (const age of ['vigia_oldest_unacknowledged_age_seconds', 'vigia_oldest_unreadable_age_seconds']) {
      const seconds = total(samples, age, FLIGHTS);
      assert.ok(seconds >= 120 && seconds < 180, `${age} ${seconds}`);
      assert.equal(total(samples, age, { dataset: 'trips' }), 0);
    }
    assert.equal(total(samples, 'vigia_overdue_records', FLIGHTS), 1);
    assert.equal(total(samples, 'vigia_equation_records', { ...FLIGHTS, state: 'in_flight' }), 1);
    assert.equal(total(samples, 'vigia_equation_difference_records'), 0);
  });
  it('counts duplicates, conflicts and rejected rows, each by its reason', async () => {
    assert.equal(await post('flights', [flight(1, 5), flight(2, 5)]), 202);
    await settled(2);
    assert.equal(await post('flights', [flight(1, 5), flight(2, 6), { ...flight(3, 5), distance: 'far' }]), 202);
    await settled(4);
    const samples = await look();
    for (const [outcome, rows] of Object.entries({ accepted: 4, rejected: 1, stored: 2, duplicate: 1, quarantined: 1 }))
      assert.equal(total(samples, 'vigia_records_total', { ...FLIGHTS, outcome }), rows, outcome);
    for (const code of ['KEY_CONFLICT', 'FIELD_TYPE'])
      assert.equal(total(samples, 'vigia_quarantined_records_total', { ...FLIGHTS, code }), 1, code);
    assert.equal(total(samples, 'vigia_quarantined_records_total'), 2);
    assert.equal(total(samples, 'vigia_label_overflow_total'), 0);
    for (const [state, rows] of Object.entries({ accepted: 4, stored: 2, duplicate: 1, quarantined: 1, in_flight: 0 }))
      assert.equal(total(samples, 'vigia_equation_records', { ...FLIGHTS, state }), rows, state);
  });
  it('counts rows that cannot be classified and what they weigh, as the contract says', async () => {
    const at = '2024-05-04T08:30:00Z';
    const row = (article_id: string, text: string, readers: number) => ({
      article_id,
      text,
      readers,
      published_at: at,
    });
    assert.equal(await post('articles', [row('A-1', '', 7), row('A-2', '', 5)]), 202);
    assert.equal(await post('articles', [row('A-3', 'Frodo Baggins carried the ring out of the Shire.', 9)]), 202);
    await settled(3);
    const samples = await look();
    assert.equal(total(samples, 'vigia_unclassified_records', { dataset: 'articles' }), 2);
    assert.equal(total(samples, 'vigia_unclassified_sum', { dataset: 'articles' }), 12);
    assert.equal(total(samples, 'vigia_unclassified_records', { dataset: 'trips' }), 0);
    const asked = total(samples, 'vigia_dependency_duration_seconds_count', { operation: 'aggregate' });
    const again = await look();
    assert.equal(total(again, 'vigia_dependency_duration_seconds_count', { operation: 'aggregate' }), asked);
  });
  it('shows a row that the warehouse lost, after a restart too', async () => {
    assert.equal(await post('flights', [flight(1, 5), flight(2, 5)]), 202);
    await settled(2);
    await service.sealer.sealAll();
    await close();
    const path = join(dataDir, 'warehouse.duckdb');
    const instance = await openInstance({ path, memoryMib: 256, threads: 1, tempDir: dataDir, directories: [] });
    const connection = await instance.connect();
    await connection.run('DELETE FROM silver.flights WHERE distance = 401');
    connection.closeSync();
    instance.closeSync();
    await open();
    const samples = await look();
    assert.equal(total(samples, 'vigia_equation_difference_records', FLIGHTS), 1);
    assert.equal(total(samples, 'vigia_equation_difference_records', { dataset: 'trips' }), 0);
  });
  it('knows after a restart when the last row came, and lets that age grow', async () => {
    assert.equal(await post('flights', [flight(1, 5)]), 202);
    await settled(1);
    await close();
    aheadMs = 2 * 86_400_000;
    await open();
    const samples = await look();
    const age = total(samples, 'vigia_expected_record_age_seconds', FLIGHTS);
    assert.ok(age > total(samples, 'vigia_expect_every_seconds', FLIGHTS) && age < 3 * 86_400, String(age));
    const lastCommit = total(samples, 'vigia_last_commit_timestamp_seconds', FLIGHTS);
    assert.ok(Math.abs(lastCommit - Date.now() / 1000) < 60, String(lastCommit));
    assert.equal(total(samples, 'vigia_expected_record_age_seconds', { dataset: 'trips' }), 0);
  });
  it('tells what waits for its bronze file, and what was sealed', async () => {
    assert.equal(await post('flights', [flight(1, 5), flight(2, 5)]), 202);
    await settled(2);
    await until((now) => total(now, 'vigia_unsealed_messages') === 1);
    aheadMs = 60_000;
    const waiting = await scrape();
    assert.ok(total(waiting, 'vigia_unsealed_bytes') > 100);
    assert.ok(total(waiting, 'vigia_oldest_unsealed_age_seconds') >= 60);
    await service.sealer.sealAll();
    const sealed = await scrape();
    assert.equal(total(sealed, 'vigia_unsealed_messages'), 0);
    assert.equal(total(sealed, 'vigia_oldest_unsealed_age_seconds'), 0);
    assert.deepEqual(
      ['files', 'records'].map((what) => total(sealed, `vigia_sealed_${what}_total`)),
      [1, 2],
    );
  });
  it('tells how much each part keeps, and how full the disk is', async () => {
    await post('flights', [flight(1, 5)]);
    await settled(1);
    await service.sealer.sealAll();
    const samples = await look();
    for (const part of ['bus', 'state', 'database', 'bronze'])
      assert.ok(total(samples, 'vigia_storage_bytes', { part }) > 0, part);
    const used = total(samples, 'vigia_disk_used_ratio');
    assert.ok(used > 0 && used <= 1, String(used));
  });
  it('counts a look that fails, and takes the others all the same', async () => {
    assert.equal(total(await look(), 'vigia_sample_failures_total'), 0);
    // Open files stay open; only a look at the folder itself fails.
    await rename(dataDir, `${dataDir}-away`);
    const samples = await look();
    await rename(`${dataDir}-away`, dataDir);
    assert.equal(total(samples, 'vigia_sample_failures_total'), 1);
    assert.ok(total(samples, 'vigia_equation_timestamp_seconds') > 0);
  });
});

function flight(number: number, delay: number): Readonly<Record<string, unknown>> {
  const departedAt = new Date(Date.UTC(2001, 0, 1) + number * 60_000).toISOString().replace('.000', '');
  return { departed_at: departedAt, delay, distance: 400 + number, origin: 'SMF', destination: 'SAN' };
}
