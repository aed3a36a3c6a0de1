/** The bad input table: each line with its exact answer, after which the service is well and nothing is lost or added. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { ERRORS, type ErrorCode } from '../errors.ts';
import {
  type Answer,
  askRaw,
  assertHealthy,
  assertProblem,
  flight,
  openRaw,
  type RunningService,
  sale,
  startService,
} from './service.contract.ts';

const NDJSON = { 'content-type': 'application/x-ndjson' };
const CSV = { 'content-type': 'text/csv' };
const GZIP = { 'content-encoding': 'gzip' };
const HEADER = 'departed_at,delay,distance,origin,destination';
const ROW = '2001-01-14T21:55:00Z,14,480,SMF,SAN';
const RECORDS = '/v1/datasets/flights/records';
const MIB = 1024 * 1024;
/** Ignored by every format, and long enough to be passed over quickly. */
const BLANK_LINE = `${' '.repeat(9_999)}\n`;

interface BadInput {
  readonly what: string;
  readonly ask: (running: RunningService) => Promise<Answer>;
  readonly code: ErrorCode;
  /** What the detail must name: a value, a limit, a remedy. */
  readonly names: RegExp;
  /** Of the first verdict or parameter. */
  readonly first?: Readonly<Record<string, unknown>>;
  readonly also?: (answer: Answer) => void;
}

const post = (body: unknown, headers?: Readonly<Record<string, string>>) => (running: RunningService) =>
  running.send('flights', body, headers === undefined ? {} : { headers });
const get = (path: string) => (running: RunningService) => running.ask(path);
const raw = (text: string) => (running: RunningService) => askRaw(running.port, text);
const flightWith = (change: Readonly<Record<string, unknown>>) => post({ ...flight(1), ...change });
const lines = (count: number): string =>
  Array.from({ length: count }, (_, index) => JSON.stringify(flight(index))).join('\n');
const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

