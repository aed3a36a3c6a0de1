import assert from 'node:assert/strict';
import { METRICS, type MetricDefinition, OUTCOMES, SECONDS_BUCKETS } from './catalogue.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';
import { Metrics } from './metrics.ts';

const DATASETS = ['flights', 'trips'];
const ROUTE = '/v1/datasets/:dataset/records';
const DEFINITIONS: readonly MetricDefinition[] = Object.values(METRICS);

function metrics(): Metrics {
  return new Metrics({ datasets: DATASETS, codes: ['FIELD_TYPE'], routes: new Set([ROUTE, 'unmatched']) });
}

function fresh(): Telemetry {
  return createTelemetry({
    version: '1.2.3',
    logLevel: 'silent',
    logFile: '',
    logFileBytesMax: 1 << 20,
    logFilesMax: 1,
    datasets: DATASETS,
    codes: ['FIELD_TYPE'],
    now: Date.now,
  });
}

interface Exposition {
  readonly types: ReadonlyMap<string, string>;
  readonly samples: ReadonlyMap<string, number>;
}

const SAMPLE =
  /^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf)( # \{[^}]*\} [0-9.e-]+ [0-9.]+)?$/;

/** Strict about the format, because Prometheus is. */
function parse(text: string): Exposition {
  const lines = text.split('\n');
  assert.equal(lines.pop(), '');
  assert.equal(lines.pop(), '# EOF');
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of lines) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type?.[1] !== undefined && type[2] !== undefined) {
      assert.ok(!types.has(type[1]), `${type[1]} stands twice`);
      types.set(type[1], type[2]);
    } else if (!line.startsWith('# HELP ')) {
      const sample = SAMPLE.exec(line);
      assert.ok(sample, `not OpenMetrics: ${line}`);
      samples.set(`${sample[1]}${sample[2] ?? ''}`, Number(sample[3]));
    }
  }
  return { types, samples };
}

async function scrape(from: { render(): Promise<string> }): Promise<Exposition> {
  return parse(await from.render());
}

function exposedName({ name, kind }: MetricDefinition): string {
  return kind === 'counter' ? name.replace(/_total$/, '') : name;
}

