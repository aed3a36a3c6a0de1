import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, cp, mkdtemp, open as openFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { COMPACTION_FILES_MAX } from './bronze-compaction.ts';
import { takeProof, type Proof } from './duckdb-proof.ts';
import { DuckdbSession, openInstance } from './duckdb-session.ts';
import { DATABASE_FILE, openDuckdbWarehouse } from './duckdb-warehouse.ts';
import type { EmbeddedWarehouse, WarehouseOptions } from './embedded-warehouse.ts';
import type { RecoveryProgress } from './recovery.ts';
import type { StorableMessage } from './warehouse.ts';
import { CONTRACTS, message, note, order, orders, sealable } from './warehouse-data.contract.ts';

const BUDGET = { timeoutMs: 5_000, rowsMax: 100 } as const;
const EVERYTHING = Number.MAX_SAFE_INTEGER;
const DATASETS = [...CONTRACTS.keys()];

describe('the embedded warehouse', () => {
  let dir: string;
  let progress: RecoveryProgress[];
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
      onProgress: (one) => progress.push(one),
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
  /** Runs SQL on the closed database, as nobody but a test does. */
  const tamper = async (...statements: readonly string[]): Promise<void> => {
    const instance = await DuckDBInstance.create(join(dir, DATABASE_FILE));
    const connection = await instance.connect();
    for (const statement of statements) await connection.run(statement);
    connection.closeSync();
    instance.closeSync();
  };
  const read = async (sql: string): Promise<unknown> => {
    const instance = await DuckDBInstance.create(join(dir, DATABASE_FILE));
    const connection = await instance.connect();
    const rows = (await connection.runAndReadAll(sql)).getRowObjectsJson();
    connection.closeSync();
    instance.closeSync();
    return rows;
  };
  const proofOf = async (folder = dir): Promise<Proof> => {
    const instance = await DuckDBInstance.create(join(folder, DATABASE_FILE));
    const session = new DuckdbSession({ instance, onBroken: () => {} });
    try {
      return await session.exclusive((sql) => takeProof(sql, { datasets: DATASETS }));
    } finally {
      await session.close();
      instance.closeSync();
    }
  };
  const files = async (): Promise<readonly string[]> =>
    (await readdir(dir)).filter((name) => name.startsWith(DATABASE_FILE)).sort();

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
    progress = [];
  });
  afterEach(async () => {
    for (const warehouse of opened) await close(warehouse);
    await rm(dir, { recursive: true });
  });

  /** Duplicates, conflicts, rejects, derived fields, samples that were removed, and rows that came after that. */
  async function fill(warehouse: EmbeddedWarehouse): Promise<readonly StorableMessage[]> {
    const first = [
      message({
        rows: [order('a'), order('b', { units: 1 }), order('b', { units: 2 })],
        rejects: [{}, { code: 'FIELD_RANGE' }],
      }),
      message({ dataset: 'notes', rows: [note('so "it" is'), note('it\nis\\so'), note('é ☕'), note('é ☕')] }),
      message({ apiKeyId: 'sample', rows: [order('sample'), order('a'), order('shared')], rejects: [{}] }),
    ];
    await warehouse.store(first);
    await warehouse.seal(sealable(first.slice(0, 2)));
    const second = [
      message({ rows: [order('shared'), order('a'), order('c', { place: 'POINT (7.5 -45.25)' })] }),
      message({ rejects: [{}] }),
    ];
    await warehouse.store(second);
    await warehouse.removeSamples();
    const third = [
      message({ rows: [order('shared'), order('sample')], late: true, receivedAt: '2024-03-02T00:00:00Z' }),
    ];
    await warehouse.store(third);
    // Acknowledged in another order than stored.
    await warehouse.seal(sealable([...third, ...second, ...first.slice(2)], 10));
    return [...first, ...second, ...third];
  }

  describe('custody', () => {
    it('rebuilds equal rows, states and sums from bronze alone', async () => {
      const warehouse = await open();
      await fill(warehouse);
      const { generation } = warehouse.version('orders', {});
      const accounting = await warehouse.accounting(EVERYTHING, []);
      const audit = await warehouse.audit({ limit: 100, step: 'store' });
      await close(warehouse);
      const before = await proofOf();
      assert.deepEqual(
        [
          before['orders']?.stored,
          before['orders']?.duplicate,
          before['orders']?.quarantined,
          before['orders']?.rejected,
          before['orders']?.erased,
        ],
        [5, 3, 1, 4, 2],
      );
      await rm(join(dir, DATABASE_FILE));
      const rebuilt = await open();
      assert.deepEqual(await rebuilt.accounting(EVERYTHING, []), accounting);
      assert.notEqual(rebuilt.version('orders', {}).generation, generation);
      assert.deepEqual(await rebuilt.audit({ limit: 100, step: 'store' }), audit);
      assert.equal((await rebuilt.audit({ limit: 100, step: 'rebuild' })).length, 1);
      await close(rebuilt);
      assert.deepEqual(await proofOf(), before);
      assert.equal(progress.at(-1)?.kind, 'replayed');
    });

    it('starts a new generation when a commit that was lost comes back from bronze, and whenever it is told to', async () => {
      const one = message({ rows: [order('a')] });
      const warehouse = await open();
      await warehouse.store([one]);
      await warehouse.seal(sealable([one, one]));
      const { generation } = warehouse.version('orders', {});
      await close(warehouse);
      await tamper('DELETE FROM silver.orders', 'DELETE FROM custody.ledger', 'DELETE FROM custody.bronze_files');
      const recovered = await open();
      assert.equal((await recovered.counts())['orders']?.stored, 1);
      const replayed = recovered.version('orders', {}).generation;
      await recovered.newGeneration();
      const told = recovered.version('orders', {}).generation;
      assert.equal(new Set([generation, replayed, told]).size, 3);
      await close(recovered);
      assert.equal((await open()).version('orders', {}).generation, told);
    });

    it("keeps each message's own numbers equal to its rows", async () => {
      const warehouse = await open();
      await fill(warehouse);
      await close(warehouse);
      const rows = await read(
        `SELECT sum(stored)::INTEGER AS stored, (SELECT count(*)::INTEGER FROM silver.orders) AS rows, sum(quarantined)::INTEGER AS quarantined,
           (SELECT count(*)::INTEGER FROM custody.quarantine WHERE origin = 'pipeline') AS apart FROM custody.ledger WHERE dataset = 'orders'`,
      );
      assert.deepEqual(rows, [{ stored: 5, rows: 5, quarantined: 1, apart: 1 }]);
    });

    it('stores nothing again when it opens a database that knows all of bronze', async () => {
      const warehouse = await open();
      await fill(warehouse);
      await close(warehouse);
      const before = await proofOf();
      await close(await open());
      assert.deepEqual(progress, []);
      assert.deepEqual(await proofOf(), before);
    });

    it('takes a file that was sealed but never registered, and one message that is in two files, once', async () => {
      const warehouse = await open();
      const messages = [
        message({ rows: [order('a')] }),
        message({ rows: [order('b')] }),
        message({ rows: [order('c')] }),
      ];
      await warehouse.store(messages);
      await warehouse.seal(sealable(messages.slice(0, 2)));
      await warehouse.seal(sealable(messages));
      await close(warehouse);
      const before = await proofOf();
      await tamper('DELETE FROM custody.bronze_files');
      await close(await open());
      assert.deepEqual(await proofOf(), before);
      await rm(join(dir, DATABASE_FILE));
      await close(await open());
      assert.deepEqual(await proofOf(), before);
    });

    it('seals the audit up to the entries that tell of the seal itself', async () => {
      const warehouse = await open();
      const one = message({ rows: [order('a')] });
      await warehouse.store([one]);
      await warehouse.seal(sealable([one]));
      const audit = await warehouse.audit({ limit: 100 });
      assert.deepEqual(
        audit.map(({ step }) => step),
        ['seal', 'store'],
      );
      const sealed = await bronzeFiles(join(dir, 'bronze'));
      await warehouse.seal([]);
      assert.deepEqual(await bronzeFiles(join(dir, 'bronze')), sealed, 'nothing is left to seal');
      await close(warehouse);
      await rm(join(dir, DATABASE_FILE));
      const rebuilt = await open();
      assert.deepEqual((await rebuilt.audit({ limit: 100 })).slice(1), audit);
    });

    it('keeps a message that was published twice once, within a batch, within a seal and across seals', async () => {
      const warehouse = await open();
      const twice = message({ rows: [order('a'), order('b')], rejects: [{}] });
      const other = message({ rows: [order('c')] });
      const first = await warehouse.store([twice, other, twice]);
      assert.deepEqual([first.datasets['orders']?.stored, first.datasets['orders']?.replayedMessages], [3, 1]);
      assert.equal((await warehouse.seal(sealable([twice, other, twice]))).rows, 4);
      const again = await warehouse.store([twice]);
      assert.deepEqual([again.datasets['orders']?.stored, again.datasets['orders']?.replayedMessages], [0, 1]);
      await warehouse.seal(sealable([twice], 4));
      const accounting = await warehouse.accounting(EVERYTHING, []);
      await close(warehouse);
      const before = await proofOf();
      await rm(join(dir, DATABASE_FILE));
      const rebuilt = await open();
      assert.deepEqual(await rebuilt.accounting(EVERYTHING, []), accounting);
      assert.deepEqual([accounting.datasets['orders']?.stored, before['orders']?.rejected], [3, 1]);
      await close(rebuilt);
      assert.deepEqual(await proofOf(), before);
    });

    it('carries out an erasure whose tombstones were durable before the process died', async () => {
      const warehouse = await open();
      const sample = message({ apiKeyId: 'sample', rows: [order('a')] });
      await warehouse.store([sample]);
      await warehouse.seal(sealable([sample]));
      await close(warehouse);
      const copy = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
      await cp(dir, copy, { recursive: true });
      const erasing = await open();
      const { generation } = erasing.version('orders', {});
      await erasing.removeSamples();
      await close(erasing);
      const after = await proofOf();
      await copyFile(join(copy, DATABASE_FILE), join(dir, DATABASE_FILE));
      await rm(copy, { recursive: true });
      const recovered = await open();
      assert.notEqual(recovered.version('orders', {}).generation, generation);
      await close(recovered);
      assert.deepEqual(await proofOf(), after);
    });

    it('refuses to guess when a bronze file is damaged, and names it', async () => {
      const warehouse = await open();
      const one = message({ rows: [order('a')] });
      await warehouse.store([one]);
      await warehouse.seal(sealable([one]));
      await close(warehouse);
      const [path = ''] = await bronzeFiles(join(dir, 'bronze', 'orders'));
      await flip(path, 40);
      await rm(join(dir, DATABASE_FILE));
      await assert.rejects(
        open(),
        (error) => error instanceof Error && error.message.startsWith(`${path}: its content has the hash`),
      );
    });

    it('names bronze files by the hash of their content, under dataset and day of receipt', async () => {
      const warehouse = await open();
      const messages = [
        message({ rows: [order('a')] }),
        message({ rows: [order('b')], receivedAt: '2024-03-02T00:00:00Z' }),
      ];
      await warehouse.store(messages);
      assert.equal((await warehouse.seal(sealable(messages))).files, 2);
      assert.deepEqual((await readdir(join(dir, 'bronze', 'orders'))).sort(), ['2024-03-01', '2024-03-02']);
      assert.match(
        (await bronzeFiles(join(dir, 'bronze', 'orders', '2024-03-01')))[0] ?? '',
        /\/[0-9a-f]{64}\.parquet$/,
      );
      assert.deepEqual(await readdir(join(dir, 'work')), []);
    });
  });

  describe('files put together', () => {
    class Death extends Error {}
    const dieAt = (place: string) => ({
      faultPoint: (name: string): void => {
        if (name === place) throw new Death(place);
      },
    });
    const rowsFiles = () => bronzeFiles(join(dir, 'bronze', 'orders'));
    const auditFiles = () => bronzeFiles(join(dir, 'bronze', '_audit'));
    const notes = () => bronzeFiles(join(dir, 'bronze', '_rewrites')).catch(() => []);

    /** As many seals of one day as make their files too many; rejects, conflicts, and a message in two of the files. */
    async function sealOften(warehouse: EmbeddedWarehouse): Promise<void> {
      const twice = message({ rows: [order('twice')], late: true });
      for (let at = 0; at <= COMPACTION_FILES_MAX; at += 1) {
        const messages = [message({ rows: [order(`${at}`), order('same', { units: at % 2 })], rejects: [{}] })];
        if (at === 3 || at === 9) messages.push(twice);
        await warehouse.store(messages);
        await warehouse.seal(sealable(messages, 1 + 2 * at));
      }
    }
    const rebuilt = async (): Promise<Proof> => {
      await rm(join(dir, DATABASE_FILE));
      await close(await open());
      return proofOf();
    };

    it('are one, hold each message once, and rebuild to equal rows, states and sums', async () => {
      const warehouse = await open();
      await sealOften(warehouse);
      const { generation } = warehouse.version('orders', {});
      assert.equal((await rowsFiles()).length, COMPACTION_FILES_MAX + 1);
      const compacted = [await warehouse.compact(), await warehouse.compact(), await warehouse.compact()];
      assert.deepEqual(
        compacted.map(({ files }) => files),
        [COMPACTION_FILES_MAX + 1, COMPACTION_FILES_MAX + 1, 0],
      );
      assert.deepEqual([(await rowsFiles()).length, (await auditFiles()).length, (await notes()).length], [1, 1, 0]);
      const [entry] = await warehouse.audit({ limit: 1, step: 'compact', dataset: 'orders' });
      // Rows and rejects of the 17, and the one row that was there twice.
      assert.deepEqual([entry?.read, entry?.stored], [3 * 17 + 2, 3 * 17 + 1]);
      await warehouse.seal([]);
      const audit = await warehouse.audit({ limit: 1_000 });
      await close(warehouse);
      const before = await proofOf();
      assert.equal(before['orders']?.stored, 19);
      const reopened = await open();
      assert.equal(reopened.version('orders', {}).generation, generation);
      await close(reopened);
      assert.deepEqual(progress, []);
      assert.deepEqual(await rebuilt(), before);
      assert.deepEqual((await (await open()).audit({ limit: 1_000 })).slice(1), audit);
    });

    for (const place of [
      'rewrite-drafted',
      'rewrite-noted',
      'rewrite-switched',
      'rewrite-recorded',
      'rewrite-removed',
    ]) {
      it(`are whole and nothing is there twice when the process dies at ${place}, with the database and without`, async () => {
        const dying = await open(dieAt(place));
        await sealOften(dying);
        await assert.rejects(dying.compact(), Death);
        const lost = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
        await cp(dir, lost, { recursive: true });
        await close(dying);
        const before = await proofOf();
        const warehouse = await open();
        assert.deepEqual(await notes(), []);
        assert.equal((await rowsFiles()).length, ['rewrite-drafted', 'rewrite-noted'].includes(place) ? 17 : 1);
        // The audit's files are many too, and may come first.
        for (let turn = 0; turn < 2; turn += 1) await warehouse.compact();
        assert.equal((await rowsFiles()).length, 1);
        await close(warehouse);
        assert.deepEqual(await proofOf(), before);
        assert.deepEqual(await rebuilt(), before);
        await rm(dir, { recursive: true });
        dir = lost;
        for (const name of await files()) await rm(join(dir, name));
        await close(await open());
        assert.deepEqual(await proofOf(), before);
        assert.deepEqual(await notes(), []);
      });
    }

    it('are made of no damaged file: it stays as it is beside the others', async () => {
      const warehouse = await open();
      await sealOften(warehouse);
      const paths = await rowsFiles();
      await flip(paths[5] ?? '', 40);
      await assert.rejects(warehouse.compact(), /its content has the hash/);
      assert.deepEqual(await rowsFiles(), paths);
      assert.equal(
        (await warehouse.compact()).files,
        COMPACTION_FILES_MAX + 1,
        'the audit is put together all the same',
      );
      assert.equal((await warehouse.compact()).files, 0, 'and the damaged one is not read again and again');
    });
  });

  describe('the loss equation can fail', () => {
    for (const [name, statement, difference] of [
      ['a stored row that was lost', "DELETE FROM silver.orders WHERE order_id = 'c'", -1],
      [
        'a stored row that is there twice',
        "INSERT INTO silver.orders SELECT * FROM silver.orders WHERE order_id = 'c'",
        1,
      ],
      ['a quarantined row that was lost', "DELETE FROM custody.quarantine WHERE origin = 'pipeline'", -1],
    ] as const) {
      it(`shows ${name}`, async () => {
        const warehouse = await open();
        await fill(warehouse);
        const total = async (one: EmbeddedWarehouse): Promise<number> => {
          const terms = (await one.accounting(EVERYTHING, [])).datasets['orders'];
          assert.ok(terms !== undefined);
          return terms.stored + terms.duplicate + terms.quarantined + terms.erased + terms.expired;
        };
        const before = await total(warehouse);
        await close(warehouse);
        await tamper(statement);
        assert.equal((await total(await open())) - before, difference);
      });
    }
  });

  describe('a broken file', () => {
    /** A folder as a process leaves it that is killed: all is committed, part of it only in the WAL. */
    async function killed(): Promise<Proof> {
      const warehouse = await open();
      const messages = Array.from({ length: 20 }, (_, one) =>
        message({ rows: Array.from({ length: 50 }, (_row, row) => order(`${one}-${row}`, { weight: row })) }),
      );
      await warehouse.store(messages.slice(0, 10));
      await close(warehouse);
      const dying = await open();
      await dying.store(messages.slice(10));
      await dying.seal(sealable(messages));
      const left = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
      await cp(dir, left, { recursive: true });
      await close(dying);
      const proof = await proofOf();
      await rm(dir, { recursive: true });
      dir = left;
      return proof;
    }

    it('is set aside and rebuilt, wherever file or WAL are damaged', async () => {
      const proof = await killed();
      const wal = `${DATABASE_FILE}.wal`;
      const sizes = {
        [DATABASE_FILE]: (await stat(join(dir, DATABASE_FILE))).size,
        [wal]: (await stat(join(dir, wal))).size,
      };
      const pristine = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
      await cp(dir, pristine, { recursive: true });
      // Fixed places spread over both files: headers, early and late blocks, first and last WAL entries.
      const places = [0.0005, 0.2, 0.6].flatMap((part) => [[DATABASE_FILE, part] as const, [wal, part] as const]);
      for (const [file, part] of places) {
        await rm(dir, { recursive: true });
        await cp(pristine, dir, { recursive: true });
        await flip(join(dir, file), Math.floor((sizes[file] ?? 0) * part));
        await close(await open());
        assert.deepEqual(await proofOf(), proof, `${file} at ${part}`);
      }
      await rm(pristine, { recursive: true });
      // A byte in a block that nothing uses breaks nothing.
      assert.ok(progress.filter(({ kind }) => kind === 'set_aside').length >= 4);
    }).timeout(30_000);

    it('is kept, with its WAL, under a name that is told', async () => {
      const proof = await killed();
      await truncate(join(dir, DATABASE_FILE), 20_000);
      await close(await open());
      assert.deepEqual(await proofOf(), proof);
      const [first] = progress.filter(({ kind }) => kind === 'set_aside');
      assert.ok(first?.kind === 'set_aside' && first.path.includes('.broken-'));
      assert.equal((await files()).filter((name) => name.includes('.broken-')).length, 2);
    });

    it('takes up a WAL that lost its tail, and uses no commit number twice', async () => {
      const proof = await killed();
      const wal = join(dir, `${DATABASE_FILE}.wal`);
      await truncate(wal, Math.floor((await stat(wal)).size / 2));
      const warehouse = await open();
      const next = await warehouse.store([message({ dataset: 'notes', rows: [note('x')] })]);
      assert.ok(next.commitNumber > 1_000_000);
      await close(warehouse);
      const after = await proofOf();
      assert.deepEqual(after['orders'], proof['orders']);
    });

    it('is not one whose table differs from the contract: that is said, with the remedy', async () => {
      await close(await open());
      const { weight: _weight, ...fields } = orders.fields;
      const narrower = new Map(CONTRACTS).set('orders', { ...orders, version: 2, fields });
      await assert.rejects(
        open({ contracts: narrower }),
        /silver\.orders holds rows of version 1 .* version 2 does not fit them: weight was taken away\. .* Go back to the old contract/s,
      );
      assert.deepEqual(await files(), [DATABASE_FILE]);
    });

    it('is not one that another process has open', async () => {
      await close(await open());
      const script = `const { DuckDBInstance } = require('@duckdb/node-api');
        DuckDBInstance.create(process.argv[1]).then(() => { process.stdout.write('open'); process.stdin.resume(); });`;
      const other = spawn(process.execPath, ['-e', script, join(dir, DATABASE_FILE)], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: {},
      });
      try {
        await once(other.stdout, 'data');
        await assert.rejects(open(), /lock/i);
      } finally {
        other.stdin.end();
        await once(other, 'exit');
      }
      assert.deepEqual(await files(), [DATABASE_FILE]);
    });

    it('reports a failure that only a restart mends, once, and not others', async () => {
      const instance = await DuckDBInstance.create(':memory:');
      const reports: unknown[] = [];
      const session = new DuckdbSession({ instance, onBroken: (error) => reports.push(error) });
      const fatal = new Error('FATAL Error: Failed: database has been invalidated because of a previous fatal error.');
      await assert.rejects(
        session.exclusive(() => Promise.reject(fatal)),
        { code: 'WAREHOUSE_UNAVAILABLE', detail: 'FATAL Error' },
      );
      await assert.rejects(
        session.exclusive((sql) => sql.run("SELECT 'secret'::INTEGER")),
        { code: 'WAREHOUSE_UNAVAILABLE', detail: 'Conversion Error' },
      );
      assert.deepEqual(reports, [fatal]);
      await session.close();
      instance.closeSync();
    });
  });

  describe('a death', () => {
    class Death extends Error {}
    const dieAt = (place: string) => ({
      faultPoint: (name: string): void => {
        if (name === place) throw new Death(place);
      },
    });

    it('before the commit leaves nothing of the batch, and the same batch is stored later', async () => {
      const one = message({ rows: [order('a')] });
      const dying = await open(dieAt('before-commit'));
      await assert.rejects(dying.store([one]), { code: 'WAREHOUSE_UNAVAILABLE' });
      assert.deepEqual(await dying.ledgerHolds([one.envelope.messageId]), new Set());
      await close(dying);
      const warehouse = await open();
      assert.equal((await warehouse.store([one])).datasets['orders']?.stored, 1);
    });

    it('after the commit leaves the batch stored, and its redelivery changes nothing', async () => {
      const one = message({ rows: [order('a')] });
      const dying = await open(dieAt('after-commit'));
      await assert.rejects(dying.store([one]), { code: 'WAREHOUSE_UNAVAILABLE' });
      await close(dying);
      const warehouse = await open();
      assert.equal((await warehouse.store([one])).datasets['orders']?.replayedMessages, 1);
      assert.equal((await warehouse.counts())['orders']?.stored, 1);
    });

    it('while sealing leaves no bronze file', async () => {
      const one = message({ rows: [order('a')] });
      const dying = await open(dieAt('while-sealing'));
      await dying.store([one]);
      await assert.rejects(dying.seal(sealable([one])), { code: 'WAREHOUSE_UNAVAILABLE' });
      assert.deepEqual(await bronzeFiles(join(dir, 'bronze')), []);
      await close(dying);
      const warehouse = await open();
      assert.deepEqual(await readdir(join(dir, 'work')), []);
      assert.equal((await warehouse.seal(sealable([one]))).files, 1);
    });
  });

  it('lets SQL touch no file outside its folders, load nothing and set nothing', async () => {
    await writeFile(join(dir, 'secret.csv'), 'a\n1\n');
    const instance = await openInstance({
      path: ':memory:',
      memoryMib: 128,
      threads: 1,
      tempDir: join(dir, 'work', 'spill'),
      directories: [join(dir, 'work')],
    });
    const connection = await instance.connect();
    for (const statement of [
      `SELECT * FROM read_csv('${join(dir, 'secret.csv')}')`,
      `COPY (SELECT 1) TO '${join(dir, 'out.parquet')}'`,
      `ATTACH '${join(dir, 'other.duckdb')}'`,
      'INSTALL httpfs',
      "SET memory_limit = '100GiB'",
      'SET enable_external_access = true',
    ]) {
      await assert.rejects(connection.run(statement), /Permission Error|Invalid Input Error|IO Error/, statement);
    }
    const answer = await connection.runAndReadAll("SELECT current_setting('TimeZone')");
    assert.deepEqual(answer.getRows(), [['UTC']]);
    connection.closeSync();
    instance.closeSync();
  });

  it('answers no row of a commit that its version does not name yet', async () => {
    const answers: Promise<{ readonly data: readonly unknown[] }>[] = [];
    const query = { dataset: 'orders', where: [], limit: 10 } as const;
    const warehouse: EmbeddedWarehouse = await open({
      // The rows are readable, and nobody has been told.
      faultPoint: (name) => {
        if (name !== 'after-commit') return;
        answers.push(
          warehouse.aggregate(
            { ...query, measures: [{ fn: 'count' }], by: ['order_id'], buckets: [], timeZone: 'UTC', order: [] },
            BUDGET,
          ),
        );
        answers.push(warehouse.records({ ...query, order: 'commit' }, BUDGET));
      },
    });
    for (const id of ['a', 'b']) await warehouse.store([message({ rows: [order(id)] })]);
    const lengths = (await Promise.all(answers)).map(({ data }) => data.length);
    assert.deepEqual(lengths, [0, 0, 1, 1]);
  });

  it('lets others run while something is derived of a batch', async () => {
    let [turns, running] = [0, true];
    const count = (): void => {
      turns += 1;
      if (running) setImmediate(count);
    };
    const derivedIn: number[] = [];
    const notes = CONTRACTS.get('notes');
    const derive = notes?.derived?.derive;
    assert.ok(notes?.derived !== undefined && derive !== undefined);
    const slowly: typeof derive = (row) => {
      derivedIn.push(turns);
      for (const startedMs = performance.now(); performance.now() - startedMs < 3; );
      return derive(row);
    };
    const slow = { ...notes, derived: { ...notes.derived, derive: slowly } };
    const warehouse = await open({ contracts: new Map([...CONTRACTS, ['notes', slow]]) });
    setImmediate(count);
    const batch = Array.from({ length: 6 }, (_, at) => message({ dataset: 'notes', rows: [note(`a ${at}`)] }));
    await warehouse.store(batch);
    running = false;
    assert.ok(new Set(derivedIn).size >= 3, derivedIn.join());
    assert.equal((await warehouse.counts())['notes']?.stored, 6);
  });

  it('refuses more questions to the books than may wait, and answers probes meanwhile', async () => {
    const warehouse = await open({ readQueueMax: 4 });
    const asked = Array.from({ length: 50 }, () =>
      warehouse.counts().then(
        () => 'answered',
        ({ code }: { readonly code: string }) => code,
      ),
    );
    await warehouse.check(5_000);
    const answers = Map.groupBy(await Promise.all(asked), (answer) => answer);
    assert.deepEqual([answers.get('answered')?.length, answers.get('OVERLOADED')?.length], [5, 45]);
  });

  it('says how large file and WAL are, and folds the WAL in at close', async () => {
    const warehouse = await open();
    await warehouse.store([message({ rows: [order('a')] })]);
    assert.ok(warehouse.walBytes() > 0);
    assert.ok(warehouse.databaseBytes() > 0);
    await close(warehouse);
    assert.deepEqual(await files(), [DATABASE_FILE]);
  });

  it('answers gold views of each kind, and again after the contract changed one', async () => {
    const warehouse = await open();
    await warehouse.store([
      message({ rows: [order('a', { gift: true, units: 3 }), order('b', { gift: true, units: 5 })] }),
      message({ dataset: 'notes', rows: [note('b a b')] }),
    ]);
    await close(warehouse);
    const changed = new Map(CONTRACTS).set('orders', {
      ...orders,
      gold: {
        by_gift: { kind: 'aggregate', description: 'All.', measures: ['distinct:gift', 'stddev:units'], by: [] },
      },
    });
    assert.deepEqual(await read('FROM gold.orders_by_gift'), [
      { gift: true, ordered_at_day: '2024-01-01 00:00:00', count: '2', sum_amount: '3.00', p50_units: 4 },
    ]);
    assert.deepEqual(await read('FROM gold.notes_words ORDER BY word'), [
      { written_on: '2024-02-03', word: 'a', word_count: 1 },
      { written_on: '2024-02-03', word: 'b', word_count: 2 },
    ]);
    assert.deepEqual(await read('FROM gold.notes_vocabulary ORDER BY word'), [{ word: 'a' }, { word: 'b' }]);
    assert.deepEqual(await read('FROM gold.notes_texts'), [{ text: 'b a b' }]);
    await close(await open({ contracts: changed }));
    assert.deepEqual(await read('SELECT distinct_gift FROM gold.orders_by_gift'), [{ distinct_gift: '1' }]);
  });
}).timeout(30_000);

async function bronzeFiles(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Damages one byte. */
async function flip(path: string, offset: number): Promise<void> {
  const handle = await openFile(path, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, offset);
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, offset);
  await handle.close();
}
