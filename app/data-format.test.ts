import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MANIFEST_FILE, type Manifest } from './backup.ts';
import { runScript } from './cli/command-process.contract.ts';
import { readConfig } from './config.ts';
import {
  DATA_FORMAT,
  FormatError,
  markUnfinished,
  type MigrationProgress,
  prepareFormat,
  readFormat,
} from './data-format.ts';
import { unpackFolder } from './data-format.fixture.ts';
import { openService, type Service } from './main.ts';

const FORMAT_0 = new URL('data-format-0.fixture.json.gz', import.meta.url);

describe('the data folder’s format', () => {
  let dataDir: string;
  let told: MigrationProgress[];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-format-'));
    told = [];
  });

  afterEach(async () => {
    await rm(dataDir, { recursive: true });
  });

  const prepare = (faultPoint?: (name: string) => void): Promise<void> =>
    prepareFormat({
      dataDir,
      version: '0.1.0',
      now: () => Date.UTC(2024, 0, 1),
      tell: (progress) => told.push(progress),
      ...(faultPoint === undefined ? {} : { faultPoint }),
    });
  const written = async (): Promise<unknown> => JSON.parse(await readFile(join(dataDir, 'format.json'), 'utf8'));

  it('is written into a new folder, and left alone from then on', async () => {
    assert.deepEqual(await readFormat(dataDir), { kind: 'new' });
    await prepare();
    assert.deepEqual(await written(), { format: DATA_FORMAT, madeBy: '0.1.0' });
    await prepare();
    assert.deepEqual(told, []);
    assert.equal(existsSync(join(dataDir, 'backups')), false);
  });

  it('is 0 in a folder with a bus and no number: copied whole, then migrated', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    await prepare();
    const backup = join(dataDir, 'backups', `before-format-${DATA_FORMAT}-2024-01-01T000000000Z`);
    assert.deepEqual(told, [{ from: 0, to: DATA_FORMAT, backup }]);
    assert.deepEqual(await written(), { format: DATA_FORMAT, madeBy: '0.1.0' });
    const manifest = JSON.parse(await readFile(join(backup, MANIFEST_FILE), 'utf8')) as Manifest;
    assert.equal(manifest.dataFormat, 0);
    const bronze = (await readdir(join(dataDir, 'bronze'), { recursive: true })).filter((name) =>
      name.endsWith('.parquet'),
    );
    const copied = manifest.files.map(({ path }) => path);
    assert.deepEqual(
      copied.filter((path) => path.startsWith('bronze/')).sort(),
      bronze.map((name) => `bronze/${name}`).sort(),
    );
    assert.ok(copied.includes('bus/data.mdb') && copied.includes('state/data.mdb'));
    // The second start finds nothing to do.
    await prepare();
    assert.equal(told.length, 1);
  });

  it('stays the old one when the process dies before the number is written, and the next start begins again', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    const died = new Error('killed');
    await assert.rejects(
      prepare((name) => {
        assert.equal(name, 'while-migrating');
        throw died;
      }),
      died,
    );
    assert.deepEqual((await readFormat(dataDir)).kind === 'format' && existsSync(join(dataDir, 'format.json')), false);
    await rm(join(dataDir, 'backups'), { recursive: true });
    await prepare();
    assert.deepEqual(await written(), { format: DATA_FORMAT, madeBy: '0.1.0' });
  });

  it('is refused when it is newer, unreadable, or marks a restore that did not end; nothing is changed', async () => {
    const file = join(dataDir, 'format.json');
    await mkdir(join(dataDir, 'bus'));
    const refusals: readonly (readonly [string, RegExp])[] = [
      [
        JSON.stringify({ format: DATA_FORMAT + 1, madeBy: '9.9.9' }),
        /data format 2, made by 9\.9\.9; .*formats up to 1\. Start that version/,
      ],
      ['{"format":"one"}', /does not say which format/],
      ['garbage', /does not say which format/],
    ];
    for (const [content, message] of refusals) {
      await writeFile(file, content);
      await assert.rejects(prepare(), (error) => error instanceof FormatError && message.test(error.message));
      assert.equal(await readFile(file, 'utf8'), content);
    }
    await markUnfinished(dataDir, '0.1.0');
    await assert.rejects(prepare(), /restore into .* did not end.*npm run restore again/);
    assert.deepEqual((await readdir(dataDir)).sort(), ['bus', 'format.json']);
  });

  describe('0', function () {
    this.timeout(20_000);
    let service: Service | undefined;

    afterEach(async () => {
      await service?.stop({ reason: 'the test is over' });
      service = undefined;
    });

    it('opens, migrates and answers what it held: stored, set apart, dead and still in flight', async () => {
      await unpackFolder(FORMAT_0, dataDir);
      const settings = { DATA_DIR: dataDir, PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent' };
      service = await openService(readConfig(settings));
      const { total, deadLetterMessages } = await service.equation();
      const { accepted, duplicate, quarantined, difference } = total;
      assert.deepEqual(
        { accepted, duplicate, quarantined, difference },
        { accepted: 16, duplicate: 1, quarantined: 1, difference: 0 },
      );
      assert.equal(deadLetterMessages['nothing_of_this_name'], 1);
      const { flights, trips, articles, book_sales } = await service.warehouse.counts();
      assert.deepEqual([flights?.rejected, trips?.stored, articles?.stored, book_sales?.stored], [1, 3, 2, 3]);
      assert.deepEqual(
        (await service.state.apiKeys()).map(({ id }) => id),
        ['fixture'],
      );
      assert.deepEqual(await written(), { format: DATA_FORMAT, madeBy: '0.1.0' });
    });

    it('is migrated by the next start when a start was killed before the number was written', async () => {
      await unpackFolder(FORMAT_0, dataDir);
      const settings = { DATA_DIR: dataDir, PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent' };
      const killed = await runScript('start', [], { ...settings, NODE_ENV: 'test', FAULT_POINT: 'while-migrating:1' });
      assert.deepEqual([killed.code, existsSync(join(dataDir, 'format.json'))], [null, false]);
      service = await openService(readConfig(settings));
      const { total } = await service.equation();
      assert.deepEqual([total.accepted, total.difference], [16, 0]);
      assert.equal((await readdir(join(dataDir, 'backups'))).length, 2);
    });

    it('is refused by the service when newer, with the folder free for another', async () => {
      await prepare();
      await writeFile(join(dataDir, 'format.json'), JSON.stringify({ format: 99, madeBy: '9.9.9' }));
      const config = readConfig({ DATA_DIR: dataDir, PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent' });
      await assert.rejects(openService(config), FormatError);
      assert.equal(existsSync(join(dataDir, 'vigia.lock')), false);
    });
  });
});
