/**
 * Which rows of a batch must be looked for in the table: those whose event id may have been seen before.
 *
 * Filled from every table at open (about 0.2 µs a row) and by every batch before its commit, so no stored id is ever
 * missing. A batch that was rolled back leaves its ids behind, which costs a look when it comes again.
 */
import { silverTable } from './duckdb-schema.ts';
import type { Sql } from './duckdb-session.ts';
import { KnownIds } from './known-ids.ts';

/** Some 30 million ids; beyond, every batch is looked for in its table. */
export const SEEN_IDS_BYTES_MAX = 256 * 1024 * 1024;

/** All rows, or those with one of these hashes (decimal text of 64 bits). */
export type Suspects = 'all' | readonly string[];

export class SeenIds {
  readonly #known = new Map<string, KnownIds>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax;
  }

  async load(sql: Sql, datasets: readonly string[]): Promise<void> {
    for (const dataset of datasets) {
      const [row] = await sql.rows(`SELECT count(*)::DOUBLE AS ids FROM ${silverTable(dataset)}`);
      const known = new KnownIds({ ids: Number(row?.ids), allow: (bytes) => this.#allow(bytes) });
      this.#known.set(dataset, known);
      if (known.usable) await sql.eachPair(halves(silverTable(dataset)), (high, low) => known.add(high, low));
    }
  }

  /** Takes in the ids of a table of staged rows and answers which rows of it are not surely new, those repeated in it too. */
  async admit(sql: Sql, dataset: string, table: string): Promise<Suspects> {
    const known = this.#known.get(dataset);
    if (known === undefined || !known.usable) return 'all';
    const suspects: string[] = [];
    await sql.eachPair(halves(table), (high, low) => {
      if (known.add(high, low)) suspects.push(String((BigInt(high) << 32n) | BigInt(low)));
    });
    return known.usable ? suspects : 'all';
  }

  #allow(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }
}

export function halves(table: string): string {
  return `SELECT (h >> 32)::UINTEGER, (h & 4294967295)::UINTEGER FROM (SELECT hash(_event_id) AS h FROM ${table})`;
}
