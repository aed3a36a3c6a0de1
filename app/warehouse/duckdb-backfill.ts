/**
 * Makes stored rows again out of bronze, a few event days in each transaction: after a derivation changed, or a derived
 * field came.
 *
 * Which rows there are does not change, nor when each was stored: only what the columns say. So receipts, books and the
 * loss equation stay as they are, and only cursors and cached answers of before end (a new generation). A row that is
 * erased while its days are prepared stays erased; one that is in no bronze file yet is left as it is, and counted.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Contract, Row } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import type { Bronze } from './bronze.ts';
import { auditRow, insertAudit } from './duckdb-audit.ts';
import { bodyStruct, columnExpressions, contractColumns, derivedColumns, silverTable } from './duckdb-schema.ts';
import { type DuckdbSession, literal, quoted, type Sql, type SqlRow } from './duckdb-session.ts';
import type { DuckdbStore } from './duckdb-store.ts';
import type { Partitions } from './partitions.ts';

export interface BackfillParts {
  readonly bronze: Bronze;
  readonly workDir: string;
  readonly partitions: Partitions;
  readonly store: DuckdbStore;
  /** Prepares beside the writer. */
  readonly reader: DuckdbSession;
  readonly writer: DuckdbSession;
  readonly now: () => number;
  readonly faultPoint?: ((name: string) => void) | undefined;
}

export interface BackfillOptions {
  readonly contract: Contract;
  /** Event days, `YYYY-MM-DD`: from ≤ day < to. */
  readonly from: string;
  readonly to: string;
  /** Of one transaction, unless a single day has more. */
  readonly batchRowsMax?: number;
  readonly tell?: (done: Backfilled) => void;
  readonly signal?: AbortSignal;
}

export interface Backfilled {
  readonly days: number;
  readonly daysOfAll: number;
  readonly rows: number;
  /** In no bronze file yet: as they were. */
  readonly left: number;
}

const DAY_MS = 86_400_000;

/** A commit costs as much as thousands of rows; this many hold the writer for less than a second. */
const BATCH_ROWS_MAX = 50_000;

export async function backfillDays(parts: BackfillParts, options: BackfillOptions): Promise<Backfilled> {
  const { contract, batchRowsMax = BATCH_ROWS_MAX, tell, signal } = options;
  const spans = await parts.reader.exclusive((sql) => spansOf(sql, { ...options, batchRowsMax }));
  const daysOfAll = spans.reduce((sum, { days }) => sum + days, 0);
  let done: Backfilled = { days: 0, daysOfAll, rows: 0, left: 0 };
  for (const span of spans) {
    signal?.throwIfAborted();
    const { rows, left } = await backfillSpan(parts, contract, span);
    done = { ...done, days: done.days + span.days, rows: done.rows + rows, left: done.left + left };
    tell?.(done);
  }
  return done;
}

/** Consecutive days that are made again together, as days since the epoch. */
interface Span {
  readonly first: number;
  readonly last: number;
  /** Of those, with rows. */
  readonly days: number;
  readonly rows: number;
}

async function spansOf(
  sql: Sql,
  options: Pick<BackfillOptions, 'contract' | 'from' | 'to'> & { readonly batchRowsMax: number },
): Promise<readonly Span[]> {
  const { contract, from, to, batchRowsMax } = options;
  const found = await sql.rows(
    `SELECT _event_date - DATE '1970-01-01' AS day, count(*)::DOUBLE AS "rows" FROM ${silverTable(contract.name)}
     WHERE _event_date >= ${dateOf(dayOf(from))} AND _event_date < ${dateOf(dayOf(to))} GROUP BY _event_date ORDER BY day`,
  );
  const spans: Span[] = [];
  for (const { day, rows } of found) {
    const open = spans.at(-1);
    const one = { first: Number(day), last: Number(day), days: 1, rows: Number(rows) };
    if (open === undefined || open.rows + one.rows > batchRowsMax) spans.push(one);
    else
      spans[spans.length - 1] = { first: open.first, last: one.last, days: open.days + 1, rows: open.rows + one.rows };
  }
  return spans;
}

