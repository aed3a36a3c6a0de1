/**
 * Makes `sample.csv`: 3,000 trips in three cities in 2018, the same for every run. A test compares it with the file.
 * `node generate-sample.ts FILE ROWS [SEED]` makes a file of any size of such trips, for benchmarks and drills.
 */
import { open, writeFile } from 'node:fs/promises';
import { type SeededRandom, seededRandom } from '../seeded-random.ts';

const SEED = 2018;
const TRIPS = 3_000;
const DAY_SECONDS = 86_400;
/** Written at once, some 1.3 MB: memory stays flat however many there are. */
const ROWS_AT_ONCE = 10_000;
const HEADER = 'region,origin_coord,destination_coord,datetime,datasource';
/** The first row, written out because documentation and tests quote it. */
const QUOTED =
  'Turin,POINT (7.672837913286881 44.9957109242058),POINT (7.720368637535126 45.06782385393849),2018-05-21 02:54:04,baba_car';
const DATA_SOURCES = ['baba_car', 'cheap_mobile', 'bad_diesel_vehicles', 'funny_car', 'pt_search_app'] as const;
/** Boxes in degrees around each city. */
const CITIES = [
  { name: 'Turin', west: 7.57, east: 7.77, south: 44.98, north: 45.13 },
  { name: 'Prague', west: 14.32, east: 14.67, south: 49.98, north: 50.17 },
  { name: 'Hamburg', west: 9.85, east: 10.18, south: 53.46, north: 53.67 },
] as const;

type City = (typeof CITIES)[number];

export function tripsSample(): string {
  const random = seededRandom(SEED);
  const rows = Array.from({ length: TRIPS - 1 }, () => trip(random));
  return `${[HEADER, QUOTED, ...rows].join('\n')}\n`;
}

function trip(random: SeededRandom): string {
  const city = random.pick(CITIES);
  const seconds = random.integer(0, 365 * DAY_SECONDS - 1);
  const at = new Date(Date.UTC(2018, 0, 1) + seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
  return [city.name, point(city, random), point(city, random), at, random.pick(DATA_SOURCES)].join(',');
}

function point(city: City, random: SeededRandom): string {
  const lon = city.west + random.fraction() * (city.east - city.west);
  const lat = city.south + random.fraction() * (city.north - city.south);
  return `POINT (${lon} ${lat})`;
}

async function writeTrips({ file, rows, seed }: Readonly<{ file: string; rows: number; seed: number }>): Promise<void> {
  const random = seededRandom(seed);
  const target = await open(file, 'w');
  try {
    await target.appendFile(`${HEADER}\n`);
    for (let left = rows; left > 0; left -= ROWS_AT_ONCE) {
      const some = Array.from({ length: Math.min(left, ROWS_AT_ONCE) }, () => trip(random));
      await target.appendFile(`${some.join('\n')}\n`);
    }
  } finally {
    await target.close();
  }
}

if (import.meta.main) {
  const [file, rows, seed = SEED] = process.argv.slice(2);
  if (file === undefined) await writeFile(new URL('sample.csv', import.meta.url), tripsSample());
  else await writeTrips({ file, rows: Number(rows), seed: Number(seed) });
}
