import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { BusMessage } from '../bus/bus.ts';
import type { Envelope } from '../bus/envelope.ts';
import type { Row } from '../datasets/contract.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { decodeEnvelope, decodeForeign, type EnvelopeLimits, EnvelopeWriter } from './envelopes.ts';
import { ANONYMOUS, EVERYTHING, GOOD } from './everything.fixture.ts';
import { cutToBytes } from './reject-text.ts';
import { compileValidator, type Verdict } from './validate.ts';

const CONTRACTS = new Map([EVERYTHING, ANONYMOUS].map((contract) => [contract.name, contract]));
const VALIDATORS = new Map([EVERYTHING, ANONYMOUS].map((contract) => [contract.name, compileValidator(contract)]));
const LIMITS: EnvelopeLimits = { messageRowsMax: 5, messageBytesMax: 2000, rejectBytesMax: 64 };
const VERDICT: Verdict = { code: 'FIELD_TYPE', pointer: '/count', expected: 'a whole number', got: '"x"' };
const EVENT_ID = 'ab'.repeat(16);
const PUBLISHED_AT_MS = Date.parse('2024-05-06T07:08:09.123Z');

function writerOf(limits: Partial<EnvelopeLimits> = {}): EnvelopeWriter {
  let made = 0;
  const newId = (): string => {
    made += 1;
    return made.toString(16).padStart(32, '0');
  };
  return new EnvelopeWriter({
    contract: EVERYTHING,
    apiKeyId: 'k1',
    receivedAtMs: PUBLISHED_AT_MS,
    limits: { ...LIMITS, ...limits },
    newId,
  });
}

function codeOf(run: () => unknown): ErrorCode {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('EnvelopeWriter', () => {
  it('loses nothing between split and rejoin, and keeps every message under its limits', () => {
    const item = fc.record({ good: fc.boolean(), text: fc.string({ unit: 'grapheme', maxLength: 300 }) });
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 700, max: 5000 }),
        (items, messageRowsMax, messageBytesMax) => {
          const writer = writerOf({ messageRowsMax, messageBytesMax, rejectBytesMax: 10_000 });
          for (const [index, { good, text }] of items.entries()) {
            if (good) writer.row(index, EVENT_ID, { note: text });
            else writer.reject(index, VERDICT, text);
          }
          const messages = writer.finish('request-1');
          const envelopes = messages.map((message) => decodeEnvelope(message, CONTRACTS));
          const rows = envelopes.flatMap((one) => one.rows);
          const rejects = envelopes.flatMap((one) => one.rejects);
          const sent = items.map((one, index) => ({ ...one, index }));
          assert.deepEqual(
            rows.map(({ index, body }) => [index, body]),
            sent.filter((one) => one.good).map(({ index, text }) => [index, { note: text }]),
          );
          assert.deepEqual(
            rejects.map(({ index, body }) => [index, body]),
            sent.filter((one) => !one.good).map(({ index, text }) => [index, text]),
          );
          for (const message of messages) {
            const { rowCount, rejectCount } = decodeEnvelope(message, CONTRACTS);
            assert.ok(rowCount + rejectCount <= messageRowsMax && message.rowCount === rowCount);
            assert.ok(message.data.length <= messageBytesMax || rowCount + rejectCount === 1);
          }
        },
      ),
    );
  });

  it('carries who, when and under which contract', () => {
    const writer = writerOf();
    writer.row(4, EVENT_ID, { code: 'ABC' });
    const [message] = writer.finish('request-1');
    assert.ok(message !== undefined);
    const id = '1'.padStart(32, '0');
    assert.deepEqual(JSON.parse(message.data.toString()), {
      messageId: id,
      dataset: 'everything',
      contractVersion: 3,
      requestId: 'request-1',
      apiKeyId: 'k1',
      receivedAt: '2024-05-06T07:08:09.123Z',
      rowCount: 1,
      rejectCount: 0,
      rows: [{ eventId: EVENT_ID, index: 4, body: { code: 'ABC' } }],
      rejects: [],
    } satisfies Envelope);
    assert.deepEqual(
      [message.messageId, message.dataset, message.requestId, message.attributes],
      [id, 'everything', 'request-1', {}],
    );
  });

  it('lets a row over the limit travel alone', () => {
    const writer = writerOf();
    writer.row(0, EVENT_ID, { note: 'small' });
    writer.row(1, EVENT_ID, { note: 'x'.repeat(5000) });
    writer.row(2, EVENT_ID, { note: 'small' });
    assert.deepEqual(
      writer.finish('r').map((message) => decodeEnvelope(message, CONTRACTS).rows.map((row) => row.index)),
      [[0], [1], [2]],
    );
  });

  it('makes no message of nothing', () => assert.deepEqual(writerOf().finish('r'), []));

  it('keeps the beginning of a long reject, with length and hash of all of it', () => {
    const text = 'é'.repeat(50);
    const writer = writerOf({ rejectBytesMax: 33 });
    writer.reject(0, VERDICT, text);
    writer.reject(1, VERDICT, 'beginning', { bytes: 12_345, hash: 'whole' });
    const rejects = writer.finish('r').flatMap((message) => decodeEnvelope(message, CONTRACTS).rejects);
    assert.deepEqual(rejects, [
      {
        index: 0,
        ...VERDICT,
        body: 'é'.repeat(16),
        bodyBytes: 100,
        bodyHash: createHash('sha256').update(text).digest('hex'),
      },
      { index: 1, ...VERDICT, body: 'beginning', bodyBytes: 12_345, bodyHash: 'whole' },
    ]);
  });
});