describe('the metrics', () => {
  it('are the catalogue and the catalogue is the metrics', async () => {
    const { types } = await scrape(fresh());
    const listed = new Map(DEFINITIONS.map((one) => [exposedName(one), one.kind as string]));
    assert.deepEqual([...types].sort(), [...listed].sort());
  });
  it('are named by the conventions: counters end in _total, units stand in the name', () => {
    for (const { name, kind, unit, source } of DEFINITIONS) {
      if (source === 'runtime') continue;
      assert.equal(name.endsWith('_total'), kind === 'counter', name);
      if (unit === 's') assert.match(name, /_seconds(_total)?$/);
      if (unit === 'bytes') assert.match(name, /_bytes(_total|_in_flight)?$|_bytes_/);
    }
  });
  it('have the bounds that objectives name', () => {
    for (const bound of [0.3, 5]) assert.ok((SECONDS_BUCKETS as readonly number[]).includes(bound));
    assert.ok((METRICS.acceptToReadable.buckets as readonly number[]).includes(5));
  });
  it('exist at zero on the first scrape of a fresh process, every series an objective may read', async () => {
    const telemetry = fresh();
    telemetry.declareRoutes([
      { method: 'post', path: ROUTE, answers: { 202: {}, 422: {} } },
      { method: 'get', path: ROUTE, answers: { 200: {} } },
    ]);
    const { samples } = await scrape(telemetry);
    const zero = (series: string): void => assert.equal(samples.get(series), 0, series);
    for (const [method, status] of [
      ['POST', '202'],
      ['POST', '500'],
      ['POST', '503'],
      ['GET', '200'],
      ['GET', '500'],
      ['GET', '503'],
    ]) {
      const labels = `http_request_method="${method}",http_route="${ROUTE}",http_response_status_code="${status}",vigia_load="no"`;
      zero(`http_server_request_duration_seconds_count{${labels}}`);
      zero(`http_server_request_duration_seconds_bucket{le="0.3",${labels}}`);
    }
    for (const dataset of DATASETS) {
      for (const outcome of OUTCOMES) zero(`vigia_records_total{dataset="${dataset}",outcome="${outcome}"}`);
      for (const name of [
        'vigia_oldest_unreadable_age_seconds',
        'vigia_overdue_records',
        'vigia_equation_difference_records',
        'vigia_expected_record_age_seconds',
        'vigia_backlog_messages',
        'vigia_oldest_unacknowledged_age_seconds',
      ]) {
        zero(`${name}{dataset="${dataset}"}`);
      }
      zero(`vigia_accept_to_readable_seconds_count{dataset="${dataset}"}`);
      zero(`vigia_accept_to_readable_seconds_bucket{le="5",dataset="${dataset}"}`);
      zero(`vigia_quarantined_records_total{dataset="${dataset}",code="FIELD_TYPE"}`);
    }
    zero('vigia_dependency_duration_seconds_count{dependency="warehouse",operation="store",outcome="error"}');
    zero('vigia_shed_requests_total{reason="queue_time"}');
    zero('vigia_spans_dropped_total{reason="queue_full"}');
    zero('vigia_log_lines_dropped_total{reason="buffer_full"}');
    zero('messaging_process_duration_seconds_count{error_type="WAREHOUSE_UNAVAILABLE"}');
  });
  it('exist at zero wherever the catalogue says all', async () => {
    const { samples } = await scrape(metrics());
    for (const definition of DEFINITIONS.filter(({ zero }) => zero === 'all')) {
      if (Object.values(definition.labels).includes('build')) continue;
      const name = definition.kind === 'histogram' ? `${definition.name}_count` : definition.name;
      const sets = [...samples.keys()].filter((series) => series === name || series.startsWith(`${name}{`));
      const expected = Object.values(definition.labels).reduce((product, values) => {
        const known = values === 'dataset' ? DATASETS.length : values === 'code' ? 1 : values.length;
        return product * known;
      }, 1);
      assert.equal(sets.length, expected, name);
      assert.ok(expected <= definition.seriesMax, `${name} has more zero series than its budget`);
    }
  });
  it('replace a value outside its closed set and count it', async () => {
    const live = metrics();
    for (const dataset of ['stranger-1', 'stranger-2']) live.add('records', { dataset, outcome: 'stored' }, 2);
    const { samples } = await scrape(live);
    assert.equal(samples.get('vigia_records_total{dataset="_OTHER",outcome="stored"}'), 4);
    assert.equal(samples.get('vigia_label_overflow_total{label="dataset"}'), 2);
    assert.ok(![...samples.keys()].some((series) => series.includes('stranger')));
  });
  it('call a route that was never declared unmatched', async () => {
    const live = metrics();
    live.observe(
      'httpServerRequestDuration',
      { http_request_method: 'GET', http_route: '/secret/42', http_response_status_code: '404', vigia_load: 'no' },
      0.1,
    );
    const { samples } = await scrape(live);
    const series =
      'http_server_request_duration_seconds_count{http_request_method="GET",http_route="unmatched",http_response_status_code="404",vigia_load="no"}';
    assert.equal(samples.get(series), 1);
    assert.equal(samples.get('vigia_label_overflow_total{label="http_route"}'), 1);
  });
  it('leave out what is not a number and count it', async () => {
    const live = metrics();
    live.set('diskUsed', {}, Number.NaN);
    live.add('scrapes', {}, -1);
    live.add('scrapes', {}, Number.NaN);
    live.observe('queueWait', { dataset: 'flights' }, Number.POSITIVE_INFINITY);
    const { samples } = await scrape(live);
    assert.equal(samples.get('vigia_refused_values_total'), 4);
    assert.equal(samples.get('vigia_disk_used_ratio'), 0);
    assert.equal(samples.get('vigia_scrapes_total'), 0);
  });
  it('do not outgrow their series budget', async () => {
    const live = new Metrics({
      datasets: Array.from({ length: 90 }, (_, index) => `d${index}`),
      codes: ['A'],
      routes: new Set(['unmatched', ...Array.from({ length: 400 }, (_, index) => `/r${index}`)]),
    });
    for (let index = 0; index < 400; index++) {
      live.observe(
        'httpServerRequestDuration',
        { http_request_method: 'GET', http_route: `/r${index}`, http_response_status_code: '200', vigia_load: 'no' },
        0.1,
      );
    }
    const { samples } = await scrape(live);
    const counts = [...samples].filter(([series]) => series.startsWith('http_server_request_duration_seconds_count'));
    assert.equal(counts.length, METRICS.httpServerRequestDuration.seriesMax + 1);
    assert.equal(
      counts.reduce((sum, [, value]) => sum + value, 0),
      400,
    );
    assert.equal(
      samples.get('vigia_label_overflow_total{label="series"}'),
      400 - METRICS.httpServerRequestDuration.seriesMax,
    );
  });
  it('count many rows as if each had been observed', async () => {
    const [one, many] = [metrics(), metrics()];
    for (const seconds of [0.2, 0.3, 4, 9000]) {
      for (let times = 0; times < 7; times++) one.observe('acceptToReadable', { dataset: 'flights' }, seconds);
      many.observeMany('acceptToReadable', { dataset: 'flights' }, seconds, 7);
    }
    const readable = ({ samples }: Exposition) =>
      [...samples]
        .filter(([series]) => series.startsWith('vigia_accept_to_readable'))
        .map(([series, value]) => [series, Math.round(value * 1e6)]);
    assert.deepEqual(readable(await scrape(many)), readable(await scrape(one)));
  });
});

