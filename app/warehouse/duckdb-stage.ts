/**
 * One dataset's part of a batch: its rows staged, each given a verdict, and put where the verdict says.
 *
 * A row is looked for in the table only when its id may have been seen before and its event date holds rows already;
 * a batch without such rows is appended as it is. In a batch earlier means: message order, then row index.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EnvelopeRow } from '../bus/envelope.ts';
import type { Contract, Row } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { CONFLICT_EXPECTED, classify, storedDays } from './classify.ts';
import { insertLedger } from './duckdb-ledger.ts';
import { columnExpressions, contractColumns, derivedColumns, silverTable } from './duckdb-schema.ts';
import { isUnfit, kindOf, literal, quoted, type Sql } from './duckdb-session.ts';
import type { Commit, Partitions } from './partitions.ts';
import type { SeenIds } from './seen-ids.ts';
import type { StorableMessage } from './warehouse.ts';
import {
  readBodiesAsText,
  readRejects,
  readRowsTyped,
  type WorkFile,
  type WorkLine,
  withWorkFile,
} from './work-file.ts';

/** A batch's messages of one dataset that the ledger does not hold. */
export interface Group {
  readonly contract: Contract;
  readonly messages: readonly { readonly position: number; readonly message: StorableMessage }[];
}

/** What a batch did to one dataset. */
interface GroupResult {
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
  const lines: WorkLine[] = [];
  const slices = new Slices();
  for (const { message, position } of group.messages) {
    const { sequence, late } = message;
    lines.push({ order: position, sequence, late, data: await withDerived(message, group.contract, slices) });
  }
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

/** To derive of one row may take 100 ms, and a batch has thousands: requests are answered in between. */
const SLICE_MS = 5;

class Slices {
  #sinceMs = performance.now();

  async giveWay(): Promise<void> {
    if (performance.now() - this.#sinceMs < SLICE_MS) return;
    await nextTurn();
    this.#sinceMs = performance.now();
  }
}

/** Derived fields are computed here, in TypeScript, and travel beside the body: the body stays what the producer sent. */
async function withDerived({ envelope, data }: StorableMessage, contract: Contract, slices: Slices): Promise<Buffer> {
  const { derived } = contract;
  if (derived === undefined) return data;
  const rows: (EnvelopeRow & { readonly derived: Row })[] = [];
  for (const row of envelope.rows) {
    rows.push({ ...row, derived: derivedOf(derived, row) });
    await slices.giveWay();
  }
  return Buffer.from(JSON.stringify({ ...envelope, rows }));
}

function derivedOf({ derive }: NonNullable<Contract['derived']>, { body }: EnvelopeRow): Row {
  try {
    return derive(body);
  } catch (error) {
    throw failed(`derive: ${kindOf(error)}`);
  }
}

async function storeFile(options: GroupOptions, file: WorkFile): Promise<GroupResult> {
  const { sql, group, commit } = options;
  const stage = await stageRows(options, file);
  const table = silverTable(group.contract.name);
  const commitNumber = BigInt(commit.commitNumber);
  const { partitions, seen } = options;
  const classified =
    stage.rows > 0 &&
    (await classify({ sql, contract: group.contract, partitions, seen, table: 'stage', days: stage.days }));
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
