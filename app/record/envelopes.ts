/**
 * Bus messages from judged rows, and back.
 *
 * A message's bytes are one JSON text, put together from the texts of its rows: no row is made into text twice, and the
 * warehouse reads the bytes as they are. A message closes when the next row or reject would take it over its row or byte
 * limit; one that is larger than the limit travels alone, so no row is ever too large for its message.
 */
import type { BusMessage } from '../bus/bus.ts';
import type { Envelope } from '../bus/envelope.ts';
import type { Contract, Row } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { FOREIGN, rowText } from './identity.ts';
import { NdjsonReader } from './ndjson-reader.ts';
import { readEnvelope } from './read-envelope.ts';
import { rejectText } from './reject-text.ts';
import { RowSink, type WholeRecord } from './row-sink.ts';
import { rowTaker } from './row-taker.ts';
import { Utf8Gate } from './utf8-gate.ts';
import type { Validator } from './validate.ts';
import type { Verdict } from './verdict.ts';

export interface EnvelopeLimits {
  /** Rows and rejects of one message together. */
  readonly messageRowsMax: number;
  readonly messageBytesMax: number;
  /** How much of a rejected row is kept. */
  readonly rejectBytesMax: number;
}

export interface EnvelopeWriterOptions {
  readonly contract: Contract;
  readonly apiKeyId: string;
  readonly receivedAtMs: number;
  readonly limits: EnvelopeLimits;
  /** 128 random bits, 32 hex digits. */
  readonly newId: () => string;
}

interface Part {
  readonly rows: readonly string[];
  readonly rejects: readonly string[];
}

/** What the parts' texts are wrapped in: names, ids, counts. Generous, so that a message stays under its limit. */
const HEADER_BYTES = 512;

export class EnvelopeWriter {
  readonly #options: EnvelopeWriterOptions;
  readonly #closed: Part[] = [];
  #rows: string[] = [];
  #rejects: string[] = [];
  #bytes = HEADER_BYTES;

  constructor(options: EnvelopeWriterOptions) {
    this.#options = options;
  }

  row(index: number, eventId: string, row: Row): void {
    const text = `{"eventId":"${eventId}","index":${index},"body":${rowText(row)}}`;
    this.#makeRoom(text);
    this.#rows.push(text);
  }