describe('telemetry of records', () => {
  it('keeps every term of the loss equation and the time of its cut', async () => {
    const telemetry = fresh();
    const terms = {
      accepted: 10,
      stored: 1,
      duplicate: 2,
      quarantined: 3,
      deadLettered: 1,
      expired: 0,
      erased: 1,
      inFlight: 2,
      overdue: 1,
      difference: 0,
    };
    telemetry.equation({ dataset: 'flights', terms });
    const { samples } = await scrape(telemetry);
    const term = (state: string) => samples.get(`vigia_equation_records{dataset="flights",state="${state}"}`);
    assert.deepEqual(['accepted', 'dead_lettered', 'in_flight', 'quarantined'].map(term), [10, 1, 2, 3]);
    assert.equal(samples.get('vigia_overdue_records{dataset="flights"}'), 1);
    assert.ok((samples.get('vigia_equation_timestamp_seconds') ?? 0) > 1e9);
  });
  it('lets the age of an expected record grow while nothing comes', async () => {
    let nowMs = 1_000_000;
    const telemetry = createTelemetry({
      version: '1',
      logLevel: 'silent',
      logFile: '',
      logFileBytesMax: 1,
      logFilesMax: 1,
      datasets: DATASETS,
      codes: [],
      now: () => nowMs,
    });
    telemetry.promised({ dataset: 'flights', freshnessSeconds: 60, expectEverySeconds: 3600 });
    telemetry.promised({ dataset: 'trips', freshnessSeconds: 60 });
    telemetry.recordsAccepted({ dataset: 'flights', accepted: 1, rejected: 0 });
    const listener = await telemetry.listen({ host: '127.0.0.1', port: 0 });
    nowMs += 90_000;
    const { samples } = parse(await (await fetch(`http://127.0.0.1:${listener.port}/metrics`)).text());
    await listener.close();
    assert.equal(samples.get('vigia_expected_record_age_seconds{dataset="flights"}'), 90);
    assert.equal(samples.get('vigia_expected_record_age_seconds{dataset="trips"}'), 0);
    assert.equal(samples.get('vigia_freshness_promise_seconds{dataset="trips"}'), 60);
  });
  it('counts outcomes, reasons and replays of a commit', async () => {
    const telemetry = fresh();
    telemetry.recordsSettled({
      dataset: 'flights',
      stored: 5,
      duplicate: 1,
      quarantined: 2,
      quarantinedByCode: { FIELD_TYPE: 2 },
      rejected: 3,
      rejectedByCode: { FIELD_TYPE: 3 },
      replayedMessages: 1,
    });
    const { samples } = await scrape(telemetry);
    assert.equal(samples.get('vigia_records_total{dataset="flights",outcome="stored"}'), 5);
    assert.equal(samples.get('vigia_records_total{dataset="flights",outcome="rejected"}'), 0);
    assert.equal(samples.get('vigia_quarantined_records_total{dataset="flights",code="FIELD_TYPE"}'), 5);
    assert.equal(samples.get('vigia_replayed_messages_total{dataset="flights"}'), 1);
  });
  it('shows one state of a breaker at a time', async () => {
    const telemetry = fresh();
    telemetry.breakerChanged({ dependency: 'warehouse', state: 'open' });
    const { samples } = await scrape(telemetry);
    const state = (name: string) => samples.get(`vigia_breaker_state{dependency="warehouse",state="${name}"}`);
    assert.deepEqual(['closed', 'half_open', 'open'].map(state), [0, 0, 1]);
    assert.equal(samples.get('vigia_breaker_state{dependency="bus",state="closed"}'), 1);
  });
  it('counts a failed call of a dependency as an error and throws it on', async () => {
    const telemetry = fresh();
    const failure = new Error('down');
    await assert.rejects(
      telemetry.dependency({ dependency: 'warehouse', operation: 'store' }, () => Promise.reject(failure)),
      failure,
    );
    await assert.rejects(
      telemetry.publishing({ dataset: 'flights', messages: 2, rows: 2 }, () => Promise.reject(failure)),
      failure,
    );
    await assert.rejects(
      telemetry.processing({ deliveries: [] }, () => Promise.reject(failure)),
      failure,
    );
    const { samples } = await scrape(telemetry);
    const failed = (dependency: string, operation: string) =>
      samples.get(
        `vigia_dependency_duration_seconds_count{dependency="${dependency}",operation="${operation}",outcome="error"}`,
      );
    assert.deepEqual([failed('warehouse', 'store'), failed('bus', 'publish')], [1, 1]);
    assert.equal(samples.get('messaging_client_sent_messages_total{dataset="flights",error_type="_OTHER"}'), 2);
    assert.equal(samples.get('messaging_process_duration_seconds_count{error_type="_OTHER"}'), 1);
  });
});
