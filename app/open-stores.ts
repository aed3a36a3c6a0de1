/**
 * Opens state, bus and warehouse on a data folder and squares the bus with the ledger: what the service does at its
 * start, and a command that works on the folder while no service owns it. The caller holds the folder's lock.
 */
import { resolve } from 'node:path';
import type { Bus } from './bus/bus.ts';
import { openLmdbBus } from './bus/lmdb-bus.ts';
import type { Config } from './config.ts';
import type { Registry } from './datasets/registry.ts';
import { openLmdbState } from './state/lmdb-state.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { openDuckdbWarehouse } from './warehouse/duckdb-warehouse.ts';
import type { EmbeddedWarehouse } from './warehouse/embedded-warehouse.ts';
import type { RecoveryProgress } from './warehouse/recovery.ts';

/** A FAULT_POINT that is not a moment: the bus says durable without syncing. */
const NO_SYNC = 'bus-no-sync';

export interface OpenedStores {
  readonly bus: Bus;
  readonly warehouse: EmbeddedWarehouse;
  readonly state: State;
}

/** The part of the telemetry that opening needs. */
export type StoreTelemetry = Pick<Telemetry, 'failed' | 'log' | 'warehouseBroken'>;

/** For a command, which has no log: `say` what a person must know, `tell` how far it is; one line each. */
export function quietTelemetry({
  say,
  tell,
}: {
  readonly say: (line: string) => void;
  readonly tell: (line: string) => void;
}): StoreTelemetry {
  return {
    log: (event, fields) => {
      if (event !== 'warehouseRebuilding') return;
      const { filesDone, files, records }: Partial<Record<string, unknown>> = fields;
      tell(`warehouse: made from ${filesDone} of ${files} bronze files, ${records} rows so far`);
    },
    failed: ({ reason }) => say(reason),
    warehouseBroken: () => say('The warehouse file is broken; the next start sets it aside and makes it again.'),
  };
}

interface StoreOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly telemetry: StoreTelemetry;
  readonly dataDir: string;
  readonly now: () => number;
  readonly onBroken: (error: unknown) => void;
  readonly faultPoint: (name: string) => void;
}

export async function openStores(options: StoreOptions): Promise<OpenedStores> {
  const { config, registry, telemetry, dataDir, now, onBroken, faultPoint } = options;
  const state = await openLmdbState({
    dir: resolve(dataDir, 'state'),
    now,
    idempotencyHours: config.IDEMPOTENCY_HOURS,
    processId: process.pid,
    onFailure: (error) => {
      telemetry.failed({ reason: 'the state store cannot make anything durable', error });
      onBroken(error);
    },
  });
  const bus = await openLmdbBus({
    dir: resolve(dataDir, 'bus'),
    now,
    diskFullPercent: config.DISK_FULL_PERCENT,
    mapBytesMax: config.BUS_BYTES_MAX,
    attemptsMax: config.DELIVERY_ATTEMPTS_MAX,
    backoffMinMs: config.BACKOFF_MIN_MS,
    backoffMaxMs: config.BACKOFF_MAX_MS,
    faultPoint,
    // So that the durability test can show that it would notice.
    noSync: config.FAULT_POINT === NO_SYNC,
    onFailure: (error) => {
      telemetry.failed({ reason: 'the bus cannot make anything durable', error });
      onBroken(error);
    },
    onSettleFailure: ({ error, messages }) => telemetry.log('batchFailed', { messages, error }),
  });
  const warehouse = await openDuckdbWarehouse({
    dir: dataDir,
    contracts: registry.contracts,
    memoryMib: config.WAREHOUSE_MEMORY_MIB,
    threads: config.WAREHOUSE_THREADS,
    readers: config.READERS,
    readQueueMax: config.READ_QUEUE_MAX,
    bookTimeoutMs: config.READ_TIMEOUT_MS,
    percentileRowsMax: config.PERCENTILE_ROWS_MAX,
    now,
    faultPoint,
    onProgress: (progress) => tellRecovery(telemetry, progress),
    onBroken: (error) => {
      telemetry.warehouseBroken({ error });
      onBroken(error);
    },
  });
  const squared = await bus.reconcile((messageIds) => warehouse.ledgerHolds(messageIds));
  // The warehouse lost commits that readers may have seen.
  if (squared.redelivered > 0) await warehouse.newGeneration();
  if (squared.acknowledged + squared.redelivered > 0) telemetry.log('busReconciled', squared);
  return { bus, warehouse, state };
}

function tellRecovery(telemetry: Pick<StoreTelemetry, 'log'>, progress: RecoveryProgress): void {
  switch (progress.kind) {
    case 'set_aside':
      telemetry.log('warehouseBroken', { file: progress.path });
      break;
    case 'skipped':
      telemetry.log('warehouseSkipped', progress);
      break;
    case 'replaying':
      telemetry.log('warehouseRebuilding', { ...progress, records: progress.rows });
      break;
    case 'replayed':
      telemetry.log('warehouseRebuilt', { ...progress, records: progress.rows });
      break;
    default:
      throw new Error(`unreachable progress ${JSON.stringify(progress satisfies never)}`);
  }
}

/** Tests name one point, `after-publish:17`, where the process kills itself at the 17th passing, as a power cut would. */
export function faultPointOf(config: Config): (name: string) => void {
  const [wanted, count = '1'] = config.FAULT_POINT.split(':');
  let left = Number(count);
  return (name) => {
    if (name !== wanted) return;
    left -= 1;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  };
}
