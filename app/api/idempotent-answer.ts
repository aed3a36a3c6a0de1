/**
 * Idempotency-Key: one answer for each (API key, dataset, key) and body, however often it is asked for.
 *
 * The answer is kept after it was made and before it is sent. A crash between leaves a lease that dies with the
 * process; the retry publishes again under the first request's id, so it makes the same row ids.
 */
import { AppError } from '../errors.ts';
import type { IdempotencyScope, IdempotentAnswer, State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

/** Visible ASCII; a structured-field string (quoted) or the bare value, as draft-ietf-httpapi-idempotency-key-header has it. */
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

export interface IdempotencyParts {
  readonly state: State;
  readonly telemetry: Telemetry;
  readonly now: () => number;
  /** Tests kill the process here: 'before-idempotency-answer' and 'after-idempotency-answer' are kept. */
  readonly faultPoint?: (name: string) => void;
}

interface Asked {
  readonly scope: IdempotencyScope;
  /** SHA-256, hex, of the decoded body. */
  readonly bodyHash: string;
  readonly requestId: string;
}

/** `make` is given the id of the first request that had this key. Throws AppError: the key is another body's, or taken. */
export async function answerOnce(
  parts: IdempotencyParts,
  { scope, bodyHash, requestId }: Asked,
  make: (requestId: string) => Promise<IdempotentAnswer>,
): Promise<IdempotentAnswer> {
  const { state, telemetry, now, faultPoint } = parts;
  const claim = await state.claimIdempotency(scope, { bodyHash, requestId, nowMs: now() });
  telemetry.idempotencyClaimed({ result: claim.kind === 'answered' ? 'replayed' : claim.kind });
  switch (claim.kind) {
    case 'other_body':
      throw keyReused();
    case 'running':
      throw keyRunning();
    case 'answered':
      return { ...claim.answer, headers: { ...claim.answer.headers, 'Idempotency-Replayed': 'true' } };
    case 'claimed': {
      const made = await make(claim.requestId).catch((error: unknown) => release(state, scope, error));
      faultPoint?.('before-idempotency-answer');
      await state.answerIdempotency(scope, made);
      faultPoint?.('after-idempotency-answer');
      return made;
    }
    default:
      throw new Error(`unreachable claim ${JSON.stringify(claim satisfies never)}`);
  }
}

/** Why the request failed is what the caller has to hear; a release that fails too is in the calls of the state store. */
async function release(state: State, scope: IdempotencyScope, error: unknown): Promise<never> {
  await state.releaseIdempotency(scope).catch(() => undefined);
  throw error;
}

/** Undefined without the header. Throws IDEMPOTENCY_KEY_INVALID. */
export function idempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const bare = typeof header === 'string' ? header.trim().replace(/^"(.*)"$/, '$1') : '';
  if (IDEMPOTENCY_KEY.test(bare)) return bare;
  throw new AppError({
    code: 'IDEMPOTENCY_KEY_INVALID',
    publicMessage:
      'IDEMPOTENCY_KEY_INVALID: the Idempotency-Key must be one header of 1 to 255 visible ASCII characters. A UUID does well.',
  });
}

function keyReused(): AppError {
  return new AppError({
    code: 'IDEMPOTENCY_KEY_REUSED',
    publicMessage:
      'IDEMPOTENCY_KEY_REUSED: this Idempotency-Key was used for another body within 24 h. Take a new key for a new body.',
  });
}

function keyRunning(): AppError {
  return new AppError({
    code: 'IDEMPOTENCY_KEY_RUNNING',
    publicMessage: 'IDEMPOTENCY_KEY_RUNNING: a request with this Idempotency-Key has not ended. Try again in a second.',
  });
}
