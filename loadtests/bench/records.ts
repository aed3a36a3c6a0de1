/**
 * Flights by number: the same number is always the same flight, and no two numbers share a key.
 *
 * Flights come in the order of their days, as departures do, and in no order within a day. So a batch touches one day
 * or two, and while a day fills every batch is looked for among the rows that the day already holds.
 */

const FIRST_DAY_MS = Date.parse('2001-01-01T00:00:00Z');
const DAY_MS = 86_400_000;
/** About what all US airlines fly in four days; 1,000,000 rows are ten days, 10,000,000 a hundred. */
const ROWS_A_DAY = 100_000;
/** Prime, and no divisor of a day's milliseconds: each number of a day has a millisecond of its own. */
const STEP_MS = 7919;
const AIRPORTS = (
  'ATL AUS BNA BOS BUR BWI CLE CLT CVG DAL DCA DEN DFW DTW EWR HOU IAD IAH JFK LAS ' +
  'LAX LGA MCI MCO MDW MIA MKE MSP MSY OAK ORD PDX PHL PHX PIT RDU SAN SEA SFO STL'
).split(' ');

/** The JSON text of one record, about 115 bytes. */
export function flightText(number: number): string {
  const { departedAtMs, delay, distance, origin, destination } = flightOf(number);
  const departedAt = new Date(departedAtMs).toISOString();
  return `{"departed_at":"${departedAt}","delay":${delay},"distance":${distance},"origin":"${origin}","destination":"${destination}"}`;
}

export interface Flight {
  readonly departedAtMs: number;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

export function flightOf(number: number): Flight {
  const from = number % AIRPORTS.length;
  const hop = 1 + (Math.floor(number / AIRPORTS.length) % (AIRPORTS.length - 1));
  return {
    departedAtMs: FIRST_DAY_MS + Math.floor(number / ROWS_A_DAY) * DAY_MS + ((number * STEP_MS) % DAY_MS),
    delay: ((number * 37) % 240) - 30,
    distance: 100 + ((number * 61) % 2500),
    origin: AIRPORTS[from] ?? '',
    destination: AIRPORTS[(from + hop) % AIRPORTS.length] ?? '',
  };
}

/** Hands out numbers, each once. */
export class Numbers {
  #next = 0;

  take(count: number): readonly number[] {
    const first = this.#next;
    this.#next += count;
    return Array.from({ length: count }, (_, index) => first + index);
  }
}

export function ndjsonOf(numbers: readonly number[]): string {
  return `${numbers.map(flightText).join('\n')}\n`;
}
