import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { makeReceiptId, readReceiptId } from './receipt-id.ts';

const KEY = randomBytes(32);
const FACTS = {
  dataset: 'flights',
  receivedAtMs: 1_715_000_000_000,
  apiKeyId: 'k1',
  accepted: 499,
  rejected: 1,
  requestId: 'ab'.repeat(16),
};

function assertRefused(id: string, key = KEY): void {
  assert.throws(
    () => readReceiptId(id, key),
    (error) => error instanceof AppError && error.code === 'RECEIPT_INVALID',
  );
}

describe('receipt ids', () => {
  it('say what they were made of', () => {
    const text = fc.string({ maxLength: 30 });
    fc.assert(
      fc.property(
        fc.record({
          dataset: text,
          receivedAtMs: fc.maxSafeNat(),
          apiKeyId: text,
          accepted: fc.nat(),
          rejected: fc.nat(),
          requestId: text,
        }),
        (facts) => {
          const id = makeReceiptId(facts, KEY);
          assert.deepEqual(readReceiptId(id, KEY), { id, ...facts });
          assert.match(id, /^[A-Za-z0-9_-]+$/);
        },
      ),
    );
  });

  it('fit into a URL', () => assert.ok(makeReceiptId(FACTS, KEY).length < 150));

  it('are refused after a change of any character', () => {
    const id = makeReceiptId(FACTS, KEY);
    for (let at = 0; at < id.length; at += 1)
      assertRefused(`${id.slice(0, at)}${id[at] === 'A' ? 'B' : 'A'}${id.slice(at + 1)}`);
  });

  it('are refused in any other spelling, cut, or under another key', () => {
    const id = makeReceiptId(FACTS, KEY);
    for (const other of [
      '',
      'x',
      id.slice(0, 20),
      id.slice(0, -1),
      `${id}=`,
      `${id} `,
      `${id}A`,
      id.repeat(10),
      '../..',
      '¬',
    ])
      assertRefused(other);
    assertRefused(id, randomBytes(32));
  });
});