const BODIES: readonly BadInput[] = [
  { what: 'JSON that ends early', ask: post('{"a":'), code: 'MALFORMED_JSON', names: /character \d+.*Mend it/ },
  { what: 'JSON with something after it', ask: post('[]]'), code: 'MALFORMED_JSON', names: /follows the end/ },
  { what: 'NaN, which is not JSON', ask: post('{"delay":NaN}'), code: 'MALFORMED_JSON', names: /character/ },
  {
    what: 'malformed UTF-8',
    ask: post(Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d])),
    code: 'MALFORMED_UTF8',
    names: /byte 2.*Encode it as UTF-8/,
  },
  { what: 'an empty body', ask: post(''), code: 'BODY_EMPTY', names: /Send at least one/ },
  { what: 'an empty array', ask: post('[]'), code: 'BODY_EMPTY', names: /Send at least one/ },
  {
    what: 'a gzip bomb',
    ask: post(gzipSync(Buffer.alloc(64 * MIB, BLANK_LINE)), { ...NDJSON, ...GZIP }),
    code: 'BODY_TOO_LARGE',
    names: /33554432 bytes \(BODY_BYTES_MAX\).*in parts/,
  },
  {
    what: 'gzip truncated at row 6,000',
    ask: (running) => {
      const whole = gzipSync(lines(10_000));
      const upTo = gzipSync(lines(6_000));
      return running.send('flights', whole.subarray(0, upTo.length), { headers: { ...NDJSON, ...GZIP } });
    },
    code: 'BODY_INCOMPLETE',
    names: /nothing of it was taken/,
  },
  { what: 'gzip that is not', ask: post('plain', GZIP), code: 'MALFORMED_GZIP', names: /leave out Content-Encoding/ },
  {
    what: 'an array over its limit',
    ask: post(`[${' '.repeat(4 * MIB)}]`),
    code: 'BODY_TOO_LARGE',
    names: /4194304 bytes \(ARRAY_BODY_BYTES_MAX\).*NDJSON/,
  },
  {
    what: 'a body over its limit, streamed',
    ask: post(Buffer.alloc(33 * MIB, BLANK_LINE), NDJSON),
    code: 'BODY_TOO_LARGE',
    names: /BODY_BYTES_MAX/,
  },
  {
    what: 'too many rows',
    ask: post('{}\n'.repeat(10_001), NDJSON),
    code: 'TOO_MANY_ROWS',
    names: /10000 rows \(ROWS_PER_REQUEST_MAX\).*in parts/,
  },
  {
    what: 'CSV with a field that is not there',
    ask: post(`${HEADER},speed\n${ROW},1\n`, CSV),
    code: 'CSV_HEADER_WRONG',
    names: /"speed" is not a field of flights/,
  },
  {
    what: 'CSV without a required field',
    ask: post('departed_at,delay\n2001-01-14T21:55:00Z,14\n', CSV),
    code: 'CSV_HEADER_WRONG',
    names: /lacks distance, origin, destination/,
  },
  {
    what: 'CSV with a quote inside a cell',
    ask: post(`${HEADER}\n2001-01-14T21:55:00Z,14,480,S"MF,SAN"\n`, CSV),
    code: 'MALFORMED_CSV',
    names: /line 2.*double the quotes/,
  },
  {
    what: 'CSV with a quote never closed',
    ask: post(`${HEADER}\n"2001-01-14T21:55:00Z,14,480,SMF,SAN\n`, CSV),
    code: 'MALFORMED_CSV',
    names: /never closed/,
  },
  { what: 'CSV without a row', ask: post(`${HEADER}\n`, CSV), code: 'BODY_EMPTY', names: /below its header/ },
  {
    what: 'a content type that is not taken',
    ask: post('<a/>', { 'content-type': 'text/xml' }),
    code: 'MEDIA_TYPE_UNSUPPORTED',
    names: /"text\/xml".*application\/json/,
  },
  {
    what: 'a charset that is not taken',
    ask: post('{}', { 'content-type': 'application/json; charset=latin1' }),
    code: 'MEDIA_TYPE_UNSUPPORTED',
    names: /charset=latin1/,
  },
  {
    what: 'a form, as a page can send it',
    ask: post('a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
    code: 'MEDIA_TYPE_UNSUPPORTED',
    names: /Send one of/,
  },
  {
    what: 'an encoding that is not taken',
    ask: post('{}', { 'content-encoding': 'br' }),
    code: 'MEDIA_TYPE_UNSUPPORTED',
    names: /"br"/,
  },
  {
    what: 'a malformed Idempotency-Key',
    ask: post(flight(1), { 'idempotency-key': 'two words' }),
    code: 'IDEMPOTENCY_KEY_INVALID',
    names: /1 to 255 visible ASCII characters/,
  },
  {
    what: 'an Idempotency-Key over 255 characters',
    ask: post(flight(1), { 'idempotency-key': 'k'.repeat(256) }),
    code: 'IDEMPOTENCY_KEY_INVALID',
    names: /UUID/,
  },
  {
    what: 'an unknown dataset',
    ask: (running) => running.send('starships', {}),
    code: 'DATASET_UNKNOWN',
    names: /articles, book_sales, flights, trips/,
  },
];

