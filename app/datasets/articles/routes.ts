/**
 * `/articles/readers`: readers, articles or mentions by saga or by character.
 *
 * In each group an article's readers count once. By saga the groups add up, because an article has one saga; by entity
 * they do not, because an article that names three characters is in three groups. So `total_readers`, which promises
 * groups that add up, is refused by entity, and the answer names the model that has it.
 */
import { z } from 'zod';
import { AppError } from '../../errors.ts';
import type { AggregateQuery, Measure, Where } from '../../warehouse/query.ts';
import type { AggregateResult } from '../../warehouse/warehouse.ts';
import type { RowValue } from '../contract.ts';
import type { DatasetRoute, RoutePlan } from '../route.ts';

const GROUPS = ['saga', 'entity'] as const;
const MEASURES = ['readers', 'total_readers', 'articles', 'mentions'] as const;
type Group = (typeof GROUPS)[number];
type MeasureName = (typeof MEASURES)[number];

const GROUPS_DEFAULT = 100;
const GROUPS_MAX = 1_000;

const number = z.union([z.int(), z.string().describe('Beyond 2^53.')]);

const query = z.strictObject({
  by: z.enum(GROUPS).describe('What an answer row stands for.'),
  measure: z
    .enum(MEASURES)
    .default('readers')
    .describe(
      'readers: of the articles in a group, each article once. total_readers: the same, with groups that add up (by=saga only). articles: how many. mentions: how often characters are named.',
    ),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, `a whole number from 1 to ${GROUPS_MAX}`)
    .refine((text) => Number(text) <= GROUPS_MAX, `a whole number from 1 to ${GROUPS_MAX}`)
    .default(String(GROUPS_DEFAULT))
    .describe(`Groups in the answer, largest first; at most ${GROUPS_MAX}.`),
});

const answer = z.object({
  by: z.enum(GROUPS),
  measure: z.enum(MEASURES),
  data: z.array(z.object({ saga: z.string().optional(), entity: z.string().optional(), value: number })),
  total: number.nullable().describe('Over all groups, also those beyond the limit; null where groups do not add up.'),
  unclassified: z
    .object({ articles: number, readers: number })
    .describe('Articles without a saga (empty texts) and their readers; in no group by saga and not in the total.'),
});

export const routes: readonly DatasetRoute[] = [
  {
    path: '/articles/readers',
    dataset: 'articles',
    summary: 'Readers by saga or by character',
    description:
      "Counts an article's readers once in each group. `total_readers` is coarser than the grain of by=entity and refused there (GRAIN_TOO_FINE), naming the model that answers it. Texts that cannot be classified are answered apart in `unclassified`.",
    query,
    answer,
    errors: ['GRAIN_TOO_FINE'],
    examples: [
      { query: 'by=saga', summary: 'Readers of each saga' },
      { query: 'by=entity&limit=10', summary: 'The ten characters with most readers' },
      { query: 'by=entity&measure=mentions', summary: 'How often each character is named' },
    ],
    plan,
  },
];

interface Asked {
  readonly by: Group;
  readonly measure: MeasureName;
  readonly limit: number;
}

function plan(values: Readonly<Record<string, unknown>>): RoutePlan {
  // Parsed again, because the defaults belong to the route: a caller may hand in the query as it came.
  const parsed = query.parse(values);
  const asked: Asked = { by: parsed.by, measure: parsed.measure, limit: Number(parsed.limit) };
  if (asked.by === 'entity' && asked.measure === 'total_readers') throw grainTooFine();
  const reads = [groupsOf(asked), unclassified(), ...(addsUp(asked) ? [totalOf(asked)] : [])];
  return { reads, answer: (results) => body(asked, results) };
}

function grainTooFine(): AppError {
  return new AppError({
    code: 'GRAIN_TOO_FINE',
    publicMessage:
      'GRAIN_TOO_FINE: total_readers counts each article once over all groups, but by=entity counts an article in every character it names. The model articles_readers_by_saga answers it: ask for by=saga&measure=total_readers, or for by=entity&measure=readers, whose groups do not add up.',
    errors: [
      {
        code: 'GRAIN_TOO_FINE',
        parameter: 'measure',
        expected: 'readers, articles or mentions with by=entity',
        got: 'total_readers',
      },
    ],
  });
}

/** Mentions belong to one character each; an article has one saga but may name many characters. */
function addsUp({ by, measure }: Asked): boolean {
  return by === 'saga' || measure === 'mentions';
}

/** By saga an article is a silver row; characters are rows of the fact model only. */
function source({ by, measure }: Asked): { readonly model?: string; readonly where: readonly Where[] } {
  const model = by === 'entity' || measure === 'mentions' ? { model: 'fact_readers' } : {};
  return { ...model, where: by === 'saga' ? [{ field: 'saga', op: 'notnull', values: [] }] : [] };
}

function measureOf({ measure }: Asked): Measure {
  switch (measure) {
    case 'readers':
    case 'total_readers':
      return { fn: 'sum', field: 'readers' };
    case 'articles':
      return { fn: 'count' };
    case 'mentions':
      return { fn: 'sum', field: 'entity_count' };
  }
}

/** The name under which the warehouse answers the measure. */
function measureColumn(asked: Asked): string {
  const { fn, field } = measureOf(asked);
  return field === undefined ? fn : `${fn}_${field}`;
}

function groupsOf(asked: Asked): AggregateQuery {
  return {
    dataset: 'articles',
    ...source(asked),
    limit: asked.limit,
    measures: [measureOf(asked)],
    by: [asked.by],
    buckets: [],
    timeZone: 'UTC',
    order: [{ name: measureColumn(asked), descending: true }],
  };
}

function totalOf(asked: Asked): AggregateQuery {
  return { ...groupsOf(asked), limit: 1, by: [], order: [] };
}

function unclassified(): AggregateQuery {
  return {
    dataset: 'articles',
    where: [{ field: 'saga', op: 'null', values: [] }],
    limit: 1,
    measures: [{ fn: 'count' }, { fn: 'sum', field: 'readers' }],
    by: [],
    buckets: [],
    timeZone: 'UTC',
    order: [],
  };
}

function body(asked: Asked, [groups, apart, total]: readonly AggregateResult[]): z.infer<typeof answer> {
  const column = measureColumn(asked);
  return {
    by: asked.by,
    measure: asked.measure,
    data: (groups?.data ?? []).map((row) => ({ [asked.by]: String(row[asked.by]), value: whole(row[column]) })),
    total: addsUp(asked) ? whole(total?.data[0]?.[column]) : null,
    unclassified: { articles: whole(apart?.data[0]?.['count']), readers: whole(apart?.data[0]?.['sum_readers']) },
  };
}

/** A sum over nothing is null in the warehouse and nobody here. */
function whole(value: RowValue | undefined): number | string {
  return typeof value === 'number' || typeof value === 'string' ? value : 0;
}
