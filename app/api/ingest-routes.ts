/** `POST /v1/datasets/:dataset/records`: headers, idempotency and the answer around `ingest.ts`. */
import { z } from 'zod';
import type { Contract } from '../datasets/contract.ts';
import { AppError, ERRORS } from '../errors.ts';
import { readMediaType } from '../record/media-type.ts';
import type { IdempotencyScope, IdempotentAnswer, State } from '../state/state.ts';
import { checkDataset } from './access.ts';
import { datasetOf } from './dataset-parameter.ts';
import {
  type Accepted,
  allRejected,
  type IngestParts,
  type JudgedBody,
  judgeBody,
  publishBody,
  receiptSchema,
} from './ingest.ts';
import { parseQuery } from './json-answer.ts';
import { problemOf } from './problem.ts';
import { accountOf } from './request-account.ts';
import { readBody } from './request-body.ts';
import type { Exchange, Route } from './route.ts';

/** Visible ASCII; a structured-field string (quoted) or the bare value, as draft-ietf-httpapi-idempotency-key-header has it. */
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

const NO_PARAMETERS = z.object({});

const verdictSchema = z.object({
  index: z.int(),
  code: z.string(),
  pointer: z.string(),
  expected: z.string(),
  got: z.string(),
});
const acceptedSchema = receiptSchema.extend({ errors: z.array(verdictSchema) });

const PATH = '/v1/datasets/flights/records';
const EXAMPLES = [
  {
    summary: 'One record',
    path: PATH,
    body: {
      mediaType: 'application/json',
      text: '{"departed_at":"2001-04-01T08:15:00Z","delay":-3,"distance":679,"origin":"SFO","destination":"SEA"}',
    },
  },
  {
    summary: 'Many records as NDJSON',
    path: PATH,
    body: {
      mediaType: 'application/x-ndjson',
      text: '{"departed_at":"2001-04-01T09:00:00Z","delay":4,"distance":337,"origin":"LAX","destination":"SFO"}\n{"departed_at":"2001-04-01T09:30:00Z","delay":0,"distance":337,"origin":"SFO","destination":"LAX"}\n',
    },
  },
  {
    summary: 'Many records as CSV',
    path: PATH,
    body: {
      mediaType: 'text/csv',
      text: 'departed_at,delay,distance,origin,destination\n2001-04-01T10:00:00Z,12,1797,LAX,BNA\n',
    },
  },
] as const;

export interface IngestRouteParts extends IngestParts {
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly state: State;
  /** Tests kill the process here: 'before-idempotency-answer' and 'after-idempotency-answer' are kept. */
  readonly faultPoint?: (name: string) => void;
}

export function ingestRoutes(parts: IngestRouteParts): readonly Route[] {
  return [
    {
      method: 'post',
      path: '/v1/datasets/:dataset/records',
      access: 'write',
      tag: 'Records',
      summary: 'Send records',
      description:
        'A JSON object, a JSON array, NDJSON or CSV with a header line; each also gzip. 202 means that every accepted row is durable; rejected rows have a verdict each and are in quarantine.',
      query: NO_PARAMETERS,
      headers: z.object({
        'Idempotency-Key': z
          .string()
          .optional()
          .describe(
            'Up to 255 visible characters, kept 24 h: a retry with the same body gets the same answer and stores nothing twice. A body that is refused as a whole leaves the key free.',
          ),
      }),
      body: {
        description: 'One record or many.',
        required: true,
        mediaTypes: {
          'application/json': z.union([z.record(z.string(), z.unknown()), z.array(z.record(z.string(), z.unknown()))]),
          'application/x-ndjson': z.string(),
          'text/csv': z.string(),
        },
      },
      answers: {
        202: { description: 'Durable. The receipt tells later what became of each row.', schema: acceptedSchema },
      },
      errors: [
        'DATASET_UNKNOWN',
        'DATASET_FORBIDDEN',
        'PARAMETER_UNKNOWN',
        'MEDIA_TYPE_UNSUPPORTED',
        'MALFORMED_JSON',
        'MALFORMED_CSV',
        'MALFORMED_UTF8',
        'MALFORMED_GZIP',
        'BODY_INCOMPLETE',
        'BODY_EMPTY',
        'CSV_HEADER_WRONG',
        'BODY_TOO_LARGE',
        'TOO_MANY_ROWS',
        'ALL_ROWS_REJECTED',
        'IDEMPOTENCY_KEY_INVALID',
        'IDEMPOTENCY_KEY_REUSED',
        'IDEMPOTENCY_KEY_RUNNING',
        'BODY_BYTES_EXHAUSTED',
        'DISK_FULL',
        'BUS_UNAVAILABLE',
      ],
      examples: EXAMPLES,
      handle: (exchange) => postRecords(parts, exchange),
    },
  ];
}

