import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contract, Row } from '../datasets/contract.ts';
import { contract as trips } from '../datasets/trips/contract.ts';
import { decodeBody } from '../record/decode.ts';
import { eventIdInFile } from '../record/identity.ts';
import { rejectOf } from '../record/reject-text.ts';
import { compileValidator } from '../record/validate.ts';
import { openDuckdbWarehouse } from './duckdb-warehouse.ts';
import type { EmbeddedWarehouse, WarehouseOptions } from './embedded-warehouse.ts';
import type { FileRange, JudgedRecord } from './file-range.ts';
import { orders } from './warehouse-data.contract.ts';

const COLUMNS = ['region', 'origin_coord', 'destination_coord', 'datetime', 'datasource'];
const CONTRACTS: ReadonlyMap<string, Contract> = new Map([
  ['trips', trips],
  ['orders', orders],
]);
const BUDGET = { timeoutMs: 5_000, rowsMax: 100_000 } as const;

/** One plain trip; `at` makes its content. */
function trip(at: number): string {
  const seconds = String(at % 60).padStart(2, '0');
  const minutes = String(Math.floor(at / 60)).padStart(2, '0');
  return `Turin,POINT (7.672837913286881 44.9957109242058),POINT (7.7 45),2018-05-21 02:${minutes}:${seconds},baba_car`;
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

  /** The ranges of a file with the judge that landing gives them. */
  async function ranges(options: FileOptions): Promise<readonly Ranged[]> {
    const { lines, contract = trips, columns = COLUMNS, format = 'csv', size = 4 } = options;
    const text = lines.join('\n');
    const fileId = options.fileId ?? createHash('sha256').update(text).digest('hex');
    const ranged: Ranged[] = [];
    for (let first = 0; first < lines.length; first += size) {
      const part = lines.slice(first, first + size);
      const path = join(dir, 'work', `${fileId.slice(0, 8)}-${first}.work`);
      const separator = format === 'csv' ? ',' : '\t';
      await writeFile(path, part.map((line, at) => `${first + at}${separator}${line}\n`).join(''));
      const asked: number[] = [];
      const judge = async (indexes: readonly number[]): Promise<readonly JudgedRecord[]> => {
        asked.push(...indexes);
        const bytes = indexes.map((index) => `${lines[index]}\n`).join('');
        return judgedAs({ text: format === 'csv' ? `${columns.join(',')}\n${bytes}` : bytes, format, contract, indexes });
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
      ranged.push({ range, judge, asked });
    }
    return ranged;
  }

  async function storeFile(warehouse: EmbeddedWarehouse, options: FileOptions) {
    const sum = { stored: 0, duplicate: 0, quarantined: 0, rejected: 0, replayedMessages: 0, judged: 0 };
    for (const { range, judge } of await ranges(options)) {
      const { counts, judged } = await warehouse.storeRange(range, judge);
      sum.judged += judged;
      for (const name of ['stored', 'duplicate', 'quarantined', 'rejected', 'replayedMessages'] as const) {
        sum[name] += counts[name];
      }
    }
    return sum;
  }

  const records = async (warehouse: EmbeddedWarehouse, contract: Contract): Promise<readonly Row[]> => {
    const [name = ''] = Object.keys(contract.fields);
    const query = { dataset: contract.name, where: [], order: { field: name, descending: false }, limit: 1_000 };
    return (await warehouse.records(query as never, BUDGET)).data as readonly Row[];
  };

  it('is stored whole, and SQL alone reads what is plain', async () => {
    const warehouse = await open();
    const lines = Array.from({ length: 10 }, (_, at) => trip(at));
    assert.deepEqual(await storeFile(warehouse, { lines }), {
      stored: 10,
      duplicate: 0,
      quarantined: 0,
      rejected: 0,
      replayedMessages: 0,
      judged: 0,
    });
    assert.equal((await warehouse.counts())['trips']?.stored, 10);
    void records;
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
    judged.push({ kind: 'reject', ...rejectOf({ index, verdict: judgement.verdict, text: row.text, whole, bytesMax: 1e5 }) });
  });
  return judged;
}
