/**
 * The shape of Vigía's own message, checked before anything trusts it: the bus may hold what another release, a broken
 * disk or a stranger with access wrote. Rows are not judged again; their ids and places are.
 */
import type { BusMessage } from '../bus/bus.ts';
import type { Envelope } from '../bus/envelope.ts';
import { AppError, ERRORS } from '../errors.ts';

/** Throws AppError MESSAGE_MALFORMED. */
export function readEnvelope(message: BusMessage): Envelope {
  const value = parsed(message);
  const problem = envelopeProblem(value, message);
  if (problem !== undefined) throw malformed(message, problem);
  return value as unknown as Envelope;
}

type Json = Readonly<Record<string, unknown>>;

function parsed(message: BusMessage): Json {
  let value: unknown;
  try {
    value = JSON.parse(message.data.toString('utf8'));
  } catch (error) {
    // The parser's message quotes the payload: it stops here.
    if (error instanceof SyntaxError) throw malformed(message, 'is not JSON');
    throw error;
  }
  if (!isObject(value)) throw malformed(message, 'is not a JSON object');
  return value;
}

function envelopeProblem(value: Json, message: BusMessage): string | undefined {
  const { rows, rejects } = value;
  if (value['messageId'] !== message.messageId) return 'has another message id inside';
  if (value['dataset'] !== message.dataset) return 'names another dataset inside';
  if (!isCount(value['contractVersion'])) return 'has no contract version';
  if (typeof value['requestId'] !== 'string' || typeof value['apiKeyId'] !== 'string')
    return 'lacks requestId or apiKeyId';
  if (typeof value['receivedAt'] !== 'string' || Number.isNaN(Date.parse(value['receivedAt'])))
    return 'lacks receivedAt';
  if (!Array.isArray(rows) || !Array.isArray(rejects)) return 'lacks rows or rejects';
  if (value['rowCount'] !== rows.length || value['rejectCount'] !== rejects.length)
    return 'holds another number of rows than it says';
  if (message.rowCount !== rows.length) return 'holds another number of rows than the bus was told';
  if (!rows.every(isRow)) return 'holds a row without eventId, index or body';
  return rejects.every(isReject) ? undefined : 'holds a reject without its fields';
}

function isRow(row: unknown): boolean {
  return isObject(row) && isCount(row['index']) && isEventId(row['eventId']) && isObject(row['body']);
}

function isReject(reject: unknown): boolean {
  if (!isObject(reject) || !isCount(reject['index']) || !isCount(reject['bodyBytes'])) return false;
  if (typeof reject['code'] !== 'string' || !Object.hasOwn(ERRORS, reject['code'])) return false;
  return ['pointer', 'expected', 'got', 'body', 'bodyHash'].every((name) => typeof reject[name] === 'string');
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isEventId(value: unknown): boolean {
  return typeof value === 'string' && value.length === 32 && /^[0-9a-f]{32}$/.test(value);
}

function malformed({ messageId }: BusMessage, reason: string): AppError {
  return new AppError({
    code: 'MESSAGE_MALFORMED',
    publicMessage: `MESSAGE_MALFORMED: message ${messageId} ${reason}. Look at it with GET /v1/dead-letters; it is kept there.`,
  });
}