describe('cutToBytes', () => {
  it('keeps the longest beginning of whole characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
        fc.nat(20),
        (text, bytesMax) => {
          const kept = cutToBytes(text, bytesMax);
          assert.ok(text.startsWith(kept) && Buffer.byteLength(kept) <= bytesMax);
          const [next = ''] = text.slice(kept.length);
          assert.ok(next === '' || Buffer.byteLength(kept + next) > bytesMax);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('decodeEnvelope', () => {
  function changed(
    change: (envelope: Record<string, unknown>) => unknown,
    about: Partial<BusMessage> = {},
  ): BusMessage {
    const writer = writerOf();
    writer.row(0, EVENT_ID, { code: 'ABC' });
    writer.reject(1, VERDICT, 'x');
    const [message] = writer.finish('r');
    assert.ok(message !== undefined);
    const envelope = JSON.parse(message.data.toString()) as Record<string, unknown>;
    const made = change(envelope) ?? envelope;
    return { ...message, data: Buffer.isBuffer(made) ? made : Buffer.from(JSON.stringify(made)), ...about };
  }

  it('reads the contract version and the one before it, and no other', () => {
    for (const contractVersion of [2, 3])
      assert.ok(
        decodeEnvelope(
          changed((one) => ({ ...one, contractVersion })),
          CONTRACTS,
        ),
      );
    for (const contractVersion of [1, 4]) {
      assert.equal(
        codeOf(() =>
          decodeEnvelope(
            changed((one) => ({ ...one, contractVersion })),
            CONTRACTS,
          ),
        ),
        'MESSAGE_VERSION_UNKNOWN',
      );
    }
  });

  it('refuses a dataset that does not exist', () => {
    assert.equal(
      codeOf(() =>
        decodeEnvelope(
          changed((one) => one, { dataset: 'nowhere' }),
          CONTRACTS,
        ),
      ),
      'MESSAGE_DATASET_UNKNOWN',
    );
    assert.equal(
      codeOf(() =>
        decodeEnvelope(
          changed((one) => one, { dataset: '__proto__' }),
          CONTRACTS,
        ),
      ),
      'MESSAGE_DATASET_UNKNOWN',
    );
  });

  const row = { eventId: EVENT_ID, index: 0, body: {} };
  const broken: readonly (readonly [string, (envelope: Record<string, unknown>) => unknown])[] = [
    ['not JSON', () => Buffer.from('{')],
    ['no object', () => []],
    ['another message id', (one) => ({ ...one, messageId: 'x' })],
    ['another dataset', (one) => ({ ...one, dataset: 'anonymous' })],
    ['no version', (one) => ({ ...one, contractVersion: '3' })],
    ['no request id', (one) => ({ ...one, requestId: undefined })],
    ['no API key id', (one) => ({ ...one, apiKeyId: 5 })],
    ['no time', (one) => ({ ...one, receivedAt: 'yesterday' })],
    ['no rows', (one) => ({ ...one, rows: undefined })],
    ['no rejects', (one) => ({ ...one, rejects: {} })],
    ['a row too many', (one) => ({ ...one, rows: [row, row] })],
    ['a wrong count', (one) => ({ ...one, rows: [row, row], rowCount: 2 })],
    ['a reject too few', (one) => ({ ...one, rejects: [] })],
    ['a row without id', (one) => ({ ...one, rows: [{ ...row, eventId: 'AB'.repeat(16) }] })],
    ['a row without index', (one) => ({ ...one, rows: [{ ...row, index: -1 }] })],
    ['a row without body', (one) => ({ ...one, rows: [{ ...row, body: null }] })],
    [
      'a reject without code',
      (one) => ({ ...one, rejects: [{ ...(one['rejects'] as object[])[0], code: 'toString' }] }),
    ],
    ['a reject without body', (one) => ({ ...one, rejects: [{ ...(one['rejects'] as object[])[0], body: null }] })],
    ['a reject that is none', (one) => ({ ...one, rejects: [null] })],
  ];
  for (const [name, change] of broken) {
    it(`refuses a message with ${name}`, () =>
      assert.equal(
        codeOf(() => decodeEnvelope(changed(change), CONTRACTS)),
        'MESSAGE_MALFORMED',
      ));
  }
});

describe('decodeForeign', () => {
  const foreign = (data: string | Buffer, about: Partial<BusMessage> = {}): BusMessage => ({
    messageId: 'f'.repeat(32),
    dataset: 'anonymous',
    requestId: '',
    rowCount: 0,
    data: Buffer.from(data),
    attributes: {},
    ...about,
  });
  const decode = (message: BusMessage) => decodeForeign(message, CONTRACTS, VALIDATORS, PUBLISHED_AT_MS);
  const good = JSON.stringify(GOOD);

  it('judges each row and makes one envelope that the warehouse reads as it is', () => {
    const { envelope, data } = decode(foreign(`${good}\nnope\n{"code":1}\n${good}\n`));
    assert.deepEqual(envelope, JSON.parse(data.toString()));
    assert.deepEqual(
      envelope.rows.map((row) => row.index),
      [0, 3],
    );
    assert.deepEqual(
      envelope.rejects.map((one) => [one.index, one.code]),
      [
        [1, 'RECORD_MALFORMED'],
        [2, 'FIELD_TYPE'],
      ],
    );
    assert.equal(new Set(envelope.rows.map((row) => row.eventId)).size, 2, 'two equal rows are two');
    assert.deepEqual(
      [envelope.apiKeyId, envelope.messageId, envelope.requestId, envelope.receivedAt],
      ['foreign', 'f'.repeat(32), 'f'.repeat(32), '2024-05-06T07:08:09.123Z'],
    );
  });

  it('makes the same bytes of the same delivery every time', () => {
    assert.deepEqual(decode(foreign(good)).data, decode(foreign(good)).data);
  });

  it('never splits a message', () => {
    assert.equal(decode(foreign(`${good}\n`.repeat(2000))).envelope.rowCount, 2000);
  });

  it('refuses what holds no record or is not text', () => {
    assert.equal(
      codeOf(() => decode(foreign(' \n'))),
      'MESSAGE_MALFORMED',
    );
    assert.equal(
      codeOf(() => decode(foreign(Buffer.from([0xff])))),
      'MESSAGE_MALFORMED',
    );
    assert.equal(
      codeOf(() => decode(foreign(good, { dataset: 'nowhere' }))),
      'MESSAGE_DATASET_UNKNOWN',
    );
  });

  it('keeps a message whose every row is bad, as rejects', () => {
    const { envelope } = decode(foreign('1\n2\n'));
    assert.deepEqual([envelope.rowCount, envelope.rejectCount], [0, 2]);
  });

  it('keeps length and hash of a row that is too large to hold', () => {
    const big = `"${'x'.repeat(2 ** 20)}"`;
    const [reject] = decode(foreign(`${big}\n${good}`)).envelope.rejects;
    assert.deepEqual(
      [reject?.code, reject?.bodyBytes, reject?.body.length],
      ['RECORD_TOO_LARGE', big.length, 64 * 1024],
    );
    assert.equal(reject?.bodyHash, createHash('sha256').update(big).digest('hex'));
  });

  it('gives its rows as the validator made them', () => {
    const [row] = decode(foreign(good)).envelope.rows;
    assert.deepEqual(row?.body, {
      code: 'ABC',
      count: 7,
      amount: '1.50',
      at: '2024-03-09T15:04:05.000000Z',
    } satisfies Row);
  });
});
