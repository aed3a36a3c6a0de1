import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Contract } from '../datasets/contract.ts';
import { contract as trips } from '../datasets/trips/contract.ts';
import { decodeBody } from '../record/decode.ts';
import { eventIdInFile } from '../record/identity.ts';
import { rejectOf } from '../record/reject-text.ts';
import { compileValidator } from '../record/validate.ts';
import { COMPACTION_FILES_MAX } from './bronze-compaction.ts';
import { type Proof, takeProof } from './duckdb-proof.ts';
import { DuckdbSession } from './duckdb-session.ts';
import { DATABASE_FILE, openDuckdbWarehouse } from './duckdb-warehouse.ts';
import type { EmbeddedWarehouse, WarehouseOptions } from './embedded-warehouse.ts';
import type { FileRange, JudgedRecord } from './file-range.ts';
import { CONTRACTS as SMALL, message, order } from './warehouse-data.contract.ts';

const COLUMNS = ['region', 'origin_coord', 'destination_coord', 'datetime', 'datasource'];
const CONTRACTS: ReadonlyMap<string, Contract> = new Map([['trips', trips], ...SMALL]);
const [orders, notes] = [...SMALL.values()] as [Contract, Contract];
const EVERYTHING = Number.MAX_SAFE_INTEGER;
const FILE = 'f'.repeat(64);
const NOTHING = { stored: 0, duplicate: 0, quarantined: 0, rejected: 0, replayedMessages: 0, judged: 0 } as const;
const NO_TERMS = { lateRows: 0, stored: 0, duplicate: 0, quarantined: 0, expired: 0, erased: 0 } as const;
const QUERY = { where: [], buckets: [], timeZone: 'UTC', order: [], limit: 10 } as const;
const BUDGET = { timeoutMs: 5_000, rowsMax: 100_000 } as const;

/** One plain trip; `at` makes its content. */
function trip(at: number): string {
  const seconds = String(at % 60).padStart(2, '0');
  const minutes = String(Math.floor(at / 60)).padStart(2, '0');
  return `Turin,POINT (7.672837913286881 44.9957109242058),POINT (7.7 45),2018-05-21 02:${minutes}:${seconds},baba_car`;
}

const trips10 = Array.from({ length: 10 }, (_, at) => trip(at));

function orderByHttp(id: string, amount: string) {
  const { body } = order(id, { ordered_at: '2024-01-01T10:00:00.000000Z', amount });
  return { eventId: eventIdInFile(orders, body, 1), body };
}

interface FileOptions {
  readonly lines: readonly string[];
  readonly contract?: Contract;
  readonly columns?: readonly string[];
  readonly format?: 'csv' | 'ndjson';
  /** Records of a range. */
  readonly size?: number;
  /** Defaults to the hash of the lines. */
  readonly fileId?: string;
}

interface Ranged {
  readonly range: FileRange;
  readonly judge: (indexes: readonly number[]) => Promise<readonly JudgedRecord[]>;
  readonly asked: number[];
  /** Of the work file. */
  readonly lines: readonly string[];
}

