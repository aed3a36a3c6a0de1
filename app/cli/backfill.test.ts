import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openService, type Service } from '../main.ts';
import { runScript } from './command-process.contract.ts';

describe('npm run backfill', function () {
  this.timeout(60_000);
  let dataDir: string;
  let service: Service | undefined;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-backfill-'));
  });

  afterEach(async () => {
    await stop();
    await rm(dataDir, { recursive: true });
  });

  const quiet = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent' };
  const backfill = (...args: readonly string[]) => runScript('backfill', args, { DATA_DIR: dataDir });
  const ALL = ['--from', '1990-01-01', '--to', '2100-01-01'] as const;

  async function start(): Promise<Service> {
    service = await openService(readConfig({ ...quiet, DATA_DIR: dataDir }));
    return service;
  }

  async function stop(): Promise<void> {
    await service?.stop({ reason: 'the test goes on without it' });
    service = undefined;
  }

  it('is done by the running service, what was not sealed yet included, and the equation stays', async () => {
    const { equation, warehouse } = await start();
    const before = await equation();
    const { articles } = await warehouse.counts();
    const { code, stdout, stderr } = await backfill('--dataset', 'articles', ...ALL);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^articles: ${articles?.stored} rows of \\d+ days made again out of bronze\n$`));
    assert.deepEqual((await equation()).total, before.total);
    assert.ok((await warehouse.audit({ step: 'backfill', limit: 1 })).length === 1);
  });

  it('is done by the command itself when no service runs', async () => {
    await start();
    await stop();
    const { code, stdout } = await backfill('--dataset', 'flights', ...ALL);
    assert.deepEqual([code, /^flights: 2000 rows of \d+ days/.test(stdout)], [0, true]);
    const { total } = await (await start()).equation();
    assert.equal(total.difference, 0);
  });

  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['--dataset', 'flights'], /^say: npm run backfill/],
    [['--dataset', 'nothing', ...ALL], /^--dataset nothing: there are /],
    [['--dataset', 'flights', '--from', 'May', '--to', '2024-01-01'], /^May is not a day/],
    [['--dataset', 'flights', '--from', '2024-13-01', '--to', '2025-01-01'], /^2024-13-01 is not a day/],
    [['--dataset', 'flights', '--from', '2024-01-01', '--to', '2024-02-30'], /^2024-02-30 is not a day/],
    [['--dataset', 'flights', '--from', '2024-01-01', '--to', '2024-01-01'], /^--from 2024-01-01 is not before/],
    [['--all'], /Unknown option '--all'/],
  ];
  for (const [args, message] of wrong) {
    it(`takes "${args.join(' ')}" as wrong usage: 64 and the help`, async () => {
      const { code, stderr } = await backfill(...args);
      assert.equal(code, 64);
      assert.match(stderr, message);
      assert.match(stderr, /\nnpm run backfill -- --dataset NAME/);
    });
  }
});
