/**
 * Starts the composed service for tests, on free ports and a folder of its own, and speaks HTTP to it: with fetch
 * where politeness is enough, over a raw socket where it is not.
 *
 * The clock is the real one plus what a test adds to it, so that nothing has to be waited for. Whether rows are
 * settled is learnt from `/ws/status`, never by looking again and again.
 */
import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { readConfig } from '../config.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import { openService, type Service } from '../main.ts';
import type { Scope } from '../state/state.ts';
import type { Problem } from './problem.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface RunningService {
  readonly service: Service;
  readonly url: string;
  readonly port: number;
  readonly clock: { aheadMs: number };
  ask(path: string, init?: RequestInit & { readonly key?: string }): Promise<Answer>;
  /** Posts JSON unless the headers say otherwise. */
  send(
    dataset: string,
    body: unknown,
    init?: { readonly headers?: Readonly<Record<string, string>>; readonly key?: string },
  ): Promise<Answer>;
  /** Resolves when every accepted row is settled and the loss equation's difference is 0. */
  settled(): Promise<void>;
  makeKey(key: { readonly scopes: readonly Scope[]; readonly datasets?: readonly string[] }): Promise<MadeKey>;
  /** Rows ever accepted: what a refused body must not change. */
  acceptedRows(): Promise<number>;
  stop(): Promise<void>;
}

interface MadeKey {
  readonly id: string;
  readonly token: string;
}

/** Quick commits, silent logs; a test adds what it is about. */
const SETTINGS = {
  PORT: '0',
  METRICS_PORT: '0',
  SAMPLE_DATA: 'off',
  LOG_LEVEL: 'silent',
  BATCH_WAIT_MS: '1',
  SEAL_INTERVAL_MS: '3600000',
  WAREHOUSE_MEMORY_MIB: '256',
  // A busy machine is no part of what is tested; admission.test.ts drives the queue time itself.
  QUEUE_TIME_TARGET_MS: '10000',
  NODE_ENV: 'test',
};