/** Rows that no contract takes: 422, in quarantine, outside the equation. */
const ROWS: readonly BadInput[] = (
  [
    ['a wrong type', flightWith({ delay: 'late' }), { code: 'FIELD_TYPE', pointer: '/delay' }],
    ['a fraction where whole numbers are', flightWith({ delay: 1.5 }), { code: 'FIELD_TYPE', pointer: '/delay' }],
    ['a number beyond 2^53', flightWith({ distance: 2 ** 53 + 2 }), { code: 'FIELD_RANGE', pointer: '/distance' }],
    ['a number that is infinite', post(JSON.stringify(flight(1)).replace('480', '1e999')), { pointer: '/distance' }],
    ['a number out of range', flightWith({ distance: 0 }), { code: 'FIELD_RANGE', pointer: '/distance' }],
    ['a wrong format', flightWith({ origin: 'smf' }), { code: 'FIELD_FORMAT', pointer: '/origin' }],
    ['a missing field', post({ delay: 1 }), { code: 'FIELD_MISSING', pointer: '/departed_at' }],
    ['null where a value is required', flightWith({ origin: null }), { pointer: '/origin' }],
    ['an unknown field', flightWith({ speed: 1 }), { code: 'FIELD_UNKNOWN', pointer: '/speed' }],
    [
      '__proto__ as a field',
      post(`{"__proto__":{"admin":true},${JSON.stringify(flight(1)).slice(1)}`),
      { code: 'FIELD_UNKNOWN', pointer: '/__proto__' },
    ],
    ['constructor as a field', flightWith({ constructor: {} }), { code: 'FIELD_UNKNOWN', pointer: '/constructor' }],
    ['a failed check', flightWith({ destination: 'SMF' }), { code: 'CHECK_FAILED' }],
    ['33 levels', post(nested(33)), { code: 'RECORD_TOO_DEEP' }],
    ['100,000 levels', post(nested(100_000)), { code: 'RECORD_TOO_DEEP' }],
    ['a record that is a number', post('7'), { code: 'RECORD_NOT_OBJECT', pointer: '' }],
    ['an array in an array', post('[[]]'), { code: 'RECORD_NOT_OBJECT' }],
    ['an oversized record', flightWith({ origin: 'x'.repeat(MIB) }), { code: 'RECORD_TOO_LARGE' }],
    ['an NDJSON line that is not JSON', post('{bad', NDJSON), { code: 'RECORD_MALFORMED' }],
    ['a CSV row with a cell too few', post(`${HEADER}\n1,2\n`, CSV), { code: 'RECORD_MALFORMED', got: '2 cells' }],
    [
      'NaN in CSV',
      post(`${HEADER}\n${ROW.replace('14,480', 'NaN,480')}`, CSV),
      { code: 'FIELD_TYPE', pointer: '/delay' },
    ],
  ] as const
).map(([what, ask, first]) => ({
  what,
  ask,
  code: 'ALL_ROWS_REJECTED',
  names: /in quarantine.*send them again/,
  first,
}));

const wanting = (parameter: string) => ({ code: 'PARAMETER_INVALID', parameter });

