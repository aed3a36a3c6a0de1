/**
 * A file of 20,000,000 trips (ROWS=N for another number; 130 bytes a row, the disk needs four times that): taken with
 * flat memory, its progress told all the while, the API answering, and every group counted as plain SQL counts the file.
 */
import { DuckDBInstance } from '@duckdb/node-api';
import { type LandingService, startLandingService } from '../landing-service.ts';
import { growthWhile } from '../resident-memory.ts';
import { getJson, settledEquation } from '../stored-records.ts';
import { writeTripsFile } from '../trips-file.ts';
import { answersWhile } from './answering.ts';

const ROWS = Number(process.env['ROWS'] ?? '20000000');
const RANGE_ROWS = 100_000;
const GROWTH_MB_MAX = 400;
/** Of the ranges, how many a follower must at least have seen come: a look takes longer than a range when all is busy. */
const PROGRESS_SHARE_MIN = 0.5;

const landing = await startLandingService();
try {
  process.exitCode = await drill(landing);
} finally {
  await landing.remove();
}

async function drill({ service, draft, land, stop }: LandingService): Promise<number> {
  await writeTripsFile({ path: draft, rows: ROWS, seed: 2 });
  const expected = await groupsOf(draft);
  const progress = new Set<number>();
  const taken = await growthWhile(service.pid, () =>
    answersWhile(service, () => land({ onLook: ({ read }) => progress.add(read) })),
  );
  const { done, answers } = taken.done;
  const equation = await settledEquation(service);
  const stored = await storedGroups(service);
  const wrong = [...expected].filter(([group, count]) => stored.get(group) !== count);
  await stop();
  console.log(
    `rows=${ROWS} stored=${equation.stored} seconds=${done.seconds.toFixed(0)} rows_per_second=${Math.round(ROWS / done.seconds)} rss_growth_mb=${taken.growthMb.toFixed(0)} progress_seen=${progress.size} groups=${stored.size} wrong_groups=${wrong.length} slowest_answer_ms=${answers.slowestMs.toFixed(0)} failed_answers=${answers.failed}`,
  );
  const right = equation.stored === ROWS && equation.difference === 0;
  const counted = wrong.length === 0 && stored.size === expected.size;
  const told = progress.size >= (ROWS / RANGE_ROWS) * PROGRESS_SHARE_MIN;
  return right && counted && told && taken.growthMb <= GROWTH_MB_MAX && answers.failed === 0 ? 0 : 1;
}

/** `region,datasource` → rows, by DuckDB alone. */
async function groupsOf(path: string): Promise<ReadonlyMap<string, number>> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    const counted = await connection.runAndReadAll(
      `SELECT region || ',' || datasource, count(*)::DOUBLE FROM read_csv('${path}', header = true, all_varchar = true) GROUP BY 1`,
    );
    return new Map(counted.getRows().map(([group, count]) => [String(group), Number(count)]));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

interface Group {
  readonly region: string;
  readonly datasource: string;
  readonly count: number;
}

async function storedGroups(service: LandingService['service']): Promise<ReadonlyMap<string, number>> {
  const query = 'measure=count&by=region&by=datasource';
  const { data } = await getJson<{ readonly data: readonly Group[] }>(
    service,
    `/v1/datasets/trips/aggregates?${query}`,
  );
  return new Map(data.map(({ region, datasource, count }) => [`${region},${datasource}`, count]));
}
