/**
 * Reads a range into tables of the landing database: the rows that it holds, typed, with canonical text and id, and the
 * records that were rejected. Every index of the range is in exactly one of them, once.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Contract, Row } from '../datasets/contract.ts';
import { bodyStruct, columnExpressions, contractColumns, derivedColumns } from './duckdb-schema.ts';
import { isUnfit, kindOf, literal, quoted, type Sql } from './duckdb-session.ts';
import { failed } from './duckdb-stage.ts';
import { type FileRange, JUDGED_AT_ONCE_MAX, type JudgedRecord, type JudgeRecords } from './file-range.ts';
import { plainRows } from './plain-rows.ts';

export interface StageOptions {
  readonly sql: Sql;
  readonly range: FileRange;
  readonly contract: Contract;
  readonly judge: JudgeRecords;
  readonly workDir: string;
  /** Names the tables: while one range is committed the next is staged. */
  readonly slot: number;
}

export interface StagedRange {
  /** `_index`, silver's columns, `_event_date`, `_event_id` (by occurrence: as the first of its content), `body`. */
  readonly rowsTable: string;
  /** Named as columns of bronze. */
  readonly rejectsTable: string;
  readonly rows: number;
  readonly rejected: number;
  readonly rejectedByCode: Readonly<Record<string, number>>;
  readonly judged: number;
  /** Event dates, as days since the epoch. */
  readonly days: readonly number[];
}

export async function stageRange(options: StageOptions): Promise<StagedRange> {
  const { sql, range, contract, slot } = options;
  const rowsTable = `landing.rows_${slot}`;
  const rejectsTable = `landing.rejects_${slot}`;
  const columns = [...contractColumns(contract), ...derivedColumns(contract)].map(
    ({ name, type }) => `${quoted(name)} ${type}`,
  );
  await sql.run(
    `CREATE OR REPLACE TABLE ${rowsTable}(_index INTEGER, ${columns.join(', ')}, _event_date DATE, _event_id UUID, body VARCHAR)`,
  );
  await sql.run(
    `CREATE OR REPLACE TABLE ${rejectsTable}("index" INTEGER, code VARCHAR, pointer VARCHAR, expected VARCHAR, got VARCHAR, body VARCHAR, body_bytes INTEGER, body_hash VARCHAR)`,
  );
  const plain = plainRows(contract, range);
  if (plain !== undefined) {
    await sql.run(`INSERT INTO ${rowsTable} ${plain}`);
    await removeImpostors(sql, rowsTable, range);
  }
  const missing = await missingIndexes(sql, rowsTable, range);
  const codes = await stageJudged({ ...options, rowsTable, rejectsTable, missing });
  return {
    rowsTable,
    rejectsTable,
    judged: missing.length,
    ...codes,
    ...(await factsOf(sql, rowsTable, range, codes)),
  };
}

/** Some 30 MB that nobody needs any more. */
export async function dropStaged(sql: Sql, { rowsTable, rejectsTable }: StagedRange): Promise<void> {
  for (const table of [rowsTable, rejectsTable]) await sql.run(`DROP TABLE ${table}`);
}

/** A reader that took a line end for another would answer an index twice, or one of another range: believed in neither case. */
async function removeImpostors(sql: Sql, table: string, range: FileRange): Promise<void> {
  const outside = `_index NOT BETWEEN ${range.firstIndex} AND ${range.firstIndex + range.records - 1}`;
  const [found] = await sql.rows(
    `SELECT count(*) = count(DISTINCT _index) AND count(*) FILTER (${outside}) = 0 AS sound FROM ${table}`,
  );
  if (found?.sound === true) return;
  await sql.run(
    `DELETE FROM ${table} WHERE ${outside} OR _index IN (SELECT _index FROM ${table} GROUP BY _index HAVING count(*) > 1)`,
  );
}

