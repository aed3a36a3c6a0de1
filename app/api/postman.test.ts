/** The request collection is made from the document, holds every operation, and each request runs as it is. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { postmanCollection } from './postman.ts';
import { type RunningService, startService } from './service.contract.ts';

interface Collection {
  readonly item: readonly { readonly name: string; readonly item: readonly Item[] }[];
}

interface Item {
  readonly id: string;
  readonly name: string;
  readonly event?: readonly unknown[];
  readonly request: {
    readonly method: string;
    readonly header: readonly { readonly key: string; readonly value: string; readonly disabled?: boolean }[];
    readonly url: {
      readonly raw: string;
      readonly query: readonly { readonly key: string; readonly value: string; readonly disabled?: boolean }[];
      readonly variable: readonly { readonly key: string; readonly value: string }[];
    };
    readonly body?: { readonly raw: string };
  };
}

type Document = Parameters<typeof postmanCollection>[0];

describe('the Postman collection', () => {
  let running: RunningService;
  let document: Document;
  let text: string;
  let items: readonly Item[];

  before(async function () {
    this.timeout(30_000);
    running = await startService({ SAMPLE_DATA: 'on' });
    document = JSON.parse((await running.ask('/openapi.json')).text) as Document;
    text = await readFile(new URL('vigia.postman_collection.json', import.meta.url), 'utf8');
    items = (JSON.parse(text) as Collection).item.flatMap((folder) => folder.item);
  });

  after(() => running.stop());

  it('is what the OpenAPI document makes today', () => {
    assert.equal(text, `${JSON.stringify(postmanCollection(document), null, 2)}\n`);
  });

  it('has a request for every operation and media type of a body, and no other', () => {
    const operations = Object.entries(document.paths).flatMap(([path, byMethod]) =>
      Object.entries(byMethod).flatMap(([method, { requestBody }]) => {
        const name = `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`;
        return Object.keys(requestBody?.content ?? { none: {} }).map(() => name);
      }),
    );
    const requests = items.map(
      ({ request }) => `${request.method} ${request.url.raw.replace('{{baseUrl}}', '').split('?')[0]}`,
    );
    assert.deepEqual(requests.sort(), operations.sort());
    assert.equal(new Set(items.map(({ id }) => id)).size, items.length);
  });

  it('changes when the document does', () => {
    const { '/livez': _livez, ...paths } = document.paths;
    assert.notEqual(
      JSON.stringify(postmanCollection({ ...document, paths })),
      JSON.stringify(postmanCollection(document)),
    );
  });

  it('runs as it is against a service with sample data, from the first request to the last', async function () {
    this.timeout(20_000);
    const variables = new Map<string, string>();
    for (const { name, event, request } of items) {
      const filled = request.url.variable.reduce(
        (url, { key, value }) =>
          url.replace(
            `:${key}`,
            value.replace(/\{\{(\w+)\}\}/, (_all, it) => variables.get(it) ?? ''),
          ),
        request.url.raw.replace('{{baseUrl}}', ''),
      );
      const answer = await running.ask(filled, {
        method: request.method,
        headers: Object.fromEntries(
          request.header.filter((one) => !one.disabled).map(({ key, value }) => [key, value]),
        ),
        ...(request.body === undefined ? {} : { body: request.body.raw }),
      });
      assert.ok(answer.status < 400, `${name}: ${filled} answered ${answer.status}: ${answer.text}`);
      if (event !== undefined) {
        const { id, rejected } = JSON.parse(answer.text) as { readonly id: string; readonly rejected: number };
        assert.equal(rejected, 0, name);
        variables.set('id', id);
      }
    }
    assert.ok(variables.has('id'));
  });
});
