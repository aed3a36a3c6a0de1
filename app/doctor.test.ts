import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScript } from './cli/command-process.contract.ts';
import { readConfig } from './config.ts';
import { unpackFolder } from './data-format.fixture.ts';
import { type Finding, findingsOf, type FolderSight, type StoresSight } from './doctor.ts';
import type { EquationTerms } from './equation.ts';
import { openService, type Service } from './main.ts';

const FORMAT_0 = new URL('data-format-0.fixture.json.gz', import.meta.url);
const NOW_MS = Date.UTC(2024, 0, 10);
const HOUR_MS = 3_600_000;
const GIB = 1024 ** 3;

const terms: EquationTerms = {
  accepted: 5,
  stored: 5,
  duplicate: 0,
  quarantined: 0,
  deadLettered: 0,
  expired: 0,
  erased: 0,
  inFlight: 0,
  overdue: 0,
  difference: 0,
};

const HEALTHY_FOLDER: FolderSight = {
  dataDir: '/data',
  takenAtMs: NOW_MS,
  format: { kind: 'format', format: 1, madeBy: '0.1.0' },
  owner: undefined,
  setAside: [],
  workOld: [],
  refused: [],
  landing: { waiting: 1, oldestAtMs: NOW_MS - 1_000 },
  backups: [{ name: 'good', whole: true }],
  disk: { freeBytes: 100 * GIB, usedPercent: 50, grownBytes: GIB, bronzeBytes: 10 * GIB },
};

const HEALTHY_STORES: StoresSight = {
  counts: { flights: { stored: 5, quarantined: 0, rejected: 0, lastCommitAtMs: NOW_MS } },
  equation: { takenAtMs: NOW_MS, datasets: { flights: terms }, total: terms, deadLetterMessages: { flights: 0 } },
  backlog: [{ dataset: 'flights', messages: 1, rows: 1, oldestAtMs: NOW_MS - 1_000 }],
  unsealed: { messages: 1, oldestAtMs: NOW_MS - 30_000 },
  unknown: { bronze: [], archived: [], committedAtMs: NOW_MS },
  walBytes: 64 * 1024 * 1024,
  databaseBytes: 10 * GIB,
  compactionDue: false,
};

const withTerms = (more: Partial<EquationTerms>): StoresSight => {
  const { equation } = HEALTHY_STORES;
  return { ...HEALTHY_STORES, equation: { ...equation, datasets: { flights: { ...terms, ...more } } } };
};

