/**
 * Every metric, label and log event, once, as data. `slo`, dashboards and alerts read this file and nothing else of
 * the service. OpenTelemetry's conventions in Prometheus form where they exist, `vigia_*` where they do not.
 *
 * A test compares this list with what the service exposes, both ways, so a name that is here is on `/metrics` and a
 * name that is on `/metrics` is here.
 */

/** Holds 0.3 (the read objective) and 5 (the pipeline objective); a threshold that is not a bound cannot be asked for. */
export const SECONDS_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.3, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
] as const;

/** The pipeline can lag for minutes (an outage being caught up); beyond 10 s the request bounds say nothing. */
const PIPELINE_SECONDS_BUCKETS = [...SECONDS_BUCKETS, 30, 60, 300, 900, 3600] as const;

/** Coarser: many (dependency, operation, outcome) sets, and no objective reads it. */
const DEPENDENCY_SECONDS_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.3, 1, 2.5, 5, 10] as const;

/** One constant for exemplars here and the collector's tail sampler: a request is slow above this. */
export const SLOW_SECONDS = 0.3;

/** What a label becomes when its value is outside the closed set; `vigia_label_overflow_total` counts it. */
export const OVERFLOW = '_OTHER';
/** The route label of a request that no route took: never the URL. */
export const UNMATCHED_ROUTE = 'unmatched';

/**
 * Asked by machines every few seconds. They are in the request histogram under these routes: an availability objective
 * leaves `/readyz` out, whose 503 is what it is there to say.
 */
export const PROBE_ROUTES = ['/livez', '/readyz'] as const;

/** `build`: one series a process, whose values are fixed at start. */
export type LabelValues = readonly string[] | 'dataset' | 'route' | 'code' | 'build';

export interface MetricDefinition {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly unit: string;
  /** Label → its closed set of values, or `dataset`/`route`/`code` for sets that the service knows at start. */
  readonly labels: Readonly<Record<string, LabelValues>>;
  readonly buckets?: readonly number[];
  /**
   * Which label sets exist at zero on a fresh process's first scrape. `all`: every combination. `listed`: the
   * combinations that can happen (each route with its own method and the statuses objectives read; each dependency
   * with its own operations). `none`: only once there is a value.
   */
  readonly zero: 'all' | 'listed' | 'none';
  /** Label sets one process may hold; one more is counted as overflow and refused. Buckets are not counted. */
  readonly seriesMax: number;
  /** `runtime`: exposed by prom-client's default metrics. */
  readonly source: 'vigia' | 'runtime';
}

export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;
/** Every status the service answers: the error table's, and what Express and the WebSocket add. */
// biome-ignore format: one status a line would bury the table
export const STATUSES = [
  '101', '200', '201', '202', '204', '206', '301', '302', '303', '304', '307', '308', '400', '401', '403', '404', '405',
  '406', '408', '409', '410', '412', '413', '414', '415', '416', '421', '422', '426', '428', '429', '431', '499',
  '500', '501', '502', '503', '504',
] as const;
/** Statuses each route has at zero besides its own successes: what availability and ingest objectives count as bad. */
export const ZERO_STATUSES = ['500', '503'] as const;
export const LOADS = ['no', 'yes'] as const;

export const OUTCOMES = ['accepted', 'rejected', 'stored', 'duplicate', 'quarantined', 'dead_lettered'] as const;
export type Outcome = (typeof OUTCOMES)[number];
/** The terms of the loss equation: name in the service → value of the label. `accepted` is the sum of the others. */
export const EQUATION_TERMS = {
  accepted: 'accepted',
  stored: 'stored',
  duplicate: 'duplicate',
  quarantined: 'quarantined',
  deadLettered: 'dead_lettered',
  expired: 'expired',
  erased: 'erased',
  inFlight: 'in_flight',
} as const;
export type EquationTerm = keyof typeof EQUATION_TERMS;

/** Each dependency's operations; `span: false` where an operation runs on every request and a span would only cost. */
// biome-ignore format: read across
export const DEPENDENCY_OPERATIONS = {
  bus: {
    publish: { span: true }, snapshot: { span: true }, read: { span: true },
    dead_letters: { span: true }, replay: { span: true }, settled: { span: true }, release: { span: true },
    reconcile: { span: true }, check: { span: false },
  },
  warehouse: {
    store: { span: true }, store_range: { span: true }, seal: { span: true }, compact: { span: true }, aggregate: { span: true }, records: { span: true },
    quarantine: { span: true }, audit: { span: true }, write_audit: { span: true }, request_outcome: { span: true },
    accounting: { span: true }, counts: { span: true }, ledger: { span: true }, erase: { span: true }, expire: { span: true },
    check: { span: false },
  },
  state: {
    api_key: { span: false }, idempotency: { span: false }, ticket: { span: false }, fact: { span: false },
    landing: { span: true },
    key_change: { span: true }, sweep: { span: true }, check: { span: false },
  },
  prometheus: { query: { span: true } },
} as const;
export type Dependency = keyof typeof DEPENDENCY_OPERATIONS;
export type Operation<D extends Dependency> = keyof (typeof DEPENDENCY_OPERATIONS)[D] & string;

