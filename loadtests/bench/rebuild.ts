/**
 * Silver and gold from bronze: how much longer the service takes to listen on a folder whose database file is gone.
 * Gold is views over silver, so it is there when silver is. Half of the rows came by file, half over HTTP.
 */
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type LandingService, startLandingService } from '../landing-service.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { settledEquation, type Terms } from '../stored-records.ts';
import { type Trips, withTrips } from './files.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { TRACING_OFF } from './post-one.ts';
import { ndjsonOf } from './records.ts';
import { leastResult, type Result } from './results.ts';

const ROWS_A_HALF = 1_000_000;
const ROWS_A_REQUEST = 10_000;
const ROWS_A_SECOND_MIN = 200_000;

export const rebuild: Measurement = {
  name: 'rebuild',
  about: 'silver and gold from bronze, 2,000,000 rows, half of them by file; rows/s beyond a start that finds them',
  measure: (options) => withTrips(Math.round(ROWS_A_HALF * options.scale), (trips) => measure(options, trips)),
};

async function measure(options: MeasurementOptions, trips: Trips): Promise<readonly Result[]> {
  const landing = await startLandingService();
  try {
    const stored = await fill(landing, trips);
    await landing.stop();
    const values: number[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      const found = await startAndStop(landing.dataDir, stored);
      for (const name of ['warehouse.duckdb', 'warehouse.duckdb.wal'])
        await rm(join(landing.dataDir, name), { force: true });
      const made = await startAndStop(landing.dataDir, stored);
      values.push(stored / (made - found));
      options.say(
        `  round ${round + 1}: ${Math.round(stored / (made - found))} rows/s; listening after ${made.toFixed(1)} s against ${found.toFixed(1)} s`,
      );
    }
    return [leastResult({ name: 'silver and gold from bronze, rows/s', values, least: ROWS_A_SECOND_MIN })];
  } finally {
    await landing.remove();
  }
}

async function fill({ service, draft, land }: LandingService, { path, rows }: Trips): Promise<number> {
  await copyFile(path, draft);
  await land();
  for (let number = 0; number < rows; number += ROWS_A_REQUEST) {
    const numbers = Array.from({ length: Math.min(ROWS_A_REQUEST, rows - number) }, (_, at) => number + at);
    await post(service, ndjsonOf(numbers));
  }
  await requireStored(service, 2 * rows);
  return 2 * rows;
}

async function post(service: ServiceProcess, body: string): Promise<void> {
  const headers = { 'Content-Type': 'application/x-ndjson' };
  const response = await fetch(`${service.url}/v1/datasets/flights/records`, { method: 'POST', headers, body });
  const text = await response.text();
  if (response.status !== 202) throw new Error(`POST answered ${response.status}: ${text}`);
}

/** Seconds from the process's start until it listened. */
async function startAndStop(dataDir: string, stored: number): Promise<number> {
  const startedAt = performance.now();
  const service = await startService({ dataDir, env: TRACING_OFF });
  const seconds = (performance.now() - startedAt) / 1000;
  try {
    await requireStored(service, stored);
  } finally {
    service.kill('SIGTERM');
  }
  const { code } = await service.ended;
  if (code !== 0) throw new Error(`the service ended with ${code}:\n${service.output()}`);
  return seconds;
}

async function requireStored(service: ServiceProcess, stored: number): Promise<void> {
  const equation: Terms = await settledEquation(service);
  if (equation.stored !== stored || equation.difference !== 0)
    throw new Error(`${stored} rows are expected, and the service says ${JSON.stringify(equation)}`);
}
