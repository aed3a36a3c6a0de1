/**
 * The id of a row: equal for a row that comes again, different for any other.
 *
 * What is hashed is a JSON array, in which values cannot run together, and always holds dataset and event day: the same
 * key on another day is another row, so that a duplicate is looked for only in its own partition. 16 bytes of SHA-256:
 * two of 10^12 rows meet with a probability of 10^-15.
 */
import { hash } from 'node:crypto';
import type { Contract, Row } from '../datasets/contract.ts';

const ID_HEX_DIGITS = 32;

export interface RowSource {
  readonly apiKeyId: string;
  /** Idempotency-Key or request id; for a foreign publisher the bus's message id. */
  readonly batchKey: string;
  /** Position in the body, from 0, rejected rows counted. */
  readonly index: number;
}

/** `FOREIGN` as the API key id: identity is then (message id, row number) alone, as no key vouches for the content. */
export const FOREIGN = 'foreign';

export function eventIdOf(contract: Contract, row: Row, source: RowSource): string {
  const text =
    contract.identity.kind === 'key'
      ? keyText(contract, row, contract.identity.fields)
      : occurrenceText(contract, row, source);
  return hash('sha256', text, 'hex').slice(0, ID_HEX_DIGITS);
}

/**
 * Of a row of a file: `occurrence` says which of the equal rows of that file it is, from 1 in their order there, so that
 * the same file again, or with rows added, makes the same ids. By key it is what it is over HTTP. The text hashed is
 * `["<dataset>","<day>","file",<occurrence>,<row>]`, which SQL puts together as well.
 */
export function eventIdInFile(contract: Contract, row: Row, occurrence: number): string {
  const text =
    contract.identity.kind === 'key'
      ? keyText(contract, row, contract.identity.fields)
      : `${JSON.stringify([contract.name, eventDayOf(contract, row), 'file', occurrence]).slice(0, -1)},${rowText(row)}]`;
  return hash('sha256', text, 'hex').slice(0, ID_HEX_DIGITS);
}

/** `YYYY-MM-DD`: of a timestamp the day in UTC. */
export function eventDayOf(contract: Contract, row: Row): string {
  const value = row[contract.eventDate];
  if (typeof value !== 'string') throw new Error(`a row of ${contract.name} has no ${contract.eventDate}`);
  return value.slice(0, 10);
}

let lastRow: Row | undefined;
let lastText = '';

/** The row as JSON text. Identity and envelope ask for the same row one after the other: the last one is kept. */
export function rowText(row: Row): string {
  if (row !== lastRow) {
    lastText = JSON.stringify(row);
    lastRow = row;
  }
  return lastText;
}

function keyText(contract: Contract, row: Row, fields: readonly string[]): string {
  const parts: unknown[] = [contract.name, eventDayOf(contract, row), 'key'];
  for (const name of fields) parts.push(row[name] ?? null);
  return JSON.stringify(parts);
}

function occurrenceText(contract: Contract, row: Row, { apiKeyId, batchKey, index }: RowSource): string {
  const parts: unknown[] = [contract.name, eventDayOf(contract, row), 'occurrence', apiKeyId, batchKey, index];
  if (apiKeyId !== FOREIGN) parts.push(rowText(row));
  return JSON.stringify(parts);
}
