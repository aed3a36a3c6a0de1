/** Mounts the routes that datasets bring as data (`/data_analysis`, `/stats`, …) on the same cache and versions. */
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import type { DatasetRoute, RoutePlan } from '../datasets/route.ts';
import type { AggregateResult, PartitionsVersion, Warehouse } from '../warehouse/warehouse.ts';
import { checkDataset } from './access.ts';
import { canonicalQuery } from './query-grammar.ts';
import { parseQuery } from './json-answer.ts';
import { asOf, newestVersion, type ReadAnswers } from './read-answer.ts';
import type { Exchange, Route } from './route.ts';

interface OwnRouteParts {
  readonly config: Config;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly datasetRoutes: readonly DatasetRoute[];
  readonly warehouse: Warehouse;
  readonly answers: ReadAnswers;
}

export function ownRoutes(parts: OwnRouteParts): readonly Route[] {
  return parts.datasetRoutes.map((own) => ({
    method: 'get',
    path: own.path,
    access: 'read',
    tag: 'Datasets',
    summary: own.summary,
    description: own.description,
    query: own.query,
    answers: {
      200: {
        description: 'Headers `Vigia-As-Of` and `Vigia-Truncated` say how new and how whole it is.',
        schema: own.answer,
      },
    },
    errors: [
      ...(own.errors ?? []),
      'PARAMETER_UNKNOWN',
      'PARAMETER_INVALID',
      'DATASET_FORBIDDEN',
      'WAREHOUSE_UNAVAILABLE',
      'QUERY_TIMEOUT',
    ],
    examples: own.examples.map(({ query, summary }) => ({ summary, path: `${own.path}?${query}` })),
    handle: (exchange) => answerOwn(parts, own, exchange),
  }));
}

/** Rounds of reads after which commits are no longer waited out: an answer of several versions is then sent unkept. */
const ROUNDS_MAX = 3;

async function answerOwn(parts: OwnRouteParts, own: DatasetRoute, exchange: Exchange): Promise<void> {
  checkDataset(exchange.caller, own.dataset);
  const plan = own.plan(parseQuery(own.query, exchange.query));
  await parts.answers.answer(exchange, {
    question: `${own.path} ${plan.reads.map(canonicalQuery).join(' ')} ${exchange.query.toString()}`,
    mediaType: 'application/json',
    contractVersion: parts.contracts.get(own.dataset)?.version ?? 0,
    version: () => newestVersion(versionsOf(parts, plan)),
    run: async () => {
      const { results, at, mixed } = await readAll(parts, plan);
      return {
        body: JSON.stringify(plan.answer(results)),
        headers: {
          'Vigia-As-Of': asOf(at) ?? 'never',
          'Vigia-Truncated': String(results.some((result) => result.truncated)),
          ...(results.some((result) => result.approximate) ? { 'Vigia-Approximate': 'true' } : {}),
        },
        version: mixed ? undefined : at,
      };
    },
  });
}

interface Reading {
  readonly results: readonly AggregateResult[];
  /** Of all partitions when the reads began; of a mixed reading when they ended. */
  readonly at: PartitionsVersion;
  /** A commit came between two reads, in every round. */
  readonly mixed: boolean;
}

/** The reads of one answer, all as at one moment: what a commit got between is read again. */
async function readAll(parts: OwnRouteParts, plan: RoutePlan): Promise<Reading> {
  const { config, warehouse } = parts;
  const budget = { timeoutMs: config.READ_TIMEOUT_MS, rowsMax: config.READ_ROWS_MAX };
  for (let round = 1; ; round += 1) {
    const before = versionsOf(parts, plan);
    const results = await Promise.all(plan.reads.map((read) => warehouse.aggregate(read, budget)));
    const after = versionsOf(parts, plan);
    const mixed = !results.every((result, read) => isAsAt(before[read], { result, after: after[read] }));
    if (!mixed || round === ROUNDS_MAX) return { results, at: newestVersion(mixed ? after : before), mixed };
  }
}

function versionsOf({ warehouse }: OwnRouteParts, { reads }: RoutePlan): readonly PartitionsVersion[] {
  return reads.map((read) => warehouse.version(read.dataset, rangeOf(read)));
}

/** Pinned to that version by the warehouse, or nothing it touches has changed since. */
function isAsAt(
  before: PartitionsVersion | undefined,
  { result, after }: { readonly result: AggregateResult; readonly after: PartitionsVersion | undefined },
): boolean {
  if (before?.generation !== after?.generation) return false;
  return before?.commitNumber === after?.commitNumber || before?.commitNumber === result.version.commitNumber;
}

/** Event time bounds as `Warehouse.version` takes them. */
export function rangeOf({ fromMs, toMs }: { readonly fromMs?: number; readonly toMs?: number }) {
  return { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
}
