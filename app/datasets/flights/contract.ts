/** Departures of US domestic flights: the dataset that travels the whole path from a publisher to a reader. */
import type { Contract } from '../contract.ts';

const AIRPORT = '^[A-Z]{3}$';

export const contract: Contract = {
  name: 'flights',
  version: 1,
  title: 'Flight delays',
  description: 'One departed flight with its delay on arrival and the distance flown.',
  fields: {
    // The source gives local wall clock without a zone; it is taken as UTC, so hours are hours at the airport.
    departed_at: { type: 'timestamp', description: 'When the flight departed.', example: '2001-01-14T21:55:00Z' },
    delay: {
      type: 'integer',
      description: 'How late the flight arrived; negative when it was early.',
      unit: 'min',
      example: 14,
      min: -1440,
      max: 10_080,
    },
    distance: { type: 'integer', description: 'Distance flown.', unit: 'mi', example: 480, min: 1, max: 12_500 },
    origin: {
      type: 'string',
      description: 'IATA code of the airport of departure.',
      example: 'SMF',
      pattern: AIRPORT,
      lengthMin: 3,
      lengthMax: 3,
    },
    destination: {
      type: 'string',
      description: 'IATA code of the airport of arrival.',
      example: 'SAN',
      pattern: AIRPORT,
      lengthMin: 3,
      lengthMax: 3,
    },
  },
  // Without a flight number this is the narrowest key that is unique over the sample: origin alone leaves two pairs.
  identity: { kind: 'key', fields: ['departed_at', 'origin', 'destination'] },
  eventDate: 'departed_at',
  checks: [
    {
      name: 'goes_somewhere',
      description: 'A flight lands at another airport.',
      left: 'origin',
      op: 'ne',
      right: 'destination',
    },
  ],
  freshnessSeconds: 5,
  expectEverySeconds: 86_400,
  retentionDays: { bronze: 3650, silver: 3650, quarantine: 90, deadLetters: 90, archive: 365 },
  gold: {
    delay_by_origin_day: {
      kind: 'aggregate',
      description: 'Flights and their delays by airport of departure and day.',
      measures: ['count', 'avg:delay', 'min:delay', 'max:delay', 'p95:delay'],
      by: ['origin'],
      bucket: 'departed_at:day',
    },
    distance_by_route: {
      kind: 'aggregate',
      description: 'Flights, delays and miles by pair of airports.',
      measures: ['count', 'avg:delay', 'sum:distance'],
      by: ['origin', 'destination'],
    },
  },
  sample: {
    file: 'sample.ndjson',
    source:
      'flights-2k.json of vega-datasets 3.2.1: 2,000 flights of January to March 2001 drawn from the on-time records of the US Bureau of Transportation Statistics.',
    license: 'BSD-3-Clause (collection); the records are a work of the US government',
  },
};
