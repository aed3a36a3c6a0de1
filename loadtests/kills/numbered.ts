/**
 * Numbered records and the account of what was sent.
 *
 * A flight is recognised by its key, so it may be sent again without care. A trip has no key: sent again it is another
 * trip, unless the Idempotency-Key says otherwise; so trips prove the key, flights prove the identity.
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

export function flightOf(number: number): object {
  return {
    departed_at: new Date(FLIGHTS_FROM_MS + number * 1000).toISOString(),
    delay: number % 100,
    distance: (number % 5000) + 1,
    origin: 'AAA',
    destination: 'BBB',
  };
}

function tripOf(number: number): object {
  const day = String((number % 28) + 1).padStart(2, '0');
  return {
    region: 'Turin',
    origin_coord: `POINT (${number / NUMBER_SCALE} 45)`,
    destination_coord: 'POINT (7.5 45.5)',
    datetime: `2018-05-${day} 02:54:04`,
    datasource: 'kill_test',
  };
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
  const records = numbers.map((number) => JSON.stringify(dataset === 'flights' ? flightOf(number) : tripOf(number)));
  const keyed = dataset === 'trips' || random() < 0.3;
  return {
    dataset,
    numbers,
    contentType: single ? 'application/json' : 'application/x-ndjson',
    body: records.join('\n'),
    idempotencyKey: keyed ? `kill-${numbers[0]}-${Math.floor(random() * 1e9)}` : undefined,
  };
}
