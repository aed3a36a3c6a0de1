/** `POST /v1/datasets/:dataset/records`: the headers, and the answer around `ingest.ts`, given once for each key. */
import { z } from 'zod';
import type { Contract } from '../datasets/contract.ts';
import { ERRORS } from '../errors.ts';
import { readMediaType } from '../record/media-type.ts';
import type { IdempotentAnswer } from '../state/state.ts';
import { checkDataset } from './access.ts';
import { datasetOf } from './dataset-parameter.ts';
import { answerOnce, type IdempotencyParts, idempotencyKey } from './idempotent-answer.ts';
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

const ROUTE = {
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
} as const satisfies Omit<Route, 'handle'>;

export interface IngestRouteParts extends IngestParts, IdempotencyParts {
  readonly contracts: ReadonlyMap<string, Contract>;
}

export function ingestRoutes(parts: IngestRouteParts): readonly Route[] {
  return [{ ...ROUTE, handle: (exchange) => postRecords(parts, exchange) }];
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
  try {
    // Under a key the request is the first one's that had it, so that a retry is not another request.
    const publish = (as: string): Promise<IdempotentAnswer> =>
      publishAndAnswer(parts, exchange, { judged, contract, requestId: as });
    if (key === undefined) {
      send(exchange, await publish(requestId));
      return;
    }
    const scope = { apiKeyId: caller.keyId, dataset: contract.name, key };
    send(exchange, await answerOnce(parts, { scope, bodyHash: hashOf(judged), requestId }, publish));
  } finally {
    // A replayed answer publishes nothing.
    judged.release();
  }
}

function hashOf({ bodyHash }: JudgedBody): string {
  if (bodyHash === undefined) throw new Error('the body was not hashed');
  return bodyHash;
}

interface Judged {
  readonly judged: JudgedBody;
  readonly contract: Contract;
  readonly requestId: string;
}

async function publishAndAnswer(
  parts: IngestRouteParts,
  exchange: Exchange,
  { judged, contract, requestId }: Judged,
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

function send({ response }: Exchange, { status, body, headers }: IdempotentAnswer): void {
  // An answer of an earlier request is known by its status alone.
  if (status === ERRORS.ALL_ROWS_REJECTED.status) accountOf(response).code = 'ALL_ROWS_REJECTED';
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  response.end(body);
}
