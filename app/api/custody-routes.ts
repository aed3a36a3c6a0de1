/** Rows set apart and messages given up: quarantine, dead letters and their replay, and the audit log. */
import { z } from 'zod';
import type { Bus, DeadLetterFilter } from '../bus/bus.ts';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { maskPersonal } from '../record/validate.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AuditEntry, QuarantinedRow, Warehouse } from '../warehouse/warehouse.ts';
import { allows, checkDataset } from './access.ts';
import type { ByteBudget } from './byte-budget.ts';
import { pageParameters, parseQuery, sendJson } from './json-answer.ts';
import { readJsonBody } from './json-body.ts';
import type { Caller, Exchange, Route } from './route.ts';

/** What a page's last id looks like in each list; these are the cursors. */
const QUARANTINE_ID = /^[0-9a-f]{32}-\d{1,9}$/;
const HEX_ID = /^[0-9a-f]{32}$/;
/** How many dead letters one replay may put back. */
const REPLAY_MESSAGES_MAX = 10_000;

interface CustodyRouteParts {
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly telemetry: Pick<Telemetry, 'deadLettersReplayed'>;
  readonly budget: ByteBudget;
  readonly now: () => number;
}

const instant = z.iso.datetime({ offset: true });
const quarantineQuery = z.object({
  dataset: z.string().optional().describe('Only this dataset.'),
  code: z.string().optional().describe('Only this reason, for instance FIELD_TYPE.'),
  ...pageParameters,
});
const deadLetterQuery = z.object({
  dataset: z.string().optional().describe('Only this dataset.'),
  code: z.string().optional().describe('Only this reason, for instance MESSAGE_MALFORMED.'),
  from: instant.optional().describe('Given up at or after.'),
  to: instant.optional().describe('Given up before.'),
  ...pageParameters,
});
const auditQuery = z.object({
  dataset: z.string().optional().describe('Only this dataset.'),
  step: z.string().optional().describe('Only this step, for instance store.'),
  ...pageParameters,
});
const replayBody = z.strictObject({
  dataset: z.string().optional(),
  code: z.string().optional(),
  messageIds: z
    .array(z.string().regex(/^[0-9a-f]{32}$/))
    .max(REPLAY_MESSAGES_MAX)
    .optional(),
  from: instant.optional(),
  to: instant.optional(),
  dryRun: z.boolean().default(false),
});
const pageOf = <S extends z.ZodType>(entry: S) =>
  z.object({ data: z.array(entry), truncated: z.boolean(), nextCursor: z.string().nullable() });

const replayedSchema = z.object({ messages: z.int(), rows: z.int(), dryRun: z.boolean() });
const quarantinedSchema = z.object({
  id: z.string(),
  dataset: z.string(),
  requestId: z.string(),
  index: z.int(),
  origin: z.enum(['request', 'pipeline']),
  code: z.string(),
  pointer: z.string(),
  expected: z.string(),
  got: z.string(),
  body: z.string(),
  bodyBytes: z.int(),
  at: z.string(),
});
const deadLetterSchema = z.object({
  messageId: z.string(),
  dataset: z.string(),
  rows: z.int(),
  code: z.string(),
  reason: z.string(),
  attempts: z.int(),
  publishedAt: z.string(),
  deadAt: z.string(),
});
const auditSchema = z.object({
  id: z.string(),
  at: z.string(),
  step: z.string(),
  actor: z.string(),
  dataset: z.string(),
  source: z.string(),
  target: z.string(),
  startedAt: z.string(),
  endedAt: z.string(),
  read: z.int(),
  stored: z.int(),
  rejected: z.int(),
  outcome: z.enum(['ok', 'failed']),
  error: z.string(),
});

const REPLAY_EXAMPLE = {
  summary: 'How many would go back',
  path: '/v1/dead-letters/replay',
  body: { mediaType: 'application/json', text: '{"dataset":"flights","dryRun":true}' },
};

