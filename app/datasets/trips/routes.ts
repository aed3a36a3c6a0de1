/**
 * `/stats`: the trips of one ISO week in one region or one box.
 *
 * A week without a trip is answered with zeros, not with an error: nobody travelling is a fact about a week.
 */
import { z } from 'zod';
import { AppError } from '../../errors.ts';
import type { AggregateQuery, Where } from '../../warehouse/query.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { Row } from '../contract.ts';
import type { DatasetRoute, RoutePlan } from '../route.ts';
import { isoWeekBounds, isoWeeksInYear } from './iso-week.ts';

/** Companies in one answer; more are cut and `Vigia-Truncated` says so. */
const DATA_SOURCES_MAX = 1_000;
const DAYS_IN_WEEK = 7;
const BOX_PARAMETERS = ['min_lon', 'min_lat', 'max_lon', 'max_lat'] as const;

const degrees = (about: string, limit: number) =>
  z
    .string()
    .regex(/^-?\d{1,3}(\.\d{1,20})?$/, 'a number of degrees, as in 7.68')
    .refine((text) => Math.abs(Number(text)) <= limit, `between -${limit} and ${limit}`)
    .optional()
    .describe(about);

const query = z.strictObject({
  region: z.string().min(1).max(100).optional().describe('City, spelt as in the data: Turin. In place of a box.'),
  min_lon: degrees("The box's western edge, degrees.", 180),
  min_lat: degrees("The box's southern edge, degrees.", 90),
  max_lon: degrees("The box's eastern edge, degrees.", 180),
  max_lat: degrees("The box's northern edge, degrees.", 90),
  week: z
    .string()
    .regex(/^(0?[1-9]|[1-4]\d|5[0-3])$/, 'an ISO week from 1 to 53')
    .describe('ISO week, 1 to 52, or 53 in years that have one.'),
  year: z
    .string()
    .regex(/^[12]\d{3}$/, 'four digits from 1000 to 2999')
    .describe('ISO year: the year of the week, which at New Year may differ from the calendar.'),
});

const box = z.object({ minLon: z.number(), minLat: z.number(), maxLon: z.number(), maxLat: z.number() });

const answer = z.object({
  region: z.string().optional().describe('As asked; absent when a box was asked for.'),
  box: box.optional().describe('As asked; absent when a region was asked for.'),
  year: z.int(),
  week: z.int(),
  from: z.string().describe('Monday of the week.'),
  to: z.string().describe('Sunday of the week.'),
  trips: z.int(),
  dailyAverage: z.number().describe('trips / 7'),
  bySource: z.record(z.string(), z.int()).describe('Trips by company, most first.'),
  boundingBox: box.nullable().describe('The smallest box that holds both ends of every trip; null without trips.'),
});

interface Box {
  readonly minLon: number;
  readonly minLat: number;
  readonly maxLon: number;
  readonly maxLat: number;
}

type Place = { readonly region: string } | { readonly box: Box };

export const routes: readonly DatasetRoute[] = [
  {
    path: '/stats',
    dataset: 'trips',
    summary: 'Trips of an ISO week in a region or a box',
    description:
      'Ask for `region`, or for a box with all of `min_lon`, `min_lat`, `max_lon`, `max_lat` (edges included, both ends of a trip inside), never for both. A week without trips is answered with zeros and a null `boundingBox`.',
    query,
    answer,
    errors: ['PARAMETER_MISSING'],
    examples: [
      { query: 'region=Turin&week=21&year=2018', summary: 'Turin in the week of 21 May 2018' },
      {
        query: 'min_lon=7.5&min_lat=44.9&max_lon=7.8&max_lat=45.2&week=21&year=2018',
        summary: 'The same week in a box',
      },
    ],
    plan,
  },
];

function plan(asked: Readonly<Record<string, unknown>>): RoutePlan {
  const place = readPlace(asked);
  const year = Number(asked['year']);
  const week = Number(asked['week']);
  if (week > isoWeeksInYear(year)) {
    throw invalid(
      'week',
      `1 to ${isoWeeksInYear(year)}`,
      asked['week'],
      `the ISO year ${year} has no week ${week}: it has ${isoWeeksInYear(year)}. Ask for week 1 of ${year + 1}.`,
    );
  }
  const bounds = isoWeekBounds(year, week);
  const base = { dataset: 'trips', where: whereOf(place, asked), ...bounds, buckets: [], timeZone: 'UTC' } as const;
  const totals: AggregateQuery = {
    ...base,
    limit: 1,
    measures: [
      { fn: 'count' },
      ...(['origin_coord', 'destination_coord'] as const).flatMap((end) =>
        (['lon', 'lat'] as const).flatMap((axis) => [
          { fn: 'min', field: `${end}_${axis}` } as const,
          { fn: 'max', field: `${end}_${axis}` } as const,
        ]),
      ),
    ],
    by: [],
    order: [],
  };
  const bySource: AggregateQuery = {
    ...base,
    limit: DATA_SOURCES_MAX,
    measures: [{ fn: 'count' }],
    by: ['datasource'],
    order: [{ name: 'count', descending: true }],
  };
  return { reads: [totals, bySource], answer: (results) => body({ place, year, week, ...bounds }, results) };
}

