/** `GET …/records` and `GET …/aggregates`: the query grammar over one dataset, as JSON or CSV. */
import { z } from 'zod';
import type { Config } from '../config.ts';
import type { Contract, RowValue } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { csvLine } from '../record/csv-out.ts';
import { type AggregateQuery, BUCKETS, MEASURES, OPERATORS, type RecordsQuery } from '../warehouse/query.ts';
import type { PartitionsVersion, RecordsResult, Warehouse } from '../warehouse/warehouse.ts';
import { checkDataset } from './access.ts';
import { decodeCursor, encodeCursor, type PageCursor } from './cursor.ts';
import { datasetOf } from './dataset-parameter.ts';
import { AskedAggregates } from './asked-aggregates.ts';
import { canonicalQuery, parseRecordsQuery } from './query-grammar.ts';
import { asOf, type ReadAnswers, type ReadResult } from './read-answer.ts';
import { rangeOf } from './own-routes.ts';
import type { Exchange, Route } from './route.ts';

interface ReadRouteParts {
  readonly config: Config;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly warehouse: Warehouse;
  readonly signingKey: Buffer;
  readonly answers: ReadAnswers;
}

const JSON_TYPE = 'application/json';
const CSV_TYPE = 'text/csv; charset=utf-8';

const filterParameters = {
  where: z
    .array(z.string())
    .optional()
    .describe(`\`FIELD:OPERATOR:VALUE\`, repeated = and. Operators: ${OPERATORS.join(', ')}.`),
  from: z.string().optional().describe('Event time at or after, RFC 3339.'),
  to: z.string().optional().describe('Event time before, RFC 3339.'),
};
const recordsQuery = z.object({
  ...filterParameters,
  order: z
    .string()
    .optional()
    .describe('A field, `-field` for descending, or `commit`: the order in which rows became readable.'),
  limit: z.int().optional().describe('Rows in the page; at most READ_ROWS_MAX.'),
  cursor: z.string().optional().describe('`nextCursor` or `resumeCursor` of an answer to the same query.'),
});
const aggregatesQuery = z.object({
  measure: z.array(z.string()).describe(`\`count\` or \`MEASURE:FIELD\`. Measures: ${MEASURES.join(', ')}.`),
  by: z.array(z.string()).optional().describe('Dimensions.'),
  bucket: z
    .array(z.string())
    .optional()
    .describe(`\`FIELD:UNIT\`. Units: ${BUCKETS.join(', ')}.`),
  tz: z.string().optional().describe('IANA time zone in which buckets are cut; UTC by default.'),
  ...filterParameters,
  order: z.array(z.string()).optional().describe('Names as answered, `-name` for descending.'),
  limit: z.int().optional().describe('Groups; at most READ_ROWS_MAX.'),
});
const rows = z.array(z.record(z.string(), z.unknown()));
const recordsSchema = z.object({
  data: rows,
  asOf: z.iso.datetime().nullable(),
  truncated: z.boolean(),
  nextCursor: z.string().nullable(),
  resumeCursor: z.string().optional(),
});
const aggregatesSchema = z.object({
  data: rows,
  asOf: z.iso.datetime().nullable(),
  truncated: z.boolean(),
  nextCursor: z.null(),
  approximate: z.boolean().optional(),
});

const READ = { method: 'get', access: 'read', tag: 'Records' } as const;
const MEDIA_TYPES = [JSON_TYPE, 'text/csv'];
const READ_ERRORS = [
  'DATASET_UNKNOWN',
  'DATASET_FORBIDDEN',
  'PARAMETER_UNKNOWN',
  'PARAMETER_INVALID',
  'NOT_ACCEPTABLE',
  'OVERLOADED',
  'WAREHOUSE_UNAVAILABLE',
  'QUERY_TIMEOUT',
  'QUERY_TOO_LARGE',
] as const;

export function readRoutes(parts: ReadRouteParts): readonly Route[] {
  return [recordsRoute(parts), aggregatesRoute(parts)];
}

