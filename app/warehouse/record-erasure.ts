/**
 * Finds records by what they are known by, and takes them out of silver, quarantine, ledger and bronze.
 *
 * Bronze is looked through, because only it knows of each copy of a record whose it is; so what waits is sealed before.
 * Records that come while this works have a later commit than the first tombstones and are new ones: everything up to
 * that commit is found by looking again, once it is sealed, and gets tombstones of the same commit. A rebuild then
 * takes all of them out at one place, before the first new one.
 */
import { hash } from 'node:crypto';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { registeredHashes } from './bronze.ts';
import type { BronzeFile } from './bronze-file.ts';
import type { Custody, CustodyParts } from './custody.ts';
import { contractColumns, silverTable } from './duckdb-schema.ts';
import { literal, quoted, type Sql, type SqlRow } from './duckdb-session.ts';
import {
  ERASED_RECORDS_MAX,
  type EraseOptions,
  type FindOptions,
  type FoundRecord,
  type FoundRecords,
  type RecordKey,
  type RecordPlace,
} from './erasable.ts';
import { tombstones } from './erasure.ts';

/** Files of one statement. */
const FILES_AT_ONCE = 256;

interface Parts extends Pick<CustodyParts, 'options' | 'writer' | 'sealer' | 'bronze' | 'store'> {
  readonly custody: Custody;
}

export class RecordErasure {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Throws AppError QUERY_TOO_LARGE when there are more than ERASED_RECORDS_MAX. */
  find(options: FindOptions): Promise<FoundRecords> {
    const { custody, sealer, writer } = this.#parts;
    return custody.alone(async () => {
      const graves = await this.#graves();
      const files = (await this.#rowsFiles(options.dataset)).filter(({ hash: one }) => !options.scanned.has(one));
      const { records, key } = await sealer.exclusive((sql) => this.#scan(sql, { ...options, files, graves }));
      const counts = await writer.exclusive((sql) => countsOf(sql, options.dataset, records));
      return { records, key, ...counts, scanned: new Set([...options.scanned, ...files.map(({ hash: one }) => one)]) };
    });
  }

  /** Durable tombstones, then the transaction. Answers the accepted rows that are erased with it. */
  async erase(options: EraseOptions): Promise<number> {
    const { custody, writer, store } = this.#parts;
    const { dataset, erasureId, actor, records } = options;
    const graves = await this.#graves();
    return writer.exclusive(async (sql) => {
      const since = await commitOf(sql, graves, erasureId);
      await sql.run('CREATE OR REPLACE TEMP TABLE erasing(message_id UUID, "index" INTEGER)');
      await fill(sql, 'erasing', records);
      await this.#addReadable(sql, options, since);
      const select = `SELECT DISTINCT ${literal(dataset)} AS dataset, message_id, "index", 'erased' AS reason FROM erasing`;
      const commitNumber = since ?? store.nextCommit().commitNumber;
      const { rows } = await custody.bury(sql, {
        tombstones: tombstones(select, { commitNumber, cause: erasureId }),
        told: { step: 'erase', actor, dataset, source: fingerprintOf(records) },
        faultPoints: 'erase',
      });
      return rows;
    });
  }

  /** Files of the dataset lose the content of what has this erasure's tombstones. Answers how many were rewritten. */
  async rewrite(options: { readonly dataset: string; readonly erasureId: string }): Promise<number> {
    const { custody, sealer, options: own } = this.#parts;
    const all = await this.#graves();
    const graves = await sealer.exclusive((sql) => filesOfCause(sql, all, options.erasureId));
    let rewritten = 0;
    if (graves.length === 0) return rewritten;
    await custody.alone(async () => {
      const files = await this.#rowsFiles(options.dataset);
      for (const file of await sealer.exclusive((sql) => filesWithContent(sql, { files, graves }))) {
        own.faultPoint?.('erase-while-rewriting');
        await custody.rewrite({ files: [file], keep: { withoutContent: graves }, reason: 'erase.bronze' });
        rewritten += 1;
      }
    });
    return rewritten;
  }

  /** Everything that this erasure took, wherever it lay. */
  async places(erasureId: string): Promise<readonly RecordPlace[]> {
    const { writer } = this.#parts;
    const graves = await this.#graves();
    const rows = await writer.exclusive((sql) =>
      sql.rows(
        `SELECT DISTINCT l.request_id AS request, t."index" AS "index" FROM (${allGraves(graves)}) t JOIN custody.ledger l ON l.message_id = t.message_id
         WHERE t.cause = ${literal(erasureId)}::UUID`,
      ),
    );
    return rows.map((row) => ({ requestId: String(row.request), index: Number(row.index) }));
  }

  /** Numbers of a request's records that were erased, whoever asked for it. */
  async erasedOf(requestId: string): Promise<readonly number[]> {
    const graves = await this.#graves();
    const rows = await this.#parts.writer.exclusive((sql) =>
      sql.rows(
        `SELECT DISTINCT t."index" AS "index" FROM (${allGraves(graves)}) t JOIN custody.ledger l ON l.message_id = t.message_id
         WHERE l.request_id = $1 AND t.reason = 'erased'`,
        [requestId],
      ),
    );
    return rows.map(({ index }) => Number(index));
  }

  async #graves(): Promise<readonly BronzeFile[]> {
    return (await this.#parts.bronze.files()).filter(({ kind }) => kind === 'tombstones');
  }

  /** A file that is not registered is of a range whose commit is still to come, or was taken back. */
  async #rowsFiles(dataset: string): Promise<readonly BronzeFile[]> {
    const { bronze, writer } = this.#parts;
    const known = await writer.exclusive(registeredHashes);
    const files = await bronze.files();
    return files.filter((file) => file.kind === 'rows' && file.dataset === dataset && known.has(file.hash));
  }