describe('a range of a file', () => {
  let dir: string;
  const opened = new Set<EmbeddedWarehouse>();
  const open = async (more: Partial<WarehouseOptions> = {}): Promise<EmbeddedWarehouse> => {
    const warehouse = await openDuckdbWarehouse({
      dir,
      contracts: CONTRACTS,
      memoryMib: 512,
      threads: 1,
      readers: 1,
      readQueueMax: 4,
      percentileRowsMax: 1_000,
      now: Date.now,
      onBroken: (error) => {
        throw new Error('the file broke', { cause: error });
      },
      ...more,
    });
    opened.add(warehouse);
    return warehouse;
  };
  const close = async (warehouse: EmbeddedWarehouse): Promise<void> => {
    opened.delete(warehouse);
    await warehouse.close();
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-range-'));
    await mkdir(join(dir, 'work'));
  });
  afterEach(async () => {
    for (const warehouse of opened) await close(warehouse);
    await rm(dir, { recursive: true });
  });

  const workFile = async (name: string, lines: readonly string[]): Promise<string> => {
    const path = join(dir, 'work', `${name}.work`);
    await writeFile(path, lines.join(''));
    return path;
  };

  /** The ranges of a file with the judge that landing gives them. */
  async function ranges(options: FileOptions): Promise<readonly Ranged[]> {
    const { lines, contract = trips, columns = COLUMNS, format = 'csv', size = 4 } = options;
    const text = lines.join('\n');
    const fileId = options.fileId ?? createHash('sha256').update(text).digest('hex');
    const ranged: Ranged[] = [];
    for (let first = 0; first < lines.length; first += size) {
      const part = lines.slice(first, first + size);
      const separator = format === 'csv' ? ',' : '\t';
      const work = part.map((line, at) => `${first + at}${separator}${line}\n`);
      const path = await workFile(`${fileId.slice(0, 8)}-${first}`, work);
      const asked: number[] = [];
      const judge = async (indexes: readonly number[]): Promise<readonly JudgedRecord[]> => {
        asked.push(...indexes);
        const bytes = indexes.map((index) => `${lines[index]}\n`).join('');
        return judgedAs({
          text: format === 'csv' ? `${columns.join(',')}\n${bytes}` : bytes,
          format,
          contract,
          indexes,
        });
      };
      const messageId = createHash('sha256').update(`${fileId}:${first}:${part.length}`).digest('hex').slice(0, 32);
      const range: FileRange = {
        messageId,
        dataset: contract.name,
        requestId: fileId.slice(0, 32),
        apiKeyId: 'landing',
        contractVersion: contract.version,
        receivedAt: '2026-03-04T05:06:07.890Z',
        fileId,
        format: format === 'csv' ? { kind: 'csv', columns } : { kind: 'ndjson' },
        path,
        firstIndex: first,
        records: part.length,
      };
      ranged.push({ range, judge, asked, lines: work });
    }
    return ranged;
  }

  async function storeFile(warehouse: EmbeddedWarehouse, options: FileOptions) {
    const sum = { ...NOTHING } as Record<keyof typeof NOTHING, number>;
    for (const { range, judge } of await ranges(options)) {
      const { counts, judged } = await warehouse.storeRange(range, judge);
      sum.judged += judged;
      for (const name of ['stored', 'duplicate', 'quarantined', 'rejected', 'replayedMessages'] as const) {
        sum[name] += counts[name];
      }
    }
    return sum;
  }

  /** The proof of everything, of the closed database. */
  const proofOf = async (): Promise<Proof> => {
    const instance = await DuckDBInstance.create(join(dir, DATABASE_FILE));
    const session = new DuckdbSession({ instance, onBroken: () => {} });
    try {
      return await session.exclusive((sql) => takeProof(sql, { datasets: [...CONTRACTS.keys()] }));
    } finally {
      await session.close();
      instance.closeSync();
    }
  };
  const bronzeFiles = async (): Promise<number> =>
    (await readdir(join(dir, 'bronze'), { recursive: true })).filter((name) => name.endsWith('.parquet')).length;

  it('is put together with others of its size while the service runs, and stays what it was', async () => {
    const warehouse = await open();
    const lines = Array.from({ length: COMPACTION_FILES_MAX + 1 }, (_, at) => trip(at));
    await storeFile(warehouse, { lines, size: 1 });
    assert.equal((await warehouse.compact()).files, COMPACTION_FILES_MAX + 1);
    assert.equal(await bronzeFiles(), 1);
    const [first] = await ranges({ lines, size: 1 });
    assert.ok(first);
    assert.equal((await warehouse.storeRange(first.range, first.judge)).counts.replayedMessages, 1);
  });

  it('is stored whole, and SQL alone reads what is plain', async () => {
    const warehouse = await open();
    const stored = await storeFile(warehouse, { lines: trips10 });
    assert.deepEqual(stored, { ...NOTHING, stored: 10 });
    const { datasets } = await warehouse.accounting(EVERYTHING, []);
    assert.deepEqual(datasets['trips'], { ...NO_TERMS, lateRows: 10, stored: 10 });
    assert.equal(await bronzeFiles(), 3);
    const [entry] = await warehouse.audit({ step: 'landing.range', limit: 1 });
    assert.deepEqual(
      [entry?.read, entry?.stored, entry?.rejected, entry?.actor, entry?.target, entry?.outcome],
      [2, 2, 0, 'landing', 'silver.trips', 'ok'],
    );
  });

  it('gives each record its verdict, whoever reads it, and each row of the request one state', async () => {
    const warehouse = await open();
    const lines = [
      trip(0),
      trip(1).replace('Turin', '"Turin ""centre"""'),
      trip(2).replace('POINT (7.7 45)', 'POINT (181 45)'),
      'Turin,only two',
      trip(3).replace('2018-05-21', '2018-02-30'),
      trip(4).replace('Turin', ''),
      trip(5),
    ];
    const stored = await storeFile(warehouse, { lines, fileId: FILE });
    assert.deepEqual(stored, { ...NOTHING, stored: 3, rejected: 4, judged: 5 });
    const rows = await warehouse.quarantine({ limit: 10 });
    assert.deepEqual(rows.map(({ index, origin, code, pointer }) => [index, origin, code, pointer]).sort(), [
      [2, 'request', 'FIELD_RANGE', '/destination_coord'],
      [3, 'request', 'RECORD_MALFORMED', ''],
      [4, 'request', 'FIELD_FORMAT', '/datetime'],
      [5, 'request', 'FIELD_MISSING', '/region'],
    ]);
    const { accepted, rejected, stored: found } = await warehouse.requestOutcome(FILE.slice(0, 32));
    assert.deepEqual([accepted, rejected, found], [3, 4, 3]);
  });

  it('that the ledger holds is not stored again, whatever its work file is by then', async () => {
    const warehouse = await open();
    const [first] = await ranges({ lines: trips10 });
    assert.ok(first !== undefined);
    await warehouse.storeRange(first.range, first.judge);
    await rm(first.range.path);
    const { counts, judged } = await warehouse.storeRange(first.range, first.judge);
    assert.deepEqual([counts.stored, counts.duplicate, counts.replayedMessages, judged], [0, 0, 1, 0]);
    assert.equal((await warehouse.counts())['trips']?.stored, 4);
    assert.equal(await bronzeFiles(), 1);
  });

  it('of a file with rows added stores those alone, also when it is cut elsewhere', async () => {
    const warehouse = await open();
    const lines = [trip(0), trip(1), trip(0), trip(2), trip(0), trip(3)];
    assert.deepEqual(await storeFile(warehouse, { lines, size: 2 }), { ...NOTHING, stored: 6 });
    const longer = [...lines, trip(0), trip(9), trip(1)];
    assert.deepEqual(await storeFile(warehouse, { lines: longer, size: 5 }), { ...NOTHING, stored: 3, duplicate: 6 });
    const other = await storeFile(warehouse, { lines: [trip(3), trip(0), trip(0)] });
    assert.deepEqual(other, { ...NOTHING, duplicate: 3 }, 'the n-th equal row of any file is one row');
  });

  it('counts equal rows over all ranges, also when the process dies between them', async () => {
    const lines = [trip(0), trip(1), trip(0), trip(0), trip(1), trip(0)];
    for (const { range, judge } of await ranges({ lines, size: 2 })) {
      const warehouse = await open();
      const [work] = await ranges({ lines, size: 2 });
      assert.ok(work !== undefined);
      await warehouse.storeRange(range, judge);
      await close(warehouse);
    }
    const warehouse = await open();
    assert.equal((await warehouse.counts())['trips']?.stored, 6);
    // A plain row and one that the judge reads are equal when they mean the same.
    const quoted = lines.map((line) => line.replace('POINT (7.7 45)', '"POINT(7.70 45e0)"'));
    assert.deepEqual(await storeFile(warehouse, { lines: quoted }), { ...NOTHING, duplicate: 6, judged: 6 });
  });

  it('counts equal rows also over ranges that were taken on another day', async () => {
    const lines = [trip(0), trip(0), trip(1), trip(0)];
    const days = ['2026-03-04', '2026-03-05'];
    for (const [at, { range, judge }] of (await ranges({ lines, size: 2 })).entries()) {
      const warehouse = await open();
      const path = await workFile(
        'again',
        lines.slice(2 * at, 2 * at + 2).map((line, n) => `${2 * at + n},${line}\n`),
      );
      await warehouse.storeRange({ ...range, path, receivedAt: `${days[at]}T05:06:07.890Z` }, judge);
      await close(warehouse);
    }
    const warehouse = await open();
    assert.equal((await warehouse.counts())['trips']?.stored, 4);
  });

  it('is numbered apart from the same bytes in another dataset', async () => {
    const warehouse = await open();
    const beside: Contract = { ...trips, name: 'beside' };
    const lines = [trip(0), trip(1), trip(0), trip(0)];
    await close(warehouse);
    const first = await open({ contracts: new Map([...CONTRACTS, ['beside', beside]]) });
    const besideRanges = await ranges({ lines, size: 2, contract: beside, fileId: FILE });
    const tripRanges = await ranges({ lines, size: 2, fileId: FILE });
    const named = (dataset: string, { range }: Ranged): FileRange => {
      const id = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32);
      const { firstIndex } = range;
      return { ...range, messageId: id(`${dataset}:${firstIndex}`), requestId: id(dataset) };
    };
    const store = async (dataset: string, one: Ranged | undefined): Promise<void> => {
      assert.ok(one !== undefined);
      await first.storeRange({ ...named(dataset, one) }, one.judge);
    };
    await store('beside', besideRanges[0]);
    await store('trips', tripRanges[0]);
    await store('beside', besideRanges[1]);
    assert.equal((await first.counts())['beside']?.stored, 4);
  });

  it('is told from others by its key, over HTTP and in files alike', async () => {
    const warehouse = await open();
    const columns = ['order_id', 'ordered_at', 'amount', 'gift'];
    await warehouse.store([message({ rows: [orderByHttp('b', '2.00')] })]);
    const lines = [
      'a,2024-01-01T10:00:00Z,1.5,true',
      'b,2024-01-01T10:00:00Z,2,',
      'b,2024-01-01T10:00:00Z,3,',
      'a,2024-01-01T10:00:00Z,1.50,true',
    ];
    const stored = await storeFile(warehouse, { lines, contract: orders, columns });
    assert.deepEqual(stored, { ...NOTHING, stored: 1, duplicate: 2, quarantined: 1 });
    const [apart] = await warehouse.quarantine({ code: 'KEY_CONFLICT', limit: 1 });
    assert.equal(apart?.body, '{"order_id":"b","ordered_at":"2024-01-01T10:00:00.000000Z","amount":"3.00"}');
  });

  it('of a contract with derived fields has them too', async () => {
    const warehouse = await open();
    const line = '{"written_on":"2024-02-03","text":"a b a"}';
    const stored = await storeFile(warehouse, { lines: [line, line], contract: notes, format: 'ndjson' });
    assert.deepEqual(stored, { ...NOTHING, stored: 2, judged: 2 });
    const query = {
      ...QUERY,
      dataset: 'notes',
      model: 'words',
      measures: [{ fn: 'sum', field: 'word_count' }],
    } as const;
    const { data } = await warehouse.aggregate({ ...query, by: ['word'] }, BUDGET);
    assert.deepEqual(
      new Map(data.map(({ word, sum_word_count }) => [word, sum_word_count])),
      new Map([
        ['a', 4],
        ['b', 2],
      ]),
    );
  });

  it('lets others run while something is derived of its rows', async () => {
    let [turns, running] = [0, true];
    const count = (): void => {
      turns += 1;
      if (running) setImmediate(count);
    };
    const derivedIn: number[] = [];
    const { derived } = notes;
    assert.ok(derived !== undefined);
    const slow: Contract = {
      ...notes,
      derived: {
        ...derived,
        derive: (row) => {
          derivedIn.push(turns);
          for (const startedMs = performance.now(); performance.now() - startedMs < 6; );
          return derived.derive(row);
        },
      },
    };
    const warehouse = await open({ contracts: new Map([...CONTRACTS, [slow.name, slow]]) });
    setImmediate(count);
    const lines = Array.from({ length: 3 }, (_, at) => `{"written_on":"2024-02-03","text":"a ${at}"}`);
    await storeFile(warehouse, { lines, contract: slow, format: 'ndjson' });
    running = false;
    assert.equal(new Set(derivedIn).size, 3);
  });

  it('is rebuilt from bronze as it was', async () => {
    const warehouse = await open();
    const lines = [trip(0), trip(1), trip(0), 'x', trip(2).replace('Turin', '"a ""b"" \\ ☕😀"')];
    await storeFile(warehouse, { lines, size: 2 });
    await storeFile(warehouse, { lines: [...lines, trip(0)], size: 6 });
    await close(warehouse);
    const before = await proofOf();
    for (const name of [DATABASE_FILE, `${DATABASE_FILE}.wal`]) await rm(join(dir, name), { force: true });
    await close(await open());
    assert.deepEqual(await proofOf(), before);
    const { stored, duplicate, rejected } = before['trips'] ?? {};
    assert.deepEqual([stored, duplicate, rejected], [5, 4, 2]);
  });

  for (const point of ['range-drafted', 'range-in-bronze', 'before-commit', 'after-commit'] as const) {
    it(`is stored once when the process dies at ${point}`, async () => {
      const lines = [trip(0), trip(0), trip(0), trip(1)];
      const warehouse = await open();
      const [first, second] = await ranges({ lines, size: 2 });
      assert.ok(first !== undefined && second !== undefined);
      await warehouse.storeRange(first.range, first.judge);
      await close(warehouse);
      const copy = await mkdtemp(join(tmpdir(), 'vigia-range-death-'));
      let died = false;
      const dying = await open({
        faultPoint: (name) => {
          if (name !== point || died) return;
          died = true;
          // What a death leaves: everything on disk as it is now.
          cpSync(dir, copy, { recursive: true });
        },
      });
      const path = await workFile('again', second.lines);
      await dying.storeRange({ ...second.range, path }, second.judge);
      await close(dying);
      assert.ok(died);
      await rm(dir, { recursive: true });
      await rename(copy, dir);
      const later = await open();
      const last = { ...second.range, path: await workFile('last', second.lines) };
      const { counts } = await later.storeRange(last, second.judge);
      assert.equal(counts.replayedMessages, point === 'range-drafted' ? 0 : 1);
      const { datasets } = await later.accounting(EVERYTHING, []);
      assert.deepEqual(datasets['trips'], { ...NO_TERMS, lateRows: 4, stored: 4 });
      const told = await later.audit({ step: 'landing.range', limit: 10 });
      assert.deepEqual(
        told.map(({ id }) => id).sort(),
        [first, second].map(({ range }) => range.messageId).sort(),
        'each range is told of once',
      );
      const recovered = told.filter(({ source }) => source === `recovered:${first.range.requestId}`);
      const isRecovered = point === 'range-in-bronze' || point === 'before-commit';
      assert.deepEqual(
        recovered.map(({ id, read, stored }) => ({ id, read, stored })),
        isRecovered ? [{ id: second.range.messageId, read: 2, stored: 2 }] : [],
      );
    });
  }

  for (const gone of [[0], [2], [0, 1], [0, 1, 2]]) {
    it(`gives equal rows ids that nothing has after a restart and the erasure of ${gone.join(' and ')}`, async () => {
      const warehouse = await open();
      const lines = [trip(0), trip(0), trip(0), trip(1), trip(0), trip(0)];
      const [first, second] = await ranges({ lines, size: 4 });
      assert.ok(first !== undefined && second !== undefined);
      await warehouse.storeRange(first.range, first.judge);
      const erasure = { dataset: 'trips', erasureId: 'e'.repeat(32), actor: 'me' };
      const { messageId, requestId } = first.range;
      const records = gone.map((index) => ({ messageId, index, kind: 'row', eventId: undefined, requestId }) as const);
      const selector = { kind: 'row', messageId, index: gone[0] ?? 0 } as const;
      assert.equal(await warehouse.eraseRecords({ ...erasure, selector, records }), gone.length);
      assert.equal(await warehouse.emptyErased(erasure), 1);
      await close(warehouse);
      const later = await open();
      const path = await workFile('again', second.lines);
      const { counts } = await later.storeRange({ ...second.range, path }, second.judge);
      assert.deepEqual([counts.stored, counts.duplicate], [2, 0]);
    });
  }

  it('that could not be committed leaves nothing, and is stored when it comes again', async () => {
    let fails = true;
    const warehouse = await open({
      faultPoint: (name) => {
        if (name === 'before-commit' && fails) throw new Error('no space');
      },
    });
    const [first, second] = await ranges({ lines: [trip(0), trip(0), trip(0), trip(1)], size: 2 });
    assert.ok(first !== undefined && second !== undefined);
    await assert.rejects(warehouse.storeRange(first.range, first.judge), { code: 'WAREHOUSE_UNAVAILABLE' });
    assert.equal((await warehouse.counts())['trips']?.stored, 0);
    assert.equal(await bronzeFiles(), 0);
    fails = false;
    await Promise.all([first, second].map(({ range, judge }) => warehouse.storeRange(range, judge)));
    assert.equal((await warehouse.counts())['trips']?.stored, 4);
  });

  it('whose reader answers an index twice, or of another range, is judged there', async () => {
    const warehouse = await open();
    const [first] = await ranges({ lines: [trip(0), trip(1), trip(2)] });
    assert.ok(first !== undefined);
    await writeFile(first.range.path, `0,${trip(0)}\n1,${trip(7)}\n1,${trip(1)}\n9,${trip(3)}\n`);
    const { counts } = await warehouse.storeRange(first.range, first.judge);
    assert.equal(counts.stored, 3);
    assert.deepEqual(first.asked, [1, 2]);
  });
});