async function postRecords(parts: IngestRouteParts, exchange: Exchange): Promise<void> {
  const { request, caller, requestId } = exchange;
  const contract = datasetOf(parts.contracts, request);
  if (exchange.query.size > 0) parseQuery(NO_PARAMETERS, exchange.query);
  checkDataset(caller, contract.name);
  const media = readMediaType(request.headers['content-type'], request.headers['content-encoding']);
  const key = idempotencyKey(request.headers['idempotency-key']);
  const judged = await judgeBody(parts, {
    contract,
    apiKeyId: caller.keyId,
    batchKey: key ?? requestId,
    ...media,
    source: readBody(request, parts.budget),
    hash: key !== undefined,
  });
  const scope = key === undefined ? undefined : { apiKeyId: caller.keyId, dataset: contract.name, key };
  try {
    if (scope === undefined) answer(exchange, await outcome(parts, exchange, judged, { contract, requestId }));
    else await answerOnce(parts, exchange, judged, { contract, scope });
  } finally {
    judged.release();
  }
}

/** With a key: claim, publish, keep the answer, then send it. A crash between leaves a lease that dies with us. */
async function answerOnce(
  parts: IngestRouteParts,
  exchange: Exchange,
  judged: JudgedBody,
  { contract, scope }: { readonly contract: Contract; readonly scope: IdempotencyScope },
): Promise<void> {
  const bodyHash = judged.bodyHash;
  if (bodyHash === undefined) throw new Error('the body was not hashed');
  const claim = await parts.state.claimIdempotency(scope, {
    bodyHash,
    requestId: exchange.requestId,
    nowMs: parts.now(),
  });
  parts.telemetry.idempotencyClaimed({ result: claim.kind === 'answered' ? 'replayed' : claim.kind });
  switch (claim.kind) {
    case 'other_body':
      throw new AppError({
        code: 'IDEMPOTENCY_KEY_REUSED',
        publicMessage:
          'IDEMPOTENCY_KEY_REUSED: this Idempotency-Key was used for another body within 24 h. Take a new key for a new body.',
      });
    case 'running':
      throw new AppError({
        code: 'IDEMPOTENCY_KEY_RUNNING',
        publicMessage:
          'IDEMPOTENCY_KEY_RUNNING: a request with this Idempotency-Key has not ended. Try again in a second.',
      });
    case 'answered':
      exchange.response.setHeader('Idempotency-Replayed', 'true');
      answer(exchange, claim.answer);
      return;
    case 'claimed': {
      const made = await published(parts, exchange, judged, { contract, scope, requestId: claim.requestId });
      parts.faultPoint?.('before-idempotency-answer');
      await parts.state.answerIdempotency(scope, made);
      parts.faultPoint?.('after-idempotency-answer');
      answer(exchange, made);
      return;
    }
    default:
      throw new Error(`unreachable claim ${JSON.stringify(claim satisfies never)}`);
  }
}

async function published(
  parts: IngestRouteParts,
  exchange: Exchange,
  judged: JudgedBody,
  {
    contract,
    scope,
    requestId,
  }: { readonly contract: Contract; readonly scope: IdempotencyScope; readonly requestId: string },
): Promise<IdempotentAnswer> {
  try {
    return await outcome(parts, exchange, judged, { contract, requestId });
  } catch (error) {
    // Why the request failed is what the caller has to hear; a release that fails too is in the calls of the state store.
    await parts.state.releaseIdempotency(scope).catch(() => undefined);
    throw error;
  }
}

async function outcome(
  parts: IngestRouteParts,
  exchange: Exchange,
  judged: JudgedBody,
  { contract, requestId }: { readonly contract: Contract; readonly requestId: string },
): Promise<IdempotentAnswer> {
  const accepted = await publishBody(parts, judged, { contract, requestId, apiKeyId: exchange.caller.keyId });
  return accepted.receipt.accepted === 0 ? refusedAnswer(parts, exchange, accepted) : acceptedAnswer(accepted);
}

function acceptedAnswer({ receipt, verdicts }: Accepted): IdempotentAnswer {
  return {
    status: 202,
    body: JSON.stringify({ ...receipt, errors: verdicts }),
    headers: { 'Content-Type': 'application/json', Location: `/v1/receipts/${receipt.id}` },
  };
}

function refusedAnswer({ telemetry }: IngestRouteParts, exchange: Exchange, accepted: Accepted): IdempotentAnswer {
  const traceId = telemetry.requestTraceId(exchange.requestId);
  const problem = { ...problemOf(allRejected(accepted), traceId), receipt: accepted.receipt };
  return {
    status: problem.status,
    body: JSON.stringify(problem),
    headers: { 'Content-Type': 'application/problem+json', Location: `/v1/receipts/${accepted.receipt.id}` },
  };
}

function answer({ response }: Exchange, { status, body, headers }: IdempotentAnswer): void {
  if (status === ERRORS.ALL_ROWS_REJECTED.status) accountOf(response).code = 'ALL_ROWS_REJECTED';
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(body);
}

function idempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const bare = typeof header === 'string' ? header.trim().replace(/^"(.*)"$/, '$1') : '';
  if (IDEMPOTENCY_KEY.test(bare)) return bare;
  throw new AppError({
    code: 'IDEMPOTENCY_KEY_INVALID',
    publicMessage:
      'IDEMPOTENCY_KEY_INVALID: the Idempotency-Key must be one header of 1 to 255 visible ASCII characters. A UUID does well.',
  });
}