  async #scan(sql: Sql, options: ScanOptions): Promise<Pick<FoundRecords, 'records' | 'key'>> {
    const { selector, erasureId, graves } = options;
    const since = await commitOf(sql, graves, erasureId);
    await sql.run(
      `CREATE OR REPLACE TEMP TABLE buried AS SELECT message_id, "index" FROM (${allGraves(graves)}) WHERE cause = ${literal(erasureId)}::UUID`,
    );
    const scan: Scan = { ...options, sql, upTo: since };
    switch (selector.kind) {
      case 'row':
        return {
          records: await rowsWhere(scan, 'r.message_id = $1::UUID AND r."index" = $2', [
            selector.messageId,
            selector.index,
          ]),
          key: undefined,
        };
      case 'key': {
        const { where, values } = keyWhere(selector.values);
        return { records: await rowsWhere(scan, where, values), key: { values: selector.values, day: undefined } };
      }
      case 'event': {
        const rows = await rowsWhere(scan, "r.kind = 'row' AND r.event_id = $1::UUID", [selector.eventId]);
        const key = await this.#keyOf(scan, selector.eventId);
        return { records: key === undefined ? rows : [...rows, ...(await this.#rejectsOf(scan, key))], key };
      }
    }
  }

  /** A rejected row has no id: it is of a record when it has the record's key, and its day as far as it tells. */
  async #keyOf(scan: Scan, eventId: string): Promise<RecordKey | undefined> {
    const contract = this.#contract(scan.dataset);
    if (contract.identity.kind !== 'key') return undefined;
    const body = await bodyOf(scan, eventId);
    if (body === undefined) return undefined;
    const named = contract.identity.fields.map((name) => [name, String(body[name] ?? '')] as const);
    return { values: Object.fromEntries(named), day: String(body[contract.eventDate]).slice(0, 10) };
  }

  async #rejectsOf(scan: Scan, key: RecordKey): Promise<readonly FoundRecord[]> {
    const { where, values } = keyWhere(key.values);
    const event = valueText(this.#contract(scan.dataset).eventDate);
    const ofDay = `coalesce(substr(${event}, 1, 10) = $${values.length + 1}, true)`;
    return rowsWhere(scan, `r.kind = 'reject' AND ${where} AND ${ofDay}`, [...values, key.day ?? '']);
  }

  /** What was stored since bronze was looked through. */
  async #addReadable(sql: Sql, { dataset, selector, records }: EraseOptions, since: number | undefined): Promise<void> {
    const upTo = since === undefined ? 'true' : `_commit <= ${since}`;
    const into = `INSERT INTO erasing SELECT _message_id, _index FROM ${silverTable(dataset)} WHERE ${upTo} AND`;
    const ids = records.flatMap(({ eventId }) => eventId ?? []);
    if (selector.kind === 'event') ids.push(selector.eventId);
    if (ids.length > 0 && selector.kind !== 'row') {
      await sql.run(`${into} _event_id IN (SELECT unnest(string_split($1, ',')::UUID[]))`, [
        [...new Set(ids)].join(','),
      ]);
    }
    if (selector.kind !== 'key') return;
    const types = new Map(contractColumns(this.#contract(dataset)).map(({ name, type }) => [name, type]));
    const names = Object.keys(selector.values);
    const equal = names.map((name, at) => `${quoted(name)} = CAST($${at + 1} AS ${types.get(name) ?? 'VARCHAR'})`);
    await sql.run(`${into} ${equal.join(' AND ')}`, Object.values(selector.values));
  }

  #contract(dataset: string): Contract {
    const contract = this.#parts.options.contracts.get(dataset);
    if (contract !== undefined) return contract;
    throw new AppError({ code: 'DATASET_UNKNOWN', publicMessage: `DATASET_UNKNOWN: there is no dataset ${dataset}.` });
  }
}

interface ScanOptions extends FindOptions {
  readonly files: readonly BronzeFile[];
  readonly graves: readonly BronzeFile[];
}

interface Scan extends ScanOptions {
  readonly sql: Sql;
  /** What came later is of no concern. */
  readonly upTo: number | undefined;
}

/** Null for a rejected row that is no JSON. */
function valueText(name: string): string {
  return `json_extract_string(CASE WHEN json_valid(r.body) THEN r.body END, ${literal(`$.${quoted(name)}`)})`;
}

function keyWhere(values: Readonly<Record<string, string>>): { readonly where: string; readonly values: string[] } {
  const names = Object.keys(values);
  const equal = names.map((name, at) => `${valueText(name)} = $${at + 1}`);
  return { where: `r.kind IN ('row', 'reject') AND ${equal.join(' AND ')}`, values: Object.values(values) };
}

async function rowsWhere(scan: Scan, where: string, values: (string | number)[]): Promise<readonly FoundRecord[]> {
  const found: FoundRecord[] = [];
  const upTo = scan.upTo === undefined ? 'true' : `coalesce(r."commit" <= ${scan.upTo}, true)`;
  for (const read of reads(scan.files)) {
    const rows = await scan.sql.rows(
      `SELECT DISTINCT replace(r.message_id::VARCHAR, '-', '') AS message, r."index" AS "index", r.kind AS kind, r.request_id AS request,
         replace(r.event_id::VARCHAR, '-', '') AS event
       FROM ${read} r ANTI JOIN buried b ON b.message_id = r.message_id AND b."index" = r."index"
       WHERE r.kind IN ('row', 'reject') AND ${where} AND ${upTo} LIMIT ${ERASED_RECORDS_MAX + 1}`,
      values,
    );
    found.push(...rows.map(recordOf));
    if (found.length > ERASED_RECORDS_MAX) throw tooMany();
  }
  return found;
}

function recordOf(row: SqlRow): FoundRecord {
  return {
    messageId: String(row.message),
    index: Number(row.index),
    kind: row.kind === 'reject' ? 'reject' : 'row',
    eventId: typeof row.event === 'string' ? row.event : undefined,
    requestId: String(row.request),
  };
}

async function bodyOf(scan: Scan, eventId: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  for (const read of reads(scan.files)) {
    const [row] = await scan.sql.rows(
      `SELECT any_value(r.body) AS body FROM ${read} r WHERE r.kind = 'row' AND r.event_id = $1::UUID`,
      [eventId],
    );
    if (typeof row?.body === 'string') return JSON.parse(row.body) as Readonly<Record<string, unknown>>;
  }
  return undefined;
}

function* reads(files: readonly BronzeFile[]): Iterable<string> {
  for (let from = 0; from < files.length; from += FILES_AT_ONCE) {
    const paths = files.slice(from, from + FILES_AT_ONCE).map(({ path }) => literal(path));
    yield `read_parquet([${paths.join(', ')}], filename = true)`;
  }
}

/** Tombstones of earlier versions have no cause. */
function allGraves(graves: readonly BronzeFile[]): string {
  const none =
    'SELECT NULL::UUID AS message_id, NULL::INTEGER AS "index", NULL::BIGINT AS "commit", NULL::UUID AS cause, NULL::VARCHAR AS reason, NULL::VARCHAR AS filename WHERE false';
  if (graves.length === 0) return none;
  const paths = graves.map(({ path }) => literal(path)).join(', ');
  return `${none} UNION ALL BY NAME SELECT * FROM read_parquet([${paths}], union_by_name = true, filename = true)`;
}

/** Undefined when it has no tombstones yet. */
async function commitOf(sql: Sql, graves: readonly BronzeFile[], erasureId: string): Promise<number | undefined> {
  const [row] = await sql.rows(
    `SELECT max("commit")::DOUBLE AS number FROM (${allGraves(graves)}) WHERE cause = ${literal(erasureId)}::UUID`,
  );
  return typeof row?.number === 'number' ? row.number : undefined;
}

async function filesOfCause(
  sql: Sql,
  graves: readonly BronzeFile[],
  erasureId: string,
): Promise<readonly BronzeFile[]> {
  const rows = await sql.rows(
    `SELECT DISTINCT filename FROM (${allGraves(graves)}) WHERE cause = ${literal(erasureId)}::UUID`,
  );
  const paths = new Set(rows.map(({ filename }) => filename));
  return graves.filter(({ path }) => paths.has(path));
}

/** Those that hold the content of something that has a tombstone. */
async function filesWithContent(
  sql: Sql,
  { files, graves }: { readonly files: readonly BronzeFile[]; readonly graves: readonly BronzeFile[] },
): Promise<readonly BronzeFile[]> {
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE buried AS SELECT DISTINCT message_id, "index" FROM (${allGraves(graves)})`,
  );
  const paths = new Set<unknown>();
  for (const read of reads(files)) {
    const rows = await sql.rows(
      `SELECT DISTINCT r.filename AS path FROM ${read} r SEMI JOIN buried b ON b.message_id = r.message_id AND b."index" = r."index"
       WHERE r.kind IN ('row', 'reject')`,
    );
    for (const { path } of rows) paths.add(path);
  }
  return files.filter(({ path }) => paths.has(path));
}

async function countsOf(
  sql: Sql,
  dataset: string,
  records: readonly FoundRecord[],
): Promise<Pick<FoundRecords, 'silver' | 'quarantine'>> {
  await sql.run('CREATE OR REPLACE TEMP TABLE erasing(message_id UUID, "index" INTEGER)');
  await fill(sql, 'erasing', records);
  const [silver] = await sql.rows(
    `SELECT count(*)::DOUBLE AS "rows" FROM ${silverTable(dataset)} s SEMI JOIN erasing e ON e.message_id = s._message_id AND e."index" = s._index`,
  );
  const [apart] = await sql.rows(
    'SELECT count(*)::DOUBLE AS "rows" FROM custody.quarantine q SEMI JOIN erasing e ON e.message_id = q.message_id AND e."index" = q."index"',
  );
  return { silver: Number(silver?.rows), quarantine: Number(apart?.rows) };
}

async function fill(sql: Sql, table: string, records: readonly FoundRecord[]): Promise<void> {
  const places = records.map(({ messageId, index }) => ({ m: messageId, i: index }));
  await sql.run(
    `INSERT INTO ${table} SELECT p.m, p.i FROM (SELECT unnest(from_json($1, '[{"m":"UUID","i":"INTEGER"}]')) AS p)`,
    [JSON.stringify(places)],
  );
}

/** Tells two erasures apart, and nothing of what they took. */
function fingerprintOf(records: readonly FoundRecord[]): string {
  const ids = [...new Set(records.flatMap(({ eventId }) => eventId ?? []))].sort();
  return `records sha256:${hash('sha256', ids.join(','))}`;
}

function tooMany(): AppError {
  return new AppError({
    code: 'QUERY_TOO_LARGE',
    publicMessage: `QUERY_TOO_LARGE: more than ${ERASED_RECORDS_MAX} records have this key. Erase them by their ids.`,
  });
}
