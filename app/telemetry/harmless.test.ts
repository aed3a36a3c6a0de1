import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTelemetry, type Telemetry } from './telemetry.ts';

/** No text can be made of it, so that a label of it throws. */
const UNTELLABLE = Symbol('untellable') as unknown as string;
const DELIVERY = { messageId: 'm', dataset: 'flights', attributes: {}, attempt: 1, ageSeconds: 0 };

describe('telemetry that fails', () => {
  let directory: string;
  let telemetry: Telemetry;
  let nowMs = 1_000_000;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vigia-harmless-'));
    telemetry = createTelemetry({
      version: '1.2.3',
      logLevel: 'info',
      logFile: join(directory, 'log'),
      logFileBytesMax: 1 << 20,
      logFilesMax: 1,
      datasets: ['flights'],
      codes: [],
      now: () => nowMs,
    });
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  const lines = async (): Promise<readonly Readonly<Record<string, unknown>>[]> => {
    await telemetry.shutdown({ timeoutMs: 1_000 });
    const text = await readFile(join(directory, 'log'), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  };
  const failures = async (): Promise<number> => {
    const listener = await telemetry.listen({ host: '127.0.0.1', port: 0 });
    const text = await (await fetch(`http://127.0.0.1:${listener.port}/metrics`)).text();
    await listener.close();
    return Number(/^vigia_telemetry_failures_total (\d+)$/m.exec(text)?.[1]);
  };

  it('throws at nobody: not where rows are told of, nor in a line', async () => {
    telemetry.becameReadable({ dataset: UNTELLABLE, seconds: 1, rows: 2 });
    telemetry.recordsAccepted({ dataset: UNTELLABLE, accepted: 1, rejected: 1 });
    const error = Object.defineProperty(new Error('whatever'), 'code', { get: unreadable });
    telemetry.log('batchFailed', { messages: 1, error });
    telemetry.harmlessly(() => {
      throw new Error('nobody listens');
    });
    assert.equal(await failures(), 5);
    assert.equal((await lines()).length, 1);
  });

  it('lets a delivery, a publication and a call end as they end, and runs each once', async () => {
    const runs: string[] = [];
    const run = async (name: string): Promise<string> => {
      runs.push(name);
      return name;
    };
    const deliveries = [{ ...DELIVERY, dataset: UNTELLABLE, attributes: { traceparent: UNTELLABLE } }];
    assert.equal(await telemetry.processing({ deliveries }, () => run('processed')), 'processed');
    // The span cannot be made.
    const untraceable = Object.defineProperty({}, 'traceparent', { get: unreadable });
    const spanless = [{ ...DELIVERY, attributes: untraceable }];
    assert.equal(await telemetry.processing({ deliveries: spanless }, () => run('spanless')), 'spanless');
    const batch = { dataset: UNTELLABLE, messages: 1, rows: 1 };
    assert.equal(await telemetry.publishing(batch, () => run('published')), 'published');
    const call = { dependency: 'bus', operation: UNTELLABLE as 'publish' } as const;
    assert.equal(await telemetry.dependency(call, () => run('called')), 'called');
    const lost = new Error('lost');
    await assert.rejects(
      telemetry.publishing(batch, () => Promise.reject(lost)),
      (error) => error === lost,
    );
    assert.deepEqual(runs, ['processed', 'spanless', 'published', 'called']);
    await telemetry.shutdown({ timeoutMs: 1_000 });
  });

  it('counts each failure, and writes one line a minute', async () => {
    const fail = (): void => telemetry.becameReadable({ dataset: UNTELLABLE, seconds: 1, rows: 1 });
    const at = (afterMs: number, times: number): void => {
      nowMs += afterMs;
      for (let count = 0; count < times; count += 1) fail();
    };
    at(0, 3);
    at(59_999, 2);
    at(1, 1);
    assert.equal(await failures(), 6);
    const written = await lines();
    assert.deepEqual(
      written.map(({ msg, failures: count, error_type: type }) => [msg, count, type]),
      [
        ['telemetry.failed', 1, 'TypeError'],
        ['telemetry.failed', 5, 'TypeError'],
      ],
    );
  });
});

function unreadable(): never {
  throw new Error('unreadable');
}