async function missingIndexes(sql: Sql, table: string, { firstIndex, records }: FileRange): Promise<readonly number[]> {
  const [counted] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM ${table}`);
  if (counted?.rows === records) return [];
  const missing: number[] = [];
  await sql.eachPair(
    `SELECT i::UINTEGER, 0::UINTEGER FROM range(${firstIndex}, ${firstIndex + records}) t(i) WHERE i NOT IN (SELECT _index FROM ${table}) ORDER BY i`,
    (index) => missing.push(index),
  );
  return missing;
}

interface JudgedOptions extends StageOptions {
  readonly rowsTable: string;
  readonly rejectsTable: string;
  readonly missing: readonly number[];
}

type Codes = Pick<StagedRange, 'rejected' | 'rejectedByCode'>;

/** Through a file, a slice at a time: a range of nothing but rejects may be as large as the range. */
async function stageJudged(options: JudgedOptions): Promise<Codes> {
  const { sql, contract, judge, workDir, missing, rowsTable, rejectsTable } = options;
  if (missing.length === 0) return { rejected: 0, rejectedByCode: {} };
  const path = join(workDir, `${randomUUID()}.ndjson`);
  const handle = await open(path, 'wx');
  const writer = new JudgedFile(handle, contract);
  try {
    for (let at = 0; at < missing.length; at += JUDGED_AT_ONCE_MAX) {
      const asked = missing.slice(at, at + JUDGED_AT_ONCE_MAX);
      await writer.append(asked, await judge(asked));
    }
    await handle.close();
    const read = readJudged({ path, contract, lineBytesMax: writer.lineBytesMax });
    if (writer.rows > 0) await sql.run(`INSERT INTO ${rowsTable} ${judgedRows(contract, read)}`);
    if (writer.rejected > 0) {
      await sql.run(
        `INSERT INTO ${rejectsTable} SELECT i, j.code, j.pointer, j.expected, j.got, j.body, j."bodyBytes", j."bodyHash" FROM ${read} WHERE j IS NOT NULL`,
      );
    }
    return { rejected: writer.rejected, rejectedByCode: writer.rejectedByCode };
  } catch (error) {
    if (isUnfit(error)) throw failed(kindOf(error));
    throw error;
  } finally {
    await handle.close();
    await rm(path, { force: true });
  }
}

/** DuckDB allocates twice this for a reading thread. */
const LINE_BYTES_DEFAULT = 1024 * 1024;

/** Rows may be as long as records, and to derive of one may take 100 ms: requests are answered in between. */
const WRITE_BYTES = 1024 * 1024;
const SLICE_MS = 5;

class JudgedFile {
  readonly #handle: FileHandle;
  readonly #contract: Contract;
  readonly rejectedByCode: Record<string, number> = {};
  lineBytesMax = LINE_BYTES_DEFAULT;
  rows = 0;
  rejected = 0;

  constructor(handle: FileHandle, contract: Contract) {
    this.#handle = handle;
    this.#contract = contract;
  }

  async append(asked: readonly number[], judged: readonly JudgedRecord[]): Promise<void> {
    if (judged.length !== asked.length || judged.some(({ index }, at) => index !== asked[at])) {
      throw new Error(`${asked.length} records were to be judged from index ${asked[0]} on, others were`);
    }
    let lines: Buffer[] = [];
    let [bytes, sinceMs] = [0, performance.now()];
    for (const one of judged) {
      const line = Buffer.from(this.#line(one));
      lines.push(line);
      bytes += line.length;
      this.lineBytesMax = Math.max(this.lineBytesMax, line.length);
      if (bytes < WRITE_BYTES && performance.now() - sinceMs < SLICE_MS) continue;
      await this.#handle.writeFile(Buffer.concat(lines));
      await nextTurn();
      lines = [];
      [bytes, sinceMs] = [0, performance.now()];
    }
    await this.#handle.writeFile(Buffer.concat(lines));
  }

  #line(one: JudgedRecord): string {
    switch (one.kind) {
      case 'row': {
        this.rows += 1;
        const body = JSON.stringify(one.row);
        return `{"i":${one.index},"id":"${one.eventId}","b":${JSON.stringify(body)},"r":${body}${this.#derived(one.row)}}\n`;
      }
      case 'reject': {
        this.rejected += 1;
        this.rejectedByCode[one.code] = (this.rejectedByCode[one.code] ?? 0) + 1;
        const { code, pointer, expected, got, body, bodyBytes, bodyHash } = one;
        return `{"i":${one.index},"j":${JSON.stringify({ code, pointer, expected, got, body, bodyBytes, bodyHash })}}\n`;
      }
    }
  }

  #derived(row: Row): string {
    const { derived } = this.#contract;
    if (derived === undefined) return '';
    try {
      return `,"d":${JSON.stringify(derived.derive(row))}`;
    } catch (error) {
      throw failed(`derive: ${kindOf(error)}`);
    }
  }
}

function readJudged(options: {
  readonly path: string;
  readonly contract: Contract;
  readonly lineBytesMax: number;
}): string {
  const { path, contract, lineBytesMax } = options;
  const reject =
    'STRUCT(code VARCHAR, pointer VARCHAR, expected VARCHAR, got VARCHAR, body VARCHAR, "bodyBytes" INTEGER, "bodyHash" VARCHAR)';
  const columns = { i: 'INTEGER', id: 'UUID', b: 'VARCHAR', r: bodyStruct(contract.fields), j: reject };
  const derived = contract.derived === undefined ? {} : { d: bodyStruct(contract.derived.fields) };
  const types = Object.entries({ ...columns, ...derived }).map(([name, type]) => `${name}: ${literal(type)}`);
  return `read_json(${literal(path)}, format = 'newline_delimited', columns = {${types.join(', ')}}, maximum_object_size = ${lineBytesMax})`;
}

function judgedRows(contract: Contract, read: string): string {
  const expressions = [
    ...columnExpressions(contract.fields, 'r'),
    ...columnExpressions(contract.derived?.fields ?? {}, 'd'),
  ];
  return `SELECT i, ${expressions.join(', ')}, CAST(r.${quoted(contract.eventDate)} AS DATE), id, b FROM ${read} WHERE j IS NULL`;
}

async function factsOf(
  sql: Sql,
  table: string,
  { records }: FileRange,
  { rejected }: Codes,
): Promise<Pick<StagedRange, 'rows' | 'days'>> {
  const [counted] = await sql.rows(
    `SELECT count(*) AS "rows", count(_event_date) AS dated, list(DISTINCT _event_date - DATE '1970-01-01') AS days FROM ${table}`,
  );
  const rows = Number(counted?.rows);
  if (rows + rejected !== records || Number(counted?.dated) !== rows) {
    throw failed(
      `${records} records expected, ${rows} rows and ${rejected} rejects read, ${counted?.dated} with an event date`,
    );
  }
  return { rows, days: ((counted?.days ?? []) as readonly (string | number)[]).map(Number) };
}
