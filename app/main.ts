/**
 * The composition root: configuration → parts → api and subscriber → graceful stop.
 *
 * Start: lock the data folder, open state, bus and warehouse, square the bus with the ledger, load samples, listen.
 * Stop: see `stop.ts`.
 */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Api, createApi } from './api/api.ts';
import { shownFile } from './api/landing-routes.ts';
import { copyWithout } from './archive-removal.ts';
import type { Bus } from './bus/bus.ts';
import { compactWhenDue } from './compaction.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { type CustodyParts, custodyTasks } from './custody-tasks.ts';
import { FormatError, type MigrationProgress, prepareFormat } from './data-format.ts';
import { loadDatasets, type Registry } from './datasets/registry.ts';
import { type Equation, takeEquation } from './equation.ts';
import { startErasures } from './erasure.ts';
import { type Landing, startLanding } from './landing/landing.ts';
import { type Observer, startObserver } from './observer.ts';
import { faultPointOf, openStores } from './open-stores.ts';
import { watchTasks } from './operator-tasks.ts';
import { compileValidator } from './record/validate.ts';
import { ROW_CODES } from './record/verdict.ts';
import { keepPrivate } from './private-files.ts';
import { type RunningRetention, startRetention } from './retention.ts';
import { loadSamples, watchSampleRemoval } from './samples.ts';
import { lockDataDir } from './state/lock.ts';
import type { State } from './state/state.ts';
import { type Sealer, startSealer } from './subscriber/sealer.ts';
import { stopService } from './stop.ts';
import { startSubscriber } from './subscriber/subscriber.ts';
import { systemErrorText } from './system-error.ts';
import { createTelemetry, type MetricsListener, type Telemetry } from './telemetry/telemetry.ts';
import type { Warehouse } from './warehouse/warehouse.ts';
import { VERSION } from './version.ts';
import { watchStores } from './watched-stores.ts';
import { parquetLines } from './warehouse/duckdb-parquet.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;

/** The folder cannot be had; the message says what to do. */
class RefusedError extends Error {}

export interface Service {
  readonly url: string;
  readonly metricsUrl: string;
  readonly dataDir: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly sealer: Sealer;
  readonly observer: Observer;
  readonly landing: Landing;
  readonly retention: RunningRetention;
  readonly equation: () => Promise<Equation>;
  stop(options: { readonly reason: string }): Promise<void>;
}

interface Options {
  readonly now?: () => number;
  readonly datasetsDirectory?: URL;
  /** The warehouse file is damaged or the bus cannot write: stop and start again from what the disk holds. */
  readonly onBroken?: (error: unknown) => void;
}

