/**
 * Numbered records and what they are sent as.
 *
 * A flight is recognised by its key, so it may be sent again without care, also by file. A trip has no key: sent again
 * it is another trip, unless the Idempotency-Key says otherwise or it is the n-th of its content in a file once more;
 * so trips prove the key and the counting of occurrences, flights prove the identity.
 */

export type Dataset = 'flights' | 'trips';

export interface Operation {
  readonly dataset: Dataset;
  readonly numbers: readonly number[];
  readonly contentType: 'application/json' | 'application/x-ndjson';
  readonly body: string;
  readonly idempotencyKey: string | undefined;
}

const FLIGHTS_FROM_MS = Date.parse('2001-01-01T00:00:00Z');
const NUMBER_SCALE = 1_000_000;

export function flightOf(number: number): Readonly<Record<string, string | number>> {
  return {
    departed_at: new Date(FLIGHTS_FROM_MS + number * 1000).toISOString(),
    delay: number % 100,
    distance: (number % 5000) + 1,
    origin: 'AAA',
    destination: 'BBB',
  };
}

function tripOf(number: number): Readonly<Record<string, string>> {
  const day = String((number % 28) + 1).padStart(2, '0');
  return {
    region: 'Turin',
    origin_coord: `POINT (${number / NUMBER_SCALE} 45)`,
    destination_coord: 'POINT (7.5 45.5)',
    datetime: `2018-05-${day} 02:54:04`,
    datasource: 'kill_test',
  };
}

export function recordOf(dataset: Dataset, number: number): Readonly<Record<string, string | number>> {
  return dataset === 'flights' ? flightOf(number) : tripOf(number);
}

/** The number of a stored record. */
export function numberOf(dataset: Dataset, record: Readonly<Record<string, unknown>>): number {
  if (dataset === 'flights') return (Date.parse(String(record.departed_at)) - FLIGHTS_FROM_MS) / 1000;
  const longitude = /^POINT \((\S+) /.exec(String(record.origin_coord))?.[1];
  return Math.round(Number(longitude) * NUMBER_SCALE);
}

interface OperationOptions {
  readonly random: () => number;
  readonly nextNumber: () => number;
}

const BATCH_ROWS_MAX = 1_200;

/** A single flight, a batch of flights, or one or many trips under a key. */
export function makeOperation({ random, nextNumber }: OperationOptions): Operation {
  const dataset = random() < 0.6 ? 'flights' : 'trips';
  const single = random() < 0.7;
  const numbers = Array.from({ length: single ? 1 : 2 + Math.floor(random() * BATCH_ROWS_MAX) }, nextNumber);
  const records = numbers.map((number) => JSON.stringify(recordOf(dataset, number)));
  const keyed = dataset === 'trips' || random() < 0.3;
  return {
    dataset,
    numbers,
    contentType: single ? 'application/json' : 'application/x-ndjson',
    body: records.join('\n'),
    idempotencyKey: keyed ? `kill-${numbers[0]}-${Math.floor(random() * 1e9)}` : undefined,
  };
}
