/** The OpenAPI document is valid, names every route, and what the routes answer is in its schemas. */
import assert from 'node:assert/strict';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type RunningService, startService } from './service.contract.ts';

interface Document {
  readonly openapi: string;
  readonly components: Readonly<Record<string, unknown>>;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly operationId: string;
  readonly description: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly description?: string }[];
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>
  >;
}

/** The routes of this version, as a reader of the product's description expects them. */
const ROUTES = [
  'post /v1/datasets/{dataset}/records',
  'get /v1/receipts/{id}',
  'get /v1/datasets',
  'get /v1/datasets/{dataset}',
  'get /v1/datasets/{dataset}/records',
  'get /v1/datasets/{dataset}/aggregates',
  'get /v1/quarantine',
  'get /v1/dead-letters',
  'post /v1/dead-letters/replay',
  'get /v1/audit',
  'get /v1/slo',
  'get /v1/landing',
  'post /v1/ws-tickets',
  'get /data_analysis',
  'get /stats',
  'get /articles/readers',
  'get /docs',
  'get /docs/errors',
  'get /openapi.json',
  'get /livez',
  'get /readyz',
  'delete /v1/datasets/{dataset}/records',
  'get /',
];

describe('the OpenAPI document', () => {
  let running: RunningService;
  let document: Document;
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });

  before(async function () {
    this.timeout(30_000);
    running = await startService({ SAMPLE_DATA: 'on' });
    document = JSON.parse((await running.ask('/openapi.json')).text) as Document;
    ajv.addSchema({ $id: 'document', components: document.components });
  });

  after(() => running.stop());

  it('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate({ ...structuredClone(document) });
    assert.deepEqual(result.errors ?? [], []);
    assert.ok(result.valid);
    assert.match(document.openapi, /^3\.1\./);
  });

  it('would not be valid with an operation that answers nothing', async () => {
    const broken = structuredClone(document) as unknown as { paths: Record<string, { get?: { responses?: unknown } }> };
    const operation = broken.paths['/livez']?.get;
    assert.ok(operation !== undefined);
    operation.responses = 'nothing';
    assert.equal((await new Validator().validate({ ...broken })).valid, false);
  });

  it('names every route, and each operation by an id of its own', () => {
    const operations = Object.entries(document.paths).flatMap(([path, byMethod]) =>
      Object.entries(byMethod).map(([method, operation]) => ({ name: `${method} ${path}`, id: operation.operationId })),
    );
    assert.deepEqual(operations.map(({ name }) => name).sort(), [...ROUTES].sort());
    assert.equal(new Set(operations.map(({ id }) => id)).size, operations.length);
  });

  it('describes every parameter that a caller chooses', () => {
    for (const [path, byMethod] of Object.entries(document.paths)) {
      for (const { parameters } of Object.values(byMethod)) {
        const silent = parameters.filter((one) => one.in !== 'path' && (one.description ?? '') === '');
        assert.deepEqual(silent, [], path);
      }
    }
  });

  /** The schema of what `method path` answers with a status, or undefined when the document names none. */
  function schemaOf(route: string, status: number, mediaType: string): object | undefined {
    const [method = '', path = ''] = route.split(' ');
    const schema = document.paths[path]?.[method]?.responses[String(status)]?.content?.[mediaType]?.schema;
    // The document's own references, in a schema that is judged alone.
    return schema && (JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as object);
  }

  /** Asks and judges the answer by its schema. Returns it. */
  async function conforms(route: string, path: string, init: RequestInit = {}): Promise<Record<string, unknown>> {
    const { status, headers, text } = await running.ask(path, init);
    const mediaType = (headers.get('content-type') ?? '').split(';')[0] ?? '';
    const schema = schemaOf(route, status, mediaType);
    assert.ok(
      schema !== undefined,
      `${route} answered ${status} ${mediaType}, which the document does not name: ${text}`,
    );
    if (!mediaType.endsWith('json')) return {};
    const answer = JSON.parse(text) as Record<string, unknown>;
    const judge = ajv.compile(schema);
    assert.ok(judge(answer), `${path}: ${ajv.errorsText(judge.errors)}\n${text}`);
    return answer;
  }

  const post = (body: string, contentType = 'application/json'): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': contentType },
    body,
  });

  const READS = [
    ['get /v1/datasets', '/v1/datasets'],
    ['get /v1/datasets/{dataset}', '/v1/datasets/articles'],
    ['get /v1/datasets/{dataset}', '/v1/datasets/trips'],
    ['get /v1/datasets/{dataset}', '/v1/datasets/tides'],
    ['get /v1/datasets/{dataset}/records', '/v1/datasets/articles/records?limit=50'],
    ['get /v1/datasets/{dataset}/records', '/v1/datasets/trips/records?order=commit&limit=10000'],
    ['get /v1/datasets/{dataset}/records', '/v1/datasets/flights/records?limit=-1'],
    ['get /v1/datasets/{dataset}/aggregates', '/v1/datasets/flights/aggregates?measure=p99:delay&by=origin'],
    ['get /v1/datasets/{dataset}/aggregates', '/v1/datasets/flights/aggregates'],
    ['get /data_analysis', '/data_analysis?std=true&count=true&include_uy=true&year=2021'],
    ['get /data_analysis', '/data_analysis?mean=true'],
    ['get /stats', '/stats?region=Prague&week=30&year=2018'],
    ['get /stats', '/stats?region=Atlantis&week=30&year=2018'],
    ['get /stats', '/stats?min_lon=9&min_lat=53&max_lon=11&max_lat=54&week=30&year=2018'],
    ['get /articles/readers', '/articles/readers?by=saga'],
    ['get /articles/readers', '/articles/readers?by=entity&limit=3'],
    ['get /v1/quarantine', '/v1/quarantine'],
    ['get /v1/dead-letters', '/v1/dead-letters'],
    ['get /v1/audit', '/v1/audit?limit=3'],
    ['get /v1/audit', '/v1/audit?limit=many'],
    ['get /v1/slo', '/v1/slo'],
    ['get /v1/receipts/{id}', '/v1/receipts/forged'],
    ['get /openapi.json', '/openapi.json'],
    ['get /docs', '/docs'],
    ['get /docs/errors', '/docs/errors'],
    ['get /livez', '/livez'],
    ['get /readyz', '/readyz'],
  ] as const;
  for (const [route, path] of READS) {
    it(`has the schema of what ${path} answers`, () => conforms(route, path).then(() => undefined));
  }

  it('has the schema of CSV answers', async () => {
    await conforms('get /v1/datasets/{dataset}/records', '/v1/datasets/flights/records', {
      headers: { accept: 'text/csv' },
    });
  });

  it('has the schemas of writes, verdicts, refusals, receipts and quarantine', async () => {
    const route = 'post /v1/datasets/{dataset}/records';
    const good = { departed_at: '2001-05-01T08:00:00Z', delay: 1, distance: 679, origin: 'SFO', destination: 'SEA' };
    const bad = { ...good, delay: 'late' };
    const accepted = await conforms(route, '/v1/datasets/flights/records', post(JSON.stringify([good, bad])));
    await conforms(route, '/v1/datasets/flights/records', post(JSON.stringify(bad)));
    await conforms(route, '/v1/datasets/flights/records', post('{'));
    await conforms(route, '/v1/datasets/flights/records', post('x', 'text/html'));
    await running.settled();
    await conforms('get /v1/receipts/{id}', `/v1/receipts/${String(accepted['id'])}`);
    const { data } = await conforms('get /v1/quarantine', '/v1/quarantine?dataset=flights');
    assert.equal((data as unknown[]).length, 2);
  });

  it('has the schemas of a replay and of a ticket', async () => {
    await conforms('post /v1/dead-letters/replay', '/v1/dead-letters/replay', post('{"dryRun":true}'));
    await conforms('post /v1/dead-letters/replay', '/v1/dead-letters/replay', post('{"dryRun":"yes"}'));
    await conforms('post /v1/ws-tickets', '/v1/ws-tickets', { method: 'POST' });
  });
});
