/**
 * What Vigía's own messages carry: the rows of one request (or of a part of it) with the verdicts already given.
 *
 * Encoded as one JSON text, because DuckDB and BigQuery both read it as it is: the subscriber hands a batch of these
 * bytes to the warehouse without touching a row.
 */
import type { ErrorCode } from '../errors.ts';
import type { Row } from '../datasets/contract.ts';

export interface EnvelopeRow {
  /** 16 bytes as 32 hex digits; made by the contract's identity. */
  readonly eventId: string;
  /** Position in the request's body, from 0, counting rejected rows too. */
  readonly index: number;
  /** Normalised: exactly the contract's fields that have a value, decimals and instants as canonical text. */
  readonly body: Row;
}

export interface EnvelopeReject {
  readonly index: number;
  readonly code: ErrorCode;
  /** RFC 6901. */
  readonly pointer: string;
  readonly expected: string;
  /** The offending value as text, cut. Never logged. */
  readonly got: string;
  /** The row as it came, cut at REJECT_BYTES_MAX; then `bodyBytes` and `bodyHash` say what it was. */
  readonly body: string;
  readonly bodyBytes: number;
  readonly bodyHash: string;
}

export interface Envelope {
  readonly messageId: string;
  readonly dataset: string;
  readonly contractVersion: number;
  readonly requestId: string;
  /** API key id, or 'anonymous' while no key was ever made; 'sample' for sample data; 'foreign' for other publishers. */
  readonly apiKeyId: string;
  readonly receivedAt: string;
  readonly rowCount: number;
  readonly rejectCount: number;
  readonly rows: readonly EnvelopeRow[];
  readonly rejects: readonly EnvelopeReject[];
}
