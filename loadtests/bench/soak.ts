/**
 * Thirty minutes at half the knee: memory must not grow and no request may fail.
 *
 * The knee is what a closed load reaches on this machine a moment before. Resident memory is read from /proc every
 * ten seconds; its slope is a straight line through the second half, because the first fills caches and pools.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { residentMib } from '../resident-memory.ts';
import type { Measurement, MeasurementOptions } from './measurement.ts';
import { TRACING_OFF } from './post-one.ts';
import { mostResult } from './results.ts';
import { steadyLoad } from './steady-load.ts';
import { CONNECTIONS, oneRecord, type Subject, startSubject } from './subject.ts';

const MINUTES = 30;
const KNEE_REQUESTS = 30_000;
const LOOK_MS = 10_000;
const SLOPE_MIB_A_MINUTE_MAX = 1;
/** DuckDB keeps what it wrote in memory up to its limit: a small one is reached before the half that is measured. */
const SMALL_CACHE = { WAREHOUSE_MEMORY_MIB: '256' } as const;
const PLOT = fileURLToPath(new URL('soak.svg', import.meta.url));

export const soak: Measurement = {
  name: 'soak',
  about: '30 min at half the knee: resident memory may grow by less than 1 MiB a minute; leaves soak.svg; ~31 min',
  asked: true,
  measure: async (options) => {
    const subject = await startSubject({ ...TRACING_OFF, ...SMALL_CACHE });
    const pool = new Pool(subject.url, { connections: CONNECTIONS });
    try {
      await subject.postOne(KNEE_REQUESTS);
      const knee = await subject.postOne(KNEE_REQUESTS);
      const looks = await run({ subject, pool, perSecond: knee.perSecond / 2, options });
      await pool.close();
      await subject.stored();
      await subject.stop();
      await writeFile(PLOT, plotOf(looks, knee.perSecond / 2));
      const value = slope(looks.slice(Math.floor(looks.length / 2)));
      return [mostResult({ name: 'soak at half the knee, RSS slope, MiB/min', value, most: SLOPE_MIB_A_MINUTE_MAX })];
    } finally {
      await pool.destroy();
      await subject.remove();
    }
  },
};

interface Look {
  readonly minute: number;
  readonly mib: number;
}

interface RunOptions {
  readonly subject: Subject;
  readonly pool: Pool;
  readonly perSecond: number;
  readonly options: MeasurementOptions;
}

async function run({ subject, pool, perSecond, options }: RunOptions): Promise<readonly Look[]> {
  const minutes = MINUTES * options.scale;
  options.say(`  ${Math.round(perSecond)} requests/s for ${minutes} min`);
  const startedAt = performance.now();
  const looks: Look[] = [];
  await steadyLoad({
    perSecond,
    seconds: minutes * 60,
    send: () => post(pool, subject.nextNumber()),
    beside: {
      everyMs: LOOK_MS * options.scale,
      act: async () => {
        looks.push({ minute: (performance.now() - startedAt) / 60_000, mib: await residentMib(subject.pid) });
      },
    },
  });
  return looks;
}

async function post(pool: Pool, number: number): Promise<void> {
  const { method, path, headers, body } = oneRecord(number);
  const response = await pool.request({ method, path, headers: { ...headers }, body: body ?? null });
  const text = await response.body.text();
  if (response.statusCode !== 202) throw new Error(`POST answered ${response.statusCode}: ${text}`);
}

/** Least squares. */
function slope(looks: readonly Look[]): number {
  const mean = (pick: (look: Look) => number): number =>
    looks.reduce((sum, look) => sum + pick(look), 0) / looks.length;
  const minutes = mean(({ minute }) => minute);
  const mibs = mean(({ mib }) => mib);
  const rise = looks.reduce((sum, { minute, mib }) => sum + (minute - minutes) * (mib - mibs), 0);
  const run = looks.reduce((sum, { minute }) => sum + (minute - minutes) ** 2, 0);
  return rise / run;
}

function plotOf(looks: readonly Look[], perSecond: number): string {
  const [width, height, margin] = [720, 240, 40];
  const minutes = Math.max(...looks.map(({ minute }) => minute));
  const mibs = Math.max(...looks.map(({ mib }) => mib));
  const points = looks.map(
    ({ minute, mib }) =>
      `${(margin + (minute / minutes) * (width - 2 * margin)).toFixed(1)},${(height - margin - (mib / mibs) * (height - 2 * margin)).toFixed(1)}`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
  <rect width="${width}" height="${height}" fill="white"/>
  <text x="${margin}" y="20">Resident memory over ${minutes.toFixed(0)} min at ${Math.round(perSecond)} requests/s; the top line is ${mibs.toFixed(0)} MiB, the bottom line 0</text>
  <path d="M${margin},${margin} H${width - margin} M${margin},${height - margin} H${width - margin}" stroke="#bbb" fill="none"/>
  <polyline points="${points.join(' ')}" fill="none" stroke="#0a58ca" stroke-width="1.5"/>
</svg>
`;
}
