/**
 * Keeps what the contracts say and no longer: silver, quarantine, bronze, dead letters and archive, each by its own
 * days, counted from receipt. A data set of 2018 that came today is of today.
 *
 * Days are whole days UTC, so that cursors and cached answers end once a day and not at every look. Each step takes some
 * rows, is durable and can be done again; what a look does not come to is left to the next.
 */
import { readdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus, UnsettledMessage } from './bus/bus.ts';
import type { Contract } from './datasets/contract.ts';
import { syncPath } from './durable-folder.ts';
import { readArchivedName } from './landing/archived-name.ts';
import { requestIdOf } from './landing/range-ids.ts';
import { RETENTION_LAYERS } from './telemetry/catalogue.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { ExpiringLayer, Warehouse } from './warehouse/warehouse.ts';

/** Whole days expire: an hour is soon enough, and a start does not wait for it. */
const LOOK_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** About 0.3 s of the writer. */
const ROWS_AT_ONCE = 100_000;
const LETTERS_AT_ONCE = 100;

type Layer = (typeof RETENTION_LAYERS)[number];

interface RetentionParts {
  /** Absolute. */
  readonly dataDir: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly telemetry: Pick<Telemetry, 'expired' | 'log'>;
  readonly now: () => number;
}

export interface RunningRetention {
  /** Everything that is due now. */
  look(): Promise<void>;
  /** Resolves when the step under way has ended. */
  stop(): Promise<void>;
}

interface Step extends RetentionParts {
  readonly contract: Contract;
  readonly beforeMs: number;
  readonly stopping: () => boolean;
}

interface Took {
  readonly rows: number;
  readonly files: number;
}

export function startRetention(parts: RetentionParts): RunningRetention {
  let stopping = false;
  let looking: Promise<void> | undefined;
  const lookOnce = async (): Promise<void> => {
    for (const contract of parts.contracts.values()) {
      for (const layer of RETENTION_LAYERS) {
        if (stopping) return;
        await expireLayer({ ...parts, stopping: () => stopping }, contract, layer);
      }
    }
  };
  const look = (): Promise<void> => {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  timer.unref();
  return {
    look,
    stop: async () => {
      stopping = true;
      clearInterval(timer);
      await looking;
    },
  };
}

/** A layer that fails keeps no other from being looked at. */
async function expireLayer(
  parts: Omit<Step, 'contract' | 'beforeMs'>,
  contract: Contract,
  layer: Layer,
): Promise<void> {
  const { telemetry, now } = parts;
  const dataset = contract.name;
  const beforeMs = Math.floor(now() / DAY_MS) * DAY_MS - daysOf(contract, layer) * DAY_MS;
  try {
    const { rows, files } = await LAYERS[layer]({ ...parts, contract, beforeMs });
    if (rows + files > 0) telemetry.expired({ dataset, layer, rows, files });
  } catch (error) {
    telemetry.log('retentionFailed', { dataset, layer, error });
  }
}

function daysOf({ retentionDays }: Contract, layer: Layer): number {
  return retentionDays[layer === 'dead_letters' ? 'deadLetters' : layer];
}

const LAYERS: Readonly<Record<Layer, (step: Step) => Promise<Took>>> = {
  silver: (step) => expireRows(step, 'silver'),
  quarantine: (step) => expireRows(step, 'quarantine'),
  bronze: (step) => expireRows(step, 'bronze'),
  dead_letters: expireLetters,
  archive: expireArchive,
};

async function expireRows({ warehouse, contract, beforeMs, stopping }: Step, layer: ExpiringLayer): Promise<Took> {
  let rows = 0;
  let files = 0;
  for (let more = true; more && !stopping(); ) {
    const expired = await warehouse.expire({ dataset: contract.name, layer, beforeMs, rowsMax: ROWS_AT_ONCE });
    rows += expired.rows;
    files += expired.files;
    more = expired.more;
  }
  return { rows, files };
}

async function expireLetters(step: Step): Promise<Took> {
  const { bus, contract, beforeMs, stopping } = step;
  const old = (await bus.snapshot()).deadLetters.filter(
    ({ dataset, publishedAtMs }) => dataset === contract.name && publishedAtMs < beforeMs,
  );
  let rows = 0;
  for (let from = 0; from < old.length && !stopping(); from += LETTERS_AT_ONCE) {
    rows += await removeLetters(step, old.slice(from, from + LETTERS_AT_ONCE));
  }
  if (old.length > 0) await tell(step, { layer: 'dead_letters', source: `${old.length} messages`, rows });
  return { rows, files: 0 };
}

async function removeLetters(
  { bus, warehouse, contract }: Step,
  letters: readonly UnsettledMessage[],
): Promise<number> {
  const messageIds = letters.map(({ messageId }) => messageId);
  // Rows of a letter that was stored before it died are the ledger's to count, and a foreign one's were never accepted.
  const held = await warehouse.ledgerHolds(messageIds);
  const filter = { dataset: contract.name, messageIds };
  let rows = 0;
  for (const { sequence, message, foreign } of await bus.deadLetters({ filter, limit: letters.length })) {
    const removedRows = foreign || held.has(message.messageId) ? 0 : message.rowCount;
    if ((await bus.removeFromDead([{ sequence, rest: undefined, removedRows }], 'expired')) > 0) rows += removedRows;
  }
  return rows;
}

/** By when their rows were stored; a file that nobody knows is left for the doctor to name. */
async function expireArchive(step: Step): Promise<Took> {
  const { dataDir, warehouse, contract, beforeMs } = step;
  const folder = join(dataDir, 'archive', contract.name);
  if (!existsSync(folder)) return { rows: 0, files: 0 };
  const files = (await readdir(folder)).flatMap((name) => {
    const archived = readArchivedName(name);
    return archived === undefined ? [] : [{ name, requestId: requestIdOf(archived.fileId, contract.name) }];
  });
  const receivedAt = await warehouse.receivedAt(files.map(({ requestId }) => requestId));
  const names = files
    .filter(({ requestId }) => (receivedAt.get(requestId) ?? Number.POSITIVE_INFINITY) < beforeMs)
    .map(({ name }) => name);
  for (const name of names) {
    await tell(step, { layer: 'archive', source: `archive/${contract.name}/${name}`, rows: 0 });
    await rm(join(folder, name), { force: true });
  }
  if (names.length > 0) await syncPath(folder);
  return { rows: 0, files: names.length };
}

async function tell(
  { warehouse, contract, now }: Step,
  { layer, source, rows }: { readonly layer: Layer; readonly source: string; readonly rows: number },
): Promise<void> {
  const at = new Date(now()).toISOString();
  await warehouse.writeAudit({
    at,
    step: `retention.${layer}`,
    actor: 'system',
    dataset: contract.name,
    source,
    target: '',
    startedAt: at,
    endedAt: at,
    read: rows,
    stored: 0,
    rejected: 0,
    outcome: 'ok',
    error: '',
  });
}
