/** Mounts the routes that datasets bring as data (`/data_analysis`, `/stats`, …) on the same cache and versions. */
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import type { DatasetRoute } from '../datasets/route.ts';
import type { PartitionsVersion, Warehouse } from '../warehouse/warehouse.ts';
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

async function answerOwn(
  { config, contracts, warehouse, answers }: OwnRouteParts,
  own: DatasetRoute,
  exchange: Exchange,
): Promise<void> {
  checkDataset(exchange.caller, own.dataset);
  const plan = own.plan(parseQuery(own.query, exchange.query));
  const budget = { timeoutMs: config.READ_TIMEOUT_MS, rowsMax: config.READ_ROWS_MAX };
  const version = (): PartitionsVersion =>
    newestVersion(plan.reads.map((read) => warehouse.version(read.dataset, rangeOf(read))));
  await answers.answer(exchange, {
    question: `${own.path} ${plan.reads.map(canonicalQuery).join(' ')} ${exchange.query.toString()}`,
    mediaType: 'application/json',
    contractVersion: contracts.get(own.dataset)?.version ?? 0,
    version,
    run: async () => {
      // Taken before the reads: a commit between two of them must not make an older answer pass as its own.
      const at = version();
      const results = await Promise.all(plan.reads.map((read) => warehouse.aggregate(read, budget)));
      return {
        body: JSON.stringify(plan.answer(results)),
        headers: {
          'Vigia-As-Of': asOf(at) ?? 'never',
          'Vigia-Truncated': String(results.some((result) => result.truncated)),
          ...(results.some((result) => result.approximate) ? { 'Vigia-Approximate': 'true' } : {}),
        },
        version: at,
      };
    },
  });
}

/** Event time bounds as `Warehouse.version` takes them. */
export function rangeOf({ fromMs, toMs }: { readonly fromMs?: number; readonly toMs?: number }) {
  return { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
}
