/** Two small contracts and messages made of rows, for the suites of this folder. */
import { createHash, randomBytes } from 'node:crypto';
import type { EnvelopeReject } from '../bus/envelope.ts';
import type { Contract, Row } from '../datasets/contract.ts';
import type { SealableMessage, StorableMessage } from './warehouse.ts';

const PLAIN = {
  title: 'Test',
  description: 'Test.',
  version: 1,
  freshnessSeconds: 5,
  retentionDays: { bronze: 1, silver: 1, quarantine: 1, deadLetters: 1, archive: 1 },
  sample: { file: 'sample.ndjson', source: 'made up', license: 'Apache-2.0' },
} as const;

/** Every type of field; recognised by its key. */
export const orders: Contract = {
  ...PLAIN,
  name: 'orders',
  fields: {
    order_id: { type: 'string', description: 'Key.', example: 'a' },
    ordered_at: { type: 'timestamp', description: 'Event.', example: '2024-01-01T00:00:00Z' },
    amount: {
      type: 'decimal',
      precision: 12,
      scale: 2,
      min: '0',
      max: '9999999.99',
      description: 'Money.',
      example: '1.50',
    },
    units: { type: 'integer', min: 0, max: 9_007_199_254_740_991, description: 'Many.', example: 1, optional: true },
    weight: { type: 'float', min: 0, max: 1e9, description: 'Mass.', example: 0.1, optional: true },
    gift: { type: 'boolean', description: 'Wrapped.', example: true, optional: true },
    place: { type: 'point', description: 'Where.', example: 'POINT (7.5 45.25)', optional: true },
    local_time: { type: 'wallclock', description: 'There.', example: '2018-05-21 02:54:04', optional: true },
    due: { type: 'date', description: 'Due.', example: '2024-01-02', optional: true },
  },
  identity: { kind: 'key', fields: ['order_id'] },
  eventDate: 'ordered_at',
  gold: {
    by_gift: {
      kind: 'aggregate',
      description: 'By gift.',
      measures: ['count', 'sum:amount', 'p50:units'],
      by: ['gift'],
      bucket: 'ordered_at:day',
    },
  },
};

/** Derived fields; equal rows are told apart by their occurrence. */
const notes: Contract = {
  ...PLAIN,
  name: 'notes',
  fields: {
    written_on: { type: 'date', description: 'Event.', example: '2024-01-01' },
    text: { type: 'string', description: 'Words.', example: 'a b' },
  },
  derived: {
    fields: {
      length: { type: 'integer', min: 0, max: 1e6, description: 'Length.', example: 1 },
      words: { type: 'counts', description: 'Words.', example: 'a' },
    },
    derive: ({ text }: Row): Row => {
      const words = String(text).split(' ');
      if (words.includes('unspeakable')) throw new Error('derive failed');
      return {
        length: String(text).length,
        words: [...new Set(words)].map((name) => ({ name, count: words.filter((word) => word === name).length })),
      };
    },
  },
  identity: { kind: 'occurrence' },
  eventDate: 'written_on',
  gold: {
    words: {
      kind: 'fact',
      description: 'Words.',
      list: 'words',
      nameColumn: 'word',
      countColumn: 'word_count',
      columns: ['written_on'],
    },
    vocabulary: { kind: 'dimension', description: 'Words.', field: 'words', column: 'word' },
    texts: { kind: 'dimension', description: 'Texts.', field: 'text', column: 'text' },
  },
};

export const CONTRACTS: ReadonlyMap<string, Contract> = new Map([
  ['orders', orders],
  ['notes', notes],
]);

/** An event id as an identity makes it: of the key and the event date. */
export function eventIdOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32);
}

export function order(id: string, more: Row = {}): { readonly eventId: string; readonly body: Row } {
  const body = { order_id: id, ordered_at: '2024-01-01T10:00:00Z', amount: '1.50', ...more };
  return { eventId: eventIdOf(`${id}|${String(body.ordered_at).slice(0, 10)}`), body };
}

export function note(text: string, occurrence = 0): { readonly eventId: string; readonly body: Row } {
  return { eventId: eventIdOf(`${text}|${occurrence}`), body: { written_on: '2024-02-03', text } };
}

export interface MessageOptions {
  readonly dataset?: string;
  readonly rows?: readonly { readonly eventId: string; readonly body: Row }[];
  readonly rejects?: readonly Partial<EnvelopeReject>[];
  readonly apiKeyId?: string;
  readonly requestId?: string;
  readonly receivedAt?: string;
  readonly late?: boolean;
  /** Of a request's second message: where its rows go on. */
  readonly firstIndex?: number;
}

let sequence = 0;

/** Rows first, rejects after them, indexes from 0 unless told. Sequences grow from message to message. */
export function message(options: MessageOptions): StorableMessage {
  const { dataset = 'orders', rows = [], rejects = [], firstIndex = 0 } = options;
  sequence += 1;
  const envelope = {
    messageId: randomBytes(16).toString('hex'),
    dataset,
    contractVersion: 1,
    requestId: options.requestId ?? randomBytes(8).toString('hex'),
    apiKeyId: options.apiKeyId ?? 'key1',
    receivedAt: options.receivedAt ?? '2024-03-01T12:00:00.250Z',
    rowCount: rows.length,
    rejectCount: rejects.length,
    rows: rows.map((row, index) => ({ ...row, index: firstIndex + index })),
    rejects: rejects.map((reject, index) => ({ ...REJECT, ...reject, index: firstIndex + rows.length + index })),
  };
  return { envelope, data: Buffer.from(JSON.stringify(envelope)), sequence, late: options.late ?? false };
}

const REJECT = {
  code: 'FIELD_TYPE',
  pointer: '/amount',
  expected: 'decimal',
  got: 'x',
  body: '{"amount":"x"}',
  bodyBytes: 14,
  bodyHash: 'abc',
} as const;

export function sealable(messages: readonly StorableMessage[], firstSettleOrder = 1): readonly SealableMessage[] {
  return messages.map(({ envelope, data, sequence: at, late }, index) => ({
    messageId: envelope.messageId,
    dataset: envelope.dataset,
    data,
    sequence: at,
    settleOrder: firstSettleOrder + index,
    late,
  }));
}
