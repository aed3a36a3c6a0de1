/**
 * POST records: from a body to a receipt.
 *
 * The answer is 202 only after every message of the body is durable on the bus. Nothing is published before the body
 * ended well, so a body that breaks off leaves no trace. Rejected rows travel in the same messages, to quarantine.
 */
import { randomFillSync } from 'node:crypto';
import { z } from 'zod';
import type { Bus, BusMessage } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import { AppError, type ErrorDetail } from '../errors.ts';
import { decodeBody } from '../record/decode.ts';
import { EnvelopeWriter } from '../record/envelopes.ts';
import type { BodyFormat } from '../record/media-type.ts';
import { makeReceiptId } from '../record/receipt-id.ts';
import { rowTaker } from '../record/row-taker.ts';
import type { Validator } from '../record/validate.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type ByteBudget, HeldBytes } from './byte-budget.ts';

export interface IngestParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly validators: ReadonlyMap<string, Validator>;
  readonly signingKey: Buffer;
  readonly budget: ByteBudget;
  readonly now: () => number;
}

export interface IngestRequest {
  readonly contract: Contract;
  readonly apiKeyId: string;
  readonly requestId: string;
  /** Idempotency-Key or request id: with it a retry makes the same row ids. */
  readonly batchKey: string;
  readonly format: BodyFormat;
  readonly gzip: boolean;
  readonly source: AsyncIterable<Buffer>;
}

/** A body read to its end and judged, not yet published. Its bytes stay in the budget until it is released. */
export interface JudgedBody {
  readonly writer: EnvelopeWriter;
  readonly receivedAtMs: number;
  readonly accepted: number;
  readonly verdicts: readonly ErrorDetail[];
  readonly bodyHash: string | undefined;
  /** Gives its bytes back; more than once is as once. `publishBody` does it at its end. */
  readonly release: () => void;
}

export const receiptSchema = z.object({
  id: z.string(),
  dataset: z.string(),
  receivedAt: z.iso.datetime(),
  received: z.int(),
  accepted: z.int(),
  rejected: z.int(),
  states: z.object({
    inFlight: z.int(),
    overdue: z.int(),
    stored: z.int(),
    duplicate: z.int(),
    quarantined: z.int(),
    deadLettered: z.int(),
    expired: z.int(),
    erased: z.int(),
  }),
});
export type Receipt = z.infer<typeof receiptSchema>;

export interface Accepted {
  readonly receipt: Receipt;
  readonly verdicts: readonly ErrorDetail[];
}

/** 128 random bits as 32 hex digits: request and message ids. */
export function randomId(): string {
  if (randomAt === randomPool.length) {
    randomFillSync(randomPool);
    randomAt = 0;
  }
  randomAt += ID_BYTES;
  return randomPool.toString('hex', randomAt - ID_BYTES, randomAt);
}

const ID_BYTES = 16;
/** The system's randomness is asked for 256 ids at once: one by one it was 7 % of a one-record POST. No byte is used twice. */
const randomPool = Buffer.allocUnsafeSlow(ID_BYTES * 256);
let randomAt = randomPool.length;

/** What a refused row of a few bytes becomes until it is answered: about 250 in its message, 100 in the answer, and its verdict. */
const VERDICT_BYTES = 512;