function recordsRoute(parts: ReadRouteParts): Route {
  return {
    ...READ,
    path: '/v1/datasets/:dataset/records',
    summary: 'Read records',
    description: 'Filters, time range, order and pages that never skip, repeat or add a row while rows arrive.',
    query: recordsQuery,
    answers: {
      200: {
        description: 'A page. CSV carries asOf, truncated and the cursors in `Vigia-` headers.',
        schema: recordsSchema,
        mediaTypes: MEDIA_TYPES,
      },
    },
    errors: [...READ_ERRORS, 'CURSOR_INVALID', 'CURSOR_GONE'],
    examples: [
      {
        summary: 'The most delayed flights from San Francisco',
        path: '/v1/datasets/flights/records?where=origin:eq:SFO&order=-delay&limit=10',
      },
    ],
    handle: (exchange) => getRecords(parts, exchange),
  };
}

function aggregatesRoute(parts: ReadRouteParts): Route {
  const asked = new AskedAggregates({ rowsMax: parts.config.READ_ROWS_MAX });
  return {
    ...READ,
    path: '/v1/datasets/:dataset/aggregates',
    summary: 'Aggregate records',
    description: 'Measures by dimensions and time buckets.',
    query: aggregatesQuery,
    answers: { 200: { description: 'The groups.', schema: aggregatesSchema, mediaTypes: MEDIA_TYPES } },
    errors: [...READ_ERRORS, 'PARAMETER_MISSING'],
    examples: [
      {
        summary: 'Flights and their mean delay by airport',
        path: '/v1/datasets/flights/aggregates?measure=count&measure=avg:delay&by=origin&order=-count&limit=10',
      },
    ],
    handle: (exchange) => getAggregates({ ...parts, asked }, exchange),
  };
}

async function getRecords(parts: ReadRouteParts, exchange: Exchange): Promise<void> {
  const { config, warehouse, signingKey: key } = parts;
  const contract = datasetOf(parts.contracts, exchange.request);
  checkDataset(exchange.caller, contract.name);
  const { query, cursor } = parseRecordsQuery(contract, exchange.query, { rowsMax: config.READ_ROWS_MAX });
  const version = (): PartitionsVersion => warehouse.version(contract.name, rangeOf(query));
  const place =
    cursor === undefined ? undefined : decodeCursor(cursor, { key, query, generation: version().generation });
  const mediaType = mediaTypeOf(exchange);
  await parts.answers.answer(exchange, {
    question: `records ${canonicalQuery(query)} ${cursor ?? ''}`,
    mediaType,
    contractVersion: contract.version,
    version,
    run: async () => {
      const at = version();
      const commitMax = place?.commitMax ?? at.commitNumber;
      const after = place === undefined ? {} : { after: { value: place.value, eventId: place.eventId } };
      const result = await warehouse.records({ ...query, commitMax, ...after }, budgetOf(config));
      const seal = (one: PageCursor): string => encodeCursor(one, { key, query, generation: at.generation });
      return recordsAnswer({ result, query, contract, at, mediaType, commitMax, place, seal });
    },
  });
}

interface RecordsAnswerOptions {
  readonly result: RecordsResult;
  readonly query: RecordsQuery;
  readonly contract: Contract;
  readonly at: PartitionsVersion;
  readonly mediaType: string;
  readonly commitMax: number;
  readonly place: PageCursor | undefined;
  readonly seal: (cursor: PageCursor) => string;
}

function recordsAnswer({
  result,
  query,
  contract,
  at,
  mediaType,
  commitMax,
  place,
  seal,
}: RecordsAnswerOptions): ReadResult {
  const next = result.next === undefined ? null : seal({ ...cursorPlace(result.next), commitMax });
  // A follower goes on after the last row it saw, also when this page brought none.
  const last = result.last === undefined ? place : cursorPlace(result.last);
  const resume =
    query.order === 'commit' && next === null && last !== undefined
      ? { resumeCursor: seal({ value: last.value, eventId: last.eventId }) }
      : {};
  const envelope = { asOf: asOf(at), truncated: next !== null, nextCursor: next, ...resume };
  const columns = [...Object.keys(contract.fields), ...Object.keys(contract.derived?.fields ?? {}), '_id'];
  return shaped({ data: result.data, envelope, columns, mediaType, version: at });
}

