/** `/v1/slo`: objectives with the budget left, as far as a Prometheus can tell; and tickets for the WebSocket. */
import { hash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Config } from '../config.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { parseQuery, sendJson } from './json-answer.ts';
import type { Exchange, Route } from './route.ts';

/** A budget that is not read within this is unknown. */
const PROMETHEUS_TIMEOUT_MS = 2_000;
const NO_PARAMETERS = z.object({});

interface StatusRouteParts {
  readonly config: Config;
  readonly state: State;
  readonly telemetry: Pick<Telemetry, 'dependency'>;
  readonly now: () => number;
}

/** What this route needs of `objectives.json`. The query answers the budget left: 1 whole, 0 spent, below 0 overspent. */
const objectivesFile = z.object({
  objectives: z.array(
    z.looseObject({
      name: z.string(),
      target: z.number(),
      windowDays: z.number(),
      budgetLeftQuery: z.string().optional(),
    }),
  ),
});
type Objective = z.infer<typeof objectivesFile>['objectives'][number];

const sloSchema = z.object({
  state: z.enum(['known', 'unknown']),
  reason: z.string().nullable(),
  objectives: z.array(
    z.looseObject({ name: z.string(), target: z.number(), windowDays: z.number(), budgetLeft: z.number().nullable() }),
  ),
});
const ticketSchema = z.object({ ticket: z.string(), expiresAt: z.iso.datetime() });

export function statusRoutes(parts: StatusRouteParts): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/slo',
      access: 'read',
      tag: 'Status',
      summary: 'Objectives and the budget left',
      description: 'From OBJECTIVES_FILE and PROMETHEUS_URL; what cannot be read is unknown, never guessed.',
      query: NO_PARAMETERS,
      answers: { 200: { description: 'The objectives.', schema: sloSchema } },
      errors: ['PARAMETER_UNKNOWN'],
      handle: (exchange) => getSlo(parts, exchange),
    },
    {
      method: 'post',
      path: '/v1/ws-tickets',
      access: 'read',
      tag: 'Status',
      summary: 'A ticket for /ws/status',
      description:
        'Good once and for a short time (WS_TICKET_SECONDS): browsers cannot send a key with a WebSocket, and keys never travel in a URL.',
      query: NO_PARAMETERS,
      answers: { 201: { description: 'Connect to /ws/status?ticket=…', schema: ticketSchema } },
      errors: ['PARAMETER_UNKNOWN', 'STATE_UNAVAILABLE'],
      handle: (exchange) => makeTicket(parts, exchange),
    },
  ];
}

/** What the state store keeps of a ticket. */
export function ticketHash(ticket: string): string {
  return hash('sha256', ticket);
}

async function makeTicket({ config, state, now }: StatusRouteParts, exchange: Exchange): Promise<void> {
  parseQuery(NO_PARAMETERS, exchange.query);
  const ticket = randomBytes(32).toString('base64url');
  const expiresAtMs = now() + config.WS_TICKET_SECONDS * 1000;
  await state.addTicket(ticketHash(ticket), { apiKeyId: exchange.caller.keyId, expiresAtMs });
  sendJson(exchange, 201, { ticket, expiresAt: new Date(expiresAtMs).toISOString() });
}

async function getSlo({ config, telemetry }: StatusRouteParts, exchange: Exchange): Promise<void> {
  parseQuery(NO_PARAMETERS, exchange.query);
  const objectives = await readObjectives(config.OBJECTIVES_FILE);
  if (objectives === undefined) {
    sendJson(exchange, 200, {
      state: 'unknown',
      reason: 'there is no objectives file (OBJECTIVES_FILE)',
      objectives: [],
    });
    return;
  }
  const budgets = await Promise.all(objectives.map((one) => readBudget(telemetry, config.PROMETHEUS_URL, one)));
  const known = budgets.some((budget) => budget !== null);
  const reason =
    config.PROMETHEUS_URL === '' ? 'no Prometheus is configured (PROMETHEUS_URL)' : 'Prometheus did not answer';
  sendJson(exchange, 200, {
    state: known ? 'known' : 'unknown',
    reason: known ? null : reason,
    objectives: objectives.map(({ name, target, windowDays }, index) => ({
      name,
      target,
      windowDays,
      budgetLeft: budgets[index] ?? null,
    })),
  });
}

async function readObjectives(file: string): Promise<readonly Objective[] | undefined> {
  try {
    return objectivesFile.parse(JSON.parse(await readFile(file, 'utf8'))).objectives;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const instantAnswer = z.object({
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
});

/** Null when it cannot be known: no Prometheus, no answer, no series. */
async function readBudget(
  telemetry: StatusRouteParts['telemetry'],
  prometheusUrl: string,
  { budgetLeftQuery }: Objective,
): Promise<number | null> {
  if (prometheusUrl === '' || budgetLeftQuery === undefined) return null;
  const url = new URL('/api/v1/query', prometheusUrl);
  url.searchParams.set('query', budgetLeftQuery);
  const ask = async (): Promise<unknown> => {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PROMETHEUS_TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`Prometheus answered ${answer.status}`);
    return answer.json();
  };
  // Counted as a failed call; the caller is told that the budget is unknown.
  const answered = await telemetry
    .dependency({ dependency: 'prometheus', operation: 'query' }, ask)
    .catch(() => undefined);
  const value = Number(instantAnswer.safeParse(answered).data?.data.result[0]?.value[1] ?? Number.NaN);
  return Number.isFinite(value) ? value : null;
}