async function judgedAs(options: {
  readonly text: string;
  readonly format: 'csv' | 'ndjson';
  readonly contract: Contract;
  readonly indexes: readonly number[];
}): Promise<readonly JudgedRecord[]> {
  const { text, format, contract, indexes } = options;
  const validator = compileValidator(contract);
  const judged: JudgedRecord[] = [];
  const limits = { recordBytesMax: 1e6, arrayBodyBytesMax: 1e9, bodyBytesMax: 1e9, rowsMax: 1e9, jsonDepthMax: 32 };
  async function* source() {
    yield Buffer.from(text);
  }
  await decodeBody(source(), { format, gzip: false, contract, limits }, (row) => {
    const index = indexes[row.index] ?? Number.NaN;
    const judgement =
      'verdict' in row ? ({ ok: false, verdict: row.verdict } as const) : validator.judge(row.value, row.source);
    if (judgement.ok) {
      judged.push({ kind: 'row', index, eventId: eventIdInFile(contract, judgement.row, 1), row: judgement.row });
      return;
    }
    const whole = 'verdict' in row ? row.whole : undefined;
    judged.push({
      kind: 'reject',
      ...rejectOf({ index, verdict: judgement.verdict, text: row.text, whole, bytesMax: 1e5 }),
    });
  });
  return judged;
}
