/**
 * Every error a caller can meet, in one table, and the one class that carries it.
 *
 * Codes are a promise: never renamed, never reused. `errors.md` explains each to the reader and a test compares
 * the two both ways. The caller's fault is a 4xx, a dependency's a retryable 503, ours a 500 that shows nothing.
 */

interface ErrorEntry {
  /** HTTP status of the problem document; for row verdicts the status of a request whose rows all failed so. */
  readonly status: number;
  readonly title: string;
  readonly retryable?: true;
}

export const ERRORS = {
  // The request as a whole.
  MALFORMED_JSON: { status: 400, title: 'The body is not valid JSON' },
  MALFORMED_CSV: { status: 400, title: 'The body is not valid CSV' },
  MALFORMED_UTF8: { status: 400, title: 'The body is not valid UTF-8' },
  MALFORMED_GZIP: { status: 400, title: 'The body is not valid gzip' },
  MALFORMED_PARQUET: { status: 400, title: 'The file is not valid Parquet' },
  BODY_INCOMPLETE: { status: 400, title: 'The body broke off' },
  REQUEST_MALFORMED: { status: 400, title: 'The request is not valid HTTP' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request took too long to arrive' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The headers are too large' },
  BODY_EMPTY: { status: 400, title: 'The body holds no record' },
  CSV_HEADER_WRONG: { status: 400, title: 'The CSV header does not match the contract' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large' },
  TOO_MANY_ROWS: { status: 413, title: 'Too many rows in one request' },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, title: 'The content type or encoding is not supported' },
  NOT_ACCEPTABLE: { status: 406, title: 'No offered media type is acceptable' },
  ALL_ROWS_REJECTED: { status: 422, title: 'No row passed the contract' },
  PARAMETER_UNKNOWN: { status: 400, title: 'Unknown query parameter' },
  PARAMETER_INVALID: { status: 400, title: 'Invalid query parameter' },
  PARAMETER_MISSING: { status: 400, title: 'Missing query parameter' },
  METRIC_MISSING: { status: 400, title: 'No metric was asked for' },
  COUNTRY_MISSING: { status: 400, title: 'No country was asked for' },
  YEAR_INVALID: { status: 400, title: 'The year is not a year' },
  NOTHING_MATCHES: { status: 404, title: 'Nothing matches the filters' },
  GRAIN_TOO_FINE: { status: 422, title: 'The measure is coarser than the grain asked for' },
  CURSOR_INVALID: { status: 400, title: 'The cursor does not belong to this query' },
  CURSOR_GONE: { status: 410, title: 'The cursor outlived the data it pointed into' },
  RECEIPT_INVALID: { status: 404, title: 'No such receipt' },
  RECEIPT_GONE: { status: 410, title: 'The receipt is older than receipts are kept' },
  DATASET_UNKNOWN: { status: 404, title: 'No such dataset' },
  ROUTE_UNKNOWN: { status: 404, title: 'No such route' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The route does not take this method' },
  IDEMPOTENCY_KEY_INVALID: { status: 400, title: 'The Idempotency-Key is malformed' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'The Idempotency-Key belongs to another body' },
  IDEMPOTENCY_KEY_RUNNING: { status: 409, title: 'A request with this Idempotency-Key is running', retryable: true },
  // Who may come in.
  KEY_MISSING: { status: 401, title: 'An API key is needed' },
  KEY_INVALID: { status: 401, title: 'The API key is not valid' },
  SCOPE_MISSING: { status: 403, title: 'The API key lacks the scope' },
  DATASET_FORBIDDEN: { status: 403, title: 'The API key may not see this dataset' },
  HOST_NOT_ALLOWED: { status: 421, title: 'This host name is not served here' },
  ORIGIN_NOT_ALLOWED: { status: 403, title: 'Requests from this origin are refused' },
  ADDRESS_NOT_ALLOWED: { status: 403, title: 'Only loopback is served until a key exists' },
  TICKET_INVALID: { status: 401, title: 'The WebSocket ticket is not valid' },
  // Load and dependencies.
  RATE_LIMITED: { status: 429, title: 'Too many requests for this key', retryable: true },
  OVERLOADED: { status: 503, title: 'The service is shedding load', retryable: true },
  BODY_BYTES_EXHAUSTED: { status: 503, title: 'Too many body bytes are in flight', retryable: true },
  DISK_FULL: { status: 503, title: 'The disk is nearly full', retryable: true },
  BUS_UNAVAILABLE: { status: 503, title: 'The bus is unavailable', retryable: true },
  WAREHOUSE_UNAVAILABLE: { status: 503, title: 'The warehouse is unavailable', retryable: true },
  STATE_UNAVAILABLE: { status: 503, title: 'The state store is unavailable', retryable: true },
  QUERY_TIMEOUT: { status: 503, title: 'The query took too long', retryable: true },
  QUERY_TOO_LARGE: { status: 422, title: 'The query touches too many rows' },
  STOPPING: { status: 503, title: 'The service is stopping', retryable: true },
  INTERNAL: { status: 500, title: 'Something went wrong on our side' },
  // One row's verdict (also the status when all rows fail).
  RECORD_NOT_OBJECT: { status: 422, title: 'A record is not a JSON object' },
  RECORD_MALFORMED: { status: 422, title: 'A line is not valid' },
  RECORD_TOO_LARGE: { status: 422, title: 'A record is too large' },
  RECORD_TOO_DEEP: { status: 422, title: 'A record is nested too deeply' },
  FIELD_MISSING: { status: 422, title: 'A required field is missing' },
  FIELD_UNKNOWN: { status: 422, title: 'A field is not in the contract' },
  FIELD_TYPE: { status: 422, title: 'A field has the wrong type' },
  FIELD_RANGE: { status: 422, title: 'A field is out of range' },
  FIELD_FORMAT: { status: 422, title: 'A field has the wrong format' },
  KEY_CONFLICT: { status: 422, title: 'Another record has this key with other content' },
  CHECK_FAILED: { status: 422, title: "A record fails one of the contract's checks" },
  // Why a file was not taken, or not to its end.
  FILE_NOT_REGULAR: { status: 422, title: 'A landing file is a link or no regular file' },
  FILE_NAME_UNKNOWN: { status: 422, title: 'The name of a landing file says no dataset or no format' },
  FILE_CHANGED: { status: 409, title: 'A landing file changed while it was read', retryable: true },
  FILE_GONE: { status: 404, title: 'A landing file went away before it was stored' },
  FILE_TOO_LARGE: { status: 413, title: 'A landing file is too large after inflation' },
  FILE_UNREADABLE: { status: 503, title: 'A landing file cannot be read now', retryable: true },
  // Why a message went to the dead letters.
  MESSAGE_MALFORMED: { status: 422, title: 'A bus message cannot be read' },
  MESSAGE_DATASET_UNKNOWN: { status: 422, title: 'A bus message names no known dataset' },
  MESSAGE_VERSION_UNKNOWN: { status: 422, title: 'A bus message has an unreadable contract version' },
  MESSAGE_FAILED: { status: 503, title: 'A bus message failed on every attempt' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** One reason inside a problem document: a row and its place, or a parameter. `got` never reaches a log. */
export interface ErrorDetail {
  readonly code: ErrorCode;
  readonly index?: number;
  readonly pointer?: string;
  readonly parameter?: string;
  readonly expected?: string;
  readonly got?: string;
}

interface AppErrorOptions {
  readonly code: ErrorCode;
  /** What the caller reads: what happened, with values and limits, then what to do. */
  readonly publicMessage: string;
  /** What only the log reads. Never a payload, a key or a personal value. */
  readonly detail?: string;
  readonly errors?: readonly ErrorDetail[];
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryable: boolean;
  readonly publicMessage: string;
  readonly detail: string | undefined;
  readonly errors: readonly ErrorDetail[];
  readonly retryAfterSeconds: number | undefined;

  constructor(options: AppErrorOptions) {
    super(`${options.code}: ${options.detail ?? options.publicMessage}`, { cause: options.cause });
    const entry: ErrorEntry = ERRORS[options.code];
    this.name = 'AppError';
    this.code = options.code;
    this.status = entry.status;
    this.retryable = entry.retryable === true;
    this.publicMessage = options.publicMessage;
    this.detail = options.detail;
    this.errors = options.errors ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds ?? (entry.retryable ? 1 : undefined);
  }
}