const QUESTIONS: readonly BadInput[] = [
  {
    what: 'an unknown query parameter',
    ask: get(`${RECORDS}?colour=red`),
    code: 'PARAMETER_UNKNOWN',
    names: /"colour".*limit/,
    first: { code: 'PARAMETER_UNKNOWN', parameter: 'colour' },
  },
  {
    what: 'an unknown query parameter of a dataset route',
    ask: get('/data_analysis?mean=true&include_ar=true&include_fr=true'),
    code: 'PARAMETER_UNKNOWN',
    names: /"include_fr".*include_ar/,
  },
  {
    what: 'an unknown query parameter of a POST',
    ask: (running) =>
      running.ask(`${RECORDS}?dry=1`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }),
    code: 'PARAMETER_UNKNOWN',
    names: /"dry"/,
  },
  {
    what: 'a year that is none',
    ask: get('/data_analysis?mean=true&include_ar=true&year=abc'),
    code: 'YEAR_INVALID',
    names: /year is not a year.*four digits/,
  },
  {
    what: 'limit -1',
    ask: get(`${RECORDS}?limit=-1`),
    code: 'PARAMETER_INVALID',
    names: /-1.*1 to 10000 \(READ_ROWS_MAX\)/,
    first: wanting('limit'),
  },
  {
    what: 'limit -1 of another list',
    ask: get('/v1/quarantine?limit=-1'),
    code: 'PARAMETER_INVALID',
    names: /limit=-1/,
    first: wanting('limit'),
  },
  { what: 'a parameter twice', ask: get('/v1/quarantine?limit=1&limit=2'), code: 'PARAMETER_INVALID', names: /limit/ },
  {
    what: 'a cursor of nobody',
    ask: get(`${RECORDS}?cursor=abc`),
    code: 'CURSOR_INVALID',
    names: /start again without cursor/,
  },
  {
    what: 'a quarantine cursor of nobody',
    ask: get('/v1/quarantine?cursor=abc'),
    code: 'CURSOR_INVALID',
    names: /without cursor/,
  },
  {
    what: 'an audit cursor of nobody',
    ask: get('/v1/audit?cursor=abc'),
    code: 'CURSOR_INVALID',
    names: /without cursor/,
  },
  {
    what: 'a dead letter cursor of nobody',
    ask: get(`/v1/dead-letters?cursor=${'f'.repeat(32)}`),
    code: 'CURSOR_GONE',
    names: /without cursor/i,
  },
  { what: 'a receipt of nobody', ask: get('/v1/receipts/abc'), code: 'RECEIPT_INVALID', names: /Copy the id/ },
  {
    what: 'a filter on a field that is not there',
    ask: get(`${RECORDS}?where=speed:eq:1`),
    code: 'PARAMETER_INVALID',
    names: /speed/,
    first: wanting('where'),
  },
  {
    what: 'SQL in a filter',
    ask: get(`${RECORDS}?where=delay:eq:1)%20OR%20(1%3D1`),
    code: 'PARAMETER_INVALID',
    names: /where/,
  },
  {
    what: 'a time that is none',
    ask: get(`${RECORDS}?from=yesterday`),
    code: 'PARAMETER_INVALID',
    names: /yesterday/,
    first: wanting('from'),
  },
  {
    what: 'no measure',
    ask: get('/v1/datasets/flights/aggregates'),
    code: 'PARAMETER_MISSING',
    names: /measure/,
  },
  {
    what: 'a dataset that is not there',
    ask: get('/v1/datasets/starships'),
    code: 'DATASET_UNKNOWN',
    names: /there are/,
  },
  {
    what: 'an answer in a type that is not offered',
    ask: (running) => running.ask(RECORDS, { headers: { accept: 'text/html' } }),
    code: 'NOT_ACCEPTABLE',
    names: /text\/csv/,
  },
  { what: 'an unknown route', ask: get('/v2/records'), code: 'ROUTE_UNKNOWN', names: /GET \/v2\/records.*\/docs/ },
  {
    what: 'a path that cannot be decoded',
    ask: get('/v1/datasets/%ff'),
    code: 'ROUTE_UNKNOWN',
    names: /Percent-encode/,
  },
  {
    what: 'a wrong method',
    ask: (running) => running.ask(RECORDS, { method: 'PUT' }),
    code: 'METHOD_NOT_ALLOWED',
    names: /POST, GET, HEAD, DELETE, not PUT/,
    also: ({ headers }) => assert.equal(headers.get('allow'), 'POST, GET, HEAD, DELETE'),
  },
  {
    what: "a browser's preflight",
    ask: (running) => running.ask(RECORDS, { method: 'OPTIONS', headers: { origin: running.url } }),
    code: 'METHOD_NOT_ALLOWED',
    names: /OPTIONS/,
    also: ({ headers }) => assert.equal(headers.get('access-control-allow-origin'), null),
  },
];

