/**
 * One dataset's part of a batch: its rows staged, each given a verdict, and put where the verdict says.
 *
 * A row is looked for in the table only when its id may have been seen before and its event date holds rows already;
 * a batch without such rows is appended as it is. In a batch earlier means: message order, then row index.
 */
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { insertLedger } from './duckdb-ledger.ts';
import { columnExpressions, contractColumns, derivedColumns, silverTable } from './duckdb-schema.ts';
import { isUnfit, kindOf, literal, quoted, type Sql } from './duckdb-session.ts';
import type { Commit, Partitions } from './partitions.ts';
import type { SeenIds, Suspects } from './seen-ids.ts';
import type { StorableMessage } from './warehouse.ts';
import { readBodiesAsText, readRejects, readRowsTyped, type WorkFile, withWorkFile } from './work-file.ts';

/** A batch's messages of one dataset that the ledger does not hold. */
export interface Group {
  readonly contract: Contract;
  readonly messages: readonly { readonly position: number; readonly message: StorableMessage }[];
}

/** What a batch did to one dataset. */
export interface GroupResult {
  readonly days: readonly number[];
}

interface GroupOptions {
  readonly workDir: string;
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  readonly sql: Sql;
  readonly group: Group;
  readonly commit: Commit;
}

/** Rows, quarantine and ledger of one dataset's messages. A row that no column takes throws MESSAGE_FAILED. */
export async function storeGroup(options: GroupOptions): Promise<GroupResult> {
  const { group, workDir } = options;
  for (const { message } of group.messages) {
    const { rows, rowCount } = message.envelope;
    if (rows.length !== rowCount) throw failed(`rowCount says ${rowCount}, the message has ${rows.length} rows`);
  }
  const lines = group.messages.map(({ message, position }) => ({
    order: position,
    sequence: message.sequence,
    late: message.late,
    data: withDerived(message, group.contract),
  }));
  try {
    return await withWorkFile({ dir: workDir, lines }, (file) => storeFile(options, file));
  } catch (error) {
    if (isUnfit(error)) throw failed(kindOf(error));
    throw error;
  }
}

export function failed(detail: string): AppError {
  return new AppError({
    code: 'MESSAGE_FAILED',
    publicMessage: 'MESSAGE_FAILED: a message holds a row that the warehouse cannot take.',
    detail,
  });
}

/** Derived fields are computed here, in TypeScript, and travel beside the body: the body stays what the producer sent. */
function withDerived({ envelope, data }: StorableMessage, contract: Contract): Buffer {
  const { derived } = contract;
  if (derived === undefined) return data;
  try {
    const rows = envelope.rows.map((row) => ({ ...row, derived: derived.derive(row.body) }));
    return Buffer.from(JSON.stringify({ ...envelope, rows }));
  } catch (error) {
    throw failed(`derive: ${kindOf(error)}`);
  }
}

async function storeFile(options: GroupOptions, file: WorkFile): Promise<GroupResult> {
  const { sql, group, commit } = options;
  const stage = await stageRows(options, file);
  const table = silverTable(group.contract.name);
  const commitNumber = BigInt(commit.commitNumber);
  const classified = stage.rows > 0 && (await classify(options, stage));
  let { days } = stage;
  if (classified) {
    await sql.run(`INSERT INTO ${table} SELECT ${stage.columns}, $1 FROM classified WHERE _verdict = 'stored'`, [
      commitNumber,
    ]);
    await quarantineConflicts(options, file);
    days = await storedDays(sql);
  } else if (stage.rows > 0) {
    await sql.run(`INSERT INTO ${table} SELECT ${stage.columns}, $1 FROM stage`, [commitNumber]);
  }
  if (group.messages.some(({ message }) => message.envelope.rejectCount > 0)) await quarantineRejects(options, file);
  await insertLedger(sql, { messages: group.messages, commitNumber: commit.commitNumber, classified });
  return { days };
}

/** A commit that adds nothing to a partition leaves its version as it is. */
async function storedDays(sql: Sql): Promise<readonly number[]> {
  const rows = await sql.rows(
    "SELECT DISTINCT _event_date - DATE '1970-01-01' AS day FROM classified WHERE _verdict = 'stored'",
  );
  return rows.map(({ day }) => Number(day));
}

interface Stage {
  /** The silver table's columns but the last (`_commit`). */
  readonly columns: string;
  readonly rows: number;
  readonly days: readonly number[];
}

