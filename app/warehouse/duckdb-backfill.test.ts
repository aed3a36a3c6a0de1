import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type Json } from '@duckdb/node-api';
import type { Contract, Row } from '../datasets/contract.ts';
import { takeProof } from './duckdb-proof.ts';
import { DuckdbSession } from './duckdb-session.ts';
import { DATABASE_FILE, openDuckdbWarehouse } from './duckdb-warehouse.ts';
import type { EmbeddedWarehouse } from './embedded-warehouse.ts';
import { CONTRACTS, message, note, order, sealable } from './warehouse-data.contract.ts';

const DAY = { from: '2024-02-03', to: '2024-02-04' } as const;

describe('a backfill', () => {
  let dir: string;
  let warehouse: EmbeddedWarehouse | undefined;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-backfill-'));
  });

  afterEach(async () => {
    await close();
    await rm(dir, { recursive: true });
  });

  interface OpenOptions {
    readonly contracts?: ReadonlyMap<string, Contract>;
    readonly faultPoint?: (name: string) => void;
  }

  async function open({ contracts = CONTRACTS, faultPoint }: OpenOptions = {}): Promise<EmbeddedWarehouse> {
    warehouse = await openDuckdbWarehouse({
      dir,
      contracts,
      memoryMib: 256,
      threads: 1,
      readers: 1,
      readQueueMax: 8,
      percentileRowsMax: 1_000,
      now: Date.now,
      onBroken: (error) => assert.fail(String(error)),
      faultPoint,
    });
    return warehouse;
  }

  async function close(): Promise<void> {
    await warehouse?.close();
    warehouse = undefined;
  }

  async function inside<T>(work: (session: DuckdbSession) => Promise<T>): Promise<T> {
    const instance = await DuckDBInstance.create(join(dir, DATABASE_FILE));
    const session = new DuckdbSession({ instance, onBroken: (error) => assert.fail(String(error)) });
    try {
      return await work(session);
    } finally {
      await session.close();
      instance.closeSync();
    }
  }

  const rows = (statement: string): Promise<readonly Readonly<Record<string, Json>>[]> =>
    inside((session) => session.exclusive((sql) => sql.rows(statement)));
  const proof = () =>
    inside((session) => session.exclusive((sql) => takeProof(sql, { datasets: [...CONTRACTS.keys()] })));

  /** Texts are three times as long as they were. */
  const changed = (): ReadonlyMap<string, Contract> => {
    const { notes } = Object.fromEntries(CONTRACTS);
    assert.ok(notes?.derived);
    const { derived } = notes;
    const derive = (row: Row): Row => ({ ...derived.derive(row), length: String(row['text']).length * 3 });
    return new Map(CONTRACTS).set('notes', { ...notes, derived: { ...derived, derive } });
  };

  async function fill(): Promise<void> {
    const later = { ...note('later'), body: { written_on: '2024-02-05', text: 'later' } };
    const everyType = order('full', {
      units: 7,
      weight: 0.1,
      gift: false,
      place: 'POINT (7.5 45.25)',
      local_time: '2018-05-21 02:54:04',
      due: '2024-01-02',
      ordered_at: '2024-01-01T10:00:00.123456Z',
    });
    const messages = [
      message({ dataset: 'notes', rows: [note('a b'), note('b "quoted" ü'), note('a b', 1)] }),
      message({ dataset: 'notes', rows: [note('a b'), later] }),
      message({ rows: [everyType, order('plain')] }),
    ];
    const open_ = await open();
    await open_.store(messages);
    await open_.seal(sealable(messages));
    await close();
  }

  it('gives the days asked for what is derived now, and leaves all others, ids, commits and the books alone', async () => {
    await fill();
    const books = 'SELECT * EXCLUDE (length) FROM silver.notes ORDER BY _event_id';
    const before = await rows(books);
    const ledger = await rows('SELECT * FROM custody.ledger ORDER BY message_id');
    const filling = await open({ contracts: changed() });
    const { generation } = filling.version('notes', {});
    const told: unknown[] = [];
    const done = await filling.backfill({ dataset: 'notes', ...DAY, tell: (progress) => told.push(progress) });
    assert.deepEqual(done, { days: 1, daysOfAll: 1, rows: 3, left: 0 });
    assert.deepEqual(told, [done]);
    assert.notEqual(filling.version('notes', {}).generation, generation);
    const [audit] = await filling.audit({ step: 'backfill', limit: 10 });
    assert.deepEqual([audit?.target, audit?.read, audit?.stored], ['silver.notes 2024-02-03', 3, 3]);
    // The rows are known still: what comes again is a duplicate.
    await filling.store([message({ dataset: 'notes', rows: [note('a b')] })]);
    await close();
    assert.deepEqual(
      (await rows('SELECT text, length FROM silver.notes ORDER BY text, _event_id')).map((row) => [
        row['text'],
        row['length'],
      ]),
      [
        ['a b', '9'],
        ['a b', '9'],
        ['b "quoted" ü', '36'],
        ['later', '5'],
      ],
    );
    assert.deepEqual(await rows(books), before);
    assert.deepEqual(
      (await rows('SELECT * FROM custody.ledger ORDER BY message_id')).filter(({ message_id }) =>
        ledger.some((row) => row['message_id'] === message_id),
      ),
      ledger,
    );
    assert.deepEqual(await readdir(join(dir, 'work')), []);
  });

  it('changes no value where nothing is derived otherwise, whatever its type', async () => {
    await fill();
    const before = await proof();
    const filling = await open();
    const done = await filling.backfill({ dataset: 'orders', from: '2000-01-01', to: '2100-01-01' });
    assert.deepEqual(done, { days: 1, daysOfAll: 1, rows: 2, left: 0 });
    await filling.backfill({ dataset: 'notes', from: '2000-01-01', to: '2100-01-01' });
    await close();
    assert.deepEqual(await proof(), before);
  });

  it('leaves rows that are in no bronze file as they are, and counts them', async () => {
    await fill();
    const filling = await open({ contracts: CONTRACTS });
    await filling.store([message({ dataset: 'notes', rows: [note('only here')] })]);
    await close();
    const done = await (await open({ contracts: changed() })).backfill({ dataset: 'notes', ...DAY });
    assert.deepEqual(done, { days: 1, daysOfAll: 1, rows: 3, left: 1 });
    await close();
    assert.deepEqual(await rows("SELECT length FROM silver.notes WHERE text = 'only here'"), [{ length: '9' }]);
  });

  it('that dies between two batches has whole days, old or new, and can be done again', async () => {
    await fill();
    const died = new Error('killed');
    let passed = 0;
    const faultPoint = (name: string): void => {
      if (name === 'while-backfilling') passed += 1;
      if (passed === 2) throw died;
    };
    const days = { dataset: 'notes', from: '2024-02-01', to: '2024-03-01', batchRowsMax: 1 };
    const dying = await open({ contracts: changed(), faultPoint });
    await assert.rejects(dying.backfill(days), died);
    await close();
    const lengths = async (): Promise<readonly unknown[]> =>
      (await rows('SELECT length FROM silver.notes ORDER BY _event_date, length')).map((row) => row['length']);
    assert.deepEqual(await lengths(), ['9', '9', '36', '5']);
    await (await open({ contracts: changed() })).backfill(days);
    await close();
    assert.deepEqual(await lengths(), ['9', '9', '36', '15']);
  });

  it('brings no row back that went while its day was prepared', async () => {
    await fill();
    const gone = message({ dataset: 'notes', apiKeyId: 'sample', rows: [note('gone')] });
    const first = await open();
    await first.store([gone]);
    await first.seal(sealable([gone], 10));
    await close();
    let removal: Promise<number> | undefined;
    const filling: EmbeddedWarehouse = await open({
      contracts: changed(),
      faultPoint: (name) => {
        if (name === 'while-backfilling') removal ??= filling.removeSamples();
      },
    });
    await filling.backfill({ dataset: 'notes', ...DAY });
    assert.equal(await removal, 1);
    await close();
    assert.deepEqual(await rows("SELECT 1 FROM silver.notes WHERE text = 'gone'"), []);
  });
});
