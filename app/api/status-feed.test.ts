/** `/ws/status`: who may follow, what is told, and how followers are let go. */
import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { WebSocket } from 'ws';
import { readConfig } from '../config.ts';
import { Gate } from './access.ts';
import { StatusFeed } from './status-feed.ts';
import { assertHealthy, assertProblem, flight, type RunningService, startService } from './service.contract.ts';

interface Told {
  readonly type: 'state' | 'change';
  readonly at: string;
  readonly datasets: readonly {
    readonly dataset: string;
    readonly commitNumber: number;
    readonly asOf: string | null;
  }[];
  readonly events?: readonly { readonly datasets: Readonly<Record<string, { readonly stored: number }>> }[];
}

function follow(running: RunningService, query = '', headers: Readonly<Record<string, string>> = {}): WebSocket {
  return new WebSocket(`${running.url.replace('http', 'ws')}/ws/status${query}`, { headers });
}

async function told(follower: WebSocket): Promise<Told> {
  const [message] = (await once(follower, 'message')) as [Buffer];
  return JSON.parse(message.toString()) as Told;
}

/** The problem document that an upgrade was refused with. */
async function refusal(follower: WebSocket) {
  follower.on('error', () => undefined);
  const [, response] = (await once(follower, 'unexpected-response')) as [
    unknown,
    AsyncIterable<Buffer> & { statusCode: number; headers: Record<string, string> },
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return {
    status: response.statusCode,
    headers: new Headers(response.headers),
    text: Buffer.concat(chunks).toString(),
  };
}

async function closing(follower: WebSocket): Promise<{ readonly code: number; readonly reason: string }> {
  const [code, reason] = (await once(follower, 'close')) as [number, Buffer];
  return { code, reason: reason.toString() };
}

async function ticketOf(running: RunningService, key: string): Promise<string> {
  const answer = await running.ask('/v1/ws-tickets', { method: 'POST', key });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get('cache-control'), 'private, no-store');
  return `?ticket=${(JSON.parse(answer.text) as { ticket: string }).ticket}`;
}