/** Opens every part and listens. Throws ConfigError, or an error that says which part failed and why. */
export async function openService(
  config: Config,
  { now = Date.now, datasetsDirectory, onBroken = () => undefined }: Options = {},
): Promise<Service> {
  const registry = await loadDatasets(datasetsDirectory);
  // Before the log, which may lie in it: a folder for logs is made open to others, this one is not.
  await mkdir(resolve(config.DATA_DIR), { recursive: true });
  const telemetry = openTelemetry({ config, registry, now });
  await telemetry.selfCheck();
  const atFaultPoint = faultPointOf(config);
  const { dataDir, lock } = await takeFolder({ config, telemetry, now, faultPoint: atFaultPoint });
  await compact({ config, dataDir, telemetry, now, faultPoint: atFaultPoint });
  const opened = await openStores({ config, registry, telemetry, dataDir, now, onBroken, faultPoint: atFaultPoint });
  const stores = watchStores(opened, telemetry, config.READERS);
  const { bus, warehouse, state } = stores;
  const validators = new Map([...registry.contracts].map(([name, contract]) => [name, compileValidator(contract)]));
  const equation = (): Promise<Equation> =>
    takeEquation({ bus, warehouse, datasets: [...registry.contracts.keys()], overdueMs: config.OVERDUE_MS });
  const parts = { config, dataDir, telemetry, now, ...stores, contracts: registry.contracts, validators, equation };
  const signingKey = await state.signingKey();
  const sealer = startSealer(parts);
  const erasures = await startErasures({ ...parts, sealAll: () => sealer.sealAll() });
  const { api, subscription } = startJourney({ ...parts, registry, signingKey, erasures, faultPoint: atFaultPoint });
  const observer = startObserver(parts);
  const metrics = await telemetry.listen({ host: config.METRICS_HOST, port: config.METRICS_PORT });
  await loadSamples({ ...parts, ingest: api.ingest, folders: registry.folders });
  const sampleRemoval = watchSampleRemoval(parts);
  const tasks = startTasks({
    ...parts,
    embedded: opened.warehouse,
    sampleRemoval,
    sealAll: () => sealer.sealAll(),
    faultPoint: atFaultPoint,
  });
  const landing = await startLanding({
    ...parts,
    signingKey,
    readParquet: parquetLines,
    copyWithout,
    faultPoint: atFaultPoint,
    onChange: (file) => api.feed.tell({ kind: 'landing', file: shownFile(file) }),
    onCommit: ({ counts }, { dataset }) => api.feed.tell({ kind: 'committed', datasets: { [dataset]: counts } }),
  });
  const retention = startRetention(parts);
  const addresses = await begin({ config, api, metrics, telemetry, dataDir });
  const watchers = [landing, observer, sampleRemoval, tasks, erasures, retention];
  const stoppable = { config, api, subscription, sealer, watchers, metrics, stores, lock, telemetry };
  return {
    ...addresses,
    dataDir,
    ...stores,
    telemetry,
    sealer,
    observer,
    landing,
    retention,
    equation,
    stop: ({ reason }) => stopService(stoppable, { reason }),
  };
}

function openTelemetry({ config, registry, now }: Pick<Composed, 'config' | 'registry' | 'now'>): Telemetry {
  return createTelemetry({
    version: VERSION,
    logLevel: config.LOG_LEVEL,
    logFile: config.LOG_FILE,
    logFileBytesMax: config.LOG_FILE_BYTES_MAX,
    logFilesMax: config.LOG_FILES_MAX,
    datasets: [...registry.contracts.keys()],
    codes: ROW_CODES,
    now,
  });
}

type Composed = Omit<Parameters<typeof createApi>[0], 'version' | 'datasetRoutes'> & {
  readonly registry: Registry;
  readonly faultPoint: (name: string) => void;
};

/** The api and the subscriber, which do not know each other: followers of the one are told what the other commits. */
function startJourney(parts: Composed) {
  const api = createApi({ ...parts, version: VERSION, datasetRoutes: parts.registry.routes });
  const subscription = startSubscriber({
    ...parts,
    onCommit: (outcome) => api.feed.tell({ kind: 'committed', datasets: outcome.datasets }),
  });
  return { api, subscription };
}

interface Beginning {
  readonly config: Config;
  readonly api: Api;
  readonly metrics: MetricsListener;
  readonly telemetry: Telemetry;
  readonly dataDir: string;
}

/** Listens, says where, and is ready at once or after the first scrape. */
async function begin({ config, api, metrics, telemetry, dataDir }: Beginning) {
  const { host, port } = await api.listen();
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const metricsUrl = `http://${config.METRICS_HOST}:${metrics.port}/metrics`;
  telemetry.started({ url, docs: `${url}/docs`, metrics: metricsUrl, dataDir });
  // Counters are zero at the first scrape and only then move: what a new process does at once is not lost to rate().
  if (config.SCRAPE_WAIT_MS === 0) await api.becomeReady();
  else void metrics.firstScrape({ timeoutMs: config.SCRAPE_WAIT_MS }).then(() => api.becomeReady());
  return { url, metricsUrl };
}

interface FolderOptions {
  readonly config: Config;
  readonly telemetry: Telemetry;
  readonly now: () => number;
  readonly faultPoint: (name: string) => void;
}

