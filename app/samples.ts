/**
 * Sample data: what a newcomer sees in a new folder, and how it goes away again.
 *
 * It takes the path a user's records take, under the name `sample`, and is readable when the service begins to listen.
 * A start that dies half-way goes on at the next one: the rows' ids are the same, so nothing is stored twice. Removal
 * is asked for through the state store, so that the command works whether the service runs or not, and one that dies
 * half-way is carried out by the next start.
 */
import { createReadStream } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type IngestParts, judgeBody, publishBody, randomId } from './api/ingest.ts';
import type { Bus } from './bus/bus.ts';
import type { Config } from './config.ts';
import type { Contract } from './datasets/contract.ts';
import type { BodyFormat } from './record/media-type.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { Warehouse } from './warehouse/warehouse.ts';

const FACT = 'samples';
const API_KEY_ID = 'sample';
/** How often a running service looks whether somebody asked for removal. */
const LOOK_MS = 500;
/** 6,465 rows take about 0.4 s; a machine that needs longer than this listens all the same, and the rows follow. */
const READABLE_TIMEOUT_MS = 10_000;
const READABLE_LOOK_MS = 10;

/** `loading` → `loaded` → `remove` (asked for) → `removed`. Absent: no sample was ever loaded here. */
export type SamplesState = 'loading' | 'loaded' | 'remove' | 'removed';

interface SampleParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly folders: ReadonlyMap<string, URL>;
  readonly ingest: IngestParts;
  readonly now: () => number;
}

/** Loads every dataset's sample into a new folder; resolves when the rows can be read. The subscriber must be on. */
export async function loadSamples(parts: SampleParts): Promise<void> {
  if (!(await wanted(parts))) return;
  await setSamplesState(parts.state, 'loading');
  let rows = 0;
  for (const [name, contract] of parts.contracts) {
    // Removal has only to wait for what is on the bus already.
    if ((await samplesState(parts.state)) !== 'loading') break;
    const folder = parts.folders.get(name);
    if (folder !== undefined) rows += await loadSample(parts, contract, folder);
  }
  await untilReadable(parts);
  // Whoever asked for removal meanwhile is not overruled.
  if ((await samplesState(parts.state)) === 'loading') await setSamplesState(parts.state, 'loaded');
  parts.telemetry.samplesLoaded({ rows });
}

async function wanted({ config, state, bus }: SampleParts): Promise<boolean> {
  const embedded = config.BUS === 'embedded' && config.WAREHOUSE === 'embedded';
  if (config.SAMPLE_DATA === 'off' || !embedded || (await state.keyEverMade())) return false;
  const before = await samplesState(state);
  if (before !== undefined) return before === 'loading';
  // Files go past the bus.
  if ((await state.landingFiles()).length > 0) return false;
  const { acceptedRows } = await bus.snapshot();
  return Object.values(acceptedRows).every((accepted) => accepted === 0);
}

async function loadSample({ ingest }: SampleParts, contract: Contract, folder: URL): Promise<number> {
  const judged = await judgeBody(ingest, {
    contract,
    apiKeyId: API_KEY_ID,
    batchKey: API_KEY_ID,
    format: formatOf(contract.sample.file),
    gzip: false,
    source: createReadStream(new URL(contract.sample.file, folder)),
    hash: false,
  });
  const { receipt } = await publishBody(ingest, judged, { contract, requestId: randomId(), apiKeyId: API_KEY_ID });
  return receipt.accepted;
}

function formatOf(file: string): BodyFormat {
  if (file.endsWith('.csv')) return 'csv';
  return file.endsWith('.ndjson') ? 'ndjson' : 'json';
}

/** Nobody else writes yet: the service does not listen. */
async function untilReadable({ bus, now }: SampleParts): Promise<void> {
  const deadlineMs = now() + READABLE_TIMEOUT_MS;
  while (bus.backlog().some(({ messages }) => messages > 0) && now() < deadlineMs) await pause(READABLE_LOOK_MS);
}

type RemovalParts = Pick<SampleParts, 'bus' | 'state' | 'warehouse' | 'telemetry'>;

export interface SampleRemoval {
  /** Carries removal out when it was asked for and nothing that was under way then is left on the bus. */
  look(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Looks now and then whether removal was asked for. Only after the load of this start: then the bus holds every sample
 * that there will ever be, and none can come when those were removed.
 */
export function watchSampleRemoval(parts: RemovalParts): SampleRemoval {
  const { bus, state, warehouse, telemetry } = parts;
  /** What was on the bus when removal was first seen: by id, because clocks can be put back. */
  let awaited: ReadonlySet<string> | undefined;
  const removeIfAsked = async (): Promise<void> => {
    if ((await samplesState(state)) !== 'remove') return;
    const unsettled = (await bus.snapshot()).unsettled.map(({ messageId }) => messageId);
    awaited ??= new Set(unsettled);
    if (unsettled.some((messageId) => awaited?.has(messageId))) return;
    telemetry.log('samplesRemoved', { records: await warehouse.removeSamples() });
    await setSamplesState(state, 'removed');
  };
  let running: Promise<void> | undefined;
  const look = (): Promise<void> => {
    running ??= removeIfAsked()
      .catch((error: unknown) => telemetry.observationFailed({ error, look: 'samples' }))
      .finally(() => {
        running = undefined;
      });
    return running;
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  timer.unref();
  return {
    look,
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}

/** Asks whoever owns the folder to remove the samples. Returns false when there is nothing to remove. */
export async function requestRemoval(state: State): Promise<boolean> {
  const before = await samplesState(state);
  if (before === undefined || before === 'removed') return false;
  if (before !== 'remove') await setSamplesState(state, 'remove');
  return true;
}

export async function samplesState(state: State): Promise<SamplesState | undefined> {
  return (await state.fact(FACT)) as SamplesState | undefined;
}

async function setSamplesState(state: State, value: SamplesState): Promise<void> {
  await state.setFact(FACT, value);
}