export const CACHE_RESULTS = ['hit', 'miss', 'stale', 'not_modified', 'bypass'] as const;
// biome-ignore format: a list of reasons
export const SHED_REASONS = [
  'queue_time', 'body_bytes', 'rate_limit', 'auth_failures', 'read_queue', 'connections', 'disk_full', 'stopping',
] as const;
// biome-ignore format: a list of reasons
export const REFUSAL_REASONS = [
  'key_missing', 'key_invalid', 'scope', 'dataset', 'host', 'origin', 'address', 'ticket',
] as const;
/** Codes of what never became a request. */
export const UNREADABLE_CODES = [
  'REQUEST_MALFORMED',
  'REQUEST_TIMEOUT',
  'HEADERS_TOO_LARGE',
  'BODY_INCOMPLETE',
] as const;
export const BREAKER_STATES = ['closed', 'half_open', 'open'] as const;
export const IDEMPOTENCY_RESULTS = ['claimed', 'replayed', 'running', 'other_body'] as const;
export const WEBSOCKET_ENDS = ['client', 'slow', 'silent', 'revoked', 'too_many', 'stopping', 'failed'] as const;
export const STORAGE_PARTS = ['bus', 'state', 'database', 'wal', 'bronze', 'work', 'landing', 'archive'] as const;
export const LANDING_STEPS = ['check', 'range', 'archive'] as const;
export const LANDING_OUTCOMES = ['ok', 'failed'] as const;
export const LANDING_STATES = ['waiting', 'running', 'retrying'] as const;
export const LANDING_ENDINGS = ['done', 'skipped', 'refused', 'gone'] as const;
/** Where records rest, and how long is the contract's to say. */
export const RETENTION_LAYERS = ['silver', 'quarantine', 'bronze', 'dead_letters', 'archive'] as const;
export const SPAN_DROPS = ['queue_full', 'export_failed', 'shutdown'] as const;
export const LINE_DROPS = ['buffer_full', 'write_failed'] as const;
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
/** What `error.type` may be on message metrics; absent (empty) on success, as the convention says. */
// biome-ignore format: a list of codes
export const MESSAGE_ERRORS = [
  '', 'BUS_UNAVAILABLE', 'DISK_FULL', 'WAREHOUSE_UNAVAILABLE', 'STATE_UNAVAILABLE', 'MESSAGE_FAILED', OVERFLOW,
] as const;

const vigia = { zero: 'all', seriesMax: 1, source: 'vigia', labels: {} } as const;
const byDataset = { ...vigia, labels: { dataset: 'dataset' }, seriesMax: 100 } as const;
const runtime = { zero: 'none', seriesMax: 64, source: 'runtime', labels: {} } as const;

