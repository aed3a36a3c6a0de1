/**
 * Stores a batch of messages in one transaction: rows, quarantine, ledger, audit and commit number.
 *
 * No row passes through JavaScript: DuckDB reads the messages' own bytes. A message that the ledger holds, or that is
 * in the batch twice, is left out.
 */
import { randomUUID } from 'node:crypto';
import type { Contract } from '../datasets/contract.ts';
import { type SealedMessage, storeFromBronze } from './bronze-replay.ts';
import { auditRow, insertAudit } from './duckdb-audit.ts';
import { HEX, heldIds, heldMessages } from './duckdb-ledger.ts';
import type { DuckdbSession, Sql, SqlRow } from './duckdb-session.ts';
import { failed, type Group, storeGroup } from './duckdb-stage.ts';
import type { Commit, Partitions } from './partitions.ts';
import type { SeenIds } from './seen-ids.ts';
import type { OutcomeCounts, StorableMessage, StoreOutcome } from './warehouse.ts';

export interface StoreOptions {
  readonly session: DuckdbSession;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly workDir: string;
  readonly partitions: Partitions;
  readonly seen: SeenIds;
  readonly now: () => number;
  /** The newest commit in the file, and the newest audit entry. */
  readonly last: Commit;
  readonly lastOrdinal: number;
  readonly faultPoint?: ((name: string) => void) | undefined;
}

interface FillOptions {
  readonly sql: Sql;
  readonly groups: readonly Group[];
  readonly commit: Commit;
  readonly audit: boolean;
  readonly startedAtMs: number;
}

/** Which days of which datasets a commit added to. */
interface Touched {
  readonly touched: readonly { readonly dataset: string; readonly days: readonly number[] }[];
}

interface Filled extends Touched {
  readonly ledger: readonly SqlRow[];
  readonly storedRows: StoredRows;
}

/** How many rows of a message were new. */
type StoredRows = (message: StorableMessage) => number;

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
    return {
      commitNumber: this.#last.commitNumber + 1,
      committedAtMs: Math.max(this.#options.now(), this.#last.committedAtMs + 1),
    };
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
    if (fresh.length === 0) {
      return { ...this.#last, datasets: outcomes({ replayed, ledger: [], fresh }), storedRows: messages.map(() => 0) };
    }
    const commit = this.nextCommit();
    const groups = this.#groups(fresh);
    const { ledger, storedRows } = await this.commitAs({
      sql,
      commit,
      fill: async () => this.#fill({ sql, groups, commit, audit, startedAtMs }),
    });
    // An id that is in the batch twice is fresh once.
    const left = new Set(fresh.map(({ envelope }) => envelope.messageId));
    return {
      ...commit,
      datasets: outcomes({ replayed, ledger, fresh }),
      storedRows: messages.map((one) => (left.delete(one.envelope.messageId) ? storedRows(one) : 0)),
    };
  }

  /** One commit, on the writer that the caller holds: `fill` writes all of it but its number, inside the transaction. */
  async commitAs<T extends Touched>(options: {
    readonly sql: Sql;
    /** The newest `nextCommit`. */
    readonly commit: Commit;
    readonly fill: () => Promise<T>;
  }): Promise<T> {
    const { sql, commit, fill } = options;
    try {
      const filled = await sql.transaction(async () => {
        const content = await fill();
        await sql.run('INSERT INTO custody.commits VALUES ($1, $2)', [
          BigInt(commit.commitNumber),
          BigInt(commit.committedAtMs),
        ]);
        this.#options.faultPoint?.('before-commit');
        this.#commit = Promise.withResolvers();
        return content;
      });
      this.#options.faultPoint?.('after-commit');
      this.#last = commit;
      for (const { dataset, days } of filled.touched) this.#options.partitions.touch({ dataset, days, commit });
      return filled;
    } finally {
      this.#commit?.resolve();
      this.#commit = undefined;
    }
  }

  /** Messages of one dataset again, from their bronze files: in their order, each once, unless the ledger holds it. */
  storeAgain(contract: Contract, messages: readonly SealedMessage[]): Promise<void> {
    return this.#options.session.exclusive(async (sql) => {
      const ids = messages.map(({ envelope }) => envelope.messageId);
      const known = new Set(await heldIds(sql, ids));
      const fresh = messages.filter(({ envelope: { messageId } }) => {
        const isFresh = !known.has(messageId);
        known.add(messageId);
        return isFresh;
      });
      if (fresh.length === 0) return;
      const commit = this.nextCommit();
      const fill = async (): Promise<Touched> => {
        const days = await storeFromBronze({ ...this.#options, sql, contract, commit, messages: fresh });
        return { touched: [{ dataset: contract.name, days }] };
      };
      await this.commitAs({ sql, commit, fill });
    });
  }

  async #fill(options: FillOptions): Promise<Filled> {
    const { sql, groups, commit, audit, startedAtMs } = options;
    const touched: Touched['touched'][number][] = [];
    for (const group of groups) {
      const { days } = await storeGroup({ ...this.#options, sql, group, commit });
      touched.push({ dataset: group.contract.name, days });
    }
    const ledger = await ledgerOf(sql, commit);
    const storedRows = await storedRowsOf({ sql, ledger, commit });
    if (audit) await this.#audit({ sql, ledger, startedAtMs, commit });
    return { touched, ledger, storedRows };
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

  async #audit(options: {
    readonly sql: Sql;
    readonly ledger: readonly SqlRow[];
    readonly startedAtMs: number;
    readonly commit: Commit;
  }): Promise<void> {
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

function separate(
  messages: readonly StorableMessage[],
  held: ReadonlySet<string>,
): { readonly fresh: readonly StorableMessage[]; readonly replayed: readonly StorableMessage[] } {
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

/** One row for each dataset and API key of a commit: what the audit and the outcome are made of. */
function ledgerOf(sql: Sql, commit: Commit): Promise<readonly SqlRow[]> {
  return sql.rows(
    `SELECT dataset, api_key_id, sum(accepted)::DOUBLE AS accepted, sum(rejected)::DOUBLE AS rejected, sum(stored)::DOUBLE AS stored,
       sum(len(duplicates))::DOUBLE AS duplicate, sum(quarantined)::DOUBLE AS quarantined
     FROM custody.ledger WHERE "commit" = $1 GROUP BY dataset, api_key_id ORDER BY dataset, api_key_id`,
    [BigInt(commit.commitNumber)],
  );
}

interface StoredRowsOptions {
  readonly sql: Sql;
  readonly ledger: readonly SqlRow[];
  readonly commit: Commit;
}

/** Message by message the ledger is asked only when some row was not new: almost always all are. */
async function storedRowsOf({ sql, ledger, commit }: StoredRowsOptions): Promise<StoredRows> {
  if (ledger.every(({ accepted, stored }) => accepted === stored)) return ({ envelope }) => envelope.rowCount;
  const rows = await sql.rows(`SELECT ${HEX} AS id, stored FROM custody.ledger WHERE "commit" = $1 AND stored > 0`, [
    BigInt(commit.commitNumber),
  ]);
  const stored = new Map(rows.map((row) => [String(row.id), Number(row.stored)]));
  return ({ envelope }) => stored.get(envelope.messageId) ?? 0;
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
      const codes = fresh
        .filter(({ envelope }) => envelope.dataset === dataset)
        .flatMap(({ envelope }) => envelope.rejects.map(({ code }) => code));
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
