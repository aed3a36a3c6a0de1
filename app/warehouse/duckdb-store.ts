/**
 * Stores a batch of messages in one transaction: rows, quarantine, ledger, audit and commit number.
 *
 * No row passes through JavaScript: DuckDB reads the messages' own bytes. A row is looked for among those stored only
 * when its event date holds rows already, and in its own batch only when an id occurs twice there; otherwise the batch
 * is appended as it is. In a batch earlier means: message order, then row index.
 */
import { randomUUID } from 'node:crypto';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { auditRow, insertAudit } from './duckdb-audit.ts';
import { heldMessages, insertLedger } from './duckdb-ledger.ts';
import { columnExpressions, contractColumns, derivedColumns, silverTable } from './duckdb-schema.ts';
import { type DuckdbSession, isUnfit, kindOf, literal, quoted, type Sql, type SqlRow } from './duckdb-session.ts';
import type { Commit, Partitions } from './partitions.ts';
import type { OutcomeCounts, StorableMessage, StoreOutcome } from './warehouse.ts';
import { readBodiesAsText, readRejects, readRowsTyped, type WorkFile, withWorkFile } from './work-file.ts';

export interface StoreOptions {
  readonly session: DuckdbSession;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly workDir: string;
  readonly partitions: Partitions;
  readonly now: () => number;
  /** The newest commit in the file, and the newest audit entry. */
  readonly last: Commit;
  readonly lastOrdinal: number;
  readonly faultPoint?: ((name: string) => void) | undefined;
}

/** A batch's messages of one dataset that the ledger does not hold. */
interface Group {
  readonly contract: Contract;
  readonly messages: readonly { readonly position: number; readonly message: StorableMessage }[];
}

/** What a batch did to one dataset. */
interface GroupResult {
  readonly days: readonly number[];
}

interface FillOptions {
  readonly sql: Sql;
  readonly groups: readonly Group[];
  readonly commit: Commit;
  readonly audit: boolean;
  readonly startedAtMs: number;
}