describe('the doctor', () => {
  it('finds nothing in a healthy folder', () => {
    assert.deepEqual(findingsOf(HEALTHY_FOLDER, HEALTHY_STORES), []);
    assert.deepEqual(findingsOf(HEALTHY_FOLDER, undefined), []);
  });

  const sick: readonly (readonly [string, Partial<FolderSight>, StoresSight, RegExp])[] = [
    ['rows are lost', {}, withTerms({ difference: 2 }), /flights: 2 rows are lost/],
    ['rows are there twice', {}, withTerms({ difference: -3 }), /flights: 3 rows are there twice/],
    ['rows are overdue', {}, withTerms({ overdue: 4 }), /4 accepted rows wait for longer/],
    [
      'dead letters lie there',
      {},
      { ...HEALTHY_STORES, equation: { ...HEALTHY_STORES.equation, deadLetterMessages: { flights: 7 } } },
      /7 messages could not be stored/,
    ],
    [
      'a message waits for an hour',
      {},
      { ...HEALTHY_STORES, backlog: [{ dataset: 'flights', messages: 1, rows: 1, oldestAtMs: NOW_MS - HOUR_MS }] },
      /not stored is 60 minutes old/,
    ],
    [
      'nothing was sealed for an hour',
      {},
      { ...HEALTHY_STORES, unsealed: { messages: 9, oldestAtMs: NOW_MS - HOUR_MS } },
      /9 stored messages are in no bronze file, the oldest for 60 minutes/,
    ],
    [
      'bronze files are unregistered',
      {},
      { ...HEALTHY_STORES, unknown: { ...HEALTHY_STORES.unknown, bronze: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] } },
      /7 bronze files are not registered: a, b, c, d, e and 2 more/,
    ],
    [
      'archived files are in no ledger',
      {},
      { ...HEALTHY_STORES, unknown: { ...HEALTHY_STORES.unknown, archived: ['x'] } },
      /1 archived file is not in the ledger: x/,
    ],
    ['the WAL does not shrink', {}, { ...HEALTHY_STORES, walBytes: GIB }, /wal has 1\.0 GiB/],
    [
      'the newest commit is in the future',
      {},
      { ...HEALTHY_STORES, unknown: { ...HEALTHY_STORES.unknown, committedAtMs: NOW_MS + HOUR_MS } },
      /newest commit is of 2024-01-10T01:00:00\.000Z, which is in the future/,
    ],
    [
      'what was erased is still in free pages',
      {},
      { ...HEALTHY_STORES, compactionDue: true },
      /Free pages of the databases still hold/,
    ],
    [
      'a database was set aside',
      { setAside: ['warehouse.duckdb.broken-1'] },
      HEALTHY_STORES,
      /1 database was set aside/,
    ],
    ['a hand-over file is left', { workOld: ['old.ndjson'] }, HEALTHY_STORES, /left from a process that died: old/],
    ['a file was refused', { refused: ['trips/a.csv.refused'] }, HEALTHY_STORES, /1 landing file was refused/],
    [
      'a backup was cut off',
      { backups: [{ name: 'half', whole: false }] },
      HEALTHY_STORES,
      /1 folder in backups\/ has no manifest.*: half/,
    ],
    [
      'a file waits for an hour',
      { landing: { waiting: 2, oldestAtMs: NOW_MS - HOUR_MS } },
      HEALTHY_STORES,
      /2 files wait, the oldest for 60 minutes/,
    ],
    [
      'the disk will be full within two weeks',
      // 10 GiB free, 1 GiB of bronze a day and as much of database beside it.
      { disk: { ...HEALTHY_FOLDER.disk, freeBytes: 10 * GIB } },
      HEALTHY_STORES,
      /10\.0 GiB are free \(50 % used\): 5\.0 days/,
    ],
  ];
  for (const [what, folder, stores, says] of sick) {
    it(`says that ${what}, and what to do`, () => {
      const findings = findingsOf({ ...HEALTHY_FOLDER, ...folder }, stores);
      assert.equal(findings.length, 1, JSON.stringify(findings));
      assert.match(findings[0]?.says ?? '', says);
      assert.ok((findings[0]?.todo ?? '').length > 20);
    });
  }
});

