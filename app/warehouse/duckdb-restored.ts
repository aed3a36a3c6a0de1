/** What a restored warehouse knows of messages that the restored bus never saw: it was copied before bronze. */
import { join, resolve } from 'node:path';
import { DuckdbSession, openInstance } from './duckdb-session.ts';
import { DATABASE_FILE } from './duckdb-warehouse.ts';

export interface AcceptedBeyond {
  /** The newest; the given one when there is none beyond it. */
  readonly sequence: number;
  /** By dataset, without those of foreign publishers, which the ledger itself counts as accepted. */
  readonly acceptedRows: Readonly<Record<string, number>>;
}

interface Options {
  /** DATA_DIR; nobody has its warehouse open. */
  readonly dir: string;
  readonly memoryMib: number;
  readonly threads: number;
}

export async function acceptedBeyond(options: Options, sequence: number): Promise<AcceptedBeyond> {
  const dir = resolve(options.dir);
  const instance = await openInstance({
    path: join(dir, DATABASE_FILE),
    memoryMib: options.memoryMib,
    threads: options.threads,
    tempDir: join(dir, 'work', 'spill'),
    directories: [join(dir, 'work'), join(dir, 'bronze')],
  });
  const session = new DuckdbSession({ instance, onBroken: () => undefined });
  try {
    const rows = await session.exclusive((sql) =>
      sql.rows(
        `SELECT dataset, max(sequence)::DOUBLE AS newest, coalesce(sum(accepted) FILTER (NOT late), 0)::DOUBLE AS accepted
         FROM custody.ledger WHERE sequence > $1 GROUP BY dataset`,
        [BigInt(sequence)],
      ),
    );
    return {
      sequence: rows.reduce((newest, row) => Math.max(newest, Number(row.newest)), sequence),
      acceptedRows: Object.fromEntries(rows.map((row) => [String(row.dataset), Number(row.accepted)])),
    };
  } finally {
    await session.close();
    instance.closeSync();
  }
}