function readPlace(asked: Readonly<Record<string, unknown>>): Place {
  const { region } = asked;
  const given = BOX_PARAMETERS.filter((name) => asked[name] !== undefined);
  if (typeof region === 'string') {
    const [extra] = given;
    if (extra === undefined) return { region };
    throw invalid(
      extra,
      'absent when region is given',
      asked[extra],
      `region and ${given.join(', ')} exclude one another. Ask for a region or for a box.`,
    );
  }
  const missing = BOX_PARAMETERS.filter((name) => asked[name] === undefined);
  if (missing.length > 0) {
    const message =
      given.length === 0
        ? `PARAMETER_MISSING: neither a region nor a box was asked for. Add region=Turin, or all of ${BOX_PARAMETERS.join(', ')}.`
        : `PARAMETER_MISSING: a box needs all four edges; ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.`;
    throw new AppError({
      code: 'PARAMETER_MISSING',
      publicMessage: message,
      errors: (given.length === 0 ? ['region'] : missing).map((parameter) => ({
        code: 'PARAMETER_MISSING',
        parameter,
      })),
    });
  }
  return { box: readBox(asked) };
}

function readBox(asked: Readonly<Record<string, unknown>>): Box {
  const [minLon = 0, minLat = 0, maxLon = 0, maxLat = 0] = BOX_PARAMETERS.map((name) => Number(asked[name]));
  if (minLon > maxLon)
    throw invalid(
      'min_lon',
      'at most max_lon',
      asked['min_lon'],
      `min_lon ${minLon} is over max_lon ${maxLon}. Swap them.`,
    );
  if (minLat > maxLat)
    throw invalid(
      'min_lat',
      'at most max_lat',
      asked['min_lat'],
      `min_lat ${minLat} is over max_lat ${maxLat}. Swap them.`,
    );
  return { minLon, minLat, maxLon, maxLat };
}

/** A box's edges travel as the caller wrote them: a number's own text may be 1e-7, which is no edge. */
function whereOf(place: Place, asked: Readonly<Record<string, unknown>>): readonly Where[] {
  if ('region' in place) return [{ field: 'region', op: 'eq', values: [place.region] }];
  return (['origin_coord', 'destination_coord'] as const).flatMap((end) =>
    (['lon', 'lat'] as const).flatMap((axis) => [
      { field: `${end}_${axis}`, op: 'gte', values: [String(asked[`min_${axis}`])] } as const,
      { field: `${end}_${axis}`, op: 'lte', values: [String(asked[`max_${axis}`])] } as const,
    ]),
  );
}

interface Asked {
  readonly place: Place;
  readonly year: number;
  readonly week: number;
  readonly fromMs: number;
  readonly toMs: number;
}

function body(asked: Asked, [totals, bySource]: readonly AggregateResult[]): z.infer<typeof answer> {
  const total = totals?.data[0];
  const trips = Number(total?.['count'] ?? 0);
  return {
    ...asked.place,
    year: asked.year,
    week: asked.week,
    from: day(asked.fromMs),
    to: day(asked.toMs - 1),
    trips,
    // Floats are answered with 12 significant digits.
    dailyAverage: Number((trips / DAYS_IN_WEEK).toPrecision(12)),
    bySource: Object.fromEntries(
      (bySource?.data ?? []).map((row) => [String(row['datasource']), Number(row['count'])]),
    ),
    boundingBox: total === undefined || trips === 0 ? null : boundingBox(total),
  };
}

function boundingBox(total: Row): Box {
  const edge = (fn: 'min' | 'max', axis: 'lon' | 'lat'): number =>
    Math[fn](Number(total[`${fn}_origin_coord_${axis}`]), Number(total[`${fn}_destination_coord_${axis}`]));
  return {
    minLon: edge('min', 'lon'),
    minLat: edge('min', 'lat'),
    maxLon: edge('max', 'lon'),
    maxLat: edge('max', 'lat'),
  };
}

function day(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

function invalid(parameter: string, expected: string, got: unknown, message: string): AppError {
  return new AppError({
    code: 'PARAMETER_INVALID',
    publicMessage: `PARAMETER_INVALID: ${message}`,
    errors: [{ code: 'PARAMETER_INVALID', parameter, expected, got: String(got) }],
  });
}