export class DuckdbStore {
  readonly #options: StoreOptions;
  #last: Commit;
  #ordinal: number;
  #commit: PromiseWithResolvers<void> | undefined;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#last = options.last;
    this.#ordinal = options.lastOrdinal;
  }

  get last(): Commit {
    return this.#last;
  }

  /** Commit numbers from here on are above this one: numbers that a lost commit may have had are not used again. */
  raiseCommits(commitNumber: number): void {
    if (commitNumber > this.#last.commitNumber) this.#last = { ...this.#last, commitNumber };
  }

  raiseOrdinals(ordinal: number): void {
    this.#ordinal = Math.max(this.#ordinal, ordinal);
  }

  nextOrdinals(count: number): number {
    const first = this.#ordinal + 1;
    this.#ordinal += count;
    return first;
  }

  nextCommit(): Commit {
    return { commitNumber: this.#last.commitNumber + 1, committedAtMs: Math.max(this.#options.now(), this.#last.committedAtMs + 1) };
  }

  committed(commit: Commit): void {
    this.#last = commit;
  }

  /** True from just before a commit until `partitions` knows it: meanwhile a reader may see rows of no known version. */
  get committing(): boolean {
    return this.#commit !== undefined;
  }

  /** Resolves when no commit is under way. */
  async settled(): Promise<void> {
    await this.#commit?.promise;
  }

  /** `audit: false` on a rebuild, whose audit entries come back from bronze themselves. */
  store(messages: readonly StorableMessage[], { audit }: { readonly audit: boolean }): Promise<StoreOutcome> {
    return this.#options.session.exclusive((sql) => this.#store(sql, messages, audit));
  }

  async #store(sql: Sql, messages: readonly StorableMessage[], audit: boolean): Promise<StoreOutcome> {
    const startedAtMs = this.#options.now();
    const held = await heldMessages(sql, messages);
    const { fresh, replayed } = separate(messages, held);
    if (fresh.length === 0) return { ...this.#last, datasets: outcomes({ replayed, ledger: [], fresh }) };
    const commit = this.nextCommit();
    const groups = this.#groups(fresh);
    try {
      const { results, ledger } = await sql.transaction(() => this.#fill({ sql, groups, commit, audit, startedAtMs }));
      this.#options.faultPoint?.('after-commit');
      this.#last = commit;
      for (const [index, { contract }] of groups.entries()) {
        this.#options.partitions.touch({ dataset: contract.name, days: results[index]?.days ?? [], commit });
      }
      return { ...commit, datasets: outcomes({ replayed, ledger, fresh }) };
    } finally {
      this.#commit?.resolve();
      this.#commit = undefined;
    }
  }

  /** Everything of a commit but the commit itself. */
  async #fill(options: FillOptions): Promise<{ readonly results: readonly GroupResult[]; readonly ledger: readonly SqlRow[] }> {
    const { sql, groups, commit, audit, startedAtMs } = options;
    const results: GroupResult[] = [];
    for (const group of groups) results.push(await storeGroup({ ...this.#options, sql, group, commit }));
    const ledger = await ledgerOf(sql, commit);
    await sql.run('INSERT INTO custody.commits VALUES ($1, $2)', [BigInt(commit.commitNumber), BigInt(commit.committedAtMs)]);
    if (audit) await this.#audit({ sql, ledger, startedAtMs, commit });
    this.#options.faultPoint?.('before-commit');
    this.#commit = Promise.withResolvers();
    return { results, ledger };
  }

  #groups(fresh: readonly StorableMessage[]): readonly Group[] {
    const byDataset = Map.groupBy(
      fresh.map((message, position) => ({ message, position })),
      ({ message }) => message.envelope.dataset,
    );
    return [...byDataset].map(([dataset, messages]) => {
      const contract = this.#options.contracts.get(dataset);
      if (contract === undefined) throw failed(`no contract named ${dataset}`);
      return { contract, messages };
    });
  }

  async #audit(options: { readonly sql: Sql; readonly ledger: readonly SqlRow[]; readonly startedAtMs: number; readonly commit: Commit }): Promise<void> {
    const { sql, ledger, startedAtMs, commit } = options;
    const first = this.nextOrdinals(ledger.length);
    const entries = ledger.map((row, index) =>
      auditRow(first + index, {
        id: randomUUID(),
        at: new Date(commit.committedAtMs).toISOString(),
        step: 'store',
        actor: String(row.api_key_id),
        dataset: String(row.dataset),
        source: 'bus',
        target: `silver.${row.dataset}`,
        startedAt: new Date(startedAtMs).toISOString(),
        endedAt: new Date(commit.committedAtMs).toISOString(),
        read: Number(row.accepted) + Number(row.rejected),
        stored: Number(row.stored),
        rejected: Number(row.rejected) + Number(row.quarantined),
        outcome: 'ok',
        error: '',
      }),
    );
    await insertAudit(sql, entries);
  }
}

function separate(messages: readonly StorableMessage[], held: ReadonlySet<string>): { readonly fresh: readonly StorableMessage[]; readonly replayed: readonly StorableMessage[] } {
  const seen = new Set(held);
  const fresh: StorableMessage[] = [];
  const replayed: StorableMessage[] = [];
  for (const message of messages) {
    const { messageId } = message.envelope;
    (seen.has(messageId) ? replayed : fresh).push(message);
    seen.add(messageId);
  }
  return { fresh, replayed };
}

interface GroupOptions extends StoreOptions {
  readonly sql: Sql;
  readonly group: Group;
  readonly commit: Commit;
}

/** Rows, quarantine and ledger of one dataset's messages. A row that no column takes throws MESSAGE_FAILED. */
async function storeGroup(options: GroupOptions): Promise<GroupResult> {
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

function failed(detail: string): AppError {
  return new AppError({ code: 'MESSAGE_FAILED', publicMessage: 'MESSAGE_FAILED: a message holds a row that the warehouse cannot take.', detail });
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
    await sql.run(`INSERT INTO ${table} SELECT ${stage.columns}, $1 FROM classified WHERE _verdict = 'stored'`, [commitNumber]);
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
  const rows = await sql.rows("SELECT DISTINCT _event_date - DATE '1970-01-01' AS day FROM classified WHERE _verdict = 'stored'");
  return rows.map(({ day }) => Number(day));
}

interface Stage {
  /** The silver table's columns but the last (`_commit`). */
  readonly columns: string;
  readonly rows: number;
  readonly distinct: number;
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
    `SELECT count(*) AS "rows", count(DISTINCT _event_id) AS ids, count(_event_date) AS dated,
       list(DISTINCT _event_date - DATE '1970-01-01') AS days FROM stage`,
  );
  const rows = Number(counted?.rows);
  const expected = group.messages.reduce((sum, { message }) => sum + message.envelope.rowCount, 0);
  if (rows !== expected || Number(counted?.dated) !== rows) throw failed(`${expected} rows expected, ${rows} read, ${counted?.dated} with an event date`);
  return {
    columns: [...contractColumns(contract), ...derivedColumns(contract)]
      .map(({ name }) => quoted(name))
      .concat('_event_id', '_event_date', '_message_id', '_index')
      .join(', '),
    rows,
    distinct: Number(counted?.ids),
    days: ((counted?.days ?? []) as readonly (string | number)[]).map(Number),
  };
}

/**
 * Makes the temporary table `classified`: `stage` with a verdict. False, and no table, when nothing can repeat.
 *
 * The first row with an id wins: the stored one, else the batch's first. The others are duplicates when every field of
 * the contract is equal, and conflicts otherwise.
 */
async function classify({ sql, group, partitions }: GroupOptions, stage: Stage): Promise<boolean> {
  const { contract } = group;
  const overlap = partitions.present(contract.name, stage.days);
  if (overlap.length === 0 && stage.distinct === stage.rows) return false;
  const fields = contractColumns(contract).map(({ name }) => quoted(name));
  const columns = ['_event_id', ...fields].join(', ');
  if (!(await findExisting({ sql, contract, columns, overlap })) && stage.distinct === stage.rows) return false;
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
async function findExisting(options: { readonly sql: Sql; readonly contract: Contract; readonly columns: string; readonly overlap: readonly number[] }): Promise<boolean> {
  const { sql, contract, columns, overlap } = options;
  // A range, not a list: it is held against each row group's least and greatest date before any row is read.
  const dates = overlap.length === 0 ? 'false' : `_event_date BETWEEN ${dateOf(Math.min(...overlap))} AND ${dateOf(Math.max(...overlap))}`;
  const table = silverTable(contract.name);
  await sql.run(`CREATE OR REPLACE TEMP TABLE found AS SELECT _event_id FROM ${table} WHERE ${dates} AND _event_id IN (SELECT _event_id FROM stage)`);
  const [counted] = await sql.rows('SELECT count(*)::DOUBLE AS ids FROM found');
  const none = counted?.ids === 0;
  await sql.run(`CREATE OR REPLACE TEMP TABLE existing AS SELECT ${columns} FROM ${table} WHERE ${none ? 'false' : dates} AND _event_id IN (SELECT _event_id FROM found)`);
  return !none;
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

/** One row for each dataset and API key of a commit: what the audit and the outcome are made of. */
function ledgerOf(sql: Sql, commit: Commit): Promise<readonly SqlRow[]> {
  return sql.rows(
    `SELECT dataset, api_key_id, sum(accepted)::DOUBLE AS accepted, sum(rejected)::DOUBLE AS rejected, sum(stored)::DOUBLE AS stored,
       sum(len(duplicates))::DOUBLE AS duplicate, sum(quarantined)::DOUBLE AS quarantined
     FROM custody.ledger WHERE "commit" = $1 GROUP BY dataset, api_key_id ORDER BY dataset, api_key_id`,
    [BigInt(commit.commitNumber)],
  );
}

interface OutcomeOptions {
  readonly ledger: readonly SqlRow[];
  readonly replayed: readonly StorableMessage[];
  readonly fresh: readonly StorableMessage[];
}

function outcomes({ ledger, replayed, fresh }: OutcomeOptions): Readonly<Record<string, OutcomeCounts>> {
  const names = new Set([...fresh, ...replayed].map(({ envelope }) => envelope.dataset));
  return Object.fromEntries(
    [...names].map((dataset) => {
      const rows = ledger.filter((row) => row.dataset === dataset);
      const sum = (name: string): number => rows.reduce((total, row) => total + Number(row[name]), 0);
      const codes = fresh.filter(({ envelope }) => envelope.dataset === dataset).flatMap(({ envelope }) => envelope.rejects.map(({ code }) => code));
      const quarantined = sum('quarantined');
      const counts: OutcomeCounts = {
        stored: sum('stored'),
        duplicate: sum('duplicate'),
        quarantined,
        quarantinedByCode: quarantined === 0 ? {} : { KEY_CONFLICT: quarantined },
        rejected: sum('rejected'),
        rejectedByCode: countEach(codes),
        replayedMessages: replayed.filter(({ envelope }) => envelope.dataset === dataset).length,
      };
      return [dataset, counts];
    }),
  );
}

function countEach(codes: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}
