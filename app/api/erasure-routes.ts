/** `DELETE …/records`: takes records out of every store, by their id or their key. */
import { z } from 'zod';
import type { Contract } from '../datasets/contract.ts';
import { canonicalTimestamp } from '../record/canonical.ts';
import type { RecordSelector } from '../warehouse/erasable.ts';
import { canonicalText, parameterError, parseQueryValue } from '../warehouse/query-value.ts';
import { checkDataset } from './access.ts';
import { datasetOf } from './dataset-parameter.ts';
import { sendJson, unknownParameter } from './json-answer.ts';
import type { Exchange, Route } from './route.ts';

export interface ErasureRequest {
  readonly contract: Contract;
  readonly selector: RecordSelector;
  /** The API key's id. */
  readonly actor: string;
}

/** Rows and records by where they were found; a record with copies counts once for each. */
export interface ErasureCounts {
  readonly silver: number;
  readonly quarantine: number;
  readonly deadLetters: number;
  readonly bronze: number;
  readonly bus: number;
  readonly archive: number;
}

export interface ErasureOutcome {
  readonly counts: ErasureCounts;
  /** Accepted rows that are in the state `erased` now, or would be. */
  readonly erased: number;
  readonly state: 'surveyed' | 'done' | 'running';
}

export interface Erasures {
  /** What an erasure would take; changes nothing. */
  survey(request: ErasureRequest): Promise<ErasureOutcome>;
  /** Resolves when it is done, or goes on by itself. */
  erase(request: ErasureRequest): Promise<ErasureOutcome>;
}

interface ErasureRouteParts {
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly erasures: Erasures;
}

const query = z.object({
  key: z
    .array(z.string())
    .describe(
      "A record's `_id`; or, repeated for each field of the dataset's key, `FIELD:VALUE`, for the records of every day; or the `id` of a row in quarantine.",
    ),
  dryRun: z.enum(['true', 'false']).optional().describe('`true` only counts.'),
});
const outcomeSchema = z.object({
  dataset: z.string(),
  dryRun: z.boolean(),
  state: z.enum(['surveyed', 'done', 'running']),
  counts: z.object({
    silver: z.int(),
    quarantine: z.int(),
    deadLetters: z.int(),
    bronze: z.int(),
    bus: z.int(),
    archive: z.int(),
  }),
  erased: z.int(),
  compactionDue: z.boolean(),
});

export function erasureRoutes(parts: ErasureRouteParts): readonly Route[] {
  return [
    {
      method: 'delete',
      path: '/v1/datasets/:dataset/records',
      access: 'admin',
      tag: 'Records',
      summary: 'Erase records',
      description:
        'Takes records out of silver, gold, quarantine, dead letters, bronze, the bus and the archive, with their duplicates, conflicts and rejected copies; the ledger keeps them as erased. What was accepted before is settled first. A key that nobody has is answered with zeros. Freed pages of the databases hold old bytes until `npm run compact`, or the next start. Files that wait in landing or were refused there, and backups, are not reached. The same record sent later is a new one.',
      query,
      answers: {
        200: { description: 'Done, or on a dry run what it would do.', schema: outcomeSchema },
        202: { description: 'It takes longer and goes on by itself, over restarts too.', schema: outcomeSchema },
      },
      errors: [
        'DATASET_UNKNOWN',
        'DATASET_FORBIDDEN',
        'PARAMETER_UNKNOWN',
        'PARAMETER_MISSING',
        'PARAMETER_INVALID',
        'QUERY_TOO_LARGE',
        'OVERLOADED',
        'BUS_UNAVAILABLE',
        'STATE_UNAVAILABLE',
        'WAREHOUSE_UNAVAILABLE',
      ],
      examples: [
        {
          summary: 'What would be erased of a sale',
          path: '/v1/datasets/book_sales/records?key=id:BS-000001&dryRun=true',
        },
      ],
      handle: (exchange) => deleteRecords(parts, exchange),
    },
  ];
}

async function deleteRecords({ contracts, erasures }: ErasureRouteParts, exchange: Exchange): Promise<void> {
  const contract = datasetOf(contracts, exchange.request);
  checkDataset(exchange.caller, contract.name);
  const { selector, dryRun } = parseErasure(contract, exchange.query);
  const request = { contract, selector, actor: exchange.caller.keyId };
  const { counts, erased, state } = await (dryRun ? erasures.survey(request) : erasures.erase(request));
  const compactionDue = !dryRun && Object.values(counts).some((count) => count > 0);
  const answer = { dataset: contract.name, dryRun, state, counts, erased, compactionDue };
  sendJson(exchange, state === 'running' ? 202 : 200, answer);
}

const EVENT_ID = /^[0-9a-f]{32}$/;
const QUARANTINE_ID = /^([0-9a-f]{32})-(\d{1,9})$/;

/** Throws AppError PARAMETER_UNKNOWN, PARAMETER_MISSING or PARAMETER_INVALID. */
function parseErasure(
  contract: Contract,
  params: URLSearchParams,
): { readonly selector: RecordSelector; readonly dryRun: boolean } {
  const known = Object.keys(query.shape);
  for (const name of params.keys()) if (!known.includes(name)) throw unknownParameter(name, known);
  const [dryRun = 'false', ...more] = params.getAll('dryRun');
  if (more.length > 0 || !['true', 'false'].includes(dryRun)) {
    throw parameterError({ parameter: 'dryRun', got: dryRun, expected: 'true or false, once at most' });
  }
  return { selector: selectorOf(contract, params.getAll('key')), dryRun: dryRun === 'true' };
}

function selectorOf(contract: Contract, keys: readonly string[]): RecordSelector {
  const [first = '', ...more] = keys;
  if (more.length === 0 && EVENT_ID.test(first)) return { kind: 'event', eventId: first };
  const [, messageId, index] = QUARANTINE_ID.exec(first) ?? [];
  if (more.length === 0 && messageId !== undefined) return { kind: 'row', messageId, index: Number(index) };
  const names = contract.identity.kind === 'key' ? contract.identity.fields : [];
  const texts = new Map(keys.map((text) => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)]));
  const isWhole = texts.size === keys.length && names.length === keys.length && names.every((name) => texts.has(name));
  if (names.length === 0 || !isWhole) throw keyInvalid(keys, names);
  const values = names.map((name) => [name, canonical(contract, name, texts.get(name) ?? '')] as const);
  return { kind: 'key', values: Object.fromEntries(values) };
}

function canonical(contract: Contract, name: string, text: string): string {
  const field = contract.fields[name];
  if (field === undefined) throw new Error(`${contract.name} has no field ${name}`);
  const value = canonicalText(parseQueryValue(text, { name, field, parameter: 'key' }));
  if (field.type !== 'timestamp') return value;
  // An answer leaves out zeros that a stored row has: six digits of a second.
  const stored = canonicalTimestamp(value);
  if (typeof stored !== 'string') throw new Error(`${value} is no instant`);
  return stored;
}

function keyInvalid(keys: readonly string[], names: readonly string[]) {
  const fields = names.map((name) => `key=${name}:…`).join('&');
  const byKey = names.length === 0 ? '' : `, or ${fields}`;
  const expected = `a record's _id (32 hex digits)${byKey}, or the id of a row in quarantine`;
  const isMissing = keys.length === 0;
  return parameterError({
    ...(isMissing ? { code: 'PARAMETER_MISSING' as const } : {}),
    parameter: 'key',
    // Not the values: they name a person, perhaps.
    got: isMissing ? 'nothing' : `(${keys.length} given, not shown)`,
    expected,
  });
}