function dayOf(text: string): number {
  return Math.floor(Date.parse(text) / DAY_MS);
}

async function backfillSpan(
  parts: BackfillParts,
  contract: Contract,
  span: Span,
): Promise<{ readonly rows: number; readonly left: number }> {
  const { workDir, reader, writer, faultPoint } = parts;
  const path = join(workDir, `${randomUUID()}.ndjson`);
  try {
    const prepared = await reader.exclusive((sql) => prepareSpan({ sql, parts, contract, span, path }));
    if (prepared.rows === 0) return prepared;
    faultPoint?.('while-backfilling');
    const rows = await writer.exclusive((sql) => replaceSpan({ sql, parts, contract, span, path, ...prepared }));
    return { rows, left: prepared.left };
  } finally {
    await rm(path, { force: true });
  }
}

interface SpanOptions {
  readonly sql: Sql;
  readonly parts: BackfillParts;
  readonly contract: Contract;
  readonly span: Span;
  readonly path: string;
}

interface Prepared {
  readonly rows: number;
  readonly left: number;
  readonly lineBytesMax: number;
}

/** Writes each row's body as it was sent, with what is derived from it now, one line a row. */
async function prepareSpan({ sql, parts, contract, span, path }: SpanOptions): Promise<Prepared> {
  const [stored] = await sql.rows(
    `SELECT count(*)::DOUBLE AS "rows" FROM ${silverTable(contract.name)} WHERE ${within(span)}`,
  );
  const files = await bronzeOf(sql, { parts, contract, span });
  let rows = 0;
  let lineBytesMax = 0;
  if (files.length > 0) {
    const lines = async function* (): AsyncIterable<string> {
      for await (const chunk of sql.stream(bodiesSql(contract, span, files))) {
        for (const row of chunk) {
          const line = lineOf(contract, row);
          rows += 1;
          lineBytesMax = Math.max(lineBytesMax, Buffer.byteLength(line));
          yield line;
        }
      }
    };
    await pipeline(lines, createWriteStream(path));
  }
  return { rows, left: Number(stored?.rows) - rows, lineBytesMax };
}

/** Of the days of receipt that the span's messages have: bronze lies in folders of these. */
async function bronzeOf(
  sql: Sql,
  { parts, contract, span }: Pick<SpanOptions, 'parts' | 'contract' | 'span'>,
): Promise<readonly string[]> {
  const received = await sql.rows(
    `SELECT DISTINCT strftime(received_at, '%Y-%m-%d') AS day FROM custody.ledger
     WHERE message_id IN (SELECT _message_id FROM ${silverTable(contract.name)} WHERE ${within(span)})`,
  );
  const folders = new Set(received.map((row) => String(row.day)));
  const files = await parts.bronze.files();
  return files
    .filter(
      ({ kind, dataset, path }) =>
        kind === 'rows' && dataset === contract.name && folders.has(path.split('/').at(-2) ?? ''),
    )
    .map(({ path }) => path);
}

function bodiesSql(contract: Contract, span: Span, files: readonly string[]): string {
  return `SELECT DISTINCT ON (b.message_id, b."index") b.message_id::VARCHAR AS message_id, b."index" AS "index", b.body AS body
    FROM read_parquet([${files.map(literal).join(', ')}]) b
    JOIN ${silverTable(contract.name)} s ON s._message_id = b.message_id AND s._index = b."index"
    WHERE s.${within(span)} AND b.kind = 'row'`;
}

function lineOf({ derived }: Contract, row: SqlRow): string {
  const body = String(row.body);
  const beside = derived === undefined ? '' : `,"derived":${JSON.stringify(derived.derive(JSON.parse(body) as Row))}`;
  return `{"m":"${String(row.message_id)}","i":${String(row.index)},"r":{"body":${body}${beside}}}\n`;
}

/** DuckDB's own floor. */
const LINE_BYTES_MIN = 16 * 1024 * 1024;

