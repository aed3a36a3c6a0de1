/** `GET /v1/landing`: the files that wait, run, or came to their end, with what became of their records. */
import { z } from 'zod';
import { LANDING_STATES, type LandingFile } from '../state/landing-file.ts';
import type { State } from '../state/state.ts';
import { pageParameters, parseQuery, sendJson } from './json-answer.ts';
import type { Exchange, Route } from './route.ts';

interface LandingRouteParts {
  readonly state: Pick<State, 'landingFiles'>;
}

const query = z.object({
  dataset: z.string().optional().describe('Only this dataset.'),
  state: z.enum(LANDING_STATES).optional().describe('Only files in this state.'),
  limit: pageParameters.limit,
});
const fileSchema = z.object({
  id: z.string(),
  path: z.string(),
  dataset: z.string(),
  bytes: z.int(),
  state: z.enum(LANDING_STATES),
  seenAt: z.iso.datetime(),
  takenAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
  fileId: z.string().nullable(),
  records: z.int().nullable(),
  read: z.int(),
  stored: z.int(),
  duplicate: z.int(),
  quarantined: z.int(),
  rejected: z.int(),
  receipt: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  attempts: z.int(),
  retryAt: z.iso.datetime().nullable(),
  movedTo: z.string().nullable(),
});
export type ShownFile = z.infer<typeof fileSchema>;

export function landingRoutes(parts: LandingRouteParts): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/landing',
      access: 'load',
      tag: 'Status',
      summary: 'Files in the landing folder',
      description:
        'Newest first: files that wait, are checked, stored or tried again, and the last that came to their end (done, skipped, refused, gone).',
      query,
      answers: {
        200: {
          description: 'The files.',
          schema: z.object({ data: z.array(fileSchema), truncated: z.boolean() }),
        },
      },
      errors: ['PARAMETER_UNKNOWN', 'PARAMETER_INVALID', 'STATE_UNAVAILABLE'],
      handle: (exchange) => getLanding(parts, exchange),
    },
  ];
}

export function shownFile(file: LandingFile): ShownFile {
  const { id, path, dataset, bytes, state, counts, attempts } = file;
  return {
    id,
    path,
    dataset,
    bytes,
    state,
    seenAt: new Date(file.seenAtMs).toISOString(),
    takenAt: instant(file.takenAtMs),
    endedAt: instant(file.endedAtMs),
    fileId: file.fileId ?? null,
    records: file.records ?? null,
    ...counts,
    receipt: file.receipt ?? null,
    error: file.error ?? null,
    attempts,
    retryAt: instant(file.retryAtMs),
    movedTo: file.movedTo ?? null,
  };
}

async function getLanding({ state }: LandingRouteParts, exchange: Exchange): Promise<void> {
  const { dataset, state: wanted, limit } = parseQuery(query, exchange.query);
  const { caller } = exchange;
  const files = (await state.landingFiles())
    // A file that names no dataset is shown to who may see all.
    .filter((file) => caller.datasets === undefined || caller.datasets.has(file.dataset))
    .filter((file) => dataset === undefined || file.dataset === dataset)
    .filter((file) => wanted === undefined || file.state === wanted)
    .reverse();
  const data = files.slice(0, limit).map(shownFile);
  sendJson(exchange, 200, { data, truncated: files.length > limit });
}

function instant(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString();
}