// biome-ignore format: one metric a line reads as a table
export const METRICS = {
  // Requests.
  httpServerRequestDuration: {
    ...vigia,
    name: 'http_server_request_duration_seconds',
    kind: 'histogram',
    unit: 's',
    help: 'Time from the first byte of a request to the end of its answer; load test requests carry vigia_load="yes".',
    labels: { http_request_method: METHODS, http_route: 'route', http_response_status_code: STATUSES, vigia_load: LOADS },
    buckets: SECONDS_BUCKETS,
    zero: 'listed',
    seriesMax: 300,
  },
  httpServerActiveRequests: { ...vigia, name: 'http_server_active_requests', kind: 'gauge', unit: 'requests', help: 'Requests begun and not answered.' },
  bodyBytesInFlight: { ...vigia, name: 'vigia_body_bytes_in_flight', kind: 'gauge', unit: 'bytes', help: 'Request bodies held in memory now.' },
  queueTime: { ...vigia, name: 'vigia_queue_time_seconds', kind: 'gauge', unit: 's', help: 'How long work waits for the event loop; admission control sheds on it.' },
  shedRequests: { ...vigia, name: 'vigia_shed_requests_total', kind: 'counter', unit: 'requests', help: 'Requests answered 429 or 503 to protect the service.', labels: { reason: SHED_REASONS }, seriesMax: 10 },
  unreadableRequests: { ...vigia, name: 'vigia_unreadable_requests_total', kind: 'counter', unit: 'requests', help: 'Connections answered because HTTP itself could not be read; such a request reaches no route.', labels: { code: UNREADABLE_CODES }, seriesMax: 5 },
  refusedRequests: { ...vigia, name: 'vigia_refused_requests_total', kind: 'counter', unit: 'requests', help: 'Requests that authentication, authorisation, Host or Origin checks refused.', labels: { reason: REFUSAL_REASONS }, seriesMax: 10 },
  cacheRequests: { ...vigia, name: 'vigia_cache_requests_total', kind: 'counter', unit: 'requests', help: 'Reads by what the answer cache did.', labels: { result: CACHE_RESULTS }, seriesMax: 8 },
  cacheBytes: { ...vigia, name: 'vigia_cache_bytes', kind: 'gauge', unit: 'bytes', help: 'Answers held in the cache.' },
  idempotency: { ...vigia, name: 'vigia_idempotency_requests_total', kind: 'counter', unit: 'requests', help: 'Requests with an Idempotency-Key by what became of the key.', labels: { result: IDEMPOTENCY_RESULTS }, seriesMax: 8 },
  websocketConnections: { ...vigia, name: 'vigia_websocket_connections', kind: 'gauge', unit: 'connections', help: 'Open WebSocket followers.' },
  websocketMessages: { ...vigia, name: 'vigia_websocket_messages_total', kind: 'counter', unit: 'messages', help: 'Messages sent to WebSocket followers.' },
  websocketEnds: { ...vigia, name: 'vigia_websocket_ends_total', kind: 'counter', unit: 'connections', help: 'WebSocket connections ended, by reason.', labels: { reason: WEBSOCKET_ENDS }, seriesMax: 8 },

  // Messages.
  sentMessages: { ...vigia, name: 'messaging_client_sent_messages_total', kind: 'counter', unit: 'messages', help: 'Messages given to the bus; error_type is empty when the bus confirmed them durable.', labels: { dataset: 'dataset', error_type: MESSAGE_ERRORS }, seriesMax: 700 },
  consumedMessages: { ...byDataset, name: 'messaging_client_consumed_messages_total', kind: 'counter', unit: 'messages', help: 'Deliveries handed to the subscriber, redeliveries included.' },
  redeliveredMessages: { ...byDataset, name: 'vigia_redelivered_messages_total', kind: 'counter', unit: 'messages', help: 'Deliveries after the first of the same message.' },
  replayedMessages: { ...byDataset, name: 'vigia_replayed_messages_total', kind: 'counter', unit: 'messages', help: 'Deliveries that changed nothing because the ledger held the message.' },
  processDuration: { ...vigia, name: 'messaging_process_duration_seconds', kind: 'histogram', unit: 's', help: 'Time the subscriber worked on a batch of deliveries; error_type is empty on success.', labels: { error_type: MESSAGE_ERRORS }, buckets: SECONDS_BUCKETS, seriesMax: 8 },
  queueWait: { ...byDataset, name: 'vigia_queue_wait_seconds', kind: 'histogram', unit: 's', help: 'Time from publication to delivery, of each delivery.', buckets: PIPELINE_SECONDS_BUCKETS },
  backlogMessages: { ...byDataset, name: 'vigia_backlog_messages', kind: 'gauge', unit: 'messages', help: 'Messages neither acknowledged nor dead.' },
  backlogRecords: { ...byDataset, name: 'vigia_backlog_records', kind: 'gauge', unit: 'records', help: 'Rows of those messages.' },
  oldestUnacknowledgedAge: { ...byDataset, name: 'vigia_oldest_unacknowledged_age_seconds', kind: 'gauge', unit: 's', help: 'Age of the oldest message neither acknowledged nor dead; 0 when there is none.' },
  deadLetterMessages: { ...byDataset, name: 'vigia_dead_letter_messages', kind: 'gauge', unit: 'messages', help: 'Messages among the dead letters.' },

  // Records.
  records: { ...vigia, name: 'vigia_records_total', kind: 'counter', unit: 'records', help: 'Rows by outcome: accepted and rejected when answered, the others when settled.', labels: { dataset: 'dataset', outcome: OUTCOMES }, seriesMax: 600 },
  quarantinedRecords: { ...vigia, name: 'vigia_quarantined_records_total', kind: 'counter', unit: 'records', help: 'Rows put into quarantine, rejected ones included, by reason.', labels: { dataset: 'dataset', code: 'code' }, seriesMax: 2000 },
  acceptToReadable: { ...byDataset, name: 'vigia_accept_to_readable_seconds', kind: 'histogram', unit: 's', help: 'Time from acceptance to the commit that made a row readable, of each row.', buckets: PIPELINE_SECONDS_BUCKETS },
  oldestUnreadableAge: { ...byDataset, name: 'vigia_oldest_unreadable_age_seconds', kind: 'gauge', unit: 's', help: 'Freshness: age of the oldest accepted row that is not yet readable; 0 when there is none.' },
  freshnessPromise: { ...byDataset, name: 'vigia_freshness_promise_seconds', kind: 'gauge', unit: 's', help: "The contract's promise for that age." },
  expectedRecordAge: { ...byDataset, name: 'vigia_expected_record_age_seconds', kind: 'gauge', unit: 's', help: 'Time since the last accepted row of a dataset that expects rows; 0 where none is expected.' },
  expectEvery: { ...byDataset, name: 'vigia_expect_every_seconds', kind: 'gauge', unit: 's', help: 'How often the contract expects a row; 0 where none is expected.' },
  lastCommit: { ...byDataset, name: 'vigia_last_commit_timestamp_seconds', kind: 'gauge', unit: 's', help: 'Unix time of the last commit that touched the dataset; 0 when there was none.' },
  unclassifiedRecords: { ...byDataset, name: 'vigia_unclassified_records', kind: 'gauge', unit: 'records', help: 'Stored rows in which nothing could be derived, where the contract names such a field (articles without a known word); 0 elsewhere.' },
  unclassifiedSum: { ...byDataset, name: 'vigia_unclassified_sum', kind: 'gauge', unit: "the field's", help: 'Sum over those rows of the field that the contract names (readers of those articles).' },

  // Files.
  landingStepDuration: { ...vigia, name: 'vigia_landing_step_duration_seconds', kind: 'histogram', unit: 's', help: 'Time of each step of a landing file: its check, each of its ranges, its move to the archive.', labels: { step: LANDING_STEPS, outcome: LANDING_OUTCOMES }, buckets: PIPELINE_SECONDS_BUCKETS, seriesMax: 8 },
  landingOldestAge: { ...vigia, name: 'vigia_landing_oldest_waiting_age_seconds', kind: 'gauge', unit: 's', help: 'Age of the oldest landing file that is not at its end; 0 when there is none.' },
  landingFiles: { ...vigia, name: 'vigia_landing_open_files', kind: 'gauge', unit: 'files', help: 'Landing files that are not at their end.', labels: { state: LANDING_STATES }, seriesMax: 4 },
  landingEnds: { ...vigia, name: 'vigia_landing_files_total', kind: 'counter', unit: 'files', help: 'Landing files that came to their end.', labels: { outcome: LANDING_ENDINGS }, seriesMax: 6 },

  // The loss equation.
  equationRecords: { ...vigia, name: 'vigia_equation_records', kind: 'gauge', unit: 'records', help: 'The terms of the loss equation, summed over rows at one cut.', labels: { dataset: 'dataset', state: Object.values(EQUATION_TERMS) }, seriesMax: 800 },
  equationDifference: { ...byDataset, name: 'vigia_equation_difference_records', kind: 'gauge', unit: 'records', help: 'Accepted minus the sum of the other states; anything but 0 is a lost or a doubled row.' },
  overdueRecords: { ...byDataset, name: 'vigia_overdue_records', kind: 'gauge', unit: 'records', help: 'Accepted rows unsettled past the redelivery deadline (OVERDUE_MS); of those in flight.' },
  equationTaken: { ...vigia, name: 'vigia_equation_timestamp_seconds', kind: 'gauge', unit: 's', help: 'Unix time of the cut of the loss equation; 0 before the first.' },

  // Custody.
  unsealedMessages: { ...vigia, name: 'vigia_unsealed_messages', kind: 'gauge', unit: 'messages', help: 'Acknowledged messages that no sealed bronze file holds yet.' },
  unsealedBytes: { ...vigia, name: 'vigia_unsealed_bytes', kind: 'gauge', unit: 'bytes', help: 'Bytes of those messages.' },
  oldestUnsealedAge: { ...vigia, name: 'vigia_oldest_unsealed_age_seconds', kind: 'gauge', unit: 's', help: 'Age of the oldest of them; 0 when there is none.' },
  sealedFiles: { ...vigia, name: 'vigia_sealed_files_total', kind: 'counter', unit: 'files', help: 'Bronze files sealed.' },
  sealedRecords: { ...vigia, name: 'vigia_sealed_records_total', kind: 'counter', unit: 'records', help: 'Rows in them.' },
  sealedBytes: { ...vigia, name: 'vigia_sealed_bytes_total', kind: 'counter', unit: 'bytes', help: 'Bytes in them.' },
  sealFailures: { ...vigia, name: 'vigia_seal_failures_total', kind: 'counter', unit: 'seals', help: 'Attempts to seal that failed; the messages stay on the bus.' },
  storageBytes: { ...vigia, name: 'vigia_storage_bytes', kind: 'gauge', unit: 'bytes', help: 'What each part keeps on disk.', labels: { part: STORAGE_PARTS }, seriesMax: 8 },
  diskUsed: { ...vigia, name: 'vigia_disk_used_ratio', kind: 'gauge', unit: '1', help: 'How full the disk of the data folder is, from 0 to 1.' },

  // Dependencies.
  dependencyDuration: { ...vigia, name: 'vigia_dependency_duration_seconds', kind: 'histogram', unit: 's', help: 'Time of each call to bus, warehouse, state and Prometheus.', labels: { dependency: Object.keys(DEPENDENCY_OPERATIONS), operation: [...new Set(Object.values(DEPENDENCY_OPERATIONS).flatMap((operations) => Object.keys(operations)))], outcome: ['ok', 'error'] }, buckets: DEPENDENCY_SECONDS_BUCKETS, zero: 'listed', seriesMax: 100 },
  breakerState: { ...vigia, name: 'vigia_breaker_state', kind: 'gauge', unit: '1', help: "1 for the state each dependency's circuit breaker is in.", labels: { dependency: Object.keys(DEPENDENCY_OPERATIONS), state: BREAKER_STATES }, seriesMax: 12 },
  readsRunning: { ...vigia, name: 'vigia_reads_running', kind: 'gauge', unit: 'reads', help: 'Warehouse reads running.' },
  readsWaiting: { ...vigia, name: 'vigia_reads_waiting', kind: 'gauge', unit: 'reads', help: 'Warehouse reads waiting for a connection.' },

  // Retention.
  expiredRecords: { ...vigia, name: 'vigia_expired_records_total', kind: 'counter', unit: 'records', help: 'Accepted rows that retention took out, by the layer whose days were over.', labels: { dataset: 'dataset', layer: RETENTION_LAYERS }, seriesMax: 500 },
  expiredFiles: { ...vigia, name: 'vigia_expired_files_total', kind: 'counter', unit: 'files', help: 'Bronze files emptied and archived files removed by retention.', labels: { dataset: 'dataset', layer: RETENTION_LAYERS }, seriesMax: 500 },

  // The service and its telemetry.
  buildInfo: { ...vigia, name: 'vigia_build_info', kind: 'gauge', unit: '1', help: 'Always 1; the labels say what runs.', labels: { version: 'build', node: 'build', role: 'build', tracing: 'build' } },
  ready: { ...vigia, name: 'vigia_ready', kind: 'gauge', unit: '1', help: '1 while /readyz answers 200.' },
  spansEnded: { ...vigia, name: 'vigia_spans_ended_total', kind: 'counter', unit: 'spans', help: 'Sampled spans ended in this process.' },
  spansExported: { ...vigia, name: 'vigia_spans_exported_total', kind: 'counter', unit: 'spans', help: 'Spans that the collector confirmed.' },
  spansDropped: { ...vigia, name: 'vigia_spans_dropped_total', kind: 'counter', unit: 'spans', help: 'Spans lost: ended = exported + dropped + waiting.', labels: { reason: SPAN_DROPS }, seriesMax: 4 },
  logLines: { ...vigia, name: 'vigia_log_lines_total', kind: 'counter', unit: 'lines', help: 'Log lines handed to the destination.', labels: { level: LEVELS }, seriesMax: 8 },
  logLinesDropped: { ...vigia, name: 'vigia_log_lines_dropped_total', kind: 'counter', unit: 'lines', help: 'Log lines that never reached the destination.', labels: { reason: LINE_DROPS }, seriesMax: 4 },
  labelOverflow: { ...vigia, name: 'vigia_label_overflow_total', kind: 'counter', unit: 'values', help: 'Label values outside their closed set, replaced by _OTHER or unmatched.', labels: { label: ['http_request_method', 'http_route', 'http_response_status_code', 'dataset', 'code', 'error_type', 'series'] }, seriesMax: 8 },
  refusedValues: { ...vigia, name: 'vigia_refused_values_total', kind: 'counter', unit: 'values', help: 'Measurements that were not a number (or negative on a counter) and were left out.' },
  telemetryFailures: { ...vigia, name: 'vigia_telemetry_failures_total', kind: 'counter', unit: 'failures', help: 'Metrics, lines and spans that threw; what they told of went on.' },
  sampleFailures: { ...vigia, name: 'vigia_sample_failures_total', kind: 'counter', unit: 'samples', help: 'Gauge readings that failed at a scrape; the gauges keep their last value.' },
  scrapes: { ...vigia, name: 'vigia_scrapes_total', kind: 'counter', unit: 'scrapes', help: 'Scrapes answered.' },
  scrapeDuration: { ...vigia, name: 'vigia_scrape_duration_seconds', kind: 'gauge', unit: 's', help: 'Time the previous scrape took inside this process.' },

  // The runtime, as prom-client names it.
  processCpuUser: { ...runtime, name: 'process_cpu_user_seconds_total', kind: 'counter', unit: 's', help: 'User CPU time.' },
  processCpuSystem: { ...runtime, name: 'process_cpu_system_seconds_total', kind: 'counter', unit: 's', help: 'System CPU time.' },
  processCpu: { ...runtime, name: 'process_cpu_seconds_total', kind: 'counter', unit: 's', help: 'User and system CPU time.' },
  processStart: { ...runtime, name: 'process_start_time_seconds', kind: 'gauge', unit: 's', help: 'Unix time of the start.' },
  processResident: { ...runtime, name: 'process_resident_memory_bytes', kind: 'gauge', unit: 'bytes', help: 'Resident memory.' },
  processVirtual: { ...runtime, name: 'process_virtual_memory_bytes', kind: 'gauge', unit: 'bytes', help: 'Virtual memory (Linux).' },
  processHeap: { ...runtime, name: 'process_heap_bytes', kind: 'gauge', unit: 'bytes', help: 'Process heap (Linux).' },
  processOpenFiles: { ...runtime, name: 'process_open_fds', kind: 'gauge', unit: 'files', help: 'Open file descriptors (Linux).' },
  processMaxFiles: { ...runtime, name: 'process_max_fds', kind: 'gauge', unit: 'files', help: 'File descriptor limit (Linux).' },
  eventLoopLag: { ...runtime, name: 'nodejs_eventloop_lag_seconds', kind: 'gauge', unit: 's', help: 'Event loop lag at the scrape.' },
  eventLoopLagMin: { ...runtime, name: 'nodejs_eventloop_lag_min_seconds', kind: 'gauge', unit: 's', help: 'Lowest lag since the last scrape.' },
  eventLoopLagMax: { ...runtime, name: 'nodejs_eventloop_lag_max_seconds', kind: 'gauge', unit: 's', help: 'Highest lag since the last scrape.' },
  eventLoopLagMean: { ...runtime, name: 'nodejs_eventloop_lag_mean_seconds', kind: 'gauge', unit: 's', help: 'Mean lag since the last scrape.' },
  eventLoopLagDeviation: { ...runtime, name: 'nodejs_eventloop_lag_stddev_seconds', kind: 'gauge', unit: 's', help: 'Standard deviation of the lag.' },
  eventLoopLagP50: { ...runtime, name: 'nodejs_eventloop_lag_p50_seconds', kind: 'gauge', unit: 's', help: 'Median lag since the last scrape.' },
  eventLoopLagP90: { ...runtime, name: 'nodejs_eventloop_lag_p90_seconds', kind: 'gauge', unit: 's', help: '90th percentile of the lag.' },
  eventLoopLagP99: { ...runtime, name: 'nodejs_eventloop_lag_p99_seconds', kind: 'gauge', unit: 's', help: '99th percentile of the lag.' },
  activeResources: { ...runtime, name: 'nodejs_active_resources', kind: 'gauge', unit: 'resources', help: 'What keeps the event loop alive, by type.', labels: { type: 'build' } },
  activeResourcesTotal: { ...runtime, name: 'nodejs_active_resources_total', kind: 'gauge', unit: 'resources', help: 'The sum of those.' },
  activeHandles: { ...runtime, name: 'nodejs_active_handles', kind: 'gauge', unit: 'handles', help: 'Active libuv handles, by type.', labels: { type: 'build' } },
  activeHandlesTotal: { ...runtime, name: 'nodejs_active_handles_total', kind: 'gauge', unit: 'handles', help: 'The sum of those.' },
  activeRequests: { ...runtime, name: 'nodejs_active_requests', kind: 'gauge', unit: 'requests', help: 'Active libuv requests, by type.', labels: { type: 'build' } },
  activeRequestsTotal: { ...runtime, name: 'nodejs_active_requests_total', kind: 'gauge', unit: 'requests', help: 'The sum of those.' },
  heapTotal: { ...runtime, name: 'nodejs_heap_size_total_bytes', kind: 'gauge', unit: 'bytes', help: 'V8 heap reserved.' },
  heapUsed: { ...runtime, name: 'nodejs_heap_size_used_bytes', kind: 'gauge', unit: 'bytes', help: 'V8 heap used.' },
  externalMemory: { ...runtime, name: 'nodejs_external_memory_bytes', kind: 'gauge', unit: 'bytes', help: 'Memory outside the V8 heap.' },
  heapSpaceTotal: { ...runtime, name: 'nodejs_heap_space_size_total_bytes', kind: 'gauge', unit: 'bytes', help: 'Heap space reserved.', labels: { space: 'build' } },
  heapSpaceUsed: { ...runtime, name: 'nodejs_heap_space_size_used_bytes', kind: 'gauge', unit: 'bytes', help: 'Heap space used.', labels: { space: 'build' } },
  heapSpaceAvailable: { ...runtime, name: 'nodejs_heap_space_size_available_bytes', kind: 'gauge', unit: 'bytes', help: 'Heap space left.', labels: { space: 'build' } },
  nodeVersion: { ...runtime, name: 'nodejs_version_info', kind: 'gauge', unit: '1', help: 'Node version.', labels: { version: 'build', major: 'build', minor: 'build', patch: 'build' } },
  garbageCollection: { ...runtime, name: 'nodejs_gc_duration_seconds', kind: 'histogram', unit: 's', help: 'Garbage collection pauses, by kind.', labels: { kind: 'build' }, buckets: [0.001, 0.01, 0.1, 1, 2, 5] },
} as const satisfies Record<string, MetricDefinition>;
export type MetricName = keyof typeof METRICS;