  /** `whole` when `text` is only the beginning of a record that was too large to hold. */
  reject(index: number, verdict: Verdict, text: string, whole?: WholeRecord): void {
    const json = rejectText({ index, verdict, text, bytesMax: this.#options.limits.rejectBytesMax, whole });
    this.#makeRoom(json);
    this.#rejects.push(json);
  }

  /** The request id may be known only now: a repeated Idempotency-Key has its first request's. Attributes are the publisher's. */
  finish(requestId: string): BusMessage[] {
    this.#close();
    return this.#closed.map((part) => this.#message(part, requestId));
  }

  #makeRoom(text: string): void {
    const { messageRowsMax, messageBytesMax } = this.#options.limits;
    const bytes = Buffer.byteLength(text) + 1;
    const count = this.#rows.length + this.#rejects.length;
    if (count >= messageRowsMax || (count > 0 && this.#bytes + bytes > messageBytesMax)) this.#close();
    this.#bytes += bytes;
  }

  #close(): void {
    if (this.#rows.length + this.#rejects.length === 0) return;
    this.#closed.push({ rows: this.#rows, rejects: this.#rejects });
    this.#rows = [];
    this.#rejects = [];
    this.#bytes = HEADER_BYTES;
  }

  #message({ rows, rejects }: Part, requestId: string): BusMessage {
    const { contract, apiKeyId, receivedAtMs, newId } = this.#options;
    const messageId = newId();
    const head = JSON.stringify({
      messageId,
      dataset: contract.name,
      contractVersion: contract.version,
      requestId,
      apiKeyId,
      receivedAt: new Date(receivedAtMs).toISOString(),
      rowCount: rows.length,
      rejectCount: rejects.length,
    } satisfies Omit<Envelope, 'rows' | 'rejects'>);
    const text = `${head.slice(0, -1)},"rows":[${rows.join(',')}],"rejects":[${rejects.join(',')}]}`;
    return {
      messageId,
      dataset: contract.name,
      requestId,
      rowCount: rows.length,
      data: Buffer.from(text),
      attributes: {},
    };
  }
}

type Contracts = ReadonlyMap<string, Contract>;

/** Reads Vigía's own message. Throws AppError MESSAGE_MALFORMED, MESSAGE_DATASET_UNKNOWN or MESSAGE_VERSION_UNKNOWN. */
export function decodeEnvelope(message: BusMessage, contracts: Contracts): Envelope {
  const contract = contractOf(message, contracts);
  const envelope = readEnvelope(message);
  const { contractVersion } = envelope;
  // Written by the release before this one, while it was being replaced.
  if (contractVersion !== contract.version && contractVersion !== contract.version - 1) {
    throw new AppError({
      code: 'MESSAGE_VERSION_UNKNOWN',
      publicMessage: `MESSAGE_VERSION_UNKNOWN: the message has version ${contractVersion} of ${contract.name}; ${contract.version} and the one before it can be read. Replay it with a release that reads it.`,
    });
  }
  return envelope;
}

/** A foreign message's size is limited by the bus; these bound what one of its rows may do. */
const FOREIGN_LIMITS = { recordBytesMax: 1024 * 1024, rowsMax: 1_000_000, jsonDepthMax: 32 };
const FOREIGN_ENVELOPE_LIMITS: EnvelopeLimits = {
  // One message stays one message: its id is what the ledger knows it by.
  messageRowsMax: Number.POSITIVE_INFINITY,
  messageBytesMax: Number.POSITIVE_INFINITY,
  rejectBytesMax: 64 * 1024,
};

/**
 * Reads another publisher's NDJSON and judges its rows here. The same delivery makes the same envelope every time, so
 * the time of publication must be the bus's. Throws as `decodeEnvelope` does.
 */
export function decodeForeign(
  message: BusMessage,
  contracts: Contracts,
  validators: ReadonlyMap<string, Validator>,
  publishedAtMs: number,
): { readonly envelope: Envelope; readonly data: Buffer } {
  const contract = contractOf(message, contracts);
  const validator = validators.get(contract.name);
  if (validator === undefined) throw new Error(`no validator for ${contract.name}`);
  const { messageId } = message;
  const writer = new EnvelopeWriter({
    contract,
    apiKeyId: FOREIGN,
    receivedAtMs: publishedAtMs,
    limits: FOREIGN_ENVELOPE_LIMITS,
    newId: () => messageId,
  });
  const sink = new RowSink(
    contract,
    FOREIGN_LIMITS,
    rowTaker({ validator, writer, apiKeyId: FOREIGN, batchKey: messageId }),
  );
  readForeign(message, new NdjsonReader(sink));
  const [written] = writer.finish(message.requestId === '' ? messageId : message.requestId);
  if (written === undefined) throw malformed(message, 'holds no record');
  return { envelope: readEnvelope(written), data: written.data };
}

function readForeign(message: BusMessage, reader: NdjsonReader): void {
  const gate = new Utf8Gate();
  try {
    reader.push(gate.push(message.data));
    gate.end();
    reader.end();
  } catch (error) {
    if (error instanceof AppError) throw malformed(message, `cannot be read as NDJSON (${error.code})`);
    throw error;
  }
}

function contractOf({ messageId, dataset }: BusMessage, contracts: Contracts): Contract {
  const contract = contracts.get(dataset);
  if (contract !== undefined) return contract;
  const named = JSON.stringify(dataset.slice(0, 64));
  throw new AppError({
    code: 'MESSAGE_DATASET_UNKNOWN',
    publicMessage: `MESSAGE_DATASET_UNKNOWN: message ${messageId} names the dataset ${named}, which does not exist here. Add the dataset and replay it, or mend the publisher.`,
  });
}

function malformed({ messageId }: BusMessage, reason: string): AppError {
  return new AppError({
    code: 'MESSAGE_MALFORMED',
    publicMessage: `MESSAGE_MALFORMED: message ${messageId} ${reason}. Mend the publisher and publish it again.`,
  });
}