const HTTP = 'HTTP/1.1\r\nHost: 127.0.0.1\r\n';
const CONNECTIONS: readonly BadInput[] = [
  {
    what: 'a wrong Host',
    ask: raw('GET /v1/datasets HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    code: 'HOST_NOT_ALLOWED',
    names: /127\.0\.0\.1.*PUBLIC_HOSTS/,
  },
  {
    what: 'a host name that was rebound to loopback',
    ask: raw(
      'POST /v1/datasets/flights/records HTTP/1.1\r\nHost: rebind.evil.example:8080\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    ),
    code: 'HOST_NOT_ALLOWED',
    names: /PUBLIC_HOSTS/,
  },
  {
    what: 'a wrong Host on an unknown route',
    ask: raw('GET /nothing HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    code: 'HOST_NOT_ALLOWED',
    names: /PUBLIC_HOSTS/,
  },
  {
    what: 'a wrong Host on a wrong method',
    ask: raw('PUT /docs HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    code: 'HOST_NOT_ALLOWED',
    names: /PUBLIC_HOSTS/,
  },
  {
    what: 'a wrong Host on a static file',
    ask: raw('GET /docs/initializer.js HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
    code: 'HOST_NOT_ALLOWED',
    names: /PUBLIC_HOSTS/,
  },
  { what: 'no Host', ask: raw('GET /v1/datasets HTTP/1.1\r\n\r\n'), code: 'HOST_NOT_ALLOWED', names: /PUBLIC_HOSTS/ },
  {
    what: 'a foreign Origin',
    ask: post(flight(1), { origin: 'http://evil.example' }),
    code: 'ORIGIN_NOT_ALLOWED',
    names: /from a program/,
  },
  {
    what: 'an Origin of another port',
    ask: post(flight(1), { origin: 'http://127.0.0.1:1' }),
    code: 'ORIGIN_NOT_ALLOWED',
    names: /another origin/,
  },
  {
    what: 'an opaque Origin',
    ask: post(flight(1), { origin: 'null' }),
    code: 'ORIGIN_NOT_ALLOWED',
    names: /another origin/,
  },
  {
    what: 'a cross-site write without Origin',
    ask: raw(`POST /v1/ws-tickets ${HTTP}Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n`),
    code: 'ORIGIN_NOT_ALLOWED',
    names: /another origin/,
  },
  { what: 'bytes that are not HTTP', ask: raw('hello\r\n\r\n'), code: 'REQUEST_MALFORMED', names: /HTTP library/ },
  {
    what: 'a chunk size that is none',
    ask: raw(`POST ${RECORDS} ${HTTP}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n`),
    code: 'REQUEST_MALFORMED',
    names: /HTTP library/,
  },
  {
    what: 'two lengths',
    ask: raw(`POST ${RECORDS} ${HTTP}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    code: 'REQUEST_MALFORMED',
    names: /HTTP library/,
  },
  {
    what: 'headers without end',
    ask: raw(`GET /v1/datasets ${HTTP}X-Long: ${'x'.repeat(20_000)}\r\n\r\n`),
    code: 'HEADERS_TOO_LARGE',
    names: /16 KiB/,
  },
  {
    what: 'a body that breaks off',
    ask: async ({ port }) => {
      const text = `POST ${RECORDS} ${HTTP}Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n${JSON.stringify(flight(1))}\n`;
      const { socket, answer } = await openRaw(port, text);
      socket.end();
      return answer;
    },
    code: 'BODY_INCOMPLETE',
    names: /nothing of it was taken.*Send it again/,
  },
];

function describeTable(name: string, table: readonly BadInput[], running: () => RunningService): void {
  describe(name, () => {
    for (const { what, ask, code, names, first, also } of table) {
      it(`answers ${what} with ${ERRORS[code].status} ${code}, adds nothing and stays well`, async () => {
        const service = running();
        const before = await service.acceptedRows();
        const answer = await ask(service);
        const problem = assertProblem(answer, code);
        assert.match(problem.detail, names);
        if (first !== undefined) assert.deepEqual({ ...problem.errors[0], ...first }, problem.errors[0], answer.text);
        also?.(answer);
        assert.equal(await service.acceptedRows(), before);
        await assertHealthy(service);
      });
    }
  });
}

describe('the bad input table', function () {
  this.timeout(20_000);
  let running: RunningService;
  before(async () => {
    running = await startService();
  });
  after(() => running.stop());

  describeTable('bodies', BODIES, () => running);
  describeTable('rows', ROWS, () => running);
  describeTable('questions', QUESTIONS, () => running);
  describeTable('connections', CONNECTIONS, () => running);

  it('publishes nothing of a body whose connection is cut', async () => {
    const before = await running.acceptedRows();
    const { socket, answer } = await openRaw(
      running.port,
      `POST ${RECORDS} ${HTTP}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const row = `${JSON.stringify(flight(1))}\n`;
    socket.write(`${row.length.toString(16)}\r\n${row}\r\n`);
    await running.ask('/livez');
    socket.resetAndDestroy();
    await assert.rejects(answer);
    await assertHealthy(running);
    assert.equal(await running.acceptedRows(), before);
  });

  it('answers a body over its limit although the sender goes on, and takes the next request on that connection', async () => {
    const head = `POST ${RECORDS} ${HTTP}Content-Type: application/json\r\nContent-Length: ${6 * MIB}\r\n\r\n`;
    const { socket, answer } = await openRaw(running.port, head);
    socket.write(Buffer.alloc(5 * MIB, ' '));
    assertProblem(await answer, 'BODY_TOO_LARGE');
    const next = once(socket, 'data');
    socket.write(Buffer.alloc(MIB, ' '));
    socket.write(`GET /livez ${HTTP}\r\n`);
    assert.match(String(await next), /^HTTP\/1.1 200 /);
    socket.destroy();
  });

  describe('with an oddity that is no fault', () => {
    it('takes a byte order mark', async () => {
      assert.equal((await running.send('flights', `\ufeff${JSON.stringify(flight(100))}`)).status, 202);
      assert.equal((await running.send('flights', `\ufeff${HEADER}\n${ROW}`, { headers: CSV })).status, 202);
      await assertHealthy(running);
    });

    it('takes lines that end in LF, CRLF and nothing', async () => {
      const body = `${HEADER}\r\n2002-01-14T21:55:00Z,1,480,SMF,SAN\n2002-01-15T21:55:00Z,2,480,SMF,SAN\r\n2002-01-16T21:55:00Z,3,480,SMF,SAN`;
      const answer = await running.send('flights', body, { headers: CSV });
      assert.equal(answer.status, 202);
      assert.equal((JSON.parse(answer.text) as { accepted: number }).accepted, 3);
      await assertHealthy(running);
    });

    it('keeps formula cells as they are and disarms them in CSV answers', async () => {
      const titles = ['=1+1', '+1', '-cmd', '@SUM(A1)', '\tx', 'plain'];
      await running.send(
        'book_sales',
        titles.map((title, index) => ({ ...sale(index + 1), title })),
      );
      await assertHealthy(running);
      const json = await running.ask('/v1/datasets/book_sales/records?order=id');
      const { data } = JSON.parse(json.text) as { data: { title: string }[] };
      assert.deepEqual(
        data.map(({ title }) => title),
        titles,
      );
      const csv = await running.ask('/v1/datasets/book_sales/records?order=id', { headers: { accept: 'text/csv' } });
      const column = csv.text.split('\r\n')[0]?.split(',').indexOf('title') ?? -1;
      assert.deepEqual(
        csv.text
          .split('\r\n')
          .slice(1, -1)
          .map((line) => line.split(',')[column]),
        ["'=1+1", "'+1", "'-cmd", "'@SUM(A1)", "'\tx", 'plain'],
      );
    });

    it('answers over HTTP/1.1 who offers another protocol', async () => {
      const answer = await askRaw(
        running.port,
        `GET /livez ${HTTP}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
      );
      assert.equal(answer.status, 200);
    });

    it('passes over an expectation it does not know', async () => {
      assert.equal((await askRaw(running.port, `GET /livez ${HTTP}Expect: coffee\r\n\r\n`)).status, 200);
    });
  });
});

describe('a request that takes too long', function () {
  this.timeout(20_000);
  let running: RunningService;
  before(async () => {
    running = await startService({ HEADERS_TIMEOUT_MS: '200', BODY_TIMEOUT_MS: '200' });
  });
  after(() => running.stop());

  const slow = [
    { what: 'headers', text: `GET /v1/datasets ${HTTP}X-Slow: ` },
    {
      what: 'a body of known length',
      text: `POST ${RECORDS} ${HTTP}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    },
    {
      what: 'a body in chunks',
      text: `POST ${RECORDS} ${HTTP}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
      drop: '1\r\nx\r\n',
    },
  ];
  for (const { what, text, drop = 'x' } of slow) {
    it(`is answered 408 when ${what} drips in, and its connection is closed`, async () => {
      const { socket, answer } = await openRaw(running.port, text);
      const closed = once(socket, 'close');
      const drip = setInterval(() => socket.write(drop), 50);
      try {
        assertProblem(await answer, 'REQUEST_TIMEOUT');
        await closed;
      } finally {
        clearInterval(drip);
      }
      assert.equal(await running.acceptedRows(), 0);
      await assertHealthy(running);
    });
  }
});
