/**
 * Which of the equal rows of a file a row is: the first, the second, … in the order of the file, over all its ranges.
 *
 * Kept for the file at hand alone, in the landing database (in memory, spilled to disk under the memory limit): 16 bytes
 * a row. Almost every row is the first of its content, and that `KnownIds` says without a look. When a file is gone on
 * with (a restart, a retry), what came before is read from its ranges in bronze.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contract } from '../datasets/contract.ts';
import { literal, quoted, type Sql } from './duckdb-session.ts';
import type { FileRange } from './file-range.ts';
import { KnownIds } from './known-ids.ts';
import { hashed, occurrenceText } from './plain-rows.ts';
import { halves } from './seen-ids.ts';

/** Some 20 million rows; of a larger file every row is looked for. */
const KNOWN_BYTES_MAX = 128 * 1024 * 1024;
/** Erased rows of one content before the last that is left: beyond, numbers are left out instead of looked for. */
const GAP_LOOKED_THROUGH_MAX = 1_000;
const OCCURRED = 'landing.occurred';

interface NumberOptions {
  readonly sql: Sql;
  readonly range: FileRange;
  readonly contract: Contract;
  /** Staged rows, each with its id as a first occurrence. */
  readonly table: string;
}

export class FileOccurrences {
  readonly #bronzeDir: string;
  /** What is known is of this file in its dataset, up to this index. */
  #known: { readonly requestId: string; readonly nextIndex: number; readonly ids: KnownIds } | undefined;

  constructor(options: { readonly bronzeDir: string }) {
    this.#bronzeDir = options.bronzeDir;
  }

  /** A range that was numbered was not stored: what is known is read again. */
  forget(): void {
    this.#known = undefined;
  }

  /** Gives rows that are not the first of their content the id of the occurrence that they are. */
  async number(options: NumberOptions): Promise<void> {
    const { sql, range, contract, table } = options;
    if (contract.identity.kind !== 'occurrence') return;
    const known = this.#known;
    this.forget();
    const isNext = known?.requestId === range.requestId && known.nextIndex === range.firstIndex;
    const ids = isNext ? known.ids : await this.#load(options);
    const suspects = await suspectsIn(sql, table, ids);
    const repeats = suspects.length > 0 && (await countRepeats(sql, table, suspects));
    await sql.run(`INSERT INTO ${OCCURRED} SELECT _event_id FROM ${table}`);
    if (repeats) {
      const text = occurrenceText(contract, { day: '_event_date', occurrence: 'r.occurrence', body: 'body' });
      await sql.run(`UPDATE ${table} t SET _event_id = ${hashed(text)} FROM repeated r WHERE r._index = t._index`);
    }
    this.#known = { requestId: range.requestId, nextIndex: range.firstIndex + range.records, ids };
  }

  async #load({ sql, range, contract }: NumberOptions): Promise<KnownIds> {
    await sql.run(`CREATE OR REPLACE TABLE ${OCCURRED}(_event_id UUID)`);
    let bytes = 0;
    const ids = new KnownIds({
      ids: 0,
      allow: (more) => {
        if (bytes + more > KNOWN_BYTES_MAX) return false;
        bytes += more;
        return true;
      },
    });
    const files = range.firstIndex === 0 ? [] : await this.#bronzeFiles(sql, range);
    if (files.length === 0) return ids;
    await sql.run(
      `CREATE OR REPLACE TEMP TABLE earlier AS SELECT DISTINCT ON ("index") "index", kind, event_id, body
       FROM read_parquet([${files.map(literal).join(', ')}]) WHERE request_id = $1 AND "index" < $2`,
      [range.requestId, range.firstIndex],
    );
    await insertOccurred(sql, contract);
    await sql.run('DROP TABLE earlier');
    await sql.eachPair(halves(OCCURRED), (high, low) => ids.add(high, low));
    return ids;
  }

  /** Of every day on which ranges of the file were taken: a file that went away may have come back on another one. */
  async #bronzeFiles(sql: Sql, { dataset, requestId }: FileRange): Promise<readonly string[]> {
    const days = await sql.rows(
      "SELECT DISTINCT strftime(received_at, '%Y-%m-%d') AS day FROM custody.ledger WHERE request_id = $1",
      [requestId],
    );
    const files: string[] = [];
    for (const { day } of days) {
      const folder = join(this.#bronzeDir, dataset, String(day));
      const names = await readdir(folder);
      files.push(...names.filter((name) => name.endsWith('.parquet')).map((name) => join(folder, name)));
    }
    return files;
  }
}

