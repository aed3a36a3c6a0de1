/** What is left of a dead letter when the rows that somebody asked to erase are taken out of it. Pure. */
import type { DeadLetter, DeadLetterRest } from './bus/bus.ts';
import type { Envelope } from './bus/envelope.ts';
import type { Contract } from './datasets/contract.ts';
import type { RecordKey, RecordSelector } from './warehouse/erasable.ts';

export interface Wanted {
  readonly contract: Contract;
  readonly selector: RecordSelector;
  /** Of the record, where it is known: by it rejected rows are told. */
  readonly key: RecordKey | undefined;
}

export interface Lessened {
  readonly rest: DeadLetterRest['rest'];
  /** Accepted rows taken out. */
  readonly rows: number;
  /** Rejected ones. */
  readonly rejects: number;
}

/** Undefined when there is nothing of it in the letter. A letter that no reader understands is not looked into. */
export function withoutWanted({ message, foreign }: DeadLetter, wanted: Wanted): Lessened | undefined {
  return foreign ? withoutLines(message.data, wanted) : withoutRows(message.data, wanted);
}

type Part = Pick<Envelope, 'messageId' | 'rows' | 'rejects'>;

function withoutRows(data: Buffer, wanted: Wanted): Lessened | undefined {
  const envelope = parsed(data.toString());
  if (!isEnvelope(envelope)) return undefined;
  const { messageId } = envelope;
  const rows = envelope.rows.filter((row) => !isWanted(wanted, { messageId, ...row }));
  const rejects = envelope.rejects.filter(
    (reject) => !isWanted(wanted, { messageId, index: reject.index, body: parsed(reject.body) }),
  );
  const taken = { rows: envelope.rows.length - rows.length, rejects: envelope.rejects.length - rejects.length };
  if (taken.rows + taken.rejects === 0) return undefined;
  if (rows.length + rejects.length === 0) return { ...taken, rest: undefined };
  const counts = { rowCount: rows.length, rejectCount: rejects.length };
  const text = JSON.stringify({ ...envelope, ...counts, rows, rejects });
  return { ...taken, rest: { data: Buffer.from(text), rowCount: rows.length } };
}

/** Another publisher's NDJSON was never accepted: none of its lines is a row yet. */
function withoutLines(data: Buffer, wanted: Wanted): Lessened | undefined {
  const lines = data.toString().split('\n');
  const kept = lines.filter((line) => !isWanted(wanted, { messageId: '', index: -1, body: parsed(line) }));
  const rejects = lines.length - kept.length;
  if (rejects === 0) return undefined;
  const text = kept.join('\n');
  const rest = text.trim() === '' ? undefined : { data: Buffer.from(text), rowCount: 0 };
  return { rest, rows: 0, rejects };
}

interface Candidate {
  readonly messageId: string;
  readonly index: number;
  readonly eventId?: string;
  readonly body: unknown;
}

function isWanted({ contract, selector, key }: Wanted, { messageId, index, eventId, body }: Candidate): boolean {
  switch (selector.kind) {
    case 'row':
      return messageId === selector.messageId && index === selector.index;
    case 'event':
      return eventId === undefined ? hasKey(contract, body, key) : eventId === selector.eventId;
    case 'key':
      return hasKey(contract, body, { values: selector.values, day: undefined });
  }
}

function hasKey(contract: Contract, body: unknown, key: RecordKey | undefined): boolean {
  if (key === undefined || typeof body !== 'object' || body === null) return false;
  const fields = body as Readonly<Record<string, unknown>>;
  const day = fields[contract.eventDate];
  if (key.day !== undefined && typeof day === 'string' && day.slice(0, 10) !== key.day) return false;
  return Object.entries(key.values).every(([name, value]) => name in fields && String(fields[name]) === value);
}

function isEnvelope(value: unknown): value is Part {
  return (
    typeof value === 'object' &&
    value !== null &&
    'rows' in value &&
    Array.isArray(value.rows) &&
    'rejects' in value &&
    Array.isArray(value.rejects) &&
    'messageId' in value
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
