/** `/livez` says that the process answers, `/readyz` that it can do its work. Open to all, by any host name. */
import { z } from 'zod';
import { asAppError } from './problem.ts';
import { sendJson } from './json-answer.ts';
import type { Exchange, Route } from './route.ts';

export interface Readiness {
  /** Name → resolves when that part can work, rejects with the reason. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
  /** False from the first moment of a stop. */
  readonly accepting: () => boolean;
}

const probeSchema = z.object({
  status: z.enum(['ok', 'stopping', 'failing']),
  checks: z.record(z.string(), z.string()).optional(),
});

export function probeRoutes(readiness: Readiness): readonly Route[] {
  const exempt = { access: 'open', tag: 'Probes', query: z.object({}), errors: [], exempt: true } as const;
  return [
    {
      ...exempt,
      method: 'get',
      path: '/livez',
      summary: 'Is the process alive?',
      description: 'Touches nothing but the process: restart it when this does not answer.',
      answers: { 200: { description: 'Alive.', schema: probeSchema } },
      handle: (exchange) => sendProbe(exchange, 200, { status: 'ok' }),
    },
    {
      ...exempt,
      method: 'get',
      path: '/readyz',
      summary: 'Can it do its work?',
      description: 'Bus, state and warehouse each answered a trivial question. 503 while stopping.',
      answers: {
        200: { description: 'Ready.', schema: probeSchema },
        503: { description: 'Not ready, with the part that is not.', schema: probeSchema },
      },
      handle: (exchange) => ready(readiness, exchange),
    },
  ];
}

async function ready({ checks, accepting }: Readiness, exchange: Exchange): Promise<void> {
  if (!accepting()) {
    sendProbe(exchange, 503, { status: 'stopping' });
    return;
  }
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        await check();
        return [name, 'ok'] as const;
      } catch (error) {
        return [name, asAppError(error).code] as const;
      }
    }),
  );
  const failing = results.some(([, result]) => result !== 'ok');
  sendProbe(exchange, failing ? 503 : 200, { status: failing ? 'failing' : 'ok', checks: Object.fromEntries(results) });
}

function sendProbe(exchange: Exchange, status: number, body: z.infer<typeof probeSchema>): void {
  exchange.response.setHeader('Cache-Control', 'no-store');
  sendJson(exchange, status, body);
}
