/**
 * A receipt that needs no store: its id says what was accepted and is signed, so that it can be neither made up nor
 * changed. It holds no secret; who may read the receipt is the API's to decide.
 *
 * base64url of: 16 bytes HMAC-SHA256, then a JSON array.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { AppError } from '../errors.ts';

export interface ReceiptFacts {
  /** The receipt id itself. */
  readonly id: string;
  readonly dataset: string;
  readonly receivedAtMs: number;
  readonly apiKeyId: string;
  readonly accepted: number;
  readonly rejected: number;
  readonly requestId: string;
}

const SIGNATURE_BYTES = 16;
/** Signed with the facts: the same key signs cursors, and the one must never pass as the other. */
const PURPOSE = 'vigia receipt 1\n';
/** 16 + about 130 bytes in base64; an API key id and a dataset name are at most 64 each. */
const ID_CHARACTERS_MAX = 512;

export function makeReceiptId(facts: Omit<ReceiptFacts, 'id'>, signingKey: Buffer): string {
  const { dataset, receivedAtMs, apiKeyId, accepted, rejected, requestId } = facts;
  const payload = Buffer.from(JSON.stringify([dataset, receivedAtMs, apiKeyId, accepted, rejected, requestId]));
  return Buffer.concat([signature(payload, signingKey), payload]).toString('base64url');
}

/** Throws AppError RECEIPT_INVALID for anything but an id that this key signed. */
export function readReceiptId(id: string, signingKey: Buffer): ReceiptFacts {
  const bytes = Buffer.from(id.length > ID_CHARACTERS_MAX ? '' : id, 'base64url');
  const payload = bytes.subarray(SIGNATURE_BYTES);
  // The decoder passes over foreign characters: only the one true spelling counts.
  if (payload.length === 0 || bytes.toString('base64url') !== id) throw invalid();
  if (!timingSafeEqual(bytes.subarray(0, SIGNATURE_BYTES), signature(payload, signingKey))) throw invalid();
  // Signed by us, so it has the shape that makeReceiptId gave it.
  const [dataset, receivedAtMs, apiKeyId, accepted, rejected, requestId] = JSON.parse(payload.toString('utf8')) as [
    string,
    number,
    string,
    number,
    number,
    string,
  ];
  return { id, dataset, receivedAtMs, apiKeyId, accepted, rejected, requestId };
}

/** Made once for a key: from its bytes each signature would cost five times as much (15 µs, 3 µs). */
const keyObjects = new WeakMap<Buffer, KeyObject>();

function keyObjectOf(signingKey: Buffer): KeyObject {
  const known = keyObjects.get(signingKey);
  if (known !== undefined) return known;
  const made = createSecretKey(signingKey);
  keyObjects.set(signingKey, made);
  return made;
}

function signature(payload: Buffer, signingKey: Buffer): Buffer {
  return createHmac('sha256', keyObjectOf(signingKey))
    .update(PURPOSE)
    .update(payload)
    .digest()
    .subarray(0, SIGNATURE_BYTES);
}

function invalid(): AppError {
  return new AppError({
    code: 'RECEIPT_INVALID',
    publicMessage:
      'RECEIPT_INVALID: this is not a receipt id that this service gave out. Copy the id from the 202 answer.',
  });
}
