/** Trips of shared vehicles in three cities: rows without a key, where two equal rows are two trips. */
import type { Contract } from '../contract.ts';

export const contract: Contract = {
  name: 'trips',
  version: 1,
  title: 'City trips',
  description: 'One trip from one point to another, as a vehicle-sharing company reported it.',
  fields: {
    region: { type: 'string', description: 'City of the trip.', example: 'Turin', lengthMax: 100 },
    origin_coord: {
      type: 'point',
      description: 'Where the trip began, longitude first.',
      unit: 'degrees',
      example: 'POINT (7.672837913286881 44.9957109242058)',
    },
    destination_coord: {
      type: 'point',
      description: 'Where the trip ended, longitude first.',
      unit: 'degrees',
      example: 'POINT (7.720368637535126 45.06782385393849)',
    },
    datetime: {
      type: 'wallclock',
      description: 'When the trip began, on the local wall clock.',
      example: '2018-05-21 02:54:04',
    },
    datasource: { type: 'string', description: 'Company that reported the trip.', example: 'baba_car', lengthMax: 100 },
  },
  identity: { kind: 'occurrence' },
  eventDate: 'datetime',
  freshnessSeconds: 60,
  retentionDays: { bronze: 3650, silver: 3650, quarantine: 90, deadLetters: 90, archive: 365 },
  gold: {
    trips_by_region_week: {
      kind: 'aggregate',
      description: 'Trips by city, company and ISO week.',
      measures: ['count'],
      by: ['region', 'datasource'],
      bucket: 'datetime:week',
    },
    box_by_region: {
      kind: 'aggregate',
      description: 'Trips by city and the box that holds where they began.',
      measures: [
        'count',
        'min:origin_coord_lon',
        'min:origin_coord_lat',
        'max:origin_coord_lon',
        'max:origin_coord_lat',
      ],
      by: ['region'],
    },
  },
  sample: {
    file: 'sample.csv',
    source: 'Made by trips/generate-sample.ts from a fixed seed: Turin, Prague and Hamburg in 2018.',
    license: 'Apache-2.0',
  },
};