describe('npm run doctor', function () {
  this.timeout(30_000);
  let dataDir: string;
  let service: Service | undefined;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-doctor-'));
  });

  afterEach(async () => {
    await service?.stop({ reason: 'the test is over' });
    service = undefined;
    await rm(dataDir, { recursive: true });
  });

  const settings = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent' };
  const doctor = (...args: readonly string[]) => runScript('doctor', args, { DATA_DIR: dataDir });
  async function start(): Promise<Service> {
    service = await openService(readConfig({ ...settings, DATA_DIR: dataDir }));
    return service;
  }

  it('asks the running service and finds nothing wrong in a new one with samples', async () => {
    await start();
    const { code, stdout } = await doctor();
    assert.equal(code, 0, stdout);
    assert.match(stdout, new RegExp(`format 1, made by .*, in use by process ${process.pid}`));
    assert.match(stdout, /flights: stored 2000, .*\nequation: accepted 6465 = stored 6465, difference 0;/s);
    assert.match(stdout, /write-ahead log [\d.]+ ([KM]iB|bytes)\n/);
    assert.match(stdout, /Nothing is wrong\.\n$/);
  });

  it('knows an ingested file in the archive by its content and its dataset, also after a restart', async () => {
    const source = join(dataDir, 'turin.csv');
    await writeFile(
      source,
      'region,origin_coord,destination_coord,datetime,datasource\nTurin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:00:00,baba_car\n',
    );
    const { landing } = await start();
    const ingested = await runScript('ingest', [source, '--dataset', 'trips'], { DATA_DIR: dataDir });
    assert.equal(ingested.code, 0, ingested.stderr);
    await landing.settled();
    const [name = ''] = await readdir(join(dataDir, 'archive', 'trips'));
    const { stdout } = await doctor();
    assert.match(stdout, /Nothing is wrong\.\n$/);
    await service?.stop({ reason: 'the command is alone from here on' });
    service = undefined;
    // The same bytes for another dataset were never taken.
    await mkdir(join(dataDir, 'archive', 'flights'));
    await writeFile(join(dataDir, 'archive', 'flights', name), '');
    await writeFile(join(dataDir, 'archive', 'trips', 'by-hand, perhaps.csv'), '');
    const alone = await doctor();
    assert.equal(alone.code, 2);
    const named = `2 archived files are not in the ledger: flights/${name}, trips/by-hand, perhaps.csv.`;
    assert.ok(alone.stdout.includes(named), alone.stdout);
  });

  it('finds what lies in the folder of a running service and belongs to nobody', async () => {
    const { sealer } = await start();
    await sealer.sealAll();
    const orphan = '0'.repeat(64);
    const hour = new Date(Date.now() - 2 * HOUR_MS);
    const plant = async (folder: string, name: string): Promise<void> => {
      await mkdir(join(dataDir, folder), { recursive: true });
      await writeFile(join(dataDir, folder, name), '');
      await utimes(join(dataDir, folder, name), hour, hour);
    };
    await plant('bronze/flights/2024-01-01', `${orphan}.parquet`);
    await plant('archive/trips', '0123456789abcdef-trips.csv');
    await plant('landing/trips', 'bad.csv.refused');
    await plant('backups/half', 'x');
    await plant('work', 'old.ndjson');
    await plant('.', 'warehouse.duckdb.broken-20240101T000000000Z');
    const { code, stdout } = await doctor('--json');
    assert.equal(code, 2);
    const { findings, stores } = JSON.parse(stdout) as {
      readonly findings: readonly Finding[];
      readonly stores: StoresSight;
    };
    assert.deepEqual(
      findings.map(({ about }) => about),
      ['bronze', 'archive', 'set aside', 'work', 'landing', 'backups'],
    );
    assert.deepEqual(stores.unknown.bronze, [orphan]);
    assert.deepEqual(stores.unknown.archived, ['trips/0123456789abcdef-trips.csv']);
    await rm(join(dataDir, 'bronze', 'flights', '2024-01-01', `${orphan}.parquet`));
  });

  it('opens the folder itself when no service runs, and shows the dead letter that waits', async () => {
    await unpackFolder(FORMAT_0, dataDir);
    const before = await doctor();
    assert.equal(before.code, 2);
    assert.match(before.stdout, /format: The folder has format 0, this version writes 1/);
    await start();
    await service?.stop({ reason: 'the command is alone from here on' });
    service = undefined;
    const { code, stdout } = await doctor();
    assert.equal(code, 2);
    assert.match(stdout, /no service runs on it/);
    assert.match(stdout, /equation: accepted 16 = stored 14 \+ duplicate 1 \+ quarantined 1, difference 0;/);
    assert.match(stdout, /dead letters: nothing_of_this_name: 1 message could not be stored/);
    assert.match(stdout, /\n1 finding\.\n$/);
  });

  it('says what keeps a folder from opening', async () => {
    await writeFile(join(dataDir, 'format.json'), JSON.stringify({ format: 99, madeBy: '9.9.9' }));
    const { code, stdout } = await doctor();
    assert.equal(code, 2);
    assert.match(stdout, /cannot be opened: .* data format 99, made by 9\.9\.9/);
  });

  it('ends with 1 where there is no folder, and with 64 and the help on wrong usage', async () => {
    const none = await runScript('doctor', [], { DATA_DIR: join(dataDir, 'none') });
    assert.deepEqual([none.code, /There is no data folder/.test(none.stderr)], [1, true]);
    const wrong = await doctor('now');
    assert.deepEqual([wrong.code, wrong.stderr.startsWith('now: this command takes only --json.')], [64, true]);
  });
});
