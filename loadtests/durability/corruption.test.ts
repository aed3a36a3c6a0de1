/**
 * A damaged database file costs a rebuild and nothing else. The damage goes through the whole service: bytes flipped at
 * random places and tails cut off, in the file and in its log, with rows in bronze and rows that only the bus has.
 */
import assert from 'node:assert/strict';
import { cp, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../seeded-random.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { getJson, settledEquation } from '../stored-records.ts';
import { type Answered, custodyOf, sendFlight } from './sender.ts';

const ENV = { NODE_ENV: 'test', BATCH_WAIT_MS: '0', QUEUE_TIME_TARGET_MS: '10000', OTEL_SDK_DISABLED: 'true' };
/** Half of them are sealed by a clean stop; the rest stays on the bus, because an hour passes before it is sealed. */
const UNSEALED_ENV = { ...ENV, SEAL_INTERVAL_MS: '3600000' };
const FLIGHTS = 40;
const SUMS = '/v1/datasets/flights/aggregates?measure=count&measure=sum:distance&measure=sum:delay&by=origin';
/** At 1 MiB, a few in each 256 KiB block. */
const BYTES_FLIPPED = 24;

const DATABASE = 'warehouse.duckdb';
const LOG = 'warehouse.duckdb.wal';

interface Damage {
  readonly file: string;
  readonly seed: number;
  readonly how: 'flip' | 'cut' | 'header';
}

describe('a damaged warehouse', function () {
  this.timeout(60_000);
  let whole: string;
  let damaged: string;
  let sent: readonly Answered[];
  let sums: unknown;

  before(async () => {
    whole = await mkdtemp(join(tmpdir(), 'vigia-whole-'));
    const sealed = await send(await startService({ dataDir: whole, env: ENV }), 1, 'SIGTERM');
    const service = await startService({ dataDir: whole, env: UNSEALED_ENV });
    const unsealed = await send(service, FLIGHTS / 2 + 1, undefined);
    sent = [...sealed, ...unsealed];
    sums = await sumsOf(service);
    service.kill('SIGKILL');
    await service.ended;
    for (const file of [DATABASE, LOG]) assert.ok((await stat(join(whole, file))).size > 0, `${file} is empty`);
  });
  after(() => rm(whole, { recursive: true }));
  beforeEach(async () => {
    damaged = await mkdtemp(join(tmpdir(), 'vigia-damaged-'));
    await cp(whole, damaged, { recursive: true });
  });
  afterEach(() => rm(damaged, { recursive: true }));

  const damages: readonly Damage[] = [
    { file: DATABASE, seed: 0, how: 'header' },
    ...[1, 2, 3].map((seed): Damage => ({ file: DATABASE, seed, how: 'flip' })),
    ...[4, 5].map((seed): Damage => ({ file: DATABASE, seed, how: 'cut' })),
    ...[6, 7, 8].map((seed): Damage => ({ file: LOG, seed, how: 'flip' })),
    ...[9, 10].map((seed): Damage => ({ file: LOG, seed, how: 'cut' })),
  ];
  for (const damage of damages) {
    it(`answers the same after ${damage.how} of ${damage.file} (seed ${damage.seed}), equation 0`, async () => {
      await inflict(damaged, damage);
      const service = await startService({ dataDir: damaged, env: ENV });
      try {
        const { equation, lost, doubled, strange } = await custodyOf(service, sent);
        assert.deepEqual({ lost, doubled, strange }, { lost: [], doubled: [], strange: [] });
        assert.deepEqual([equation.accepted, equation.stored, equation.difference], [FLIGHTS, FLIGHTS, 0]);
        assert.deepEqual(await sumsOf(service), sums);
      } finally {
        service.kill('SIGTERM');
      }
      assert.equal((await service.ended).code, 0, service.output());
      if (damage.how === 'header') await assertSetAside();
    });
  }

  /** What was broken stays for a person to look at. */
  const assertSetAside = async (): Promise<void> => {
    const aside = (await readdir(damaged)).filter((name) => name.startsWith(`${DATABASE}.broken-`));
    assert.ok(aside.length > 0, 'no file was set aside');
  };
});

async function send(
  service: ServiceProcess,
  from: number,
  signal: NodeJS.Signals | undefined,
): Promise<readonly Answered[]> {
  const numbers = Array.from({ length: FLIGHTS / 2 }, (_, at) => from + at);
  const answers = await Promise.all(numbers.map((number) => sendFlight(service, number)));
  assert.ok(answers.every(({ status }) => status === 202));
  await settledEquation(service);
  if (signal !== undefined) {
    service.kill(signal);
    await service.ended;
  }
  return answers;
}

async function sumsOf(service: ServiceProcess): Promise<unknown> {
  return (await getJson<{ readonly data: unknown }>(service, SUMS)).data;
}

async function inflict(folder: string, { file, seed, how }: Damage): Promise<void> {
  const path = join(folder, file);
  const random = seededRandom(seed);
  const { size } = await stat(path);
  switch (how) {
    case 'header':
      return flip(
        path,
        Array.from({ length: 4_096 }, (_, at) => at),
      );
    case 'flip':
      return flip(
        path,
        Array.from({ length: BYTES_FLIPPED }, () => Math.floor(random() * size)),
      );
    case 'cut':
      return truncate(path, Math.floor(random() * size));
  }
}

async function flip(path: string, places: readonly number[]): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    for (const place of places) {
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, place);
      byte.writeUInt8(byte.readUInt8() ^ 0xff);
      await handle.write(byte, 0, 1, place);
    }
  } finally {
    await handle.close();
  }
}