/** Reads the body to its end, judging row by row; throws AppError for what is wrong with the body as a whole. */
export async function judgeBody(
  parts: IngestParts,
  request: Omit<IngestRequest, 'requestId'> & { readonly hash: boolean },
): Promise<JudgedBody> {
  const { contract, apiKeyId, batchKey, format, gzip, hash } = request;
  const validator = parts.validators.get(contract.name);
  if (validator === undefined) throw new Error(`no validator for ${contract.name}`);
  const receivedAtMs = parts.now();
  const writer = writerOf(parts, { contract, apiKeyId, receivedAtMs });
  const take = rowTaker({ validator, writer, apiKeyId, batchKey });
  const verdicts: ErrorDetail[] = [];
  const held = new HeldBytes(parts.budget);
  const limits = bodyLimits(parts.config);
  const onBytes = (bytes: number): void => held.take(bytes);
  try {
    const decoded = await decodeBody(request.source, { format, gzip, contract, limits, onBytes, hash }, (row) => {
      const verdict = take(row);
      if (verdict === undefined) return;
      held.take(VERDICT_BYTES);
      verdicts.push({ index: row.index, ...verdict });
    });
    const accepted = decoded.rows - verdicts.length;
    return { writer, receivedAtMs, accepted, verdicts, bodyHash: decoded.bodyHash, release: () => held.release() };
  } catch (error) {
    held.release();
    throw error;
  }
}

function writerOf(
  { config }: IngestParts,
  of: { readonly contract: Contract; readonly apiKeyId: string; readonly receivedAtMs: number },
): EnvelopeWriter {
  const limits = {
    messageRowsMax: config.MESSAGE_ROWS_MAX,
    messageBytesMax: config.MESSAGE_BYTES_MAX,
    rejectBytesMax: config.REJECT_BYTES_MAX,
  };
  return new EnvelopeWriter({ ...of, limits, newId: randomId });
}

/** Publishes a judged body; resolves when it is durable. Throws AppError when it may not be. */
export async function publishBody(
  parts: IngestParts,
  judged: JudgedBody,
  request: Pick<IngestRequest, 'contract' | 'apiKeyId' | 'requestId'>,
): Promise<Accepted> {
  const { contract, requestId, apiKeyId } = request;
  const dataset = contract.name;
  const messages = judged.writer.finish(requestId);
  const rejected = judged.verdicts.length;
  try {
    await parts.telemetry.publishing({ dataset, messages: messages.length, rows: judged.accepted }, (attributes) =>
      parts.bus.publish(
        messages.map((message): BusMessage => ({ ...message, attributes: { ...message.attributes, ...attributes } })),
      ),
    );
  } finally {
    judged.release();
  }
  parts.telemetry.recordsAccepted({ dataset, accepted: judged.accepted, rejected });
  const id = makeReceiptId(
    { dataset, receivedAtMs: judged.receivedAtMs, apiKeyId, accepted: judged.accepted, rejected, requestId },
    parts.signingKey,
  );
  return {
    receipt: {
      id,
      dataset,
      receivedAt: new Date(judged.receivedAtMs).toISOString(),
      received: judged.accepted + rejected,
      accepted: judged.accepted,
      rejected,
      states: { ...NO_STATES, inFlight: judged.accepted },
    },
    verdicts: judged.verdicts,
  };
}

/** Every row failed: answered 422, quarantined all the same. */
export function allRejected(accepted: Accepted): AppError {
  const { received, dataset, id } = { ...accepted.receipt };
  return new AppError({
    code: 'ALL_ROWS_REJECTED',
    publicMessage: `ALL_ROWS_REJECTED: none of the ${received} rows meets the contract of ${dataset} (GET /v1/datasets/${dataset}). They are in quarantine under receipt ${id}. Mend them and send them again.`,
    errors: accepted.verdicts,
  });
}

const NO_STATES: Receipt['states'] = {
  inFlight: 0,
  overdue: 0,
  stored: 0,
  duplicate: 0,
  quarantined: 0,
  deadLettered: 0,
  expired: 0,
  erased: 0,
};

function bodyLimits(config: Config) {
  return {
    recordBytesMax: config.RECORD_BYTES_MAX,
    arrayBodyBytesMax: config.ARRAY_BODY_BYTES_MAX,
    bodyBytesMax: config.BODY_BYTES_MAX,
    rowsMax: config.ROWS_PER_REQUEST_MAX,
    jsonDepthMax: config.JSON_DEPTH_MAX,
  };
}