/** Makes the data folder this process's own, in the format that this version writes. */
async function takeFolder({ config, telemetry, now, faultPoint }: FolderOptions) {
  const dataDir = resolve(config.DATA_DIR);
  const lock = await lockDataDir(dataDir).catch((error: unknown) => {
    throw new RefusedError(systemErrorText(error) ?? (error instanceof Error ? error.message : String(error)), {
      cause: error,
    });
  });
  try {
    const tell = ({ from, to, backup }: MigrationProgress): void =>
      telemetry.log('dataMigrating', { from, to, file: backup });
    await prepareFormat({ dataDir, version: VERSION, now, faultPoint, tell });
  } catch (error) {
    await lock.release();
    throw error;
  }
  return { dataDir, lock };
}

/** After an erasure, while nobody has the stores open. One that fails keeps no service from starting: it stays due. */
async function compact({ telemetry, ...options }: FolderOptions & { readonly dataDir: string }): Promise<void> {
  const startedAtMs = options.now();
  try {
    const compacted = await compactWhenDue(options);
    if (compacted === undefined) return;
    const { bytesBefore, bytesAfter, setAside } = compacted;
    const durationMs = options.now() - startedAtMs;
    telemetry.log('storesCompacted', { bytesBefore, bytes: bytesAfter, files: setAside.length, durationMs });
  } catch (error) {
    telemetry.log('storesNotCompacted', { error });
  }
}

/** What commands ask for is done by this process, because it owns the folder. */
function startTasks(parts: CustodyParts & { readonly telemetry: Telemetry }) {
  const { state, telemetry, now } = parts;
  return watchTasks(
    {
      state,
      now,
      ended: ({ kind: task, durationMs, error }) =>
        error === undefined
          ? telemetry.log('taskDone', { task, durationMs })
          : telemetry.log('taskFailed', { task, durationMs, error }),
      failed: (error) => telemetry.log('taskFailed', { error }),
    },
    custodyTasks(parts),
  );
}

/** Runs until a signal, or until a store turns out damaged; then a supervisor starts it again. */
async function run(): Promise<void> {
  const broken = Promise.withResolvers<number>();
  // Listened for from the first moment: a signal during the start ends in an orderly stop too.
  const signalled = new Promise<{ readonly reason: string; readonly code: number }>((resolve) => {
    // Not once: npm passes on the Ctrl-C that the terminal has already sent, and the second must not cut the drain off.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve({ reason: signal, code: 0 }));
  });
  const config = readConfig();
  keepPrivate();
  const service = await openService(config, { onBroken: () => broken.resolve(EXIT_FAILED) });
  const { reason, code } = await Promise.race([
    signalled,
    broken.promise.then((exit) => ({ reason: 'a store is broken', code: exit })),
  ]);
  // A part that never answers must not keep a supervisor from starting the next process.
  setTimeout(() => {
    process.stderr.write(`vigia: the stop took longer than ${config.STOP_TIMEOUT_MS} ms (STOP_TIMEOUT_MS); ended.\n`);
    process.exit(EXIT_FAILED);
  }, config.STOP_TIMEOUT_MS).unref();
  await service.stop({ reason });
  process.exit(code);
}

/** Our bug, in the middle of work: where it happened, but not its message, which may quote a record. */
function crash(error: unknown): never {
  const frames =
    error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at ')) : [];
  const name = error instanceof Error ? error.name : typeof error;
  process.stderr.write(`vigia: ended by an unexpected ${name}\n${frames.join('\n')}\n`);
  process.exit(EXIT_FAILED);
}

function fail(error: unknown): never {
  process.stderr.write(`vigia: ${failureText(error)}\n`);
  process.exit(error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED);
}

/** What a person can mend is told without a stack. */
function failureText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof ConfigError || error instanceof RefusedError || error instanceof FormatError)
    return error.message;
  if ('code' in error && error.code === 'EADDRINUSE' && 'address' in error && 'port' in error) {
    return `${error.address}:${error.port} is taken by another program. Set PORT or METRICS_PORT to a free port; 0 finds one.`;
  }
  return systemErrorText(error) ?? error.stack ?? error.message;
}

if (import.meta.main) {
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  run().catch(fail);
}
