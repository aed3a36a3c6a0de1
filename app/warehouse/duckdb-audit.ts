/** Pages over what is kept for people: audit entries and rows set apart, newest first. */
import type { Sql, SqlRow } from './duckdb-session.ts';
import type { AuditEntry, QuarantinedRow } from './warehouse.ts';

/** RFC 3339, UTC, milliseconds. */
const instant = (column: string, name: string): string => `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%gZ') AS "${name}"`;

interface AuditRow extends AuditEntry {
  /** Grows with every entry: how far bronze holds them. */
  readonly ordinal: number;
}

export function auditRow(ordinal: number, entry: AuditEntry): AuditRow {
  return { ...entry, ordinal };
}

export async function insertAudit(sql: Sql, entries: readonly AuditRow[]): Promise<void> {
  if (entries.length === 0) return;
  const shape =
    '[{"ordinal":"BIGINT","id":"UUID","at":"TIMESTAMP","step":"VARCHAR","actor":"VARCHAR","dataset":"VARCHAR","source":"VARCHAR","target":"VARCHAR","startedAt":"TIMESTAMP","endedAt":"TIMESTAMP","read":"BIGINT","stored":"BIGINT","rejected":"BIGINT","outcome":"VARCHAR","error":"VARCHAR"}]';
  await sql.run(`INSERT INTO custody.audit SELECT unnest(m) FROM (SELECT unnest(from_json($1, '${shape}')) AS m)`, [
    JSON.stringify(entries),
  ]);
}

/**
 * Tells of ranges of files that the ledger holds and the audit does not: the transaction that told of them was lost, and
 * bronze, which knows the request alone, brought them back. No bus ever held a range: its sequence is 0.
 */
export async function recoverRangeEntries(
  sql: Sql,
  { at, nextOrdinals }: { readonly at: string; readonly nextOrdinals: (count: number) => number },
): Promise<void> {
  const rows = await sql.rows(
    `SELECT replace(message_id::VARCHAR, '-', '') AS id, api_key_id, dataset, request_id, ${instant('received_at', 'received')},
       (accepted + rejected)::DOUBLE AS records, stored::DOUBLE AS stored, (rejected + quarantined)::DOUBLE AS apart
     FROM custody.ledger l WHERE sequence = 0 AND NOT EXISTS (FROM custody.audit a WHERE a.id = l.message_id) ORDER BY "commit", position`,
  );
  const first = nextOrdinals(rows.length);
  const entries = rows.map((row, index) =>
    auditRow(first + index, {
      id: String(row.id),
      at,
      step: 'landing.range',
      actor: String(row.api_key_id),
      dataset: String(row.dataset),
      source: `recovered:${row.request_id}`,
      target: `silver.${row.dataset}`,
      startedAt: String(row.received),
      endedAt: at,
      read: Number(row.records),
      stored: Number(row.stored),
      rejected: Number(row.apart),
      outcome: 'ok',
      error: '',
    }),
  );
  await insertAudit(sql, entries);
}

export async function auditPage(
  sql: Sql,
  page: { readonly dataset?: string; readonly step?: string; readonly limit: number; readonly after?: string },
): Promise<readonly AuditEntry[]> {
  const conditions = new Conditions();
  conditions.equal('dataset', page.dataset);
  conditions.equal('step', page.step);
  if (page.after !== undefined) {
    conditions.add(
      (id) =>
        `(happened_at, ordinal) < (SELECT (happened_at, ordinal) FROM custody.audit WHERE id = try_cast(${id} AS UUID))`,
      page.after,
    );
  }
  const rows = await sql.rows(
    `SELECT replace(id::VARCHAR, '-', '') AS id, ${instant('happened_at', 'at')}, step, actor, dataset, source, target, ${instant('started_at', 'startedAt')},
       ${instant('ended_at', 'endedAt')}, "read"::DOUBLE AS "read", stored::DOUBLE AS stored, rejected::DOUBLE AS rejected, outcome, error
     FROM custody.audit ${conditions.where} ORDER BY happened_at DESC, ordinal DESC LIMIT ${limitOf(page.limit)}`,
    conditions.values,
  );
  return rows.map(auditEntry);
}

function auditEntry(row: SqlRow): AuditEntry {
  return {
    id: String(row.id),
    at: String(row.at),
    step: String(row.step),
    actor: String(row.actor),
    dataset: String(row.dataset),
    source: String(row.source),
    target: String(row.target),
    startedAt: String(row.startedAt),
    endedAt: String(row.endedAt),
    read: Number(row.read),
    stored: Number(row.stored),
    rejected: Number(row.rejected),
    outcome: row.outcome === 'ok' ? 'ok' : 'failed',
    error: String(row.error),
  };
}

const QUARANTINE_ID = /^([0-9a-f]{32})-(\d{1,9})$/;

export async function quarantinePage(
  sql: Sql,
  page: {
    readonly dataset?: string;
    readonly code?: string;
    readonly requestId?: string;
    readonly limit: number;
    readonly after?: string;
  },
): Promise<readonly QuarantinedRow[]> {
  const conditions = new Conditions();
  conditions.equal('dataset', page.dataset);
  conditions.equal('code', page.code);
  conditions.equal('request_id', page.requestId);
  if (page.after !== undefined) {
    const [, messageId = '', index = ''] = QUARANTINE_ID.exec(page.after) ?? [];
    conditions.add(
      (id) =>
        `("commit", message_id, "index") < (SELECT ("commit", message_id, "index") FROM custody.quarantine WHERE message_id = try_cast(${id} AS UUID) AND "index" = ${Number(index)} LIMIT 1)`,
      messageId,
    );
  }
  const rows = await sql.rows(
    `SELECT replace(message_id::VARCHAR, '-', '') AS message, dataset, request_id, "index", origin, code, pointer, expected, got, body, body_bytes,
       ${instant('received_at', 'at')}
     FROM custody.quarantine ${conditions.where} ORDER BY "commit" DESC, message_id DESC, "index" DESC LIMIT ${limitOf(page.limit)}`,
    conditions.values,
  );
  return rows.map((row) => ({
    id: `${row.message}-${row.index}`,
    dataset: String(row.dataset),
    requestId: String(row.request_id),
    index: Number(row.index),
    origin: row.origin === 'request' ? 'request' : 'pipeline',
    code: String(row.code),
    pointer: String(row.pointer),
    expected: String(row.expected),
    got: String(row.got),
    body: String(row.body),
    bodyBytes: Number(row.body_bytes),
    at: String(row.at),
  }));
}

/** A conjunction whose values are parameters. */
class Conditions {
  readonly values: string[] = [];
  readonly #texts: string[] = [];

  equal(column: string, value: string | undefined): void {
    if (value !== undefined) this.add((parameter) => `${column} = ${parameter}`, value);
  }

  add(text: (parameter: string) => string, value: string): void {
    this.values.push(value);
    this.#texts.push(text(`$${this.values.length}`));
  }

  get where(): string {
    return this.#texts.length === 0 ? '' : `WHERE ${this.#texts.join(' AND ')}`;
  }
}

function limitOf(limit: number): number {
  return Math.max(0, Math.trunc(limit));
}
