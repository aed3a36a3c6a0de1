/** What every warehouse must do, whichever holds the rows. A second implementation is one more call of `describeWarehouse`. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import type { AggregateQuery, RecordsQuery } from './query.ts';
import type { Warehouse } from './warehouse.ts';
import { CONTRACTS, eventIdOf, message, note, order, sealable } from './warehouse-data.contract.ts';

export interface OpenOptions {
  readonly dir: string;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly now: () => number;
}

const BUDGET = { timeoutMs: 5_000, rowsMax: 1_000 } as const;
const ALL_ORDERS: RecordsQuery = {
  dataset: 'orders',
  where: [],
  limit: 100,
  order: { field: 'order_id', descending: false },
};
const COUNT: AggregateQuery = {
  dataset: 'orders',
  where: [],
  limit: 10,
  measures: [{ fn: 'count' }, { fn: 'sum', field: 'amount' }],
  by: [],
  buckets: [],
  timeZone: 'UTC',
  order: [],
};
const EVERYTHING = Number.MAX_SAFE_INTEGER;

export function describeWarehouse(name: string, open: (options: OpenOptions) => Promise<Warehouse>): void {
  describe(`warehouse contract: ${name}`, () => {
    let dir: string;
    let warehouse: Warehouse;
    let nowMs = Date.parse('2024-03-01T12:00:01Z');
    const reopen = async (): Promise<void> => {
      await warehouse.close();
      warehouse = await open({ dir, contracts: CONTRACTS, now: () => nowMs });
    };

    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), 'vigia-warehouse-'));
      warehouse = await open({ dir, contracts: CONTRACTS, now: () => nowMs });
    });
    afterEach(async () => {
      await warehouse.close();
      await rm(dir, { recursive: true });
    });

    describe('store', () => {
      it('keeps every type of field exactly and answers it as it came', async () => {
        const body = {
          order_id: 'a',
          ordered_at: '2024-01-01T10:00:00.123456Z',
          amount: '1234567.89',
          units: '9007199254740993',
          weight: 0.1,
          gift: true,
          place: 'POINT (7.672837913286881 44.9957109242058)',
          local_time: '2018-05-21 02:54:04',
          due: '2024-02-29',
        };
        const outcome = await warehouse.store([message({ rows: [order('a', body), order('b')] })]);
        assert.deepEqual(outcome.datasets['orders'], {
          stored: 2,
          duplicate: 0,
          quarantined: 0,
          quarantinedByCode: {},
          rejected: 0,
          rejectedByCode: {},
          replayedMessages: 0,
        });
        const { data, version } = await warehouse.records(ALL_ORDERS, BUDGET);
        assert.deepEqual(data[0], { ...body, amount: 1234567.89, _id: eventIdOf('a|2024-01-01') });
        const nothing = { units: null, weight: null, gift: null, place: null, local_time: null, due: null };
        assert.deepEqual(data[1], { ...order('b').body, amount: 1.5, ...nothing, _id: eventIdOf('b|2024-01-01') });
        assert.equal(version.commitNumber, outcome.commitNumber);
        assert.equal(version.committedAtMs, outcome.committedAtMs);
      });

      it('stores a message once, however often it is delivered', async () => {
        const one = message({ rows: [order('a')], rejects: [{}] });
        const foreign = message({ rows: [order('f')], late: true });
        const first = await warehouse.store([one, foreign, one]);
        assert.equal(first.datasets['orders']?.replayedMessages, 1);
        assert.deepEqual(first.storedRows, [1, 1, 0]);
        // A foreign message's time of receipt may be another at each delivery.
        const later = { ...foreign, envelope: { ...foreign.envelope, receivedAt: '2025-01-01T00:00:00Z' } };
        const again = await warehouse.store([one, later, message({ rows: [order('b')] })]);
        assert.equal(again.datasets['orders']?.replayedMessages, 2);
        assert.equal(again.datasets['orders']?.stored, 1);
        assert.deepEqual(again.storedRows, [0, 0, 1]);
        const onlyReplays = await warehouse.store([one]);
        assert.deepEqual(onlyReplays.storedRows, [0]);
        assert.equal(onlyReplays.commitNumber, again.commitNumber);
        assert.deepEqual((await warehouse.counts())['orders'], {
          stored: 3,
          quarantined: 0,
          rejected: 1,
          lastCommitAtMs: again.committedAtMs,
        });
      });

      it('takes an equal row with a known key for a duplicate, and another one for a conflict', async () => {
        await warehouse.store([message({ rows: [order('a'), order('b', { units: 1 })] })]);
        const outcome = await warehouse.store([
          message({ rows: [order('a'), order('b', { units: 2 }), order('c'), order('c'), order('c', { gift: true })] }),
          message({ rows: [order('c'), order('a', { ordered_at: '2024-01-02T10:00:00Z' })] }),
        ]);
        assert.deepEqual(outcome.datasets['orders'], {
          stored: 2,
          duplicate: 3,
          quarantined: 2,
          quarantinedByCode: { KEY_CONFLICT: 2 },
          rejected: 0,
          rejectedByCode: {},
          replayedMessages: 0,
        });
        assert.deepEqual(outcome.storedRows, [1, 1]);
        const { data } = await warehouse.records(
          { ...ALL_ORDERS, where: [{ field: 'order_id', op: 'eq', values: ['b'] }] },
          BUDGET,
        );
        assert.deepEqual(
          data.map((row) => row['units']),
          [1],
        );
        const apart = await warehouse.quarantine({ limit: 10, code: 'KEY_CONFLICT' });
        assert.deepEqual(apart.map((row) => [row.origin, row.index, JSON.parse(row.body)]).sort(), [
          ['pipeline', 1, order('b', { units: 2 }).body],
          ['pipeline', 4, order('c', { gift: true }).body],
        ]);
      });

      it('knows stored rows again after a reopen', async () => {
        await warehouse.store([message({ rows: [order('a')] })]);
        await reopen();
        const again = await warehouse.store([message({ rows: [order('a'), order('b')] })]);
        assert.equal(again.datasets['orders']?.duplicate, 1);
        await reopen();
        const other = await warehouse.store([message({ rows: [order('b', { units: 1 })] })]);
        assert.equal(other.datasets['orders']?.quarantined, 1);
      });

      it('decides between rows of one batch by message order, then row index', async () => {
        await warehouse.store([
          message({ rows: [order('z'), order('a', { units: 1 }), order('a', { units: 2 })] }),
          message({ rows: [order('a', { units: 3 })] }),
        ]);
        const { data } = await warehouse.records(
          { ...ALL_ORDERS, where: [{ field: 'order_id', op: 'eq', values: ['a'] }] },
          BUDGET,
        );
        assert.deepEqual(
          data.map((row) => row['units']),
          [1],
        );
      });

      it('keeps rows that the request rejected apart, outside the accepted ones', async () => {
        const outcome = await warehouse.store([
          message({ rows: [order('a')], rejects: [{ code: 'FIELD_TYPE' }, { code: 'FIELD_RANGE' }] }),
          message({ rejects: [{}] }),
        ]);
        assert.equal(outcome.datasets['orders']?.rejected, 3);
        assert.deepEqual(outcome.datasets['orders']?.rejectedByCode, { FIELD_TYPE: 2, FIELD_RANGE: 1 });
        const [row] = await warehouse.quarantine({ limit: 1, code: 'FIELD_RANGE' });
        assert.equal(row?.origin, 'request');
        assert.equal(row?.index, 2);
        assert.equal(row?.body, '{"amount":"x"}');
        assert.equal(row?.at, '2024-03-01T12:00:00.250Z');
      });

      it('computes derived fields and shows them in gold views', async () => {
        await warehouse.store([message({ dataset: 'notes', rows: [note('so it is'), note('it is so so', 1)] })]);
        const { data } = await warehouse.records(
          { dataset: 'notes', where: [], limit: 9, order: { field: 'length', descending: true } },
          BUDGET,
        );
        assert.deepEqual(
          data.map((row) => row['length']),
          [11, 8],
        );
        assert.deepEqual(data[1]?.['words'], [
          { name: 'so', count: 1 },
          { name: 'it', count: 1 },
          { name: 'is', count: 1 },
        ]);
        const words = await warehouse.aggregate(
          { ...COUNT, dataset: 'notes', model: 'words', measures: [{ fn: 'sum', field: 'word_count' }], by: ['word'] },
          BUDGET,
        );
        assert.deepEqual(words.data, [
          { word: 'is', sum_word_count: 2 },
          { word: 'it', sum_word_count: 2 },
          { word: 'so', sum_word_count: 3 },
        ]);
      });

      it('refuses a batch with a row that no column takes, keeps nothing of it, and takes the next', async () => {
        const bad = message({ rows: [order('a'), order('b', { units: 'many' })] });
        const unreadable = { ...message({ rows: [order('c')] }), data: Buffer.from('{"messageId":"not') };
        const lying = message({ rows: [order('c')] });
        const shorter = { ...lying, envelope: { ...lying.envelope, rowCount: 2 } };
        const underived = message({ dataset: 'notes', rows: [note('unspeakable')] });
        for (const one of [bad, unreadable, shorter, underived]) {
          const good = message({ rows: [order('good')] });
          await assert.rejects(
            warehouse.store([good, one]),
            (error) =>
              error instanceof AppError &&
              error.code === 'MESSAGE_FAILED' &&
              !error.retryable &&
              !String(error.detail).includes('many'),
          );
          assert.deepEqual(await warehouse.ledgerHolds([good.envelope.messageId]), new Set());
        }
        assert.equal((await warehouse.counts())['orders']?.stored, 0);
        assert.equal((await warehouse.store([message({ rows: [order('good')] })])).datasets['orders']?.stored, 1);
      });

      it('gives commit numbers and times that only grow, across a reopen and a clock that goes back', async () => {
        const first = await warehouse.store([message({ rows: [order('a')] })]);
        nowMs -= 60_000;
        const second = await warehouse.store([message({ rows: [order('b')] })]);
        await reopen();
        const third = await warehouse.store([message({ rows: [order('c')] })]);
        assert.ok(first.commitNumber < second.commitNumber && second.commitNumber < third.commitNumber);
        assert.ok(first.committedAtMs < second.committedAtMs && second.committedAtMs < third.committedAtMs);
      });
    });

    describe('versions', () => {
      const day = (text: string): number => Date.parse(`${text}T00:00:00Z`);

      it('changes only the version of the partitions that a commit added to', async () => {
        const first = await warehouse.store([message({ rows: [order('a')] })]);
        const range = { fromMs: day('2024-01-01'), toMs: day('2024-01-02') };
        const before = warehouse.version('orders', range);
        assert.equal(before.commitNumber, first.commitNumber);
        const second = await warehouse.store([message({ rows: [order('b', { ordered_at: '2024-01-02T00:00:00Z' })] })]);
        assert.deepEqual(warehouse.version('orders', range), before);
        assert.equal(warehouse.version('orders', { fromMs: day('2024-01-02') }).commitNumber, second.commitNumber);
        assert.equal(warehouse.version('orders', {}).commitNumber, second.commitNumber);
        assert.deepEqual(warehouse.version('orders', { toMs: day('2024-01-01') }), {
          generation: before.generation,
          commitNumber: 0,
          committedAtMs: undefined,
        });
        assert.equal(warehouse.version('notes', {}).commitNumber, 0);
      });

      it('stays the same when a commit added nothing but duplicates, and across a reopen', async () => {
        await warehouse.store([message({ rows: [order('a')] })]);
        const before = warehouse.version('orders', {});
        await warehouse.store([message({ rows: [order('a')] })]);
        assert.deepEqual(warehouse.version('orders', {}), before);
        await reopen();
        assert.deepEqual(warehouse.version('orders', {}), before);
      });

      it('answers exactly the rows of the commit that its version names while others land', async () => {
        const rowsUpTo = new Map([[0, 0]]);
        const answers = [];
        let rows = 0;
        for (let round = 0; round < 12; round += 1) {
          const storing = warehouse.store([message({ rows: [order(`r${round}`), order(`s${round}`)] })]);
          answers.push(warehouse.aggregate(COUNT, BUDGET), warehouse.records(ALL_ORDERS, BUDGET));
          rows += 2;
          rowsUpTo.set((await storing).commitNumber, rows);
        }
        for (const answer of await Promise.all(answers)) {
          const count = 'truncated' in answer ? answer.data[0]?.['count'] : answer.data.length;
          assert.equal(count, rowsUpTo.get(answer.version.commitNumber));
        }
      });
    });

    describe('the books', () => {
      it('accounts for every accepted row in exactly one state, up to the cut', async () => {
        const first = message({ rows: [order('a'), order('b')], rejects: [{}] });
        const foreign = message({ rows: [order('a'), order('c')], late: true });
        const beyond = message({ rows: [order('d'), order('a', { units: 9 }), order('b')], late: true });
        await warehouse.store([first, foreign]);
        await warehouse.store([beyond]);
        const zero = { lateRows: 0, stored: 0, duplicate: 0, quarantined: 0, expired: 0, erased: 0 };
        const ids = [first, beyond].map(({ envelope }) => envelope.messageId).concat('0'.repeat(32));
        const atCut = await warehouse.accounting(foreign.sequence, ids);
        assert.deepEqual(atCut.datasets, { orders: { ...zero, lateRows: 2, stored: 3, duplicate: 1 }, notes: zero });
        assert.deepEqual(atCut.held, new Set(ids.slice(0, 2)));
        const all = await warehouse.accounting(EVERYTHING, []);
        assert.deepEqual(all.datasets['orders'], { ...zero, lateRows: 5, stored: 4, duplicate: 2, quarantined: 1 });
      });

      it('tells what became of a request and of each row that is not stored, in pages, also when it is published again', async () => {
        await warehouse.store([message({ rows: [order('a')] })]);
        const requestId = 'request-1';
        const parts = () => [
          message({
            requestId,
            rows: [order('x'), order('a'), order('a', { units: 3 })],
            rejects: [{ code: 'FIELD_RANGE', pointer: '/units' }],
          }),
          message({ requestId, rows: [order('y')], firstIndex: 4 }),
        ];
        const messageIds: string[] = [];
        for (const again of [false, true]) {
          for (const part of parts()) {
            await warehouse.store([part]);
            messageIds.push(part.envelope.messageId);
          }
          assert.deepEqual(
            await warehouse.requestOutcome(requestId),
            {
              messageIds,
              accepted: 4,
              rejected: 1,
              stored: 2,
              duplicate: 1,
              quarantined: 1,
              expired: 0,
              erased: 0,
            },
            String(again),
          );
          assert.deepEqual(await warehouse.requestRows(requestId, { afterIndex: -1, limit: 2 }), [
            { index: 1, state: 'duplicate' },
            { index: 2, state: 'quarantined', code: 'KEY_CONFLICT', pointer: '' },
          ]);
          assert.deepEqual(await warehouse.requestRows(requestId, { afterIndex: 2, limit: 2 }), [
            { index: 3, state: 'rejected', code: 'FIELD_RANGE', pointer: '/units' },
          ]);
        }
        assert.equal((await warehouse.requestOutcome('unknown')).accepted, 0);
        assert.deepEqual(await warehouse.requestRows('unknown', { afterIndex: -1, limit: 2 }), []);
      });

      it('pages through quarantine, newest first, with filters, and misses none', async () => {
        for (const requestId of ['r1', 'r2'])
          await warehouse.store([message({ requestId, rejects: [{}, { code: 'FIELD_RANGE' }, {}] })]);
        const all = await warehouse.quarantine({ limit: 10 });
        assert.deepEqual(
          all.map((row) => row.requestId),
          ['r2', 'r2', 'r2', 'r1', 'r1', 'r1'],
        );
        const paged = [];
        let after: string | undefined;
        for (let page = 0; page < 3; page += 1) {
          const rows = await warehouse.quarantine({ limit: 2, ...(after === undefined ? {} : { after }) });
          paged.push(...rows);
          after = rows.at(-1)?.id;
        }
        assert.deepEqual(paged, all);
        assert.equal(
          (await warehouse.quarantine({ limit: 10, dataset: 'orders', code: 'FIELD_RANGE', requestId: 'r1' })).length,
          1,
        );
        assert.deepEqual(await warehouse.quarantine({ limit: 10, dataset: 'notes' }), []);
        assert.deepEqual(await warehouse.quarantine({ limit: 10, after: 'nonsense' }), []);
      });

      it('audits each commit by API key, and what else it is told', async () => {
        await warehouse.store([
          message({ apiKeyId: 'k1', rows: [order('a'), order('a')] }),
          message({ apiKeyId: 'k2', rows: [order('b')], rejects: [{}] }),
        ]);
        const at = '2024-03-01T12:00:05.000Z';
        await warehouse.writeAudit({
          at,
          step: 'key.add',
          actor: 'admin',
          dataset: '',
          source: 'cli',
          target: 'k3',
          startedAt: at,
          endedAt: at,
          read: 0,
          stored: 0,
          rejected: 0,
          outcome: 'failed',
          error: 'STATE_UNAVAILABLE',
        });
        const entries = await warehouse.audit({ limit: 10 });
        assert.deepEqual(
          entries.map((entry) => entry.step),
          ['key.add', 'store', 'store'],
        );
        assert.deepEqual(
          { ...entries[0], id: '' },
          {
            id: '',
            at,
            step: 'key.add',
            actor: 'admin',
            dataset: '',
            source: 'cli',
            target: 'k3',
            startedAt: at,
            endedAt: at,
            read: 0,
            stored: 0,
            rejected: 0,
            outcome: 'failed',
            error: 'STATE_UNAVAILABLE',
          },
        );
        const stored = entries.slice(1).map(({ actor, read, stored, rejected }) => [actor, read, stored, rejected]);
        assert.deepEqual(stored.sort(), [
          ['k1', 2, 1, 0],
          ['k2', 2, 1, 1],
        ]);
        const [first] = entries;
        assert.ok(first !== undefined);
        assert.deepEqual(await warehouse.audit({ limit: 10, after: first.id }), entries.slice(1));
        assert.deepEqual(await warehouse.audit({ limit: 10, step: 'key.add' }), [first]);
        assert.equal((await warehouse.audit({ limit: 1, dataset: 'orders' })).length, 1);
      });
    });

    describe('samples', () => {
      it('takes them out, keeps the ledger balanced and ends the generation', async () => {
        await warehouse.store([message({ rows: [order('mine')] })]);
        const sample = message({
          apiKeyId: 'sample',
          rows: [order('s1'), order('s2'), order('mine'), order('mine', { units: 1 })],
          rejects: [{}],
        });
        await warehouse.store([sample]);
        const before = warehouse.version('orders', {});
        assert.equal(await warehouse.removeSamples(), 3);
        const after = warehouse.version('orders', {});
        assert.notEqual(after.generation, before.generation);
        assert.ok(after.commitNumber > before.commitNumber);
        const { data } = await warehouse.records(ALL_ORDERS, BUDGET);
        assert.deepEqual(
          data.map((row) => row['order_id']),
          ['mine'],
        );
        assert.deepEqual(await warehouse.quarantine({ limit: 10 }), []);
        assert.deepEqual((await warehouse.accounting(EVERYTHING, [])).datasets['orders'], {
          lateRows: 0,
          stored: 1,
          duplicate: 1,
          quarantined: 0,
          expired: 0,
          erased: 3,
        });
        const outcome = await warehouse.requestOutcome(sample.envelope.requestId);
        assert.deepEqual([outcome.stored, outcome.duplicate, outcome.erased], [0, 1, 3]);
        const rows = await warehouse.requestRows(sample.envelope.requestId, { afterIndex: -1, limit: 9 });
        assert.deepEqual(
          rows.map(({ index, state }) => [index, state]),
          [
            [0, 'erased'],
            [1, 'erased'],
            [2, 'duplicate'],
            [3, 'erased'],
          ],
        );
        assert.equal(await warehouse.removeSamples(), 0);
        await warehouse.store([sample]);
        assert.equal((await warehouse.counts())['orders']?.stored, 1);
      });
    });

    it('seals messages and says how much', async () => {
      const messages = [
        message({ rows: [order('a'), order('b')], rejects: [{}] }),
        message({ dataset: 'notes', rows: [note('a')] }),
      ];
      await warehouse.store(messages);
      const sealed = await warehouse.seal(sealable(messages));
      assert.deepEqual([sealed.files, sealed.rows], [2, 4]);
      assert.ok(sealed.bytes > 0);
      assert.deepEqual(await warehouse.seal([]), { files: 0, rows: 0, bytes: 0 });
    });

    it('refuses to seal what is not an envelope, rather than to lose it', async () => {
      const [sealed] = sealable([message({ rows: [order('a')] })]);
      assert.ok(sealed !== undefined);
      for (const data of ['{"order_id":"a"}', '{"order_id":"a"}\n{"order_id":"b"}', 'nonsense']) {
        await assert.rejects(warehouse.seal([{ ...sealed, data: Buffer.from(data) }]), {
          code: 'WAREHOUSE_UNAVAILABLE',
        });
      }
    });

    it('refuses a dataset it has no contract for', async () => {
      await assert.rejects(warehouse.aggregate({ ...COUNT, dataset: 'nothing' }, BUDGET), { code: 'DATASET_UNKNOWN' });
    });

    it('answers a check while open, and refuses everything once closed', async () => {
      await warehouse.check(1_000);
      await warehouse.close();
      await assert.rejects(warehouse.check(1_000), { code: 'WAREHOUSE_UNAVAILABLE' });
      await assert.rejects(warehouse.store([message({ rows: [order('a')] })]), { code: 'WAREHOUSE_UNAVAILABLE' });
      warehouse = await open({ dir, contracts: CONTRACTS, now: () => nowMs });
    });
  });
}