describe('the status feed before the first key', () => {
  let running: RunningService;
  before(async () => {
    running = await startService({ WS_CONNECTIONS_MAX: '2', WS_PING_MS: '50' });
  });
  after(() => running.stop());

  it('tells the state on connect, then each change with its datasets', async () => {
    const follower = follow(running);
    const messages = on(follower, 'message');
    const next = async () => JSON.parse(String(((await messages.next()).value as [Buffer])[0])) as Told;
    const state = await next();
    assert.equal(state.type, 'state');
    assert.deepEqual(state.datasets.map(({ dataset }) => dataset).sort(), [
      'articles',
      'book_sales',
      'flights',
      'trips',
    ]);
    await running.send('flights', flight(1));
    const change = await next();
    assert.equal(change.type, 'change');
    assert.equal(change.events?.[0]?.datasets['flights']?.stored, 1);
    const commit = (one: Told) => one.datasets.find(({ dataset }) => dataset === 'flights')?.commitNumber ?? -1;
    assert.ok(commit(change) > commit(state));
    follower.terminate();
  });

  it('sends away who is over the cap, with the reason, and lives on when that one misbehaves', async () => {
    const inside = [follow(running), follow(running)];
    await Promise.all(inside.map(told));
    const third = follow(running);
    const { code, reason } = await closing(third);
    assert.equal(code, 1013);
    assert.match(reason, /2 followers \(WS_CONNECTIONS_MAX\)/);
    const gone = inside.map((one) => once(one, 'close'));
    for (const one of inside) one.close();
    await Promise.all(gone);
    await assertHealthy(running);
  });

  it('keeps a follower that answers pings and drops one that does not answer two', async () => {
    const quiet = new WebSocket(`${running.url.replace('http', 'ws')}/ws/status`, { autoPong: false });
    const lively = follow(running);
    const left = closing(quiet);
    await Promise.all([told(quiet), told(lively)]);
    let pings = 0;
    lively.on('ping', () => {
      pings += 1;
    });
    assert.equal((await left).code, 1006);
    assert.ok(pings >= 2);
    assert.equal(lively.readyState, WebSocket.OPEN);
    lively.terminate();
  });

  it('ends a follower that sends too much, and nothing else', async () => {
    const loud = follow(running);
    await told(loud);
    loud.send('x'.repeat(2_000));
    assert.equal((await closing(loud)).code, 1009);
    await assertHealthy(running);
  });

  it('refuses a foreign Origin, a foreign Host, a proxy and another path', async () => {
    assertProblem(await refusal(follow(running, '', { origin: 'http://evil.example' })), 'ORIGIN_NOT_ALLOWED');
    assertProblem(await refusal(follow(running, '', { host: 'evil.example' })), 'HOST_NOT_ALLOWED');
    assertProblem(await refusal(follow(running, '', { 'x-forwarded-for': '203.0.113.9' })), 'ADDRESS_NOT_ALLOWED');
    const elsewhere = new WebSocket(`${running.url.replace('http', 'ws')}/ws/other`);
    assertProblem(await refusal(elsewhere), 'ROUTE_UNKNOWN');
    const own = follow(running, '', { origin: running.url });
    await told(own);
    own.terminate();
  });

  it('survives a connection that is reset while it is being admitted', async () => {
    const head = `GET /ws/status HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const socket = connect({ port: running.port, host: '127.0.0.1' });
      await once(socket, 'connect');
      socket.write(head);
      socket.resetAndDestroy();
    }
    await assertHealthy(running);
  });
});

describe('the status feed with keys', () => {
  let running: RunningService;
  before(async () => {
    running = await startService({ WS_PING_MS: '50' });
  });
  after(() => running.stop());

  it('sends away who came before the first key, soon after it is made', async () => {
    const early = follow(running);
    await told(early);
    // Listened for first: it may be sent away before the key is told to be durable.
    const left = closing(early);
    await running.makeKey({ scopes: ['admin'] });
    const { code, reason } = await left;
    assert.equal(code, 1008);
    assert.match(reason, /ticket/);
  });

  it('takes a ticket once', async () => {
    const { token } = await running.makeKey({ scopes: ['read'] });
    const ticket = await ticketOf(running, token);
    const first = follow(running, ticket);
    await told(first);
    assertProblem(await refusal(follow(running, ticket)), 'TICKET_INVALID');
    first.terminate();
  });

  it('takes no ticket after its 30 s', async () => {
    const { token } = await running.makeKey({ scopes: ['read'] });
    const [late, inTime] = [await ticketOf(running, token), await ticketOf(running, token)];
    running.clock.aheadMs += 29_000;
    const follower = follow(running, inTime);
    await told(follower);
    follower.terminate();
    running.clock.aheadMs += 1_001;
    assertProblem(await refusal(follow(running, late)), 'TICKET_INVALID');
  });

  it('refuses no ticket, a made-up one, and a key in the header', async () => {
    const { token } = await running.makeKey({ scopes: ['read'] });
    assertProblem(await refusal(follow(running)), 'TICKET_INVALID');
    assertProblem(await refusal(follow(running, `?ticket=${'A'.repeat(43)}`)), 'TICKET_INVALID');
    assertProblem(await refusal(follow(running, `?ticket=${token}`)), 'TICKET_INVALID');
    assertProblem(await refusal(follow(running, '', { authorization: `Bearer ${token}` })), 'TICKET_INVALID');
  });

  it('refuses the ticket of a revoked key and sends its followers away', async () => {
    const { id, token } = await running.makeKey({ scopes: ['read'] });
    const unused = await ticketOf(running, token);
    const follower = follow(running, await ticketOf(running, token));
    await told(follower);
    const left = closing(follower);
    await running.service.state.revokeApiKey(id, { atMs: Date.now(), by: 'test' });
    assertProblem(await refusal(follow(running, unused)), 'TICKET_INVALID');
    assert.equal((await left).code, 1008);
  });

  it('tells a limited key of its datasets alone', async () => {
    const admin = await running.makeKey({ scopes: ['admin'] });
    const { token } = await running.makeKey({ scopes: ['read'], datasets: ['trips'] });
    const follower = follow(running, await ticketOf(running, token));
    const messages = on(follower, 'message');
    const next = async () => JSON.parse(String(((await messages.next()).value as [Buffer])[0])) as Told;
    assert.deepEqual(
      (await next()).datasets.map(({ dataset }) => dataset),
      ['trips'],
    );
    await running.send('flights', flight(1), { key: admin.token });
    const change = await next();
    assert.deepEqual(
      change.datasets.map(({ dataset }) => dataset),
      ['trips'],
    );
    assert.doesNotMatch(JSON.stringify(change), /flights/);
    follower.terminate();
  });
});

describe('a slow follower', () => {
  let running: RunningService;
  const server = createServer();
  before(async () => {
    running = await startService();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(async () => {
    server.close();
    await running.stop();
  });

  it('is dropped with the reason, while others are told on', async () => {
    const config = readConfig({ WS_BUFFER_BYTES_MAX: '1024' });
    const { service } = running;
    const gate = new Gate({ ...service, config });
    const feed = new StatusFeed({ ...service, config, gate, datasets: ['flights'], now: Date.now });
    feed.attach(server);
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws/status`;
    const slow = new WebSocket(url);
    const lively = new WebSocket(url);
    await Promise.all([told(slow), told(lively)]);
    // It stops reading: what is told piles up in the sockets' own buffers and then here.
    slow.pause();
    const left = closing(slow);
    const stored = {
      stored: 1,
      duplicate: 0,
      quarantined: 0,
      quarantinedByCode: {},
      rejected: 0,
      rejectedByCode: {},
      replayedMessages: 0,
    };
    for (let round = 0; round < 3; round += 1) {
      for (let event = 0; event < 50_000; event += 1) feed.tell({ kind: 'committed', datasets: { flights: stored } });
      await once(lively, 'message');
    }
    slow.resume();
    const { code, reason } = await left;
    assert.equal(code, 1008);
    assert.match(reason, /1024 bytes unread \(WS_BUFFER_BYTES_MAX\)/);
    assert.equal(lively.readyState, WebSocket.OPEN);
    feed.close();
    assert.equal((await closing(lively)).code, 1001);
  });
});

it('tells every follower that the service is stopping', async () => {
  const running = await startService();
  const follower = follow(running);
  await told(follower);
  const left = closing(follower);
  await running.stop();
  assert.deepEqual(await left, { code: 1001, reason: 'the service is stopping' });
});
