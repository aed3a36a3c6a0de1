/** A CSV file of trips from the landing folder into bronze and silver, against DuckDB's own reader into a table. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { type LandingService, startLandingService } from '../landing-service.ts';
import { growthWhile } from '../resident-memory.ts';
import { settledEquation } from '../stored-records.ts';
import { writeTripsFile } from '../trips-file.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { mostResult, type Result, rateResult } from './results.ts';

const ROWS = 1_000_000;
const ROWS_LARGE = 20_000_000;
/** The service's own setting (WAREHOUSE_THREADS). */
const THREADS = 1;
const GROWTH_MB_MAX = 400;
const SEED = 1;

export const files: Measurement = {
  name: 'files',
  about: '1,000,000-row CSV of trips into bronze and silver; rows/s against DuckDB read_csv into a table; RSS growth',
  measure: (options) => withTrips(Math.round(ROWS * options.scale), (trips) => measureFiles(options, trips)),
};

export const filesLarge: Measurement = {
  name: 'files-20m',
  about: 'the same for 20,000,000 rows against its own rate for 1,000,000; needs 12 GB of disk; ~10 min',
  asked: true,
  measure: (options) => withTrips(Math.round(ROWS * options.scale), (trips) => measureLarge(options, trips)),
};

export interface Trips {
  readonly path: string;
  readonly rows: number;
}

/** Written once; removed afterwards. */
export async function withTrips<T>(rows: number, act: (trips: Trips) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-bench-'));
  try {
    const trips = { path: join(folder, 'trips.csv'), rows };
    await writeTripsFile({ ...trips, seed: SEED });
    return await act(trips);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measureFiles(options: MeasurementOptions, trips: Trips): Promise<readonly Result[]> {
  const baselines: number[] = [];
  const values: number[] = [];
  const growthsMb: number[] = [];
  await readCsv(trips);
  for (let round = 0; round < options.rounds; round += 1) {
    const alone = await readCsv(trips);
    const own = await landCopy(trips);
    baselines.push(alone);
    values.push(own.rate);
    growthsMb.push(own.growthMb);
    options.say(`  round ${round + 1}: ${said(own)} against ${Math.round(alone)} rows/s`);
  }
  const name = `${trips.rows.toLocaleString('en-US')}-row CSV into bronze and silver, rows/s`;
  return [
    rateResult({ name, baselines, values, ratioMin: 0.15 }),
    mostResult({ name: 'the same, RSS growth, MB', value: Math.max(...growthsMb), most: GROWTH_MB_MAX }),
  ];
}

/** The large file once: it takes minutes, and the small ones before and after it show whether the machine changed. */
async function measureLarge(options: MeasurementOptions, trips: Trips): Promise<readonly Result[]> {
  const rows = Math.round(ROWS_LARGE * options.scale);
  const before = await landCopy(trips);
  options.say(`  ${trips.rows} rows: ${said(before)}`);
  const large = await landLarge(rows);
  options.say(`  ${rows} rows: ${said(large)}`);
  const after = await landCopy(trips);
  options.say(`  ${trips.rows} rows: ${said(after)}`);
  const baselines = [(before.rate + after.rate) / 2];
  const name = `the same for ${rows.toLocaleString('en-US')} rows, rows/s`;
  return [
    rateResult({ name, baselines, values: [large.rate], ratioMin: 0.8 }),
    mostResult({ name: 'the same for 20 times as many, RSS growth, MB', value: large.growthMb, most: GROWTH_MB_MAX }),
  ];
}

interface Landed {
  readonly rate: number;
  readonly growthMb: number;
}

function said({ rate, growthMb }: Landed): string {
  return `${Math.round(rate)} rows/s, RSS + ${Math.round(growthMb)} MB`;
}

/** In a new folder each time: the same bytes again would be passed over. */
async function landCopy({ path, rows }: Trips): Promise<Landed> {
  return inNewFolder(rows, (landing) => copyFile(path, landing.draft));
}

async function landLarge(rows: number): Promise<Landed> {
  return inNewFolder(rows, (landing) => writeTripsFile({ path: landing.draft, rows, seed: SEED + 1 }));
}

async function inNewFolder(rows: number, write: (landing: LandingService) => Promise<void>): Promise<Landed> {
  const landing = await startLandingService();
  try {
    await write(landing);
    const { done, growthMb } = await growthWhile(landing.service.pid, () => landing.land());
    const equation = await settledEquation(landing.service);
    if (equation.stored !== rows || equation.difference !== 0)
      throw new Error(`${rows} rows were in the file, and the service says ${JSON.stringify(equation)}`);
    await landing.stop();
    return { rate: rows / done.seconds, growthMb };
  } finally {
    await landing.remove();
  }
}

/** Rows a second, into a file on the same disk. */
async function readCsv({ path, rows }: Trips): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-bench-'));
  const instance = await DuckDBInstance.create(join(folder, 'trips.duckdb'), { threads: String(THREADS) });
  const connection = await instance.connect();
  try {
    const startedAt = performance.now();
    await connection.run(
      `CREATE TABLE trips AS SELECT * FROM read_csv('${path}', header = true, columns = {region: 'VARCHAR',
       origin_coord: 'VARCHAR', destination_coord: 'VARCHAR', datetime: 'TIMESTAMP', datasource: 'VARCHAR'})`,
    );
    const seconds = (performance.now() - startedAt) / 1000;
    const [counted] = (await connection.runAndReadAll('SELECT count(*)::DOUBLE FROM trips')).getRows();
    if (counted?.[0] !== rows) throw new Error(`read_csv found ${String(counted?.[0])} rows of ${rows}`);
    return rows / seconds;
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(folder, { recursive: true });
  }
}