export interface LogEventDefinition {
  /** The line's `msg`. */
  readonly event: string;
  readonly level: (typeof LEVELS)[number];
  readonly about: string;
  /** The only fields a line may carry. `error` is written as class, code, detail and stack frames, never as message. */
  readonly fields: readonly string[];
}

const request = ['method', 'route', 'status', 'durationMs', 'code', 'keyId', 'load', 'requestId', 'traceId'] as const;

// biome-ignore format: one event a line
export const LOG_EVENTS = {
  requestAnswered: { event: 'http.request', level: 'info', about: 'The access line of an answer below 500, and of a caller that went away (499).', fields: request },
  requestProbed: { event: 'http.request', level: 'debug', about: 'The access line of a probe, whatever it was answered.', fields: request },
  requestErred: { event: 'http.request', level: 'error', about: 'The access line of an answer of 500 and above.', fields: request },
  requestFailed: { event: 'http.failure', level: 'error', about: 'Why an answer is 500 or above, before its access line.', fields: ['code', 'traceId', 'error'] },
  serviceStarted: { event: 'service.started', level: 'info', about: 'Listening.', fields: ['version', 'role', 'url', 'docsUrl', 'metricsUrl', 'dataDir', 'tracing', 'startMs'] },
  serviceReady: { event: 'service.ready', level: 'info', about: '/readyz answers 200 from here on.', fields: ['startMs'] },
  serviceNotReady: { event: 'service.not_ready', level: 'warn', about: '/readyz answers 503 from here on.', fields: ['reason', 'error'] },
  serviceStopping: { event: 'service.stopping', level: 'info', about: 'Draining began.', fields: ['signal'] },
  serviceStopped: { event: 'service.stopped', level: 'info', about: 'Everything in flight ended and was flushed.', fields: ['durationMs'] },
  serviceFailed: { event: 'service.failed', level: 'fatal', about: 'The process ends.', fields: ['reason', 'error'] },
  telemetryLost: { event: 'telemetry.lost', level: 'warn', about: 'Spans or lines were dropped.', fields: ['spans', 'lines', 'reason', 'error'] },
  telemetryFailed: { event: 'telemetry.failed', level: 'error', about: 'Metrics, lines or spans threw since the line before; at most one line a minute.', fields: ['failures', 'error'] },
  sampleFailed: { event: 'telemetry.sample_failed', level: 'warn', about: 'A gauge reading failed at a scrape.', fields: ['sample', 'error'] },
  dependencyFailed: { event: 'dependency.failed', level: 'warn', about: 'A call to a dependency failed.', fields: ['dependency', 'operation', 'durationMs', 'error'] },
  breakerChanged: { event: 'breaker.changed', level: 'warn', about: 'A circuit breaker changed its state.', fields: ['dependency', 'state'] },
  sheddingChanged: { event: 'shedding.changed', level: 'warn', about: 'Load shedding began or ended.', fields: ['reason', 'shedding', 'queueTimeMs'] },
  batchStored: { event: 'subscriber.batch_stored', level: 'debug', about: 'What one commit did to a dataset.', fields: ['dataset', 'stored', 'duplicate', 'quarantined', 'rejected', 'replayed', 'commitNumber', 'durationMs'] },
  batchFailed: { event: 'subscriber.batch_failed', level: 'error', about: 'A batch failed and will be delivered again.', fields: ['messages', 'attempt', 'durationMs', 'error'] },
  messageDeadLettered: { event: 'subscriber.dead_lettered', level: 'warn', about: 'A message went to the dead letters.', fields: ['messageId', 'dataset', 'requestId', 'code', 'attempts', 'records'] },
  sealed: { event: 'bronze.sealed', level: 'debug', about: 'Messages were sealed into bronze files.', fields: ['messages', 'records', 'files', 'bytes', 'durationMs'] },
  sealFailed: { event: 'bronze.seal_failed', level: 'error', about: 'Sealing failed; the messages stay on the bus.', fields: ['messages', 'error'] },
  compactionFailed: { event: 'bronze.compaction_failed', level: 'warn', about: 'Small bronze files could not be put together; they stay as they are until the next start.', fields: ['error'] },
  warehouseBroken: { event: 'warehouse.broken', level: 'error', about: 'The database file cannot be trusted; it is set aside and rebuilt.', fields: ['file', 'error'] },
  warehouseRebuilding: { event: 'warehouse.rebuilding', level: 'info', about: 'Progress of a rebuild from bronze.', fields: ['files', 'filesDone', 'records'] },
  warehouseRebuilt: { event: 'warehouse.rebuilt', level: 'info', about: 'The warehouse was rebuilt from bronze.', fields: ['files', 'messages', 'records', 'durationMs'] },
  busReconciled: { event: 'bus.reconciled', level: 'info', about: 'Bus and ledger were squared at start.', fields: ['acknowledged', 'redelivered'] },
  equationBroken: { event: 'equation.broken', level: 'error', about: 'The loss equation does not add up.', fields: ['dataset', 'difference', 'cut'] },
  landingEnded: { event: 'landing.ended', level: 'info', about: 'A landing file was stored, or was stored before, and lies in the archive.', fields: ['file', 'landingId', 'dataset', 'outcome', 'code', 'records', 'stored', 'duplicate', 'quarantined', 'rejected'] },
  landingRefused: { event: 'landing.refused', level: 'warn', about: 'A landing file was refused as a whole, or went away before its end.', fields: ['file', 'landingId', 'dataset', 'outcome', 'code', 'records', 'stored', 'duplicate', 'quarantined', 'rejected'] },
  landingFailed: { event: 'landing.failed', level: 'error', about: 'A landing file could not be taken now; it stays where it is and is tried again.', fields: ['file', 'landingId', 'dataset', 'code', 'attempts', 'error'] },
  deadLettersReplayed: { event: 'dead_letters.replayed', level: 'info', about: 'Dead letters were put back.', fields: ['messages', 'records', 'keyId', 'requestId'] },
  recordsErased: { event: 'erasure.done', level: 'info', about: 'Records were taken out of every store; freed pages hold old bytes until a compaction.', fields: ['dataset', 'records', 'durationMs'] },
  erasureFailed: { event: 'erasure.failed', level: 'error', about: 'An erasure could not be carried out now; it is tried again, over restarts too.', fields: ['dataset', 'error'] },
  storesCompacted: { event: 'stores.compacted', level: 'info', about: 'Bus, state and warehouse hold no bytes of what was erased any more; databases set aside earlier (files) do.', fields: ['bytesBefore', 'bytes', 'files', 'durationMs'] },
  storesNotCompacted: { event: 'stores.not_compacted', level: 'error', about: 'What was erased is still in freed pages: the compaction that is due failed, and is tried again at the next start.', fields: ['error'] },
  retentionRan: { event: 'retention.ran', level: 'info', about: 'What the contract keeps no longer was taken out of a layer.', fields: ['dataset', 'layer', 'records', 'files'] },
  retentionFailed: { event: 'retention.failed', level: 'error', about: 'Retention failed; what is left is tried again at the next look.', fields: ['dataset', 'layer', 'error'] },
  samplesLoaded: { event: 'samples.loaded', level: 'info', about: 'Sample data was accepted.', fields: ['dataset', 'records'] },
  samplesRemoved: { event: 'samples.removed', level: 'info', about: 'Sample data was removed.', fields: ['records'] },
  taskDone: { event: 'task.done', level: 'info', about: 'What a command asked for was done.', fields: ['task', 'durationMs'] },
  taskFailed: { event: 'task.failed', level: 'warn', about: 'What a command asked for failed, or the store that holds the tasks could not be asked.', fields: ['task', 'durationMs', 'error'] },
  dataMigrating: { event: 'data.migrating', level: 'info', about: 'The data folder is brought to a newer format; before that it is copied to file.', fields: ['from', 'to', 'file'] },
  followerDropped: { event: 'websocket.dropped', level: 'info', about: 'A WebSocket follower was dropped.', fields: ['reason', 'keyId'] },
  warehouseSkipped: { event: 'warehouse.skipped', level: 'warn', about: 'Bronze files of a dataset without a contract were left as they are.', fields: ['dataset', 'files'] },
  requestBroken: { event: 'http.broken', level: 'info', about: 'A connection ended before a request could be read.', fields: ['code'] },
} as const satisfies Record<string, LogEventDefinition>;
export type LogEvent = keyof typeof LOG_EVENTS;