function cursorPlace({ value, eventId }: { readonly value: RowValue; readonly eventId: string }): PageCursor {
  if (typeof value === 'object' && value !== null) throw new Error('a list cannot order a page');
  return { value, eventId };
}

async function getAggregates(
  parts: ReadRouteParts & { readonly asked: AskedAggregates },
  exchange: Exchange,
): Promise<void> {
  const { config, warehouse, asked } = parts;
  const contract = datasetOf(parts.contracts, exchange.request);
  checkDataset(exchange.caller, contract.name);
  const { query, canonical } = asked.of(contract, exchange);
  const mediaType = mediaTypeOf(exchange);
  await parts.answers.answer(exchange, {
    question: `aggregates ${canonical}`,
    mediaType,
    contractVersion: contract.version,
    version: () => warehouse.version(contract.name, rangeOf(query)),
    run: async () => {
      const { data, truncated, approximate, version } = await warehouse.aggregate(query, budgetOf(config));
      const envelope = { asOf: asOf(version), truncated, nextCursor: null, ...(approximate ? { approximate } : {}) };
      return shaped({ data, envelope, columns: aggregateColumns(query), mediaType, version });
    },
  });
}

function aggregateColumns({ by, buckets, measures }: AggregateQuery): readonly string[] {
  return [
    ...by,
    ...buckets.map(({ field, unit }) => `${field}_${unit}`),
    ...measures.map(({ fn, field }) => (field === undefined ? fn : `${fn}_${field}`)),
  ];
}

interface Shaped {
  readonly data: readonly Readonly<Record<string, RowValue>>[];
  readonly envelope: Readonly<Record<string, unknown>>;
  readonly columns: readonly string[];
  readonly mediaType: string;
  readonly version: PartitionsVersion;
}

/** JSON carries the envelope in the body, CSV in headers. */
function shaped({ data, envelope, columns, mediaType, version }: Shaped): ReadResult {
  if (mediaType === JSON_TYPE) return { body: JSON.stringify({ data, ...envelope }), headers: {}, version };
  const { asOf: asOfText, truncated, nextCursor, resumeCursor, approximate } = envelope;
  const headers: Record<string, string> = {
    'Vigia-As-Of': String(asOfText ?? 'never'),
    'Vigia-Truncated': String(truncated),
  };
  if (typeof nextCursor === 'string') headers['Vigia-Next-Cursor'] = nextCursor;
  if (typeof resumeCursor === 'string') headers['Vigia-Resume-Cursor'] = resumeCursor;
  if (approximate === true) headers['Vigia-Approximate'] = 'true';
  const lines = data.map((row) => csvLine(columns.map((column) => row[column])));
  return { body: csvLine(columns) + lines.join(''), headers, version };
}

function mediaTypeOf({ request }: Exchange): string {
  const wanted = request.headers.accept;
  // What most programs send, without the negotiation.
  if (wanted === undefined || wanted === '*/*' || wanted === JSON_TYPE) return JSON_TYPE;
  const accepted = request.accepts(['application/json', 'text/csv']);
  if (accepted === 'text/csv') return CSV_TYPE;
  if (accepted === 'application/json') return JSON_TYPE;
  throw new AppError({
    code: 'NOT_ACCEPTABLE',
    publicMessage: 'NOT_ACCEPTABLE: records are answered as application/json or text/csv. Send one of them in Accept.',
  });
}

function budgetOf(config: Config) {
  return { timeoutMs: config.READ_TIMEOUT_MS, rowsMax: config.READ_ROWS_MAX };
}