async function stageRows({ sql, group }: GroupOptions, file: WorkFile): Promise<Stage> {
  const { contract } = group;
  const eventDate = `CAST(r.body.${quoted(contract.eventDate)} AS DATE)`;
  const expressions = [
    ...columnExpressions(contract.fields, 'r.body'),
    ...columnExpressions(contract.derived?.fields ?? {}, 'r.derived'),
    'r."eventId" AS _event_id',
    `${eventDate} AS _event_date`,
    'message_id AS _message_id',
    'r."index" AS _index',
    'o AS _position',
  ];
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE stage AS SELECT ${expressions.join(', ')}
     FROM (SELECT o, e."messageId" AS message_id, unnest(e."rows") AS r FROM ${readRowsTyped(file, contract)})`,
  );
  const [counted] = await sql.rows(
    `SELECT count(*) AS "rows", count(_event_date) AS dated, list(DISTINCT _event_date - DATE '1970-01-01') AS days
     FROM stage`,
  );
  const rows = Number(counted?.rows);
  const expected = group.messages.reduce((sum, { message }) => sum + message.envelope.rowCount, 0);
  if (rows !== expected || Number(counted?.dated) !== rows)
    throw failed(`${expected} rows expected, ${rows} read, ${counted?.dated} with an event date`);
  return {
    columns: [...contractColumns(contract), ...derivedColumns(contract)]
      .map(({ name }) => quoted(name))
      .concat('_event_id', '_event_date', '_message_id', '_index')
      .join(', '),
    rows,
    days: ((counted?.days ?? []) as readonly (string | number)[]).map(Number),
  };
}

/**
 * Makes the temporary table `classified`: `stage` with a verdict. False, and no table, when nothing can repeat.
 *
 * The first row with an id wins: the stored one, else the batch's first. The others are duplicates when every field of
 * the contract is equal, and conflicts otherwise.
 */
async function classify({ sql, group, partitions, seen }: GroupOptions, stage: Stage): Promise<boolean> {
  const { contract } = group;
  const suspects = await seen.admit(sql, contract.name);
  if (suspects.length === 0) return false;
  const overlap = partitions.present(contract.name, stage.days);
  const fields = contractColumns(contract).map(({ name }) => quoted(name));
  const columns = ['_event_id', ...fields].join(', ');
  const existing = await findExisting({ sql, contract, columns, overlap, suspects });
  if (!existing && !(await repeats(sql))) return false;
  const equal = fields.map((field) => `r.${field} IS NOT DISTINCT FROM w.${field}`).join(' AND ');
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE classified AS
     WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY _event_id ORDER BY _position, _index) AS _rank FROM stage),
     winner AS (
       SELECT DISTINCT ON (_event_id) true AS _old, ${columns} FROM existing
       UNION ALL SELECT false, ${columns} FROM ranked WHERE _rank = 1 AND _event_id NOT IN (SELECT _event_id FROM existing))
     SELECT r.*, CASE WHEN r._rank = 1 AND NOT w._old THEN 'stored' WHEN ${equal} THEN 'duplicate' ELSE 'conflict' END AS _verdict
     FROM ranked r JOIN winner w ON w._event_id = r._event_id`,
  );
  return true;
}

/**
 * Makes the temporary table `existing`: stored rows with an id of the batch. False when there are none.
 *
 * Ids first, alone: reading one column of ten million rows takes two thirds of the time of reading all of them, and
 * almost always there is nothing to read.
 */
async function findExisting(options: {
  readonly suspects: Suspects;
  readonly sql: Sql;
  readonly contract: Contract;
  readonly columns: string;
  readonly overlap: readonly number[];
}): Promise<boolean> {
  const { sql, contract, columns, overlap, suspects } = options;
  // A range, not a list: it is held against each row group's least and greatest date before any row is read.
  const dates =
    overlap.length === 0
      ? 'false'
      : `_event_date BETWEEN ${dateOf(Math.min(...overlap))} AND ${dateOf(Math.max(...overlap))}`;
  const table = silverTable(contract.name);
  const wanted = suspects === 'all' ? '' : "WHERE hash(_event_id) IN (SELECT unnest(string_split($1, ',')::UBIGINT[]))";
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE found AS SELECT _event_id FROM ${table} WHERE ${dates} AND _event_id IN (SELECT _event_id FROM stage ${wanted})`,
    suspects === 'all' ? [] : [suspects.join(',')],
  );
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS ids FROM found');
  const none = counted?.ids === 0;
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE existing AS SELECT ${columns} FROM ${table} WHERE ${none ? 'false' : dates} AND _event_id IN (SELECT _event_id FROM found)`,
  );
  return !none;
}

async function repeats(sql: Sql): Promise<boolean> {
  const [counted] = await sql.rows('SELECT count(*) = count(DISTINCT _event_id) AS single FROM stage');
  return counted?.single !== true;
}

function dateOf(day: number): string {
  return `DATE '1970-01-01' + ${day}`;
}

const CONFLICT_EXPECTED = 'the same content as the stored record with this key';

/** The body is taken from the message again, because the staged columns are no longer the text that was sent. */
async function quarantineConflicts({ sql, commit }: GroupOptions, file: WorkFile): Promise<void> {
  const [found] = await sql.rows(`SELECT count(*) AS "rows" FROM classified WHERE _verdict = 'conflict'`);
  if (Number(found?.rows) === 0) return;
  await sql.run(
    `INSERT INTO custody.quarantine
     SELECT f.message_id, f.dataset, f.request_id, f.r."index", 'pipeline', 'KEY_CONFLICT', '', ${literal(CONFLICT_EXPECTED)}, '',
       f.r.body::VARCHAR, strlen(f.r.body::VARCHAR), sha256(f.r.body::VARCHAR), f.received_at, $1
     FROM (SELECT e."messageId" AS message_id, e.dataset AS dataset, e."requestId" AS request_id, e."receivedAt" AS received_at,
             unnest(e."rows") AS r FROM ${readBodiesAsText(file)}) f
     JOIN classified c ON c._message_id = f.message_id AND c._index = f.r."index" AND c._verdict = 'conflict'`,
    [BigInt(commit.commitNumber)],
  );
}

async function quarantineRejects({ sql, commit }: GroupOptions, file: WorkFile): Promise<void> {
  await sql.run(
    `INSERT INTO custody.quarantine
     SELECT f.message_id, f.dataset, f.request_id, f.j."index", 'request', f.j.code, f.j.pointer, f.j.expected, f.j.got, f.j.body,
       f.j."bodyBytes", f.j."bodyHash", f.received_at, $1
     FROM (SELECT e."messageId" AS message_id, e.dataset AS dataset, e."requestId" AS request_id, e."receivedAt" AS received_at,
             unnest(e."rejects") AS j FROM ${readRejects(file)}) f`,
    [BigInt(commit.commitNumber)],
  );
}