async function replaceSpan(options: SpanOptions & Prepared): Promise<number> {
  const { sql, parts, contract, span, rows } = options;
  const { partitions, store, now } = parts;
  const table = silverTable(contract.name);
  const startedAt = new Date(now()).toISOString();
  const generation = randomUUID().replaceAll('-', '');
  const replaced = await sql.transaction(async () => {
    await sql.run(`CREATE OR REPLACE TEMP TABLE backfilled AS ${madeAgain(options)}`);
    const [made] = await sql.rows('SELECT count(*)::DOUBLE AS "rows" FROM backfilled');
    const before = await countSpan(sql, table, span);
    await sql.run(
      `DELETE FROM ${table} s USING backfilled b WHERE s.${within(span)} AND s._message_id = b._message_id AND s._index = b._index`,
    );
    await sql.run(`INSERT INTO ${table} SELECT * FROM backfilled`);
    if ((await countSpan(sql, table, span)) !== before || Number(made?.rows) > rows) throw uneven(contract, span);
    await sql.run('DROP TABLE backfilled');
    await sql.run("UPDATE custody.facts SET value = $1 WHERE name = 'generation'", [generation]);
    const at = new Date(now()).toISOString();
    await insertAudit(sql, [
      auditRow(store.nextOrdinals(1), {
        id: randomUUID(),
        at,
        step: 'backfill',
        actor: 'system',
        dataset: contract.name,
        source: 'bronze',
        target: `${table.replaceAll('"', '')} ${spanText(span)}`,
        startedAt,
        endedAt: at,
        read: rows,
        stored: Number(made?.rows),
        rejected: 0,
        outcome: 'ok',
        error: '',
      }),
    ]);
    return Number(made?.rows);
  });
  partitions.startGeneration(generation);
  return replaced;
}

/** The span's rows as their bodies say now; ids, places and commits as they are stored. */
function madeAgain({ contract, span, path, lineBytesMax }: SpanOptions & Prepared): string {
  const derived = contract.derived === undefined ? '' : `, derived ${bodyStruct(contract.derived.fields)}`;
  const shape = `{m: 'UUID', i: 'INTEGER', r: ${literal(`STRUCT(body ${bodyStruct(contract.fields)}${derived})`)}}`;
  const bytesMax = Math.max(LINE_BYTES_MIN, lineBytesMax);
  const read = `read_json(${literal(path)}, format = 'newline_delimited', columns = ${shape}, maximum_object_size = ${bytesMax})`;
  const expressions = [
    ...columnExpressions(contract.fields, 'f.r.body'),
    ...(contract.derived === undefined ? [] : columnExpressions(contract.derived.fields, 'f.r.derived')),
  ];
  const columns = [...contractColumns(contract), ...derivedColumns(contract)];
  if (columns.length !== expressions.length) throw new Error(`${contract.name}: a column without an expression`);
  const own = ['_event_id', '_event_date', '_message_id', '_index', '_commit'].map((name) => `s.${quoted(name)}`);
  return `SELECT ${[...expressions, ...own].join(', ')}
    FROM ${read} f JOIN ${silverTable(contract.name)} s ON s._message_id = f.m AND s._index = f.i
    WHERE s.${within(span)}`;
}

async function countSpan(sql: Sql, table: string, span: Span): Promise<number> {
  const [counted] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM ${table} WHERE ${within(span)}`);
  return Number(counted?.rows);
}

function uneven({ name }: Contract, span: Span): AppError {
  return new AppError({
    code: 'WAREHOUSE_UNAVAILABLE',
    publicMessage: `WAREHOUSE_UNAVAILABLE: a backfill of ${name} would change how many rows ${spanText(span)} has; it was rolled back.`,
  });
}

function within({ first, last }: Span): string {
  return `_event_date BETWEEN ${dateOf(first)} AND ${dateOf(last)}`;
}

function spanText({ first, last }: Span): string {
  const text = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);
  return first === last ? text(first) : `${text(first)} to ${text(last)}`;
}

function dateOf(day: number): string {
  return `DATE '1970-01-01' + ${day}`;
}