export function custodyRoutes(parts: CustodyRouteParts): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/quarantine',
      access: 'quarantine',
      tag: 'Custody',
      summary: 'Rows set apart',
      description: 'Rejected rows with their reason, newest first. Personal fields are masked except for admin.',
      query: quarantineQuery,
      answers: { 200: { description: 'A page.', schema: pageOf(quarantinedSchema) } },
      errors: [
        'PARAMETER_UNKNOWN',
        'PARAMETER_INVALID',
        'CURSOR_INVALID',
        'CURSOR_GONE',
        'DATASET_FORBIDDEN',
        'WAREHOUSE_UNAVAILABLE',
      ],
      handle: (exchange) => getQuarantine(parts, exchange),
    },
    {
      method: 'get',
      path: '/v1/dead-letters',
      access: 'quarantine',
      tag: 'Custody',
      summary: 'Messages given up',
      description: 'Messages that no attempt could store, with their reason, newest first.',
      query: deadLetterQuery,
      answers: { 200: { description: 'A page.', schema: pageOf(deadLetterSchema) } },
      errors: [
        'PARAMETER_UNKNOWN',
        'PARAMETER_INVALID',
        'CURSOR_INVALID',
        'CURSOR_GONE',
        'DATASET_FORBIDDEN',
        'BUS_UNAVAILABLE',
      ],
      handle: (exchange) => getDeadLetters(parts, exchange),
    },
    {
      method: 'post',
      path: '/v1/dead-letters/replay',
      access: 'admin',
      tag: 'Custody',
      summary: 'Put dead letters back on the bus',
      description: `At most ${REPLAY_MESSAGES_MAX} matching messages go back, with their ids and attempts from zero; audited. \`dryRun\` only counts.`,
      query: z.object({}),
      body: {
        description: 'The filter; everything when empty.',
        required: true,
        mediaTypes: { 'application/json': replayBody },
      },
      answers: {
        200: { description: 'How many match.', schema: replayedSchema },
      },
      errors: [
        'PARAMETER_INVALID',
        'MALFORMED_JSON',
        'MEDIA_TYPE_UNSUPPORTED',
        'BODY_TOO_LARGE',
        'BODY_BYTES_EXHAUSTED',
        'BUS_UNAVAILABLE',
        'WAREHOUSE_UNAVAILABLE',
      ],
      examples: [REPLAY_EXAMPLE],
      handle: (exchange) => replay(parts, exchange),
    },
    {
      method: 'get',
      path: '/v1/audit',
      access: 'admin',
      tag: 'Custody',
      summary: 'Who ingested what, when, with what outcome',
      description: 'Each step of the pipeline and each act of an operator, newest first.',
      query: auditQuery,
      answers: { 200: { description: 'A page.', schema: pageOf(auditSchema) } },
      errors: ['PARAMETER_UNKNOWN', 'PARAMETER_INVALID', 'CURSOR_INVALID', 'CURSOR_GONE', 'WAREHOUSE_UNAVAILABLE'],
      handle: (exchange) => getAudit(parts, exchange),
    },
  ];
}

async function getQuarantine({ contracts, warehouse }: CustodyRouteParts, exchange: Exchange): Promise<void> {
  const { limit, cursor, dataset, code } = parseQuery(quarantineQuery, exchange.query);
  checkFilter(exchange.caller, dataset);
  checkCursor(cursor, QUARANTINE_ID);
  const found = await warehouse.quarantine({
    ...(dataset === undefined ? {} : { dataset }),
    ...(code === undefined ? {} : { code }),
    ...(cursor === undefined ? {} : { after: cursor }),
    limit: limit + 1,
  });
  const plain = allows(exchange.caller, 'admin');
  sendPage(exchange, found, {
    limit,
    cursor,
    idOf: (row) => row.id,
    show: (row) => (plain ? row : masked(contracts, row)),
  });
}

function masked(contracts: ReadonlyMap<string, Contract>, row: QuarantinedRow): QuarantinedRow {
  const contract = contracts.get(row.dataset);
  return contract === undefined ? { ...row, body: '', got: '' } : { ...row, body: maskPersonal(contract, row.body) };
}

async function getDeadLetters({ bus }: CustodyRouteParts, exchange: Exchange): Promise<void> {
  const { limit, cursor, ...filter } = parseQuery(deadLetterQuery, exchange.query);
  checkFilter(exchange.caller, filter.dataset);
  checkCursor(cursor, HEX_ID);
  const found = await bus.deadLetters({
    filter: filterOf(filter),
    limit: limit + 1,
    ...(cursor === undefined ? {} : { after: cursor }),
  });
  sendPage(exchange, found, {
    limit,
    cursor,
    idOf: (letter) => letter.message.messageId,
    show: (letter) => ({
      messageId: letter.message.messageId,
      dataset: letter.message.dataset,
      rows: letter.message.rowCount,
      code: letter.code,
      reason: letter.reason,
      attempts: letter.attempts,
      publishedAt: new Date(letter.publishedAtMs).toISOString(),
      deadAt: new Date(letter.deadAtMs).toISOString(),
    }),
  });
}

