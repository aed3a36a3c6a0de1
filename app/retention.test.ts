import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type RunningService, startService } from './api/service.contract.ts';
import { unstorableFlight } from './unstorable-message.contract.ts';

const DAY_MS = 86_400_000;

describe('retention', () => {
  let dataDir: string;
  let running: RunningService;
  const start = async (): Promise<void> => {
    const quick = { LANDING_SETTLE_MS: '0', DELIVERY_ATTEMPTS_MAX: '1' };
    running = await startService({ ...quick, DATA_DIR: dataDir });
  };
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-keeping-'));
    await start();
  });
  afterEach(async () => {
    await running.stop();
    await rm(dataDir, { recursive: true });
  });

  const flight = (more: object = {}): object => ({
    departed_at: '2001-01-01T00:03:00Z',
    delay: 1,
    distance: 403,
    origin: 'SMF',
    destination: 'SAN',
    ...more,
  });
  const terms = async () => {
    const { accepted, stored, quarantined, deadLettered, expired, difference } =
      (await running.service.equation()).datasets['flights'] ?? assert.fail();
    return { accepted, stored, quarantined, deadLettered, expired, difference };
  };
  /** The feed tells of commits; a dead letter is none. */
  const dead = async (): Promise<void> => {
    while ((await running.service.bus.deadLetters({ filter: {}, limit: 1 })).length === 0) await nextTurn();
  };
  const sampleOf = async (name: string, layer: string): Promise<string> => {
    const text = await running.service.telemetry.render();
    return (
      text
        .split('\n')
        .find((line) => line.startsWith(`${name}{dataset="flights",layer="${layer}"}`))
        ?.split(' ')[1] ?? ''
    );
  };

  it('takes each layer out when its days are over, keeps the books, and a rebuild brings nothing back', async () => {
    await running.send('flights', [flight(), flight({ delay: 2 }), flight({ delay: 'x' })]);
    await running.settled();
    await running.service.bus.publish([unstorableFlight()]);
    await dead();
    const landing = join(dataDir, 'landing', 'flights');
    await mkdir(landing, { recursive: true });
    await writeFile(
      join(landing, 'a.csv'),
      'departed_at,delay,distance,origin,destination\n2001-01-02T00:03:00Z,1,403,SMF,SAN\n',
    );
    await running.service.landing.settled();
    await running.service.sealer.sealAll();
    const all = { accepted: 4, stored: 2, quarantined: 1, deadLettered: 1, expired: 0, difference: 0 };
    assert.deepEqual(await terms(), all);
    await running.service.retention.look();
    assert.deepEqual(await terms(), all, 'records of 2001 that came today are of today');

    running.clock.aheadMs = 100 * DAY_MS;
    await running.service.retention.look();
    assert.deepEqual(await terms(), { ...all, quarantined: 0, deadLettered: 0, expired: 2 });
    assert.deepEqual(await running.service.warehouse.quarantine({ limit: 10 }), []);
    assert.equal((await readdir(join(dataDir, 'archive', 'flights'))).length, 1);

    running.clock.aheadMs = 400 * DAY_MS;
    await running.service.retention.look();
    assert.deepEqual(await readdir(join(dataDir, 'archive', 'flights')), []);
    assert.equal(await sampleOf('vigia_expired_files_total', 'archive'), '1');

    running.clock.aheadMs = 4_000 * DAY_MS;
    await running.service.retention.look();
    const nothing = { ...all, stored: 0, quarantined: 0, deadLettered: 0, expired: 4 };
    assert.deepEqual(await terms(), nothing);
    assert.equal(await sampleOf('vigia_expired_records_total', 'silver'), '2');
    const described = JSON.parse((await running.ask('/v1/datasets/flights')).text) as Record<string, unknown>;
    const days = { bronze: 3650, silver: 3650, quarantine: 90, deadLetters: 90, archive: 365 };
    assert.deepEqual(described['retention'], { days, expired: 4, erased: 0 });
    const steps = (await running.service.warehouse.audit({ limit: 100, dataset: 'flights' })).map(({ step }) => step);
    for (const layer of ['silver', 'quarantine', 'bronze', 'dead_letters', 'archive']) {
      assert.ok(steps.includes(`retention.${layer}`), layer);
    }

    await running.stop();
    await rm(join(dataDir, 'warehouse.duckdb'));
    await start();
    assert.deepEqual(await terms(), nothing);
  });
});
