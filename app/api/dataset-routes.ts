/** `GET /v1/datasets`: the contracts as JSON Schema, with counts, freshness, quality and the loss equation. */
import { z } from 'zod';
import type { Bus } from '../bus/bus.ts';
import type { Contract } from '../datasets/contract.ts';
import type { Equation, EquationTerms } from '../equation.ts';
import { jsonSchemaOf } from '../record/schema.ts';
import type { DatasetCounts, Warehouse } from '../warehouse/warehouse.ts';
import { checkDataset } from './access.ts';
import { datasetOf } from './dataset-parameter.ts';
import { parseQuery, sendJson } from './json-answer.ts';
import { asOf } from './read-answer.ts';
import type { Caller, Exchange, Route } from './route.ts';

interface DatasetRouteParts {
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly equation: () => Promise<Equation>;
  readonly now: () => number;
}

const NO_PARAMETERS = z.object({});

const equationSchema = z.object({
  accepted: z.int(),
  stored: z.int(),
  duplicate: z.int(),
  quarantined: z.int(),
  deadLettered: z.int(),
  expired: z.int(),
  erased: z.int(),
  inFlight: z.int(),
  overdue: z.int(),
  difference: z.int(),
});

const summarySchema = z.object({
  name: z.string(),
  title: z.string(),
  description: z.string(),
  version: z.int(),
  asOf: z.iso.datetime().nullable(),
  rows: z.int(),
  freshness: z.object({ ageSeconds: z.number(), promiseSeconds: z.number(), kept: z.boolean() }),
  quality: z.object({ quarantined: z.int(), rejected: z.int(), storedShare: z.number().nullable() }),
  equation: equationSchema,
});
const retentionSchema = z.object({
  days: z.record(z.string(), z.int()),
  expired: z.int(),
  erased: z.int(),
});
const detailSchema = summarySchema.extend({
  retention: retentionSchema,
  schema: z.record(z.string(), z.unknown()),
  contract: z.record(z.string(), z.unknown()),
});

export function datasetRoutes(parts: DatasetRouteParts): readonly Route[] {
  return [
    {
      method: 'get',
      path: '/v1/datasets',
      access: 'read',
      tag: 'Datasets',
      summary: 'List datasets',
      description: 'Every dataset the key may see, with counts, freshness, quality and the loss equation.',
      query: NO_PARAMETERS,
      answers: {
        200: {
          description: 'The datasets.',
          schema: z.object({ data: z.array(summarySchema), equation: equationSchema }),
        },
      },
      errors: ['PARAMETER_UNKNOWN', 'WAREHOUSE_UNAVAILABLE'],
      handle: (exchange) => listDatasets(parts, exchange),
    },
    {
      method: 'get',
      path: '/v1/datasets/:dataset',
      access: 'read',
      tag: 'Datasets',
      summary: 'Describe a dataset',
      description: 'Its contract, also as JSON Schema, with counts, freshness, quality and the loss equation.',
      query: NO_PARAMETERS,
      answers: { 200: { description: 'The dataset.', schema: detailSchema } },
      errors: ['DATASET_UNKNOWN', 'DATASET_FORBIDDEN', 'PARAMETER_UNKNOWN', 'WAREHOUSE_UNAVAILABLE'],
      examples: [{ summary: 'Flights', path: '/v1/datasets/flights' }],
      handle: (exchange) => describeDataset(parts, exchange),
    },
  ];
}

async function listDatasets(parts: DatasetRouteParts, exchange: Exchange): Promise<void> {
  parseQuery(NO_PARAMETERS, exchange.query);
  const [counts, equation] = await Promise.all([parts.warehouse.counts(), parts.equation()]);
  const visible = [...parts.contracts.values()].filter((one) => maySee(exchange.caller, one.name));
  sendJson(exchange, 200, {
    data: visible.map((contract) =>
      summaryOf(parts, contract, counts[contract.name], equation.datasets[contract.name]),
    ),
    equation: exchange.caller.datasets === undefined ? equation.total : sumOf(visible, equation),
  });
}

/** A key that is limited to datasets learns nothing of the others from a total. */
function sumOf(visible: readonly Contract[], { datasets, total }: Equation): EquationTerms {
  const names = Object.keys(total) as (keyof EquationTerms)[];
  const sums = names.map((name) => [name, visible.reduce((sum, one) => sum + (datasets[one.name]?.[name] ?? 0), 0)]);
  return Object.fromEntries(sums) as EquationTerms;
}

async function describeDataset(parts: DatasetRouteParts, exchange: Exchange): Promise<void> {
  parseQuery(NO_PARAMETERS, exchange.query);
  const contract = datasetOf(parts.contracts, exchange.request);
  checkDataset(exchange.caller, contract.name);
  const [counts, equation] = await Promise.all([parts.warehouse.counts(), parts.equation()]);
  const { derived, ...declared } = contract;
  const { expired = 0, erased = 0 } = equation.datasets[contract.name] ?? {};
  sendJson(exchange, 200, {
    ...summaryOf(parts, contract, counts[contract.name], equation.datasets[contract.name]),
    retention: { days: contract.retentionDays, expired, erased },
    schema: jsonSchemaOf(contract),
    contract: { ...declared, derived: derived?.fields ?? {} },
  });
}

function maySee(caller: Caller, dataset: string): boolean {
  return caller.datasets === undefined || caller.datasets.has(dataset);
}

function summaryOf(
  parts: DatasetRouteParts,
  contract: Contract,
  counts: DatasetCounts | undefined,
  equation: EquationTerms | undefined,
) {
  const oldestAtMs = parts.bus.backlog().find((one) => one.dataset === contract.name)?.oldestAtMs;
  const ageSeconds = oldestAtMs === undefined ? 0 : Math.max(0, (parts.now() - oldestAtMs) / 1000);
  const stored = counts?.stored ?? 0;
  const apart = (counts?.quarantined ?? 0) + (counts?.rejected ?? 0);
  return {
    name: contract.name,
    title: contract.title,
    description: contract.description,
    version: contract.version,
    asOf: asOf(parts.warehouse.version(contract.name, {})),
    rows: stored,
    freshness: { ageSeconds, promiseSeconds: contract.freshnessSeconds, kept: ageSeconds <= contract.freshnessSeconds },
    quality: {
      quarantined: counts?.quarantined ?? 0,
      rejected: counts?.rejected ?? 0,
      storedShare: stored + apart === 0 ? null : stored / (stored + apart),
    },
    equation,
  };
}
