/**
 * Looks at the parts on an interval and sets the gauges that no single event carries: backlog, equation, sizes, rows
 * that cannot be classified. What ages by itself is looked at on each scrape. A look that fails is counted and told,
 * and keeps no other from being taken.
 */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from './bus/bus.ts';
import type { Config } from './config.ts';
import type { Contract } from './datasets/contract.ts';
import type { Equation } from './equation.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { AggregateQuery } from './warehouse/query.ts';
import type { Warehouse } from './warehouse/warehouse.ts';

interface ObserverParts {
  readonly config: Pick<Config, 'ACCOUNTING_INTERVAL_MS' | 'READ_TIMEOUT_MS'>;
  /** Absolute. */
  readonly dataDir: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly telemetry: Telemetry;
  readonly equation: () => Promise<Equation>;
  readonly now: () => number;
}

export interface Observer {
  /** Everything now, as on the interval. */
  look(): Promise<void>;
  /** Resolves when no look is under way any more. */
  stop(): Promise<void>;
}

type StoragePart = Parameters<Telemetry['storage']>[0]['part'];

/** Expired answers and tickets are swept this often. */
const SWEEP_MS = 600_000;
/** Sealed files come every SEAL_INTERVAL_MS and stay: a year of them is about a million names, so not at every look. */
const STORAGE_MS = 60_000;
/** What each part keeps, under the data folder; absent for a part that is somewhere else. */
const STORAGE: Readonly<Record<StoragePart, string>> = {
  bus: 'bus',
  state: 'state',
  database: 'warehouse.duckdb',
  wal: 'warehouse.duckdb.wal',
  bronze: 'bronze',
  work: 'work',
  landing: 'landing',
  archive: 'archive',
};

export function startObserver(parts: ObserverParts): Observer {
  const { telemetry, config, contracts } = parts;
  for (const contract of contracts.values()) telemetry.promised(promiseOf(contract));
  telemetry.onScrape(function backlog() {
    observeBacklog(parts);
  });
  const told = (name: string, look: () => Promise<void>): Look =>
    single(() => look().catch((error: unknown) => telemetry.observationFailed({ error, look: name })));
  const looks = [
    told('equation', () => observeEquation(parts)),
    told('unclassified', unclassifiedLook(parts)),
    told('storage', () => observeStorage(parts)),
    told('last records', () => observeLastRecords(parts)),
    told('sweep', () => observeSweep(parts)),
  ] as const;
  const [equation, unclassified, storage, lastRecords, sweep] = looks;
  const timers = [
    setInterval(equation, config.ACCOUNTING_INTERVAL_MS),
    setInterval(unclassified, config.ACCOUNTING_INTERVAL_MS),
    setInterval(storage, STORAGE_MS),
    setInterval(sweep, SWEEP_MS),
  ];
  for (const timer of timers) timer.unref();
  const look = async (): Promise<void> => {
    await Promise.all([equation(), unclassified(), storage(), lastRecords()]);
  };
  void look();
  return {
    look,
    stop: async () => {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(looks.map((one) => one.running));
    },
  };
}

interface Look {
  (): Promise<void>;
  running: Promise<void>;
}

/** Never twice at once: who asks while it runs gets the next one, which sees what happened meanwhile. */
function single(run: () => Promise<void>): Look {
  let next: Promise<void> | undefined;
  const look: Look = () => {
    next ??= look.running.then(() => {
      next = undefined;
      look.running = run();
      return look.running;
    });
    return next;
  };
  look.running = Promise.resolve();
  return look;
}

function promiseOf({ name, freshnessSeconds, expectEverySeconds }: Contract) {
  return {
    dataset: name,
    freshnessSeconds,
    ...(expectEverySeconds === undefined ? {} : { expectEverySeconds }),
  };
}

function observeBacklog({ bus, contracts, telemetry, now }: ObserverParts): void {
  const backlog = new Map(bus.backlog().map((one) => [one.dataset, one]));
  for (const dataset of contracts.keys()) {
    const waiting = backlog.get(dataset);
    const oldestAgeSeconds = waiting?.oldestAtMs === undefined ? 0 : Math.max(0, (now() - waiting.oldestAtMs) / 1000);
    telemetry.backlog({ dataset, messages: waiting?.messages ?? 0, rows: waiting?.rows ?? 0, oldestAgeSeconds });
  }
  telemetry.unsealed(bus.settledCount());
}

async function observeEquation({ equation, telemetry, contracts }: ObserverParts): Promise<void> {
  const { datasets, deadLetterMessages } = await equation();
  for (const [dataset, terms] of Object.entries(datasets)) telemetry.equation({ dataset, terms });
  for (const dataset of contracts.keys())
    telemetry.deadLetters({ dataset, messages: deadLetterMessages[dataset] ?? 0 });
}

async function observeLastRecords({ warehouse, telemetry }: ObserverParts): Promise<void> {
  for (const [dataset, { lastCommitAtMs }] of Object.entries(await warehouse.counts())) {
    if (lastCommitAtMs !== undefined) telemetry.lastRecord({ dataset, atMs: lastCommitAtMs });
  }
}

async function observeSweep({ state, now }: ObserverParts): Promise<void> {
  await state.sweep(now());
}

/** The warehouse is asked only after a commit that touched the dataset. */
function unclassifiedLook({ warehouse, contracts, telemetry, config }: ObserverParts): () => Promise<void> {
  const seen = new Map<string, string>();
  return async () => {
    for (const { name: dataset, unclassified } of contracts.values()) {
      if (unclassified === undefined) continue;
      const { generation, commitNumber } = warehouse.version(dataset, {});
      const current = `${generation} ${commitNumber}`;
      if (current === seen.get(dataset)) continue;
      const budget = { timeoutMs: config.READ_TIMEOUT_MS, rowsMax: 1 };
      const { data } = await warehouse.aggregate(unclassifiedQuery(dataset, unclassified), budget);
      const [row] = data;
      telemetry.unclassified({
        dataset,
        rows: Number(row?.['count'] ?? 0),
        sum: Number(row?.[`sum_${unclassified.sum}`] ?? 0),
      });
      seen.set(dataset, current);
    }
  };
}

function unclassifiedQuery(dataset: string, { field, sum }: NonNullable<Contract['unclassified']>): AggregateQuery {
  return {
    dataset,
    measures: [{ fn: 'count' }, { fn: 'sum', field: sum }],
    where: [{ field, op: 'null', values: [] }],
    by: [],
    buckets: [],
    timeZone: 'UTC',
    order: [],
    limit: 1,
  };
}

async function observeStorage({ dataDir, telemetry }: ObserverParts): Promise<void> {
  const disk = await statfs(dataDir);
  // As `df` counts: what only root may use is neither used nor free.
  const used = disk.blocks - disk.bfree;
  telemetry.diskUsed({ ratio: used / Math.max(1, used + disk.bavail) });
  for (const [part, name] of Object.entries(STORAGE)) {
    telemetry.storage({ part: part as StoragePart, bytes: await bytesUnder(join(dataDir, name)) });
  }
}

/** What files take on the disk: LMDB's and DuckDB's may have holes. 0 for what is not there, or went meanwhile. */
async function bytesUnder(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return found.blocks * BLOCK_BYTES;
    let bytes = 0;
    for (const name of await readdir(path)) bytes += await bytesUnder(join(path, name));
    return bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** POSIX counts blocks of this size, whatever the file system's is. */
const BLOCK_BYTES = 512;