export async function startService(settings: Readonly<Record<string, string>> = {}): Promise<RunningService> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-api-'));
  const clock = { aheadMs: 0 };
  const service = await openService(readConfig({ ...SETTINGS, DATA_DIR: folder, ...settings }), {
    now: () => Date.now() + clock.aheadMs,
  });
  const { url } = service;
  const ask: RunningService['ask'] = async (path, { key, headers, ...init } = {}) => {
    const response = await fetch(new URL(path, url), {
      redirect: 'manual',
      ...init,
      headers: {
        ...(headers as Record<string, string>),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return {
    service,
    url,
    port: Number(new URL(url).port),
    clock,
    ask,
    send: (dataset, body, { headers, key } = {}) =>
      ask(`/v1/datasets/${dataset}/records`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body:
          typeof body === 'string' || body instanceof Uint8Array
            ? (body as string | Uint8Array<ArrayBuffer>)
            : JSON.stringify(body),
        ...(key === undefined ? {} : { key }),
      }),
    settled: () => settled(service, clock),
    makeKey: (key) => makeKey(service, key),
    acceptedRows: async () =>
      Object.values((await service.bus.snapshot()).acceptedRows).reduce((sum, rows) => sum + rows, 0),
    stop: async () => {
      await service.stop({ reason: 'the test is over' });
      await rm(folder, { recursive: true });
    },
  };
}

async function makeKey(
  { state }: Service,
  { scopes, datasets }: Parameters<RunningService['makeKey']>[0],
): Promise<MadeKey> {
  const id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  await state.addApiKey({
    id,
    secretHash: hash('sha256', secret),
    scopes,
    ...(datasets === undefined ? {} : { datasets }),
    label: 'test',
    createdAtMs: Date.now(),
  });
  return { id, token: `vg_${id}_${secret}` };
}

async function settled(service: Service, clock: { readonly aheadMs: number }): Promise<void> {
  const ticket = randomBytes(32).toString('base64url');
  const expiresAtMs = Date.now() + clock.aheadMs + 30_000;
  await service.state.addTicket(hash('sha256', ticket), { apiKeyId: await anyKeyId(service), expiresAtMs });
  const follower = new WebSocket(`${service.url.replace('http', 'ws')}/ws/status?ticket=${ticket}`);
  try {
    // The first message is the state, then one a change; the iterator keeps those that come while the equation is taken.
    for await (const _message of on(follower, 'message')) {
      const { total } = await service.equation();
      if (total.inFlight > 0) continue;
      assert.equal(total.difference, 0);
      return;
    }
  } finally {
    follower.terminate();
  }
}

/** A ticket is good only with a living key. */
async function anyKeyId({ state }: Service): Promise<string> {
  const living = (await state.apiKeys()).filter((key) => key.revokedAtMs === undefined && key.datasets === undefined);
  return living[0]?.id ?? 'anonymous';
}

/** Asserts status, code and the whole shape of a problem document; returns it. */
export function assertProblem(answer: Answer, code: ErrorCode): Problem {
  assert.equal(`${answer.status} ${problemCode(answer)}`, `${ERRORS[code].status} ${code}`, answer.text);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  const problem = JSON.parse(answer.text) as Problem;
  assert.equal(problem.type, `/docs/errors#${code}`);
  assert.equal(problem.title, ERRORS[code].title);
  assert.equal(problem.status, answer.status);
  assert.match(problem.detail, new RegExp(`^${code}: .{10,}`, 's'));
  assert.match(problem.traceId, /^[0-9a-f]{32}$/);
  assert.ok(Array.isArray(problem.errors));
  if ([429, 503].includes(answer.status)) assert.match(answer.headers.get('retry-after') ?? 'absent', /^[1-9]\d*$/);
  return problem;
}

function problemCode({ text }: Answer): string {
  try {
    return String((JSON.parse(text) as { code?: string }).code);
  } catch {
    return `no problem document: ${text.slice(0, 80)}`;
  }
}

/** The service is well, and every row is accounted for. */
export async function assertHealthy({ ask, settled: rest }: RunningService): Promise<void> {
  const ready = await ask('/readyz');
  assert.equal(ready.status, 200, ready.text);
  await rest();
}

export interface RawExchange {
  readonly socket: Socket;
  /** The answer once the server has sent all of it; rejects when the connection ends without one. */
  readonly answer: Promise<Answer>;
}

/** Writes bytes as they are; the caller goes on with the socket. */
export async function openRaw(port: number, bytes: string | Buffer): Promise<RawExchange> {
  const socket = connect({ port, host: '127.0.0.1' });
  const answer = readAnswer(socket);
  await once(socket, 'connect');
  socket.write(bytes);
  return { socket, answer };
}

/** One raw request, one answer. */
export async function askRaw(port: number, bytes: string | Buffer): Promise<Answer> {
  const { socket, answer } = await openRaw(port, bytes);
  try {
    return await answer;
  } finally {
    socket.destroy();
  }
}

function readAnswer(socket: Socket): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const answer = parseAnswer(received);
      if (answer !== undefined) resolve(answer);
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the connection ended after ${JSON.stringify(received.toString())}`)));
  });
}

/** Undefined until head and `Content-Length` bytes are there. */
function parseAnswer(received: Buffer): Answer | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [status = '', ...lines] = received.toString('latin1', 0, end).split('\r\n');
  const headers = new Headers(lines.map((line) => line.split(/: ?(.*)/s, 2) as [string, string]));
  const body = received.subarray(end + 4);
  const length = Number(headers.get('content-length') ?? 0);
  if (body.length < length) return undefined;
  return { status: Number(status.split(' ')[1]), headers, text: body.toString('utf8', 0, length) };
}

/** A real flight, another one for each number. */
export function flight(number: number): Readonly<Record<string, unknown>> {
  const departedAt = new Date(Date.UTC(2001, 0, 1) + number * 60_000).toISOString().replace('.000', '');
  return { departed_at: departedAt, delay: 14, distance: 480, origin: 'SMF', destination: 'SAN' };
}

export function sale(number: number): Readonly<Record<string, unknown>> {
  return {
    id: `BS-${String(number).padStart(6, '0')}`,
    country: 'AR',
    amount: '10.50',
    sold_at: '2024-03-09T15:04:05Z',
    title: 'The Salt Road',
    isbn: '9780306406157',
    copies: 1,
    buyer_email: 'buyer@bookshop.example',
  };
}
