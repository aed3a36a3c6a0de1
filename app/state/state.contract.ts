/**
 * What every state store promises, as tests: `describeState` runs on each implementation (state.contract.test.ts).
 */
import assert from 'node:assert/strict';
import type { LandingFile, LandingPlan } from './landing-file.ts';
import type { ApiKey, IdempotencyScope, IdempotentAnswer, State } from './state.ts';

export interface StateHarness {
  /** Another process's view of the same store; it may be open together with others. */
  open(): Promise<State>;
  dispose(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2024, 0, 1);
const SCOPE: IdempotencyScope = { apiKeyId: 'k1', dataset: 'flights', key: 'retry-1' };
const ANSWER: IdempotentAnswer = { status: 202, body: '{"id":"ü"}', headers: { 'content-type': 'application/json' } };
const CLAIM = { bodyHash: 'a'.repeat(64), requestId: 'r1', nowMs: NOW_MS };

const makeKey = (given: Partial<ApiKey> = {}): ApiKey => ({
  id: 'k1',
  secretHash: 'f'.repeat(64),
  scopes: ['read', 'write'],
  label: 'producer',
  createdAtMs: NOW_MS,
  ...given,
});

/** The store's clock stands at `NOW_MS` and answers are kept for 24 h: `makeHarness` has to say so to it. */
export const STATE_SETTINGS = { now: () => NOW_MS, idempotencyHours: 24 };

export function describeState(name: string, makeHarness: () => Promise<StateHarness>): void {
  describe(`state contract on ${name}`, () => {
    let harness: StateHarness;
    let state: State;
    beforeEach(async () => {
      harness = await makeHarness();
      state = await harness.open();
    });
    afterEach(async () => {
      await state.close();
      await harness.dispose();
    });
    const restart = async (): Promise<void> => {
      await state.close();
      state = await harness.open();
    };

    describe('API keys', () => {
      it('are found by id as they were added, also after a restart', async () => {
        const key = makeKey({ datasets: ['trips'] });
        await state.addApiKey(key);
        assert.deepEqual(await state.apiKey('k1'), key);
        await restart();
        assert.deepEqual(await state.apiKey('k1'), key);
        assert.equal(await state.apiKey('k2'), undefined);
        assert.equal(await state.apiKey('k'.repeat(5_000)), undefined);
        assert.equal(await state.apiKey(''), undefined);
      });

      it('are listed oldest first', async () => {
        await state.addApiKey(makeKey({ id: 'new', createdAtMs: 2 }));
        await state.addApiKey(makeKey({ id: 'old', createdAtMs: 1 }));
        assert.deepEqual(
          (await state.apiKeys()).map(({ id }) => id),
          ['old', 'new'],
        );
      });

      it('stay, marked, when they are revoked; the first revocation counts', async () => {
        await state.addApiKey(makeKey());
        assert.equal(await state.revokeApiKey('k1', { atMs: NOW_MS + 1, by: 'ana' }), true);
        assert.equal(await state.revokeApiKey('k1', { atMs: NOW_MS + 2, by: 'eva' }), true);
        assert.deepEqual(await state.apiKey('k1'), makeKey({ revokedAtMs: NOW_MS + 1, revokedBy: 'ana' }));
        assert.equal(await state.revokeApiKey('k2', { atMs: NOW_MS, by: 'ana' }), false);
        assert.equal(await state.apiKey('k2'), undefined);
      });

      it('once made leave a mark for ever, also after the last is revoked', async () => {
        assert.equal(await state.keyEverMade(), false);
        await state.addApiKey(makeKey());
        await state.revokeApiKey('k1', { atMs: NOW_MS, by: 'ana' });
        await restart();
        assert.equal(await state.keyEverMade(), true);
      });

      it('written by another process are seen while this one runs', async () => {
        assert.equal(await state.apiKey('k1'), undefined);
        const other = await harness.open();
        await other.addApiKey(makeKey());
        assert.deepEqual(await state.apiKey('k1'), makeKey());
        assert.equal(await state.keyEverMade(), true);
        await other.revokeApiKey('k1', { atMs: NOW_MS, by: 'ana' });
        assert.equal((await state.apiKey('k1'))?.revokedAtMs, NOW_MS);
        for (let turn = 0; turn < 20; turn += 1) {
          await other.setFact('turn', turn);
          assert.equal(await state.fact('turn'), turn);
        }
        await other.close();
      });
    });

    describe('landing files', () => {
      const counts = { read: 0, stored: 0, duplicate: 0, quarantined: 0, rejected: 0 };
      const makeFile = (given: Partial<LandingFile> = {}): LandingFile => ({
        id: 'f1',
        path: 'trips/a.csv',
        dataset: 'trips',
        bytes: 10,
        state: 'waiting',
        seenAtMs: NOW_MS,
        changedAtMs: NOW_MS,
        counts,
        attempts: 0,
        ...given,
      });
      const PLAN: LandingPlan = {
        fileId: 'a'.repeat(64),
        records: 2,
        columns: ['region'],
        ranges: [{ start: 7, end: 20, firstIndex: 0, records: 2, crc32: 4_294_967_295 }],
      };

      it('are listed first seen first, as another process put them last, also after a restart', async () => {
        const other = await harness.open();
        await other.putLandingFile(makeFile({ id: 'f2', seenAtMs: NOW_MS + 1 }));
        await other.putLandingFile(makeFile());
        await other.putLandingFile(makeFile({ state: 'storing', takenAtMs: NOW_MS }));
        await other.close();
        const expected = [
          makeFile({ state: 'storing', takenAtMs: NOW_MS }),
          makeFile({ id: 'f2', seenAtMs: NOW_MS + 1 }),
        ];
        assert.deepEqual(await state.landingFiles(), expected);
        await restart();
        assert.deepEqual(await state.landingFiles(), expected);
        await state.removeLandingFiles(['f1', 'unknown']);
        assert.deepEqual(
          (await state.landingFiles()).map(({ id }) => id),
          ['f2'],
        );
      });

      it('keep their plan until they come to their end', async () => {
        await state.putLandingFile(makeFile({ state: 'checking' }), PLAN);
        await state.putLandingFile(makeFile({ state: 'storing' }));
        await restart();
        assert.deepEqual(await state.landingPlan('f1'), PLAN);
        assert.equal(await state.landingPlan('f2'), undefined);
        for (const end of ['done', 'skipped', 'refused', 'gone'] as const) {
          await state.putLandingFile(makeFile({ state: 'storing' }), PLAN);
          await state.putLandingFile(makeFile({ state: end }));
          assert.equal(await state.landingPlan('f1'), undefined, end);
        }
      });
    });

    describe('idempotency', () => {
      it('gives a key to the first of many claims at once', async () => {
        const claims = await Promise.all(
          Array.from({ length: 20 }, (_, at) => state.claimIdempotency(SCOPE, { ...CLAIM, requestId: `r${at}` })),
        );
        assert.equal(claims.filter(({ kind }) => kind === 'claimed').length, 1);
        assert.equal(claims.filter(({ kind }) => kind === 'running').length, 19);
      });

      it('replays the answer to the same body and refuses another, also after a restart', async () => {
        assert.deepEqual(await state.claimIdempotency(SCOPE, CLAIM), { kind: 'claimed', requestId: 'r1' });
        await state.answerIdempotency(SCOPE, ANSWER);
        await restart();
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, requestId: 'r2' }), {
          kind: 'answered',
          answer: ANSWER,
        });
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, bodyHash: 'b'.repeat(64) }), {
          kind: 'other_body',
        });
      });

      it('refuses another body also while the first is running', async () => {
        await state.claimIdempotency(SCOPE, CLAIM);
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, bodyHash: 'b'.repeat(64) }), {
          kind: 'other_body',
        });
      });

      it('hands the first request id to a retry after a release without answer', async () => {
        await state.claimIdempotency(SCOPE, CLAIM);
        await state.releaseIdempotency(SCOPE);
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, requestId: 'r2' }), {
          kind: 'claimed',
          requestId: 'r1',
        });
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, requestId: 'r3' }), { kind: 'running' });
      });

      it('frees the lease of a process that is gone, with its request id', async () => {
        await state.claimIdempotency(SCOPE, CLAIM);
        await restart();
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...CLAIM, requestId: 'r2' }), {
          kind: 'claimed',
          requestId: 'r1',
        });
      });

      it('keeps scopes apart, whatever separators their parts hold', async () => {
        await state.claimIdempotency({ apiKeyId: 'a', dataset: 'b', key: 'c,d' }, CLAIM);
        const others = [
          { apiKeyId: 'a', dataset: 'b,c', key: 'd' },
          { apiKeyId: 'a","b', dataset: 'c', key: 'd' },
          { apiKeyId: 'a', dataset: 'b', key: 'c,d '.repeat(2_000) },
        ];
        for (const scope of others) assert.equal((await state.claimIdempotency(scope, CLAIM)).kind, 'claimed');
      });

      it('forgets after 24 h and takes the key for a new request', async () => {
        await state.claimIdempotency(SCOPE, CLAIM);
        await state.answerIdempotency(SCOPE, ANSWER);
        const later = { bodyHash: 'b'.repeat(64), requestId: 'r2' };
        const lastMs = NOW_MS + 24 * HOUR_MS - 1;
        assert.equal((await state.claimIdempotency(SCOPE, { ...later, nowMs: lastMs })).kind, 'other_body');
        assert.deepEqual(await state.claimIdempotency(SCOPE, { ...later, nowMs: lastMs + 1 }), {
          kind: 'claimed',
          requestId: 'r2',
        });
      });

      it('forgets what the verdicts of named requests quote, and keeps the answer', async () => {
        const verdict = { index: 0, code: 'FIELD_TYPE', pointer: '/secret', expected: 'a number', got: 'secret' };
        const bodyOf = (id: string): string => JSON.stringify({ id, errors: [verdict] });
        for (const requestId of ['one', 'other']) {
          const scope = { ...SCOPE, key: requestId };
          await state.claimIdempotency(scope, { ...CLAIM, requestId });
          await state.answerIdempotency(scope, { status: 202, body: bodyOf(requestId), headers: {} });
        }
        assert.equal(await state.forgetVerdicts(new Set(['one', 'unknown'])), 1);
        const kept = async (key: string): Promise<unknown> => {
          const claim = await state.claimIdempotency({ ...SCOPE, key }, CLAIM);
          return claim.kind === 'answered' ? JSON.parse(claim.answer.body) : undefined;
        };
        assert.deepEqual(await kept('one'), { id: 'one', errors: [{ ...verdict, pointer: '', got: '' }] });
        assert.deepEqual(await kept('other'), { id: 'other', errors: [verdict] });
      });

      it('lets nobody answer for a claim that another instance has taken over', async () => {
        await state.claimIdempotency(SCOPE, CLAIM);
        const successor = await harness.open();
        await successor.claimIdempotency(SCOPE, CLAIM);
        await state.answerIdempotency(SCOPE, ANSWER);
        assert.equal((await successor.claimIdempotency(SCOPE, CLAIM)).kind, 'running');
        await successor.close();
      });
    });

    describe('the signing key', () => {
      it('is made once: 32 bytes, the same for every process and after a restart', async () => {
        const other = await harness.open();
        const [one, two] = await Promise.all([state.signingKey(), other.signingKey()]);
        await other.close();
        await restart();
        assert.equal(one.length, 32);
        assert.deepEqual([two, await state.signingKey()], [one, one]);
      });
    });

    describe('tickets', () => {
      it('are good once', async () => {
        await state.addTicket('t1', { apiKeyId: 'k1', expiresAtMs: NOW_MS + 30_000 });
        const taken = await Promise.all([state.takeTicket('t1', NOW_MS), state.takeTicket('t1', NOW_MS)]);
        assert.deepEqual(
          taken.filter((id) => id !== undefined),
          ['k1'],
        );
        assert.equal(await state.takeTicket('t2', NOW_MS), undefined);
      });

      it('are good for nothing once they expired', async () => {
        await state.addTicket('t1', { apiKeyId: 'k1', expiresAtMs: NOW_MS });
        assert.equal(await state.takeTicket('t1', NOW_MS), undefined);
        assert.equal(await state.takeTicket('t1', NOW_MS - 1), undefined);
      });
    });

    describe('facts', () => {
      it('are JSON values that survive a restart; what was never set is undefined', async () => {
        const facts = { flag: true, none: null, list: [1, 'zwei', { three: 3 }] };
        for (const [fact, value] of Object.entries(facts)) await state.setFact(fact, value);
        await restart();
        for (const [fact, value] of Object.entries(facts)) assert.deepEqual(await state.fact(fact), value);
        assert.equal(await state.fact('unset'), undefined);
      });

      it('refuse a value without JSON form and go on working', async () => {
        const circular: Record<string, unknown> = {};
        circular['self'] = circular;
        await assert.rejects(state.setFact('circular', circular), TypeError);
        await state.setFact('plain', 1);
        await state.check();
        assert.equal(await state.fact('plain'), 1);
      });

      it('change as one, however many writers of several processes change the same', async () => {
        const other = await harness.open();
        const grow = (before: unknown) => [...((before ?? []) as readonly number[]), 0];
        await Promise.all(Array.from({ length: 40 }, (_, at) => (at % 2 ? state : other).changeFact('list', grow)));
        assert.equal(((await state.fact('list')) as readonly number[]).length, 40);
        await assert.rejects(
          state.changeFact('list', () => {
            throw new RangeError('no');
          }),
          RangeError,
        );
        assert.equal(((await other.fact('list')) as readonly number[]).length, 40);
        await other.close();
      });
    });

    it('sweeps expired answers and tickets, and nothing else', async () => {
      await state.claimIdempotency(SCOPE, CLAIM);
      await state.claimIdempotency({ ...SCOPE, key: 'later' }, { ...CLAIM, nowMs: NOW_MS + 1 });
      await state.addTicket('old', { apiKeyId: 'k1', expiresAtMs: NOW_MS });
      await state.addTicket('new', { apiKeyId: 'k1', expiresAtMs: NOW_MS + 48 * HOUR_MS });
      await state.addApiKey(makeKey());
      const dayLaterMs = NOW_MS + 24 * HOUR_MS;
      assert.equal(await state.sweep(dayLaterMs), 2);
      assert.equal(await state.sweep(dayLaterMs), 0);
      assert.equal(
        (await state.claimIdempotency({ ...SCOPE, key: 'later' }, { ...CLAIM, nowMs: dayLaterMs })).kind,
        'running',
      );
      assert.equal(await state.takeTicket('new', dayLaterMs), 'k1');
      assert.deepEqual(await state.apiKey('k1'), makeKey());
    });

    it('does not sweep what a claim renews at the same time', async () => {
      await state.claimIdempotency(SCOPE, CLAIM);
      const renewal = { ...CLAIM, nowMs: NOW_MS + 24 * HOUR_MS };
      const [claim] = await Promise.all([state.claimIdempotency(SCOPE, renewal), state.sweep(renewal.nowMs)]);
      assert.equal(claim.kind, 'claimed');
      assert.equal((await state.claimIdempotency(SCOPE, renewal)).kind, 'running');
    });

    it('refuses everything once it is closed', async () => {
      await state.check();
      await state.close();
      await assert.rejects(state.check(), { code: 'STATE_UNAVAILABLE' });
      await assert.rejects(state.apiKey('k1'), { code: 'STATE_UNAVAILABLE' });
      await assert.rejects(state.addApiKey(makeKey()), { code: 'STATE_UNAVAILABLE' });
      await assert.rejects(state.signingKey(), { code: 'STATE_UNAVAILABLE' });
      state = await harness.open();
    });
  });
}
