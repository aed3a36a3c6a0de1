/**
 * Makes the database again from bronze, on purpose, and proves that nothing changed.
 *
 * The old file is set aside, never deleted. What it knew and bronze does not hold yet is on the bus, which delivers it
 * again at the next start: the proof therefore compares the messages that both files hold.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type DatasetProof, type Proof, takeProof } from './duckdb-proof.ts';
import { DuckdbSession, kindOf, literal, openInstance } from './duckdb-session.ts';
import { DATABASE_FILE, openDuckdbWarehouse } from './duckdb-warehouse.ts';
import type { WarehouseOptions } from './embedded-warehouse.ts';
import { setAside } from './recovery.ts';

export interface RebuildReport {
  readonly setAside: string;
  readonly after: Proof;
  readonly before:
    | { readonly kind: 'read'; readonly proof: Proof; readonly messagesOnBus: number }
    | { readonly kind: 'unreadable'; readonly reason: string };
  /** Datasets whose proofs differ. Empty when the old file could not be read. */
  readonly different: readonly string[];
}

/** The caller holds the data folder's lock. Throws StartError when bronze is damaged. */
export async function rebuildWarehouse(options: WarehouseOptions): Promise<RebuildReport> {
  const dir = resolve(options.dir);
  const path = join(dir, DATABASE_FILE);
  const aside = await setAside(path, 'replaced', options.now());
  const warehouse = await openDuckdbWarehouse(options);
  await warehouse.close();
  const datasets = [...options.contracts.keys()];
  const messages = join(dir, 'work', 'messages.parquet');
  const after = await withSession({ options, path, dir }, async (session) =>
    session.exclusive(async (sql) => {
      await sql.run(`COPY (SELECT message_id FROM custody.ledger) TO ${literal(messages)} (FORMAT parquet)`);
      return takeProof(sql, { datasets });
    }),
  );
  const before = await proofOfOld({ options, path: aside, dir, datasets, messages });
  const different =
    before.kind === 'read' ? datasets.filter((dataset) => isDifferent(before.proof[dataset], after[dataset])) : [];
  return { setAside: aside, after, before, different };
}

/** A dataset that the old file did not know yet is equal when nothing came of it. */
function isDifferent(before: DatasetProof | undefined, after: DatasetProof | undefined): boolean {
  if (before === undefined) return after !== undefined && after.stored + after.quarantined + after.duplicate > 0;
  return JSON.stringify(before) !== JSON.stringify(after);
}

interface FileOptions {
  readonly options: WarehouseOptions;
  readonly path: string;
  readonly dir: string;
}

async function proofOfOld(
  options: FileOptions & { readonly datasets: readonly string[]; readonly messages: string },
): Promise<RebuildReport['before']> {
  const { datasets, messages, path } = options;
  // Opening a file that is not there would make one.
  if (!existsSync(path)) return { kind: 'unreadable', reason: 'there was none' };
  try {
    return await withSession(options, (session) =>
      session.exclusive(async (sql) => {
        const held = `read_parquet(${literal(messages)})`;
        const [missing] = await sql.rows(
          `SELECT count(*)::DOUBLE AS messages FROM custody.ledger WHERE message_id NOT IN (SELECT message_id FROM ${held})`,
        );
        return {
          kind: 'read',
          proof: await takeProof(sql, { datasets, messages: held }),
          messagesOnBus: Number(missing?.messages),
        };
      }),
    );
  } catch (error) {
    return { kind: 'unreadable', reason: error instanceof Error ? error.message : kindOf(error) };
  }
}

async function withSession<T>(
  { options, path, dir }: FileOptions,
  use: (session: DuckdbSession) => Promise<T>,
): Promise<T> {
  const instance = await openInstance({
    path,
    memoryMib: options.memoryMib,
    threads: options.threads,
    tempDir: join(dir, 'work', 'spill'),
    directories: [join(dir, 'work'), join(dir, 'bronze')],
  });
  const session = new DuckdbSession({ instance, onBroken: () => {} });
  try {
    return await use(session);
  } finally {
    await session.close();
    instance.closeSync();
  }
}
