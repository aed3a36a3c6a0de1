/** `GET /v1/receipts/:id`: what became of every row of one request, without a store of receipts. */
import { z } from 'zod';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import { isOverdue } from '../equation.ts';
import { AppError } from '../errors.ts';
import { type ReceiptFacts, readReceiptId } from '../record/receipt-id.ts';
import type { RowOutcome, Warehouse } from '../warehouse/warehouse.ts';
import { allows, checkDataset } from './access.ts';
import { type Receipt, receiptSchema } from './ingest.ts';
import { pageParameters, parseQuery, sendJson } from './json-answer.ts';
import type { Exchange, Route } from './route.ts';

const DAY_MS = 86_400_000;

interface ReceiptRouteParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly signingKey: Buffer;
  readonly now: () => number;
}

const rowSchema = z.object({
  index: z.int(),
  state: z.string(),
  code: z.string().optional(),
  pointer: z.string().optional(),
});
const answerSchema = receiptSchema.extend({
  rows: z.object({ data: z.array(rowSchema), truncated: z.boolean(), nextCursor: z.string().nullable() }),
});
const query = z.object({
  limit: pageParameters.limit,
  cursor: z
    .string()
    .regex(/^\d{1,9}$/)
    .optional()
    .describe('`nextCursor` of the page before: the last row number.'),
});

export function receiptRoutes(parts: ReceiptRouteParts): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/receipts/:id',
      access: 'any',
      tag: 'Records',
      summary: 'Follow a request',
      description:
        'Counts by state, and the rows that are not stored. Only for the key that made the request, or admin.',
      query,
      answers: { 200: { description: 'The receipt as it stands now.', schema: answerSchema } },
      errors: [
        'RECEIPT_INVALID',
        'DATASET_FORBIDDEN',
        'RECEIPT_GONE',
        'PARAMETER_UNKNOWN',
        'PARAMETER_INVALID',
        'WAREHOUSE_UNAVAILABLE',
      ],
      handle: (exchange) => getReceipt(parts, exchange),
    },
  ];
}

async function getReceipt(parts: ReceiptRouteParts, exchange: Exchange): Promise<void> {
  const { limit, cursor } = parseQuery(query, exchange.query);
  const facts = readReceiptId(String(exchange.request.params.id), parts.signingKey);
  checkOwner(exchange, facts);
  if (parts.now() - facts.receivedAtMs > parts.config.RECEIPT_DAYS * DAY_MS) {
    throw new AppError({
      code: 'RECEIPT_GONE',
      publicMessage: `RECEIPT_GONE: receipts are kept ${parts.config.RECEIPT_DAYS} days (RECEIPT_DAYS). Ask for the records themselves: GET /v1/datasets/${facts.dataset}/records`,
    });
  }
  // Bus first, then ledger: a message that left the bus before the first look is in the ledger at the second.
  const waiting = await parts.bus.findByRequest(facts.requestId);
  const settled = await parts.warehouse.requestOutcome(facts.requestId);
  const afterIndex = cursor === undefined ? -1 : Number(cursor);
  const found = await parts.warehouse.requestRows(facts.requestId, { afterIndex, limit: limit + 1 });
  const age = { acceptedAtMs: facts.receivedAtMs, nowMs: parts.now(), overdueMs: parts.config.OVERDUE_MS };
  const states = statesOf(facts, { waiting, settled, overdue: isOverdue(age) });
  sendJson(exchange, 200, { ...receiptOf(facts, states), rows: page(found, limit) });
}

/** A key sees its own receipts; whose a foreign one is, is not told. */
function checkOwner({ caller }: Exchange, facts: ReceiptFacts): void {
  checkDataset(caller, facts.dataset);
  if (facts.apiKeyId === caller.keyId || allows(caller, 'admin')) return;
  throw new AppError({
    code: 'RECEIPT_INVALID',
    publicMessage: 'RECEIPT_INVALID: there is no such receipt for this key. Use the key that made the request.',
  });
}

type Waiting = Awaited<ReturnType<Bus['findByRequest']>>;
type Settled = Awaited<ReturnType<Warehouse['requestOutcome']>>;

interface Found {
  readonly waiting: Waiting;
  readonly settled: Settled;
  /** So old that what is in no other state is overdue. */
  readonly overdue: boolean;
}

function statesOf(facts: ReceiptFacts, { waiting, settled, overdue }: Found): Receipt['states'] {
  const held = new Set(settled.messageIds);
  const dead = waiting.filter((one) => one.state === 'dead' && !held.has(one.messageId));
  // A retried request is on the bus twice: what waits may be copies of rows that are settled, and those come first.
  let left = facts.accepted;
  const take = (rows: number): number => {
    const taken = Math.min(rows, left);
    left -= taken;
    return taken;
  };
  const stored = take(settled.stored);
  const quarantined = take(settled.quarantined);
  const removed = (state: 'expired' | 'erased'): number => rowsOf(waiting.filter((one) => one.state === state));
  const expired = take(settled.expired + removed('expired'));
  const erased = take(settled.erased + removed('erased'));
  const duplicate = take(settled.duplicate);
  const deadLettered = take(rowsOf(dead));
  const unsettled = overdue ? { inFlight: 0, overdue: left } : { inFlight: left, overdue: 0 };
  return { ...unsettled, stored, duplicate, quarantined, deadLettered, expired, erased };
}

function rowsOf(messages: Waiting): number {
  return messages.reduce((rows, { rowCount }) => rows + rowCount, 0);
}

function receiptOf(facts: ReceiptFacts, states: Receipt['states']): Receipt & { readonly id: string } {
  return {
    id: facts.id,
    dataset: facts.dataset,
    receivedAt: new Date(facts.receivedAtMs).toISOString(),
    received: facts.accepted + facts.rejected,
    accepted: facts.accepted,
    rejected: facts.rejected,
    states,
  };
}

function page(found: readonly RowOutcome[], limit: number) {
  const data = found.slice(0, limit);
  const truncated = found.length > limit;
  return { data, truncated, nextCursor: truncated ? String(data.at(-1)?.index ?? '') : null };
}
