/**
 * Takes out what a contract keeps no longer, counted from its receipt, some rows at a time.
 *
 * As an erasure does: tombstones first, then one transaction that moves rows to `expired` in the ledger. From bronze the
 * content goes and the places of rows stay, so that a rebuild counts them as expired. What was an older copy's duplicate
 * in a younger file is stored by a rebuild, once the older one is gone from bronze: nothing tells any more that it was.
 */
import { basename, dirname } from 'node:path';
import { registeredHashes } from './bronze.ts';
import type { BronzeFile } from './bronze-file.ts';
import type { Custody, CustodyParts } from './custody.ts';
import { silverTable } from './duckdb-schema.ts';
import { literal, type Sql } from './duckdb-session.ts';
import { tombstones, type TombstoneReason } from './erasure.ts';
import type { Expired, ExpireOptions } from './warehouse.ts';

/** Files of one statement. */
const FILES_AT_ONCE = 256;

interface Parts extends Pick<CustodyParts, 'options' | 'writer' | 'sealer' | 'bronze' | 'store'> {
  readonly custody: Custody;
}

export class Retention {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  expire(options: ExpireOptions): Promise<Expired> {
    switch (options.layer) {
      case 'silver':
        return this.#expireRows(options, silverRows);
      case 'quarantine':
        return this.#expireRows(options, quarantinedRows);
      case 'bronze':
        return this.#expireFiles(options);
    }
  }

  #expireRows(options: ExpireOptions, find: (sql: Sql, options: ExpireOptions) => Promise<Found>): Promise<Expired> {
    return this.#parts.writer.exclusive(async (sql) => {
      const { select, found, more } = await find(sql, options);
      if (!found) return { rows: 0, files: 0, more: false };
      const { rows } = await this.#bury(sql, options, select);
      return { rows, files: 0, more };
    });
  }

  /** File by file: a file holds what was received on one day. */
  async #expireFiles(options: ExpireOptions): Promise<Expired> {
    const { custody, sealer, writer, options: own } = this.#parts;
    return custody.alone(async () => {
      const files = await this.#oldFiles(options);
      let rows = 0;
      let emptied = 0;
      let read = 0;
      for (const { file, rows: held } of await sealer.exclusive((sql) => withContent(sql, files))) {
        if (read > 0 && read + held > options.rowsMax) return { rows, files: emptied, more: true };
        const select = `SELECT ${literal(options.dataset)} AS dataset, message_id, "index", 'expired' AS reason
          FROM read_parquet(${literal(file.path)}) WHERE kind IN ('row', 'reject')`;
        const buried = await writer.exclusive((sql) => this.#bury(sql, options, select));
        own.faultPoint?.('retention-while-rewriting');
        await custody.rewrite({ files: [file], keep: { withoutContent: [buried.file] }, reason: 'retention.emptied' });
        rows += buried.rows;
        read += held;
        emptied += 1;
      }
      return { rows, files: emptied, more: false };
    });
  }

  async #oldFiles({ dataset, beforeMs }: ExpireOptions): Promise<readonly BronzeFile[]> {
    const { bronze, writer } = this.#parts;
    const known = await writer.exclusive(registeredHashes);
    const before = new Date(beforeMs).toISOString().slice(0, 10);
    return (await bronze.files()).filter(
      (file) =>
        file.kind === 'rows' &&
        file.dataset === dataset &&
        known.has(file.hash) &&
        // The folder is the day of receipt.
        basename(dirname(file.path)) < before,
    );
  }

  #bury(sql: Sql, { dataset, layer, beforeMs }: ExpireOptions, select: string): ReturnType<Custody['bury']> {
    const { custody, store } = this.#parts;
    const { commitNumber } = store.nextCommit();
    return custody.bury(sql, {
      tombstones: tombstones(select, { commitNumber }),
      told: {
        step: `retention.${layer}`,
        actor: 'system',
        dataset,
        source: `received before ${new Date(beforeMs).toISOString()}`,
      },
      faultPoints: 'retention',
    });
  }
}

interface Found {
  /** As `tombstones` takes it. */
  readonly select: string;
  readonly found: boolean;
  readonly more: boolean;
}

/** Whole messages, the oldest first. */
async function silverRows(sql: Sql, { dataset, beforeMs, rowsMax }: ExpireOptions): Promise<Found> {
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE expiring AS
     SELECT message_id, stored_before FROM (
       SELECT message_id, sum(stored) OVER (ORDER BY received_at, "commit", position ROWS UNBOUNDED PRECEDING) - stored AS stored_before
       FROM custody.ledger WHERE dataset = $1 AND received_at < epoch_ms($2::BIGINT) AND stored > 0)`,
    [dataset, BigInt(beforeMs)],
  );
  const [counted] = await sql.rows(
    `SELECT count(*)::DOUBLE AS messages, count(*) FILTER (stored_before >= ${rowsMax})::DOUBLE AS left_over FROM expiring`,
  );
  return {
    select: expiringRows({
      from: `${silverTable(dataset)} WHERE _message_id IN (SELECT message_id FROM expiring WHERE stored_before < ${rowsMax})`,
      columns: `${literal(dataset)} AS dataset, _message_id AS message_id, _index AS "index"`,
      reason: 'expired_silver',
    }),
    found: Number(counted?.messages) > 0,
    more: Number(counted?.left_over) > 0,
  };
}

async function quarantinedRows(sql: Sql, { dataset, beforeMs, rowsMax }: ExpireOptions): Promise<Found> {
  const old = `custody.quarantine WHERE dataset = ${literal(dataset)} AND received_at < epoch_ms(${beforeMs}::BIGINT)`;
  const [counted] = await sql.rows(`SELECT count(*)::DOUBLE AS "rows" FROM ${old}`);
  return {
    select: expiringRows({
      from: `(SELECT * FROM ${old} ORDER BY received_at, "commit", message_id, "index" LIMIT ${rowsMax})`,
      columns: 'dataset, message_id, "index"',
      reason: 'expired_quarantine',
    }),
    found: Number(counted?.rows) > 0,
    more: Number(counted?.rows) > rowsMax,
  };
}

function expiringRows({
  from,
  columns,
  reason,
}: {
  readonly from: string;
  readonly columns: string;
  readonly reason: TombstoneReason;
}): string {
  return `SELECT ${columns}, ${literal(reason)} AS reason FROM ${from}`;
}

async function withContent(
  sql: Sql,
  files: readonly BronzeFile[],
): Promise<readonly { readonly file: BronzeFile; readonly rows: number }[]> {
  const counts = new Map<unknown, number>();
  for (let from = 0; from < files.length; from += FILES_AT_ONCE) {
    const paths = files.slice(from, from + FILES_AT_ONCE).map(({ path }) => literal(path));
    const rows = await sql.rows(
      `SELECT filename AS path, count(*)::DOUBLE AS "rows" FROM read_parquet([${paths.join(', ')}], filename = true)
       WHERE kind IN ('row', 'reject') GROUP BY filename`,
    );
    for (const row of rows) counts.set(row.path, Number(row.rows));
  }
  return files.flatMap((file) => {
    const rows = counts.get(file.path);
    return rows === undefined ? [] : [{ file, rows }];
  });
}
