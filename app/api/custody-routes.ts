/** Rows set apart and messages given up: quarantine, dead letters and their replay, and the audit log. */
import { z } from 'zod';
import type { Bus, DeadLetterFilter } from '../bus/bus.ts';
import type { Contract } from '../datasets/contract.ts';
import { maskPersonal } from '../record/validate.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { QuarantinedRow, Warehouse } from '../warehouse/warehouse.ts';
import { allows } from './access.ts';
import type { ByteBudget } from './byte-budget.ts';
import { pageParameters, parseQuery, sendJson } from './json-answer.ts';
import { readJsonBody } from './json-body.ts';
import type { KeyAudit } from './key-audit.ts';
import { checkFilter, given, listRoute } from './list-route.ts';
import type { Exchange, Route } from './route.ts';

/** What the ids of each list look like; they are the cursors. */
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
  readonly keyAudit: KeyAudit;
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
  return [quarantineRoute(parts), deadLettersRoute(parts), replayRoute(parts), auditRoute(parts)];
}

function quarantineRoute({ contracts, warehouse }: CustodyRouteParts): Route {
  return listRoute({
    path: '/v1/quarantine',
    access: 'quarantine',
    summary: 'Rows set apart',
    description: 'Rejected rows with their reason, newest first. Personal fields are masked except for admin.',
    query: quarantineQuery,
    entry: quarantinedSchema,
    id: QUARANTINE_ID,
    unavailable: 'WAREHOUSE_UNAVAILABLE',
    find: (asked) => warehouse.quarantine(asked),
    idOf: (row) => row.id,
    show: (row, caller) => (allows(caller, 'admin') ? row : masked(contracts, row)),
  });
}

function masked(contracts: ReadonlyMap<string, Contract>, row: QuarantinedRow): QuarantinedRow {
  const contract = contracts.get(row.dataset);
  return contract === undefined ? { ...row, body: '', got: '' } : { ...row, body: maskPersonal(contract, row.body) };
}

function deadLettersRoute({ bus }: CustodyRouteParts): Route {
  return listRoute({
    path: '/v1/dead-letters',
    access: 'quarantine',
    summary: 'Messages given up',
    description: 'Messages that no attempt could store, with their reason, newest first.',
    query: deadLetterQuery,
    entry: deadLetterSchema,
    id: HEX_ID,
    unavailable: 'BUS_UNAVAILABLE',
    find: ({ limit, after, ...filter }) => bus.deadLetters({ filter: filterOf(filter), limit, ...given({ after }) }),
    idOf: ({ message }) => message.messageId,
    show: ({ message, code, reason, attempts, publishedAtMs, deadAtMs }) => ({
      messageId: message.messageId,
      dataset: message.dataset,
      rows: message.rowCount,
      code,
      reason,
      attempts,
      publishedAt: new Date(publishedAtMs).toISOString(),
      deadAt: new Date(deadAtMs).toISOString(),
    }),
  });
}

function auditRoute({ warehouse, keyAudit }: CustodyRouteParts): Route {
  return listRoute({
    path: '/v1/audit',
    access: 'admin',
    summary: 'Who ingested what, when, with what outcome',
    description: 'Each step of the pipeline and each act of an operator, newest first.',
    query: auditQuery,
    entry: auditSchema,
    id: HEX_ID,
    unavailable: 'WAREHOUSE_UNAVAILABLE',
    find: async (asked) => {
      await keyAudit.look();
      return warehouse.audit(asked);
    },
    idOf: (entry) => entry.id,
    show: (entry) => entry,
  });
}

function replayRoute(parts: CustodyRouteParts): Route {
  return {
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
    answers: { 200: { description: 'How many match.', schema: replayedSchema } },
    errors: [
      'PARAMETER_INVALID',
      'MALFORMED_JSON',
      'MEDIA_TYPE_UNSUPPORTED',
      'BODY_TOO_LARGE',
      'BODY_BYTES_EXHAUSTED',
      'DATASET_FORBIDDEN',
      'BUS_UNAVAILABLE',
      'WAREHOUSE_UNAVAILABLE',
    ],
    examples: [REPLAY_EXAMPLE],
    handle: (exchange) => replay(parts, exchange),
  };
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

interface TimeFilter {
  readonly dataset?: string | undefined;
  readonly code?: string | undefined;
  readonly messageIds?: readonly string[] | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

function filterOf({ from, to, ...filter }: TimeFilter): DeadLetterFilter {
  return {
    ...given(filter),
    ...(from === undefined ? {} : { fromMs: Date.parse(from) }),
    ...(to === undefined ? {} : { toMs: Date.parse(to) }),
  };
}
