/**
 * A line of 1 GB (LINE_BYTES=N for another size) between good ones: the line is set apart with its code, the others are
 * stored, memory stays flat, the API answers.
 */
import { open } from 'node:fs/promises';
import { type LandingService, startLandingService } from '../landing-service.ts';
import { growthWhile } from '../resident-memory.ts';
import { getJson, settledEquation } from '../stored-records.ts';
import { answersWhile } from './answering.ts';

const LINE_BYTES = Number(process.env['LINE_BYTES'] ?? '1000000000');
const PIECE_BYTES = 1_000_000;
const GOOD_ROWS = 100;
const GROWTH_MB_MAX = 400;
const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';

const landing = await startLandingService();
try {
  process.exitCode = await drill(landing);
} finally {
  await landing.remove();
}

async function drill({ service, draft, land, stop }: LandingService): Promise<number> {
  await writeLongLine(draft);
  const taken = await growthWhile(service.pid, () => answersWhile(service, () => land()));
  const { done, answers } = taken.done;
  const equation = await settledEquation(service);
  const { data } = await getJson<{ readonly data: readonly { readonly code: string; readonly index: number }[] }>(
    service,
    '/v1/quarantine?dataset=trips',
  );
  await stop();
  const [one] = data;
  console.log(
    `line_bytes=${LINE_BYTES} stored=${equation.stored} set_apart=${data.length} code=${one?.code} seconds=${done.seconds.toFixed(1)} rss_growth_mb=${taken.growthMb.toFixed(0)} slowest_answer_ms=${answers.slowestMs.toFixed(0)} failed_answers=${answers.failed}`,
  );
  const kept = equation.stored === 2 * GOOD_ROWS && equation.difference === 0;
  const told = data.length === 1 && one?.code === 'RECORD_TOO_LARGE' && one.index === GOOD_ROWS;
  return kept && told && taken.growthMb <= GROWTH_MB_MAX && answers.failed === 0 ? 0 : 1;
}

async function writeLongLine(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.appendFile(`${HEADER}\n${goodRows(0)}`);
    const piece = Buffer.alloc(PIECE_BYTES, 'x');
    for (let left = LINE_BYTES; left > 0; left -= PIECE_BYTES)
      await file.appendFile(piece.subarray(0, Math.min(left, PIECE_BYTES)));
    await file.appendFile(`\n${goodRows(GOOD_ROWS)}`);
  } finally {
    await file.close();
  }
}

function goodRows(from: number): string {
  const row = (_: unknown, at: number): string =>
    `Turin,POINT (7.${100_000 + from + at} 45.1),POINT (7.5 45.5),2018-05-21 02:54:04,baba_car\n`;
  return Array.from({ length: GOOD_ROWS }, row).join('');
}
