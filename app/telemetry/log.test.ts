import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import { LOG_EVENTS, type LogEventDefinition } from './catalogue.ts';
import { describeError, type Log, openLog } from './log.ts';

const CANARY = 'canary-51c0de';

describe('the log', () => {
  let directory: string;
  let file: string;
  let log: Log;
  const open = (bytesMax = 1 << 20, level: 'info' | 'debug' = 'info') =>
    openLog({ level, destination: { file, bytesMax, filesMax: 3 }, now: () => 1_700_000_000_000 });
  const lines = async (path = file) => {
    await log.destination.flush(5000);
    return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'vigia-log-'));
    file = join(directory, 'deep', 'vigia.log');
    log = open();
  });
  afterEach(async () => {
    log.destination.close();
    await rm(directory, { recursive: true });
  });

  it('writes an event as one JSON line with the fields that it lists', async () => {
    log.write('busReconciled', { acknowledged: 2, redelivered: 0 });
    assert.deepEqual(
      (await lines()).map((line) => JSON.parse(line)),
      [{ level: 30, time: 1_700_000_000_000, acknowledged: 2, redelivered: 0, msg: 'bus.reconciled' }],
    );
  });
  it('leaves out a field that the event does not list, whatever object it came in', async () => {
    const request = { method: 'GET', headers: { authorization: CANARY }, body: CANARY, route: '/ok', status: 200 };
    log.write('requestAnswered', request);
    const [line = ''] = await lines();
    assert.ok(!line.includes(CANARY));
    assert.deepEqual(Object.keys(JSON.parse(line)), ['level', 'time', 'method', 'route', 'status', 'msg']);
  });
  it('cuts a long text', async () => {
    log.write('serviceStopping', { signal: 'x'.repeat(5000) });
    assert.equal(JSON.parse((await lines())[0] ?? '').signal.length, 256);
  });
  it('counts the lines it wrote, by level, and not those below its level', async () => {
    log.write('sealed', { files: 1 });
    log.write('busReconciled', {});
    log.write('sealFailed', { error: new Error('x') });
    assert.deepEqual([log.lines.debug, log.lines.info, log.lines.error], [0, 1, 1]);
    assert.equal((await lines()).length, 2);
  });
  it('rotates by size, keeps as many files as it was told and loses no line', async () => {
    log.destination.close();
    log = open(16_384);
    const written = 300;
    for (let index = 0; index < written; index++) {
      log.write('samplesLoaded', { dataset: `${index}-${'x'.repeat(100)}`, records: index });
      if (index % 30 === 0) await log.destination.flush(5000);
    }
    await log.destination.flush(5000);
    const files = (await readdir(join(directory, 'deep'))).sort();
    assert.deepEqual(files, ['vigia.log', 'vigia.log.1', 'vigia.log.2', 'vigia.log.3']);
    const all = (await Promise.all(files.map((name) => lines(join(directory, 'deep', name))))).flat();
    assert.deepEqual(new Set(all.map((line) => JSON.parse(line).records)).size, written);
    assert.deepEqual(log.destination.dropped, { buffer_full: 0, write_failed: 0 });
  });
  it('has a line on the disk when flushSync returns', async () => {
    log.write('busReconciled', {});
    await log.destination.flush(5000);
    log.write('serviceFailed', { reason: 'test', error: new Error('x') });
    log.destination.flushSync();
    assert.equal((await readFile(file, 'utf8')).trimEnd().split('\n').length, 2);
  });
  it('tells an error by class, code, detail and frames, never by message', () => {
    const root = new TypeError(`bad ${CANARY}\n    at ${CANARY} (evil.ts:1:1)`);
    const error = new AppError({ code: 'INTERNAL', publicMessage: CANARY, detail: 'reading the ledger', cause: root });
    const described = describeError(error);
    assert.equal(described.error_type, 'AppError < TypeError');
    assert.equal(described.error_code, 'INTERNAL');
    assert.equal(described.error_detail, 'reading the ledger');
    assert.match(described.error_stack ?? '', /^at .*log\.test\.ts/);
    assert.ok(!JSON.stringify(described).includes(CANARY));
  });
  it('takes no free text for a code', () => {
    assert.equal(describeError(Object.assign(new Error('x'), { code: `no ${CANARY}` })).error_code, undefined);
    assert.deepEqual(describeError(CANARY), { error_type: 'string' });
  });
  it('has one level for each event and no two events alike', () => {
    const definitions: readonly LogEventDefinition[] = Object.values(LOG_EVENTS);
    for (const { event, about } of definitions) {
      assert.match(event, /^[a-z_]+\.[a-z_]+$/);
      assert.ok(about.endsWith('.'));
    }
    const distinct = new Set(definitions.map(({ event, level }) => `${event} ${level}`));
    assert.equal(distinct.size, definitions.length);
  });
});