async function replay(
  { bus, warehouse, telemetry, budget, now }: CustodyRouteParts,
  exchange: Exchange,
): Promise<void> {
  parseQuery(z.object({}), exchange.query);
  const { dryRun, ...filter } = await readJsonBody(exchange.request, { schema: replayBody, budget });
  checkFilter(exchange.caller, filter.dataset);
  const options = { filter: filterOf(filter), limit: REPLAY_MESSAGES_MAX };
  if (dryRun) {
    sendJson(exchange, 200, { ...(await bus.replay({ ...options, dryRun })), dryRun });
    return;
  }
  const actor = exchange.caller.keyId;
  const startedAt = new Date(now()).toISOString();
  const audit = {
    actor,
    dataset: filter.dataset ?? '*',
    source: 'dead letters',
    target: 'bus',
    startedAt,
    stored: 0,
    rejected: 0,
    outcome: 'ok',
    error: '',
  } as const;
  // The intent is written first: nothing goes back unaudited, whatever fails in between.
  await warehouse.writeAudit({ ...audit, at: startedAt, endedAt: startedAt, step: 'replay.asked', read: 0 });
  const replayed = await bus.replay({ ...options, dryRun });
  telemetry.deadLettersReplayed({ ...replayed, keyId: actor, requestId: exchange.requestId });
  const endedAt = new Date(now()).toISOString();
  await warehouse.writeAudit({ ...audit, at: endedAt, endedAt, step: 'replay', read: replayed.rows });
  sendJson(exchange, 200, { ...replayed, dryRun });
}

async function getAudit({ warehouse }: CustodyRouteParts, exchange: Exchange): Promise<void> {
  const { limit, cursor, dataset, step } = parseQuery(auditQuery, exchange.query);
  checkFilter(exchange.caller, dataset);
  checkCursor(cursor, HEX_ID);
  const found = await warehouse.audit({
    ...(dataset === undefined ? {} : { dataset }),
    ...(step === undefined ? {} : { step }),
    ...(cursor === undefined ? {} : { after: cursor }),
    limit: limit + 1,
  });
  sendPage<AuditEntry>(exchange, found, { limit, cursor, idOf: (entry) => entry.id, show: (entry) => entry });
}

interface PageOptions<T> {
  readonly limit: number;
  readonly cursor: string | undefined;
  readonly idOf: (entry: T) => string;
  readonly show: (entry: T) => unknown;
}

function sendPage<T>(exchange: Exchange, found: readonly T[], { limit, cursor, idOf, show }: PageOptions<T>): void {
  // A cursor is given out only when more follows: nothing after it means that its entry is gone.
  if (cursor !== undefined && found.length === 0) {
    throw new AppError({
      code: 'CURSOR_GONE',
      publicMessage: 'CURSOR_GONE: the entry where this page was to start is gone. Start again without cursor.',
      errors: [{ code: 'CURSOR_GONE', parameter: 'cursor' }],
    });
  }
  const entries = found.slice(0, limit);
  const last = entries.at(-1);
  const truncated = found.length > limit;
  sendJson(exchange, 200, {
    data: entries.map(show),
    truncated,
    nextCursor: truncated && last !== undefined ? idOf(last) : null,
  });
}

function checkCursor(cursor: string | undefined, pattern: RegExp): void {
  if (cursor === undefined || pattern.test(cursor)) return;
  throw new AppError({
    code: 'CURSOR_INVALID',
    publicMessage:
      'CURSOR_INVALID: this is no cursor of this list. Send nextCursor as it was answered, or start again without cursor.',
    errors: [{ code: 'CURSOR_INVALID', parameter: 'cursor', expected: 'nextCursor of this list' }],
  });
}

/** A key limited to datasets must name one of them. */
function checkFilter(caller: Caller, dataset: string | undefined): void {
  if (caller.datasets === undefined) return;
  if (dataset !== undefined) {
    checkDataset(caller, dataset);
    return;
  }
  throw new AppError({
    code: 'DATASET_FORBIDDEN',
    publicMessage: `DATASET_FORBIDDEN: this key may see ${[...caller.datasets].join(', ')}. Add dataset=… to the query.`,
  });
}

interface TimeFilter {
  readonly dataset?: string | undefined;
  readonly code?: string | undefined;
  readonly messageIds?: readonly string[] | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

function filterOf({ dataset, code, messageIds, from, to }: TimeFilter): DeadLetterFilter {
  return {
    ...(dataset === undefined ? {} : { dataset }),
    ...(code === undefined ? {} : { code }),
    ...(messageIds === undefined ? {} : { messageIds }),
    ...(from === undefined ? {} : { fromMs: Date.parse(from) }),
    ...(to === undefined ? {} : { toMs: Date.parse(to) }),
  };
}
