import assert from 'node:assert/strict';
import { appendFileSync, unlinkSync } from 'node:fs';
import { link, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { copyWithout } from '../archive-removal.ts';
import { type Config, readConfig } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import { contract as flights } from '../datasets/flights/contract.ts';
import { contract as trips } from '../datasets/trips/contract.ts';
import { readReceiptId } from '../record/receipt-id.ts';
import { compileValidator } from '../record/validate.ts';
import { ROW_CODES } from '../record/verdict.ts';
import type { LandingFile } from '../state/landing-file.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import type { State } from '../state/state.ts';
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import { parquetLines } from '../warehouse/duckdb-parquet.ts';
import { openDuckdbWarehouse } from '../warehouse/duckdb-warehouse.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';
import { type Landing, type LandingParts, startLanding } from './landing.ts';

const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';
const CONTRACTS: ReadonlyMap<string, Contract> = new Map([trips, flights].map((one) => [one.name, one]));
const VALIDATORS = new Map([...CONTRACTS].map(([name, contract]) => [name, compileValidator(contract)]));
const SIGNING_KEY = Buffer.alloc(32, 7);
/** As a wall clock that nobody has to wait for. */
const START_MS = Date.UTC(2026, 0, 1);

function trip(at: number): string {
  const clock = `${String(Math.floor(at / 60)).padStart(2, '0')}:${String(at % 60).padStart(2, '0')}`;
  return `Turin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:${clock},baba_car`;
}

function tripsFile(count: number): string {
  return `${HEADER}\n${Array.from({ length: count }, (_, at) => `${trip(at)}\n`).join('')}`;
}

describe('the landing folder', () => {
  let dir: string;
  let nowMs: number;
  let state: State;
  let warehouse: Warehouse;
  let telemetry: Telemetry;
  let landing: Landing | undefined;
  let changes: LandingFile[];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-landing-'));
    nowMs = START_MS;
    changes = [];
    landing = undefined;
    state = await openLmdbState({
      dir: join(dir, 'state'),
      now: () => nowMs,
      idempotencyHours: 24,
      processId: process.pid,
    });
    warehouse = await openDuckdbWarehouse({
      dir,
      contracts: CONTRACTS,
      memoryMib: 256,
      threads: 1,
      readers: 1,
      readQueueMax: 4,
      percentileRowsMax: 1_000,
      now: Date.now,
      onBroken: (error) => {
        throw new Error('the file broke', { cause: error });
      },
    });
    telemetry = createTelemetry({
      version: '0',
      logLevel: 'silent',
      logFile: '',
      logFileBytesMax: 1e6,
      logFilesMax: 1,
      datasets: [...CONTRACTS.keys()],
      codes: ROW_CODES,
      now: () => nowMs,
    });
  });
  afterEach(async () => {
    await landing?.stop();
    await warehouse.close();
    await state.close();
    await rm(dir, { recursive: true });
  });

  /** In place of the one before, as after a restart. Nothing looks but `settled`, unless it is told. */
  async function open(
    settings: Partial<Config> = {},
    {
      faultPoint = () => undefined,
      ...more
    }: Partial<Pick<LandingParts, 'faultPoint' | 'filesMax' | 'readParquet'>> = {},
  ): Promise<Landing> {
    await landing?.stop();
    landing = await startLanding({
      config: {
        ...readConfig({}),
        LANDING_LOOK_MS: 60_000,
        LANDING_SETTLE_MS: 0,
        LANDING_RANGE_ROWS_MAX: 4,
        ...settings,
      },
      dataDir: dir,
      warehouse,
      state,
      telemetry,
      contracts: CONTRACTS,
      validators: VALIDATORS,
      readParquet: parquetLines,
      copyWithout,
      signingKey: SIGNING_KEY,
      now: () => nowMs,
      faultPoint,
      onChange: (file) => changes.push(file),
      onCommit: () => undefined,
      ...more,
    });
    return landing;
  }

  const at = (path: string): string => join(dir, 'landing', path);
  async function put(path: string, content: string | Buffer): Promise<void> {
    await mkdir(at('trips'), { recursive: true });
    await writeFile(at(path), content);
  }
  async function putParquet(path: string, count: number): Promise<void> {
    await put('trips/parquet.csv.part', tripsFile(count));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const typed = `SELECT * REPLACE (CAST(datetime AS TIMESTAMP) AS datetime) FROM read_csv('${at('trips/parquet.csv.part')}', all_varchar = true)`;
    await connection.run(`COPY (${typed}) TO '${at('trips/parquet.part')}' (FORMAT parquet)`);
    instance.closeSync();
    await rename(at('trips/parquet.part'), at(path));
  }
  async function take(path: string, content: string | Buffer, settings: Partial<Config> = {}): Promise<LandingFile> {
    await put(path, content);
    await (await open(settings)).settled();
    return only(path);
  }
  async function only(path: string): Promise<LandingFile> {
    const files = (await state.landingFiles()).filter((file) => file.path === path);
    assert.equal(files.length, 1, `${files.length} files were at ${path}`);
    return files[0] as LandingFile;
  }
  async function rowsStored(dataset = 'trips'): Promise<number> {
    return (await warehouse.counts())[dataset]?.stored ?? 0;
  }
  async function auditSteps(): Promise<readonly string[]> {
    return (await warehouse.audit({ limit: 100 })).map(({ step }) => step);
  }
  async function metric(name: string): Promise<number> {
    const line = (await telemetry.render()).split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  }

  describe('takes', () => {
    it('a CSV by ranges into the warehouse and moves it to the archive, with audit, receipt and metrics', async () => {
      const file = await take('trips/a.csv', tripsFile(10));
      assert.equal(file.state, 'done');
      assert.deepEqual(file.counts, { read: 10, stored: 10, duplicate: 0, quarantined: 0, rejected: 0 });
      assert.equal(await rowsStored(), 10);
      assert.deepEqual(await readdir(at('trips')), []);
      assert.equal(file.movedTo, `archive/trips/${file.fileId}-a.csv`);
      assert.equal(await readFile(join(dir, file.movedTo), 'utf8'), tripsFile(10));
      assert.deepEqual((await auditSteps()).toSorted(), ['landing.archive', ...Array(3).fill('landing.range')]);
      const receipt = readReceiptId(file.receipt ?? '', SIGNING_KEY);
      assert.equal(receipt.accepted, 10);
      assert.equal((await warehouse.requestOutcome(receipt.requestId)).stored, 10);
      assert.equal(await metric('vigia_landing_step_duration_seconds_count{step="range",outcome="ok"}'), 3);
      assert.equal(await metric('vigia_landing_files_total{outcome="done"}'), 1);
      assert.equal(await metric('vigia_records_total{dataset="trips",outcome="stored"}'), 10);
      assert.deepEqual(await readdir(join(dir, 'work')), [], 'no work file is left');
      assert.deepEqual(
        [...new Set(changes.map((change) => change.state))],
        ['waiting', 'checking', 'storing', 'done'],
        'each change is told',
      );
    });

    it('NDJSON and gzip, and a file that names its dataset', async () => {
      const line = (place: string): string =>
        JSON.stringify({
          region: place,
          origin_coord: 'POINT (7.67 44.99)',
          destination_coord: 'POINT (7.7 45)',
          datetime: '2018-05-21 02:00:00',
          datasource: 'x',
        });
      await put('trips-2018.ndjson', `${line('A')}\n${line('B')}`);
      await put('trips/b.jsonl.gz', gzipSync(`${line('C')}\n`));
      await put('trips/c.csv.gz', Buffer.concat([gzipSync(`${HEADER}\n`), gzipSync(`${trip(1)}\n`)]));
      await (await open()).settled();
      const files = await state.landingFiles();
      assert.deepEqual(
        files.map((file) => file.state),
        ['done', 'done', 'done'],
      );
      assert.equal(await rowsStored(), 4);
    });

    it('Parquet, and goes on in the middle of one', async () => {
      await putParquet('trips/a.parquet', 10);
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-range-stored') throw new Error('ended');
          },
        },
      );
      await opened.settled();
      assert.equal(await rowsStored(), 4);
      nowMs += 120_000;
      await (await open()).settled();
      const file = await only('trips/a.parquet');
      assert.deepEqual(file.counts, { read: 10, stored: 10, duplicate: 0, quarantined: 0, rejected: 0 });
      assert.deepEqual(await readdir(join(dir, 'work')), []);
    });

    it('Parquet from the file that was checked, whatever has its name meanwhile', async () => {
      await putParquet('elsewhere', 5);
      await rename(at('elsewhere'), join(dir, 'secret.parquet'));
      const name = 'trips/[a]*.parquet';
      await putParquet(name, 3);
      const readParquet: LandingParts['readParquet'] = async function* (options) {
        await rename(at(name), at('trips/.aside'));
        await symlink(join(dir, 'secret.parquet'), at(name));
        yield* parquetLines(options);
        await rename(at('trips/.aside'), at(name));
      };
      await (await open({}, { readParquet })).settled();
      const file = await only(name);
      assert.deepEqual([file.state, file.counts.stored], ['done', 3]);
    });

    it('a file whose name is as long as names may be: shortened in the archive, its ending kept', async () => {
      const name = `${'ü'.repeat(123)}aa.csv.gz`;
      assert.equal(Buffer.byteLength(name), 255);
      const file = await take(`trips/${name}`, gzipSync(tripsFile(2)));
      assert.equal(file.state, 'done');
      assert.equal(file.movedTo, `archive/trips/${file.fileId}-${'ü'.repeat(91)}~.csv.gz`);
      assert.deepEqual(await readdir(join(dir, 'archive', 'trips')), [basename(file.movedTo)]);
      const other = `${'ü'.repeat(123)}bb.csv.gz`;
      const refused = await take(`trips/${other}`, 'nope');
      assert.equal(refused.movedTo, `landing/trips/${'ü'.repeat(119)}~.csv.gz.refused`);
      assert.deepEqual(await readdir(at('trips')), [basename(refused.movedTo)]);
    });

    it('the same file again as nothing new, and of a longer one only what it adds', async () => {
      await take('trips/a.csv', tripsFile(6));
      const again = await take('trips/renamed.csv', tripsFile(6));
      assert.equal(again.state, 'skipped');
      assert.equal(again.movedTo, (await only('trips/a.csv')).movedTo);
      assert.equal((await readdir(join(dir, 'archive', 'trips'))).length, 1, 'no second copy');
      assert.deepEqual(await readdir(at('trips')), []);
      const [skip] = await warehouse.audit({ step: 'landing.skip', limit: 2 });
      assert.deepEqual([skip?.source, skip?.target], ['landing/trips/renamed.csv', again.movedTo]);
      const longer = await take('trips/longer.csv', tripsFile(16));
      assert.deepEqual(longer.counts, { read: 16, stored: 10, duplicate: 6, quarantined: 0, rejected: 0 });
      assert.equal(await rowsStored(), 16);
    });

    it('the same file again as nothing new, also when ranges have become larger', async () => {
      const content = `${tripsFile(6)}bad\n`;
      await take('trips/a.csv', content);
      const again = await take('trips/renamed.csv', content, { LANDING_RANGE_ROWS_MAX: 5 });
      assert.equal(again.state, 'skipped');
      assert.equal((await warehouse.quarantine({ limit: 10 })).length, 1);
    });

    it('the same bytes for another dataset as another file', async () => {
      const line = '{"nope":1}\n';
      assert.equal((await take('trips/x.ndjson', line)).counts.rejected, 1);
      assert.equal((await take('flights/x.ndjson', line)).state, 'done');
    });

    it('a file of bad rows only: all in quarantine, none stored', async () => {
      const file = await take('trips/bad.csv', `${HEADER}\na\nb,c\n`);
      assert.equal(file.state, 'done');
      assert.deepEqual(file.counts, { read: 2, stored: 0, duplicate: 0, quarantined: 0, rejected: 2 });
      const rows = await warehouse.quarantine({ limit: 10 });
      assert.deepEqual(rows.map(({ code, index }) => [code, index]).sort(), [
        ['RECORD_MALFORMED', 0],
        ['RECORD_MALFORMED', 1],
      ]);
    });

    it('bad records of any length below the limit: all in quarantine', async () => {
      const lines = `{"region":"${'x'.repeat(700_000)}"}\n`.repeat(30);
      const file = await take('trips/long.ndjson', lines, { LANDING_RANGE_ROWS_MAX: 100 });
      assert.deepEqual([file.state, file.counts.rejected], ['done', 30]);
    });

    it('a record over the limit as one reject, without holding it', async () => {
      const huge = 'x'.repeat(3_000_000);
      const file = await take('trips/huge.csv', `${HEADER}\n${trip(1)}\n${huge}\n${trip(2)}\n`);
      assert.deepEqual([file.counts.stored, file.counts.rejected], [2, 1]);
      const [reject] = await warehouse.quarantine({ limit: 10 });
      assert.deepEqual([reject?.code, reject?.index, reject?.bodyBytes], ['RECORD_TOO_LARGE', 1, 3_000_000]);
    });
  });

  describe('refuses, names the reason, and stores nothing of', () => {
    const cases: readonly (readonly [string, string, string | Buffer, Partial<Config>?])[] = [
      ['BODY_EMPTY', 'trips/empty.csv', ''],
      ['BODY_EMPTY', 'trips/header.csv', `${HEADER}\n`],
      ['CSV_HEADER_WRONG', 'trips/wrong.csv', `region,nope\n${trip(1)}\n`],
      ['MALFORMED_UTF8', 'trips/binary.csv', Buffer.from([0x50, 0x4b, 3, 4, 0xff, 0xfe, 0, 10])],
      ['MALFORMED_CSV', 'trips/quote.csv', `${tripsFile(9)}Tu"rin,\n`],
      ['BODY_INCOMPLETE', 'trips/cut.csv.gz', gzipSync(tripsFile(500)).subarray(0, -30)],
      ['MALFORMED_GZIP', 'trips/plain.csv.gz', tripsFile(2)],
      ['FILE_TOO_LARGE', 'trips/bomb.csv.gz', gzipSync(tripsFile(500)), { LANDING_INFLATED_BYTES_MAX: 2_000 }],
      ['MALFORMED_PARQUET', 'trips/none.parquet', tripsFile(2)],
      ['FILE_NAME_UNKNOWN', 'trips/a.xlsx', tripsFile(2)],
      ['FILE_NAME_UNKNOWN', 'unknown.csv', tripsFile(2)],
    ];
    for (const [code, path, content, settings] of cases) {
      it(`${path}: ${code}`, async () => {
        const file = await take(path, content, settings);
        assert.deepEqual([file.state, file.error?.code], ['refused', code]);
        assert.ok(file.error?.message.startsWith(`${code}: `));
        assert.equal(file.movedTo, `landing/${path}.refused`);
        assert.deepEqual(await readFile(join(dir, file.movedTo)), Buffer.from(content));
        assert.equal(await rowsStored(), 0);
        const [audited] = await warehouse.audit({ limit: 1 });
        assert.deepEqual([audited?.step, audited?.outcome, audited?.error], ['landing.refuse', 'failed', code]);
        assert.deepEqual(await warehouse.quarantine({ limit: 1 }), []);
        await landing?.settled();
        assert.equal((await state.landingFiles()).length, 1, 'a refused file is not looked at again');
        assert.deepEqual(await readdir(join(dir, 'work')), []);
      });
    }

    it('a link to a file elsewhere, and a file with a second name, unread', async () => {
      const secret = join(dir, 'secret.csv');
      await writeFile(secret, tripsFile(3));
      await mkdir(at('trips'), { recursive: true });
      await symlink(secret, at('trips/soft.csv'));
      await link(secret, at('trips/hard.csv'));
      await (await open()).settled();
      for (const path of ['trips/soft.csv', 'trips/hard.csv']) {
        const file = await only(path);
        assert.deepEqual([file.state, file.error?.code], ['refused', 'FILE_NOT_REGULAR']);
      }
      assert.equal(await rowsStored(), 0);
      assert.equal(await readFile(secret, 'utf8'), tripsFile(3));
    });

    it('a file whose name is not UTF-8: told once, left where it lies', async () => {
      const name = Buffer.concat([Buffer.from(at('trips/caf')), Buffer.from([0xe9]), Buffer.from('.csv')]);
      await mkdir(at('trips'), { recursive: true });
      await writeFile(name, tripsFile(2));
      const opened = await open();
      await opened.settled();
      const told = changes.length;
      await opened.settled();
      const file = await only('trips/caf\ufffd.csv');
      assert.deepEqual([file.state, file.error?.code, file.movedTo], ['refused', 'FILE_NAME_UNKNOWN', undefined]);
      assert.equal(changes.length, told);
      assert.equal(await readFile(name, 'utf8'), tripsFile(2));
    });

    it('a second file of the same name, beside the first', async () => {
      await take('trips/a.csv', 'nope\n1\n');
      await writeFile(at('trips/a.csv'), 'other\n1\n');
      await landing?.settled();
      assert.deepEqual((await readdir(at('trips'))).sort(), ['a.csv.2.refused', 'a.csv.refused']);
    });
  });

  describe('waits', () => {
    it('until a file does not change any more', async () => {
      await put('trips/a.csv', tripsFile(2));
      const opened = await open({ LANDING_SETTLE_MS: 2_000 });
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'waiting');
      nowMs += 1_999;
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'waiting');
      assert.equal(await rowsStored(), 0);
      nowMs += 1;
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'done');
    });

    it('for nothing when a whole file was moved in, and for ever for one that is being written', async () => {
      await put('trips/a.csv.part', tripsFile(2));
      await put('trips/.b.csv', tripsFile(2));
      await utimes(at('trips/a.csv.part'), 1_000, 1_000);
      const opened = await open({ LANDING_SETTLE_MS: 2_000 });
      await opened.settled();
      assert.deepEqual(await state.landingFiles(), []);
      await rename(at('trips/a.csv.part'), at('trips/a.csv'));
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'done');
    });
  });

  it('calls no file gone that a look did not come to', async () => {
    await put('trips/a.csv', tripsFile(2));
    await put('trips/b.csv', tripsFile(3));
    await (await open({ LANDING_SETTLE_MS: 2_000 })).settled();
    const limited = await open({ LANDING_SETTLE_MS: 2_000 }, { filesMax: 1 });
    await limited.settled();
    nowMs += 2_000;
    await limited.settled();
    assert.deepEqual([(await only('trips/a.csv')).state, (await only('trips/b.csv')).state], ['done', 'done']);
  });

  describe('goes on', () => {
    it('at the first range that is not stored, after an end in the middle', async () => {
      await put('trips/a.csv', tripsFile(10));
      let ranges = 0;
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-range-stored') ranges += 1;
            if (ranges === 2) throw new Error('ended');
          },
        },
      );
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'retrying');
      assert.equal(await rowsStored(), 8);
      nowMs += 120_000;
      await (await open()).settled();
      const file = await only('trips/a.csv');
      assert.equal(file.state, 'done');
      assert.deepEqual(file.counts, { read: 10, stored: 10, duplicate: 0, quarantined: 0, rejected: 0 });
      assert.equal(await rowsStored(), 10);
      assert.equal((await auditSteps()).filter((step) => step === 'landing.range').length, 3, 'each range once');
    });

    it('after a stop, which waits for the range that is being stored and for no more', async () => {
      await put('trips/a.csv', tripsFile(10));
      const stops: Promise<void>[] = [];
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-range-stored') stops.push(opened.stop());
          },
        },
      );
      await opened.settled();
      await Promise.all(stops);
      assert.equal(await rowsStored(), 4);
      const { state: stopped, attempts } = await only('trips/a.csv');
      assert.deepEqual([stopped, attempts], ['storing', 0], 'a stop is no failure');
      await (await open()).settled();
      assert.deepEqual((await only('trips/a.csv')).counts.stored, 10);
    });

    it('with a compressed file too, which is inflated again', async () => {
      await put('trips/a.csv.gz', gzipSync(tripsFile(10)));
      const first = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-range-stored') throw new Error('ended');
          },
        },
      );
      await first.settled();
      assert.equal(await rowsStored(), 4);
      nowMs += 120_000;
      await (await open()).settled();
      assert.deepEqual((await only('trips/a.csv.gz')).counts.stored, 10);
    });

    for (const [ending, pack] of [
      ['csv', Buffer.from],
      ['csv.gz', gzipSync],
    ] as const) {
      it(`with other limits than before (${ending}): no bad record comes twice`, async () => {
        const path = `trips/a.${ending}`;
        await put(path, pack(`${HEADER}\nbad\n${trip(1)}\nbad\n${trip(3)}\n${trip(4)}\nbad\n${trip(6)}\n`));
        const ends = (name: string): void => {
          if (name === 'landing-range-stored') throw new Error('ended');
        };
        await (await open({ LANDING_RANGE_ROWS_MAX: 3 }, { faultPoint: ends })).settled();
        assert.equal((await warehouse.quarantine({ limit: 10 })).length, 2);
        // Elsewhere and back: what was noted of it beside the ledger is forgotten.
        await rename(at(path), join(dir, 'aside'));
        await landing?.settled();
        await rename(join(dir, 'aside'), at(path));
        await utimes(at(path), 1_000, 1_000);
        await (await open({ LANDING_RANGE_ROWS_MAX: 5 })).settled();
        const [file] = (await state.landingFiles()).filter((one) => one.state === 'done');
        assert.deepEqual(file?.counts, { read: 7, stored: 4, duplicate: 0, quarantined: 0, rejected: 3 });
        const apart = await warehouse.quarantine({ limit: 10 });
        assert.deepEqual(apart.map(({ index }) => index).sort(), [0, 2, 5]);
      });
    }

    it('when the end came between the move and the note of it', async () => {
      await put('trips/a.csv', tripsFile(3));
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-archived') throw new Error('ended');
          },
        },
      );
      await opened.settled();
      assert.notEqual((await only('trips/a.csv')).state, 'done');
      await (await open()).settled();
      const file = await only('trips/a.csv');
      assert.equal(file.state, 'done');
      assert.ok(file.receipt);
      assert.equal(file.counts.stored, 3);
    });

    it('after a failure that passed, with a growing pause, the file where it was', async () => {
      await put('trips/a.csv', tripsFile(3));
      const opened = await open({ BACKOFF_MIN_MS: 1_000 });
      await rename(join(dir, 'work'), join(dir, 'elsewhere'));
      await opened.settled();
      const file = await only('trips/a.csv');
      assert.deepEqual([file.state, file.error?.code, file.attempts], ['retrying', 'FILE_UNREADABLE', 1]);
      assert.equal(file.retryAtMs, nowMs + 1_000);
      assert.ok(!file.error?.message.includes(dir), 'no path of ours is shown');
      assert.ok(!file.error?.message.includes('open'), 'nor what the system says');
      nowMs += 1_000;
      await opened.settled();
      assert.equal((await only('trips/a.csv')).retryAtMs, nowMs + 2_000);
      await rename(join(dir, 'elsewhere'), join(dir, 'work'));
      nowMs += 2_000;
      await opened.settled();
      assert.equal((await only('trips/a.csv')).state, 'done');
    });

    it('with what a file became that changed while it was read', async () => {
      await put('trips/a.csv', tripsFile(10));
      let changed = false;
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name !== 'landing-range-stored' || changed) return;
            changed = true;
            appendFileSync(at('trips/a.csv'), `${trip(10)}\n`);
          },
        },
      );
      await opened.settled();
      await opened.settled();
      const files = (await state.landingFiles()).toSorted((one, other) => one.state.localeCompare(other.state));
      assert.deepEqual(
        files.map((file) => [file.state, file.error?.code]),
        [
          ['done', undefined],
          ['gone', 'FILE_CHANGED'],
        ],
      );
      assert.equal(await rowsStored(), 11, 'no row is lost or doubled');
    });

    it('without a file that was deleted while it was read', async () => {
      await put('trips/a.csv', tripsFile(10));
      await put('trips/b.csv', tripsFile(2));
      const opened = await open(
        {},
        {
          faultPoint: (name) => {
            if (name === 'landing-checked') unlinkSync(at(`trips/${nowMs === START_MS ? 'a' : 'none'}.csv`));
          },
        },
      );
      await opened.settled();
      const file = await only('trips/a.csv');
      assert.deepEqual([file.state, file.error?.code], ['gone', 'FILE_GONE']);
    });
  });
});
