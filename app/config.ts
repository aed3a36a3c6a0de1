/**
 * The only reader of process.env (telemetry/start.ts excepted): one table, judged once at start.
 * `.env.example` and the README's table are compared with it by a test.
 */

interface Setting<T> {
  readonly default: string;
  readonly unit: string;
  readonly about: string;
  readonly parse: (text: string, name: string) => T;
}

export class ConfigError extends Error {}

const text = (value: string): string => value;
const integer =
  (min: number, max: number) =>
  (value: string, name: string): number => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < min || number > max) {
      throw new ConfigError(`${name}=${value} is not a whole number from ${min} to ${max}.`);
    }
    return number;
  };
const choice =
  <const C extends readonly string[]>(...choices: C) =>
  (value: string, name: string): C[number] => {
    if (!choices.includes(value)) throw new ConfigError(`${name}=${value} is not one of ${choices.join(', ')}.`);
    return value as C[number];
  };
const list = (value: string): readonly string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;

function setting<T>(fallback: string | number, unit: string, about: string, parse: Setting<T>['parse']): Setting<T> {
  return { default: String(fallback), unit, about, parse };
}

// biome-ignore format: one line a setting, as a table
export const SETTINGS = {
  PORT: setting(8080, 'port', 'Where the API listens; 0 takes a free one.', integer(0, 65_535)),
  HOST: setting('127.0.0.1', 'address', 'The address the API binds to.', text),
  METRICS_PORT: setting(9464, 'port', 'Where Prometheus scrapes; 0 takes a free one.', integer(0, 65_535)),
  METRICS_HOST: setting('127.0.0.1', 'address', 'The address the metrics listener binds to.', text),
  DATA_DIR: setting('./data', 'path', 'Everything the service keeps.', text),
  SAMPLE_DATA: setting('on', 'switch', 'Load sample data into a new folder while no key exists.', choice('on', 'off')),
  BUS: setting('embedded', 'choice', 'Which bus: embedded (LMDB) or pubsub.', choice('embedded', 'pubsub')),
  WAREHOUSE: setting('embedded', 'choice', 'Which warehouse: embedded (DuckDB) or bigquery.', choice('embedded', 'bigquery')),
  STATE: setting('embedded', 'choice', 'Which state store: embedded (LMDB) or firestore.', choice('embedded', 'firestore')),
  ROLE: setting('all', 'choice', 'What this process does; embedded parts need all.', choice('all', 'api', 'subscriber')),
  OBJECTIVES_FILE: setting('slo/generated/objectives.json', 'path', 'Objectives that /v1/slo answers; missing means unknown.', text),
  PROMETHEUS_URL: setting('', 'URL', 'Where /v1/slo reads budgets; empty means unknown.', text),
  LOG_LEVEL: setting('info', 'choice', 'The lowest level written.', choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')),
  LOG_FILE: setting('', 'path', 'Log file, rotated; empty means standard output.', text),
  LOG_FILE_BYTES_MAX: setting(64 * MIB, 'bytes', 'A log file is rotated at this size.', integer(MIB, 1024 * MIB)),
  LOG_FILES_MAX: setting(5, 'files', 'How many rotated log files are kept.', integer(1, 100)),
  SCRAPE_WAIT_MS: setting(0, 'ms', 'Readiness waits for the first scrape, drain for the last, at most this long.', integer(0, 60 * SECOND_MS)),
  PUBLIC_HOSTS: setting('', 'list', 'Host names besides loopback that are served, comma separated.', list),
  TRUST_PROXY: setting('', 'list', 'Proxy addresses (CIDR) whose X-Forwarded-For is believed.', list),
  STOP_TIMEOUT_MS: setting(25_000, 'ms', 'A stop that takes longer is cut off.', integer(SECOND_MS, 600 * SECOND_MS)),

  RECORD_BYTES_MAX: setting(MIB, 'bytes', 'One record.', integer(KIB, 16 * MIB)),
  ARRAY_BODY_BYTES_MAX: setting(4 * MIB, 'bytes', 'A JSON array body, which cannot be parsed as a stream.', integer(KIB, 64 * MIB)),
  BODY_BYTES_MAX: setting(32 * MIB, 'bytes', 'One request after inflation.', integer(KIB, 1024 * MIB)),
  BODY_BYTES_IN_FLIGHT_MAX: setting(256 * MIB, 'bytes', 'All bodies being received together; then 503.', integer(MIB, 8192 * MIB)),
  ROWS_PER_REQUEST_MAX: setting(10_000, 'rows', 'Rows in one request.', integer(1, 1_000_000)),
  JSON_DEPTH_MAX: setting(32, 'levels', 'Nesting of a JSON record.', integer(1, 1000)),
  REJECT_BYTES_MAX: setting(64 * KIB, 'bytes', 'How much of a rejected row is kept.', integer(256, MIB)),
  MESSAGE_ROWS_MAX: setting(500, 'rows', 'A bus message closes at this many rows and rejects.', integer(1, 10_000)),
  MESSAGE_BYTES_MAX: setting(256 * KIB, 'bytes', 'A bus message closes at this size.', integer(KIB, 8 * MIB)),
  BODY_TIMEOUT_MS: setting(30_000, 'ms', 'How long a body may take to arrive.', integer(100, 600 * SECOND_MS)),
  HEADERS_TIMEOUT_MS: setting(10_000, 'ms', 'How long the request line and headers may take to arrive.', integer(100, 60 * SECOND_MS)),
  CONNECTIONS_MAX: setting(2_000, 'connections', 'Open connections.', integer(1, 100_000)),

  RATE_LIMIT_PER_SECOND: setting(20_000, 'requests/s', 'For each API key, in each instance.', integer(1, 1_000_000)),
  AUTH_FAILURES_PER_MINUTE: setting(30, 'failures/min', 'Failed authentications from one address; then 429.', integer(1, 100_000)),
  QUEUE_TIME_TARGET_MS: setting(100, 'ms', 'Event-loop queueing above this for QUEUE_TIME_WINDOW_MS sheds load.', integer(5, 10 * SECOND_MS)),
  QUEUE_TIME_WINDOW_MS: setting(500, 'ms', 'How long queueing must stay above its target.', integer(50, 60 * SECOND_MS)),

  READ_TIMEOUT_MS: setting(10_000, 'ms', 'One read.', integer(50, 600 * SECOND_MS)),
  READ_ROWS_MAX: setting(10_000, 'rows', 'Rows in one answer; the largest limit.', integer(1, 1_000_000)),
  READERS: setting(2, 'connections', 'Warehouse reads at once.', integer(1, 64)),
  READ_QUEUE_MAX: setting(64, 'reads', 'Warehouse reads that may wait; then 503.', integer(0, 10_000)),
  PERCENTILE_ROWS_MAX: setting(1_000_000, 'rows', 'Percentiles are exact up to this many rows.', integer(1, 1_000_000_000)),
  CACHE_AGE_MAX_MS: setting(1_000, 'ms', 'How old an answer may be while data flows.', integer(0, 60 * SECOND_MS)),
  CACHE_STALE_MAX_MS: setting(60_000, 'ms', 'How old an answer may be while the warehouse is down.', integer(0, HOUR_MS)),
  CACHE_BYTES_MAX: setting(64 * MIB, 'bytes', 'Cached answers.', integer(0, 4096 * MIB)),
  WAREHOUSE_MEMORY_MIB: setting(1024, 'MiB', 'The memory limit of the embedded warehouse.', integer(128, 1_048_576)),
  WAREHOUSE_THREADS: setting(1, 'threads', 'Threads of the embedded warehouse.', integer(1, 256)),

  BATCH_MESSAGES_MAX: setting(2_048, 'messages', 'Messages in one warehouse commit.', integer(1, 10_000)),
  BATCH_BYTES_MAX: setting(8 * MIB, 'bytes', 'Bytes in one warehouse commit.', integer(KIB, 256 * MIB)),
  BATCH_WAIT_MS: setting(50, 'ms', 'How long a batch may wait to fill.', integer(0, 60 * SECOND_MS)),
  DELIVERY_ATTEMPTS_MAX: setting(5, 'attempts', 'Then a message goes to the dead letters.', integer(1, 100)),
  BACKOFF_MIN_MS: setting(1_000, 'ms', 'Wait before the second delivery; doubles, with jitter.', integer(1, 600 * SECOND_MS)),
  BACKOFF_MAX_MS: setting(60_000, 'ms', 'The longest wait between deliveries.', integer(1, 3600 * SECOND_MS)),
  SEAL_INTERVAL_MS: setting(30_000, 'ms', 'Stored messages are sealed into bronze at least this often.', integer(50, HOUR_MS)),
  SEAL_BYTES_MAX: setting(64 * MIB, 'bytes', 'Or when this much waits.', integer(64 * KIB, 1024 * MIB)),
  DISK_FULL_PERCENT: setting(90, '%', 'Writes get 503 when the disk is this full.', integer(1, 100)),
  BUS_BYTES_MAX: setting(64 * 1024 * MIB, 'bytes', 'The address space of the embedded bus.', integer(16 * MIB, 1024 * 1024 * MIB)),

  LANDING_LOOK_MS: setting(1_000, 'ms', 'How often the landing folder is looked through.', integer(10, 60 * SECOND_MS)),
  LANDING_SETTLE_MS: setting(2_000, 'ms', 'A file is taken when it did not change for this long.', integer(0, HOUR_MS)),
  LANDING_RANGE_ROWS_MAX: setting(100_000, 'rows', 'One range of a file, which is one transaction.', integer(1, 1_000_000)),
  LANDING_RANGE_BYTES_MAX: setting(64 * MIB, 'bytes', 'Or when a range has this much.', integer(KIB, 1024 * MIB)),
  LANDING_INFLATED_BYTES_MAX: setting(64 * 1024 * MIB, 'bytes', 'A compressed file after inflation.', integer(KIB, 1024 * 1024 * MIB)),

  IDEMPOTENCY_HOURS: setting(24, 'h', 'How long an answer to an Idempotency-Key is kept.', integer(1, 720)),
  RECEIPT_DAYS: setting(30, 'days', 'How long a receipt is answered; then 410.', integer(1, 3650)),
  OVERDUE_MS: setting(60_000, 'ms', 'An accepted row unsettled for longer is overdue.', integer(SECOND_MS, 24 * HOUR_MS)),
  ACCOUNTING_INTERVAL_MS: setting(5_000, 'ms', 'How often the loss equation is summed for the metrics.', integer(100, HOUR_MS)),
  WS_CONNECTIONS_MAX: setting(200, 'connections', 'WebSocket followers.', integer(1, 100_000)),
  WS_BUFFER_BYTES_MAX: setting(MIB, 'bytes', 'Unsent bytes after which a slow follower is dropped.', integer(KIB, 64 * MIB)),
  WS_PING_MS: setting(15_000, 'ms', 'Time between pings; two unanswered end the connection.', integer(50, 600 * SECOND_MS)),
  WS_TICKET_SECONDS: setting(30, 's', 'How long a WebSocket ticket is good for.', integer(1, 600)),

  FAULT_POINT: setting('', 'name', 'Tests only (NODE_ENV=test): NAME:COUNT, where the process kills itself.', text),
  NODE_ENV: setting('', 'name', 'test allows fault points.', text),
} as const;

type SettingName = keyof typeof SETTINGS;
export type Config = { readonly [N in SettingName]: ReturnType<(typeof SETTINGS)[N]['parse']> };

/** Judges every setting; throws ConfigError that names the variable, the value and what is allowed. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const entries = Object.entries(SETTINGS).map(([name, one]) => {
    const given = env[name];
    const value = given === undefined || given === '' ? one.default : given;
    return [name, one.parse(value, name)] as const;
  });
  const config = Object.fromEntries(entries) as unknown as Config;
  refuseImpossible(config);
  return config;
}

function refuseImpossible(config: Config): void {
  if (config.FAULT_POINT !== '' && config.NODE_ENV !== 'test') {
    throw new ConfigError('FAULT_POINT is for tests: set NODE_ENV=test or unset it.');
  }
  if (config.ROLE !== 'all' && (config.BUS === 'embedded' || config.WAREHOUSE === 'embedded')) {
    throw new ConfigError(
      `ROLE=${config.ROLE} needs BUS=pubsub and WAREHOUSE=bigquery: embedded parts live in one process.`,
    );
  }
  for (const name of ['BUS', 'WAREHOUSE', 'STATE'] as const) {
    if (config[name] !== 'embedded')
      throw new ConfigError(`${name}=${config[name]} is not available in this version; use embedded.`);
  }
  if (config.BACKOFF_MAX_MS < config.BACKOFF_MIN_MS) throw new ConfigError('BACKOFF_MAX_MS is below BACKOFF_MIN_MS.');
  if (config.RECORD_BYTES_MAX > config.BODY_BYTES_MAX)
    throw new ConfigError('RECORD_BYTES_MAX is above BODY_BYTES_MAX.');
}
