/** `/livez` says that the process answers, `/readyz` that it can do its work. Open to all, by any host name. */
import { z } from 'zod';
import { sendJson } from './json-answer.ts';
import type { Readiness } from './readiness.ts';
import type { Exchange, Route } from './route.ts';

const probeSchema = z.object({
  status: z.enum(['ok', 'starting', 'stopping', 'failing']),
  checks: z.record(z.string(), z.string()).optional(),
});

export function probeRoutes(readiness: Pick<Readiness, 'look'>): readonly Route[] {
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
      description:
        'Bus, state and warehouse each answered a trivial question. With DISK_FULL for a part, writes are refused and reads go on: still 200. 503 while stopping, and at the start until the metrics were scraped once (SCRAPE_WAIT_MS).',
      answers: {
        200: { description: 'Ready.', schema: probeSchema },
        503: { description: 'Not ready, with the part that is not.', schema: probeSchema },
      },
      handle: async (exchange) => {
        const look = await readiness.look();
        sendProbe(exchange, look.status === 'ok' ? 200 : 503, look);
      },
    },
  ];
}

function sendProbe(exchange: Exchange, status: number, body: z.infer<typeof probeSchema>): void {
  exchange.response.setHeader('Cache-Control', 'no-store');
  sendJson(exchange, status, body);
}
