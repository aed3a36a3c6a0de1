/** `GET /v1/landing` and what `/ws/status` tells of files: to whom, and what. */
import assert from 'node:assert/strict';
import { on } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { assertHealthy, assertProblem, type RunningService, startService } from './service.contract.ts';

const FLIGHTS = `flight_id,airline,origin,destination,departed_at,delay,distance\n`;
const TRIPS =
  'region,origin_coord,destination_coord,datetime,datasource\nTurin,POINT (7.67 44.99),POINT (7.7 45),2018-05-21 02:54:04,x\nbad\n';

interface Shown {
  readonly path: string;
  readonly state: string;
  readonly stored: number;
  readonly rejected: number;
  readonly receipt: string | null;
  readonly error: { readonly code: string } | null;
}

interface Told {
  readonly events?: readonly { readonly kind: string; readonly file?: Shown }[];
}

describe('files in the landing folder, over HTTP', () => {
  let running: RunningService;
  before(async () => {
    running = await startService({ LANDING_SETTLE_MS: '0', LANDING_LOOK_MS: '60000' });
  });
  after(() => running.stop());

  const put = (path: string, text: string): Promise<void> =>
    writeFile(join(running.service.dataDir, 'landing', path), text);
  async function list(query = '', key?: string): Promise<{ data: readonly Shown[]; truncated: boolean }> {
    const answer = await running.ask(`/v1/landing${query}`, key === undefined ? {} : { key });
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text) as { data: readonly Shown[]; truncated: boolean };
  }

  it('are told of while they move, and listed with what became of them', async () => {
    const follower = new WebSocket(`${running.url.replace('http', 'ws')}/ws/status`);
    const messages = on(follower, 'message');
    await messages.next();
    await put('trips/a.csv', TRIPS);
    await running.service.landing.settled();
    const states: string[] = [];
    const kinds = new Set<string>();
    while (states.at(-1) !== 'done') {
      const told = JSON.parse(String(((await messages.next()).value as [Buffer])[0])) as Told;
      for (const { kind, file } of told.events ?? []) {
        kinds.add(kind);
        if (file !== undefined && states.at(-1) !== file.state) states.push(file.state);
      }
    }
    follower.terminate();
    assert.deepEqual(states, ['waiting', 'checking', 'storing', 'done']);
    assert.deepEqual([...kinds].toSorted(), ['committed', 'landing']);
    const { data } = await list();
    assert.deepEqual(
      data.map(({ path, state, stored, rejected }) => [path, state, stored, rejected]),
      [['trips/a.csv', 'done', 1, 1]],
    );
    const receipt = await running.ask(`/v1/receipts/${data[0]?.receipt}`);
    const { states: counted, rows } = JSON.parse(receipt.text) as {
      states: Record<string, number>;
      rows: { data: readonly { index: number; state: string; code: string }[] };
    };
    assert.deepEqual([counted['stored'], counted['inFlight'], counted['overdue']], [1, 0, 0]);
    assert.deepEqual(
      rows.data.map(({ index, state, code }) => [index, state, code]),
      [[1, 'rejected', 'RECORD_MALFORMED']],
    );
    await assertHealthy(running);
  });

  it('are filtered by dataset and state', async () => {
    await put('flights/b.csv', FLIGHTS);
    await running.service.landing.settled();
    const [refused] = (await list('?state=refused')).data;
    assert.deepEqual([refused?.path, refused?.state], ['flights/b.csv', 'refused']);
    assert.deepEqual(
      (await list('?dataset=trips')).data.map(({ path }) => path),
      ['trips/a.csv'],
    );
    assert.equal((await list('?limit=1')).truncated, true);
    assertProblem(await running.ask('/v1/landing?state=nope'), 'PARAMETER_INVALID');
  });

  it('are for load and admin, and each key sees its datasets alone', async () => {
    const admin = await running.makeKey({ scopes: ['admin'] });
    const load = await running.makeKey({ scopes: ['load'], datasets: ['trips'] });
    const read = await running.makeKey({ scopes: ['read', 'write'] });
    assert.equal((await list('', admin.token)).data.length, 2);
    assert.deepEqual(
      (await list('', load.token)).data.map(({ path }) => path),
      ['trips/a.csv'],
    );
    assertProblem(await running.ask('/v1/landing', { key: read.token }), 'SCOPE_MISSING');
    assertProblem(await running.ask('/v1/landing'), 'KEY_MISSING');
  });
});
