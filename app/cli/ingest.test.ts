import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openService } from '../main.ts';
import type { LandingFile } from '../state/landing-file.ts';
import { runScript } from './command-process.contract.ts';
import { progressLine, summaryOf } from './ingest-progress.ts';

const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';
const TRIP = 'Turin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:54:04,baba_car';

describe('npm run ingest', function () {
  this.timeout(30_000);
  let folder: string;
  let dataDir: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vigia-ingest-'));
    dataDir = join(folder, 'data');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const settings = { PORT: '0', METRICS_PORT: '0', LOG_LEVEL: 'silent', SAMPLE_DATA: 'off', LANDING_LOOK_MS: '50' };
  const ingest = (...args: readonly string[]) => runScript('ingest', args, { ...settings, DATA_DIR: dataDir });
  async function file(name: string, ...lines: readonly string[]): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, lines.map((line) => `${line}\n`).join(''));
    return path;
  }

  it('hands files to the running service, follows them, and says by its exit code how it went', async () => {
    const service = await openService(readConfig({ ...settings, DATA_DIR: dataDir }));
    try {
      const good = await ingest(await file('good.csv', HEADER, TRIP, TRIP), '--dataset', 'trips');
      assert.equal(good.stderr, '');
      assert.match(good.stdout, /^trips\/good\.csv: stored 2, duplicate 0, quarantined 0, rejected 0 of 2 rows/);
      assert.equal(good.code, 0);
      const mixed = await ingest(await file('mixed.csv', HEADER, TRIP, 'x'), '--dataset', 'trips');
      assert.match(mixed.stdout, /stored 0, duplicate 1, quarantined 0, rejected 1 of 2 rows/);
      assert.equal(mixed.code, 2);
      const wrong = await ingest(await file('wrong.csv', 'nope', '1'), '--dataset', 'trips');
      assert.match(
        wrong.stdout,
        /^trips\/wrong\.csv: refused; now landing\/trips\/wrong\.csv\.refused\. CSV_HEADER_WRONG: /,
      );
      assert.equal(wrong.code, 1);
      const answer = await fetch(`${service.url}/v1/landing?state=done`);
      const { data } = (await answer.json()) as { data: { path: string; receipt: string }[] };
      assert.deepEqual(
        data.map(({ path }) => path),
        ['trips/mixed.csv', 'trips/good.csv'],
      );
      const receipt = await fetch(`${service.url}/v1/receipts/${data[0]?.receipt}`);
      const { states, rejected } = (await receipt.json()) as { states: { duplicate: number }; rejected: number };
      assert.deepEqual([states.duplicate, rejected], [1, 1]);
      const { trips } = (await service.equation()).datasets;
      assert.deepEqual([trips?.accepted, trips?.stored, trips?.duplicate, trips?.difference], [3, 2, 1, 0]);
    } finally {
      await service.stop({ reason: 'the test is over' });
    }
  });

  it('is the service itself where none runs, and leaves the folder free', async () => {
    const path = await file('good.csv', HEADER, TRIP);
    assert.equal((await ingest(path, '--dataset', 'trips')).code, 0);
    const again = await ingest(path, '--dataset', 'trips');
    assert.match(again.stdout, /skipped, all of it was stored before/);
    assert.equal(again.code, 0);
    assert.deepEqual(await readdir(join(dataDir, 'landing', 'trips')), []);
    assert.equal((await readdir(join(dataDir, 'archive', 'trips'))).length, 1);
  });

  it('takes nothing that it cannot name, and says how to say it', async () => {
    const path = await file('good.csv', HEADER, TRIP);
    for (const args of [[], [path], [path, '--dataset', 'nope'], [await file('a.xlsx'), '--dataset', 'trips']]) {
      const { code, stderr } = await ingest(...args);
      assert.equal(code, 64, args.join(' '));
      assert.match(stderr, /npm run ingest -- FILE/);
    }
    const none = await ingest(join(folder, 'none.csv'), '--dataset', 'trips');
    assert.deepEqual([none.code, none.stderr], [1, `There is no ${join(folder, 'none.csv')}.\n`]);
  });
});

describe('the progress of an ingestion', () => {
  const file: LandingFile = {
    id: 'f',
    path: 'trips/a.csv',
    dataset: 'trips',
    bytes: 1,
    state: 'storing',
    seenAtMs: 0,
    changedAtMs: 0,
    takenAtMs: 1_000,
    records: 400,
    counts: { read: 100, stored: 97, duplicate: 0, quarantined: 0, rejected: 3 },
    attempts: 0,
  };

  it('tells rows, rows a second, rejected ones and the time left', () => {
    assert.equal(
      progressLine([file], 3_000),
      'trips/a.csv: ██████░░░░░░░░░░░░░░░░░░ 100 of 400 rows, 50 rows/s, 3 rejected, 6 s left',
    );
    const waiting = { ...file, id: 'g', path: 'trips/b.csv', state: 'waiting' } as const;
    assert.equal(progressLine([{ ...file, state: 'done' }, waiting], 3_000), '1 of 2 files, trips/b.csv: waiting');
  });

  it('ends with what became of each file', () => {
    const error = { code: 'BODY_EMPTY', message: 'BODY_EMPTY: the file holds no record.' };
    assert.equal(
      summaryOf({ ...file, state: 'refused', error, movedTo: 'landing/trips/a.csv.refused' }),
      'trips/a.csv: refused; now landing/trips/a.csv.refused. BODY_EMPTY: the file holds no record.',
    );
  });
});