/**
 * Of the temporary table `earlier`: each row's id as a first occurrence. Rows whose content was erased are counted where
 * others of theirs show it: the last one left has its number in its id. Where the last ones are gone their numbers are
 * given again, and mean nothing else, because nothing has those ids any more.
 */
async function insertOccurred(sql: Sql, contract: Contract): Promise<void> {
  const [counted] = await sql.rows(
    `SELECT count(*) FILTER (kind IN ('erased_row', 'expired_row'))::DOUBLE AS emptied FROM earlier`,
  );
  const emptied = Number(counted?.emptied);
  const day = `substr(json_extract_string(body, ${literal(`$.${quoted(contract.eventDate)}`)}), 1, 10)`;
  const idOf = (occurrence: string): string => hashed(occurrenceText(contract, { day, occurrence, body: 'body' }));
  if (emptied === 0) {
    await sql.run(`INSERT INTO ${OCCURRED} SELECT ${idOf('1')} FROM earlier WHERE kind = 'row'`);
    return;
  }
  const gap = Math.min(emptied, GAP_LOOKED_THROUGH_MAX);
  await sql.run(
    `INSERT INTO ${OCCURRED}
     WITH content AS (SELECT body, count(*) AS left_over, arg_max(event_id, "index") AS last_id FROM earlier WHERE kind = 'row' GROUP BY body),
       numbered AS (SELECT body, CASE WHEN last_id = ${idOf('left_over')} THEN left_over
         ELSE left_over + coalesce(list_position([${idOf('left_over + g')} FOR g IN range(1, ${gap + 1})], last_id), ${emptied}) END AS last_number FROM content)
     SELECT ${idOf('1')} FROM (SELECT body, unnest(range(last_number)) FROM numbered)`,
  );
}

/** Hashes of ids that may have occurred before, in this range or an earlier one. */
async function suspectsIn(sql: Sql, table: string, known: KnownIds): Promise<'all' | readonly string[]> {
  const suspects = new Set<string>();
  await sql.eachPair(halves(table), (high, low) => {
    if (known.add(high, low)) suspects.add(String((BigInt(high) << 32n) | BigInt(low)));
  });
  return known.usable ? [...suspects] : 'all';
}

/** Makes the temporary table `repeated`: rows that are not the first of their content. False when there are none. */
async function countRepeats(sql: Sql, table: string, suspects: 'all' | readonly string[]): Promise<boolean> {
  const wanted = suspects === 'all' ? 'true' : "hash(_event_id) IN (SELECT unnest(string_split($1, ',')::UBIGINT[]))";
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE repeated AS
     WITH suspect AS (SELECT _index, _event_id FROM ${table} WHERE ${wanted}),
       earlier AS (SELECT _event_id, count(*) AS occurrences FROM ${OCCURRED} WHERE _event_id IN (SELECT _event_id FROM suspect) GROUP BY _event_id)
     SELECT * FROM (
       SELECT s._index, coalesce(e.occurrences, 0) + row_number() OVER (PARTITION BY s._event_id ORDER BY s._index) AS occurrence
       FROM suspect s LEFT JOIN earlier e ON e._event_id = s._event_id) WHERE occurrence > 1`,
    suspects === 'all' ? [] : [suspects.join(',')],
  );
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS "rows" FROM repeated');
  return Number(counted?.rows) > 0;
}
