import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ByteBudget } from './api/byte-budget.ts';
import type { BusMessage } from './bus/bus.ts';
import { readConfig } from './config.ts';
import { compileValidator } from './record/validate.ts';
import { loadSamples, requestRemoval, type SampleRemoval, samplesState, watchSampleRemoval } from './samples.ts';
import { openLmdbState } from './state/lmdb-state.ts';
import type { State } from './state/state.ts';
import { published, Pipeline } from './subscriber/pipeline.contract.ts';
import { CONTRACTS, note, order } from './warehouse/warehouse-data.contract.ts';
import { watchStores } from './watched-stores.ts';

const CONFIG = readConfig({});
const sample = (id: string): BusMessage => published({ rows: [order(id)], apiKeyId: 'sample' });

describe('sample data whose removal is asked for', () => {
  let pipeline: Pipeline;
  let state: State;
  let removal: SampleRemoval;

  beforeEach(async () => {
    pipeline = await Pipeline.open();
    const dir = join(pipeline.dir, 'state');
    state = await openLmdbState({ dir, now: Date.now, idempotencyHours: 24, processId: process.pid });
    const { bus, warehouse, telemetry } = pipeline;
    removal = watchSampleRemoval({ bus, warehouse, state, telemetry });
  });
  afterEach(async () => {
    await removal.stop();
    await state.close();
    await pipeline.dispose();
  });

  const stored = async (): Promise<number> => (await pipeline.equation()).total.stored;

  it('while it is loaded: the load ends there, and what was loaded goes', async () => {
    await state.setFact('samples', 'loading');
    pipeline.subscribe();
    await load({ atPublish: () => requestRemoval(state) });
    const { acceptedRows } = await pipeline.bus.snapshot();
    assert.deepEqual(acceptedRows, { orders: 1 });
    await removal.look();
    assert.equal(await samplesState(state), 'removed');
    const { accepted, erased, inFlight, difference } = (await pipeline.equation()).total;
    assert.deepEqual(
      { accepted, erased, inFlight, difference },
      { accepted: 1, erased: 1, inFlight: 0, difference: 0 },
    );
  });

  it('goes only when all of it that is on the bus is stored, whatever the clock says meanwhile', async () => {
    await state.setFact('samples', 'remove');
    await pipeline.bus.publish([sample('a')]);
    pipeline.aheadMs = 3_600_000;
    await pipeline.bus.publish([sample('b')]);
    await removal.look();
    assert.equal(await samplesState(state), 'remove');
    await pipeline.consume(1);
    assert.equal(await stored(), 2);
    await removal.look();
    assert.deepEqual([await samplesState(state), await stored()], ['removed', 0]);
  });

  it('does not wait for what came onto the bus after it was asked for', async () => {
    await state.setFact('samples', 'remove');
    await pipeline.bus.publish([sample('a')]);
    await removal.look();
    await pipeline.consume(1);
    await pipeline.bus.publish([published({ rows: [order('b')] })]);
    await removal.look();
    assert.equal(await samplesState(state), 'removed');
  });

  /** One row of each dataset, on the path of the service; told of at each publication. */
  async function load({ atPublish }: { readonly atPublish: () => Promise<unknown> }): Promise<void> {
    const { warehouse, telemetry } = pipeline;
    const watched = watchStores({ bus: pipeline.bus, warehouse, state }, telemetry, 1).bus;
    const bus = {
      ...watched,
      publish: async (messages: readonly BusMessage[]) => {
        await atPublish();
        await watched.publish(messages);
      },
    };
    const parts = { config: CONFIG, bus, telemetry, now: Date.now };
    await loadSamples({
      ...parts,
      warehouse,
      state,
      contracts: CONTRACTS,
      folders: await sampleFolders(),
      ingest: {
        ...parts,
        validators: new Map([...CONTRACTS].map(([name, contract]) => [name, compileValidator(contract)])),
        signingKey: randomBytes(32),
        budget: new ByteBudget(CONFIG.BODY_BYTES_IN_FLIGHT_MAX),
      },
    });
  }

  async function sampleFolders(): Promise<ReadonlyMap<string, URL>> {
    const rows = new Map<string, unknown>([
      ['orders', order('s').body],
      ['notes', note('a sample').body],
    ]);
    const folders = new Map<string, URL>();
    for (const [name, contract] of CONTRACTS) {
      const folder = join(pipeline.dir, 'samples', name);
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, contract.sample.file), `${JSON.stringify(rows.get(name))}\n`);
      folders.set(name, pathToFileURL(`${folder}/`));
    }
    return folders;
  }
});
