/**
 * Sample data: what a newcomer sees in a new folder, and how it goes away again.
 *
 * It takes the path a user's records take, under the name `sample`. A start that dies half-way goes on at the next
 * one: the rows' ids are the same, so nothing is stored twice. Removal is asked for through the state store, so that
 * the command works whether the service runs or not.
 */
import { createReadStream } from 'node:fs';
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
const LOOK_MS = 1_000;

/** `loading` → `loaded` → `remove` (asked for) → `removed`. */
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

/** Loads every dataset's sample into a new folder; resolves when the rows are durable, not yet stored. */
export async function loadSamples(parts: SampleParts): Promise<void> {
  if (!(await wanted(parts))) return;
  await parts.state.setFact(FACT, 'loading' satisfies SamplesState);
  let rows = 0;
  for (const [name, contract] of parts.contracts) {
    const folder = parts.folders.get(name);
    if (folder !== undefined) rows += await loadSample(parts, contract, folder);
  }
  await parts.state.setFact(FACT, 'loaded' satisfies SamplesState);
  parts.telemetry.samplesLoaded({ rows });
}

async function wanted({ config, state, bus }: SampleParts): Promise<boolean> {
  const embedded = config.BUS === 'embedded' && config.WAREHOUSE === 'embedded';
  if (config.SAMPLE_DATA === 'off' || !embedded || (await state.keyEverMade())) return false;
  const fact = (await state.fact(FACT)) as SamplesState | undefined;
  if (fact !== undefined) return fact === 'loading';
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

/** Carries out a removal that `requestRemoval` asked for. Returns how many rows went, or undefined when none was asked for. */
export async function removeSamplesIfAsked({
  state,
  warehouse,
}: Pick<SampleParts, 'state' | 'warehouse'>): Promise<number | undefined> {
  if ((await state.fact(FACT)) !== 'remove') return undefined;
  const rows = await warehouse.removeSamples();
  await state.setFact(FACT, 'removed' satisfies SamplesState);
  return rows;
}

/** Looks now and then whether removal was asked for. */
export function watchSampleRemoval(parts: Pick<SampleParts, 'state' | 'warehouse' | 'telemetry'>): { stop(): void } {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    removeSamplesIfAsked(parts)
      .catch((error: unknown) => parts.telemetry.observationFailed({ error }))
      .finally(() => {
        looking = false;
      });
  }, LOOK_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** Asks whoever owns the folder to remove the samples. Returns the state before. */
export async function requestRemoval(state: State): Promise<SamplesState | undefined> {
  const before = (await state.fact(FACT)) as SamplesState | undefined;
  if (before === 'loaded') await state.setFact(FACT, 'remove' satisfies SamplesState);
  return before;
}
