/**
 * The request collection (Postman v2.1), from the OpenAPI document: one folder a tag, one request an operation, and
 * one for each media type of a body. What the document has an example for is filled in, so that each request runs as
 * it is. Ids are made from names, so that the same document always makes the same file.
 *
 * Own code, because converters fill requests with made-up values and ids that change from run to run.
 */
import { hash } from 'node:crypto';

/** What is read of the document. */
interface Document {
  readonly info: { readonly title: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example?: unknown }>> };
  readonly security: readonly unknown[];
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description?: string;
  readonly example?: unknown;
}

interface Entry {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** A request that makes a receipt keeps its id for the request that follows it. */
const KEEP_RECEIPT = "if (pm.response.code === 202) pm.collectionVariables.set('id', pm.response.json().id);";

export function postmanCollection({ info, paths }: Document): object {
  const entries = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]): Entry => ({ method, path, operation })),
  );
  const folders = Map.groupBy(entries, ({ operation }) => operation.tags[0] ?? '');
  return {
    info: {
      _postman_id: idOf(info.title),
      name: info.title,
      description: `${info.description} Set baseUrl, and key once keys are asked for. \`id\` is kept by the requests that send records.`,
      schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
    },
    auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{key}}', type: 'string' }] },
    variable: [
      { key: 'baseUrl', value: 'http://localhost:8080' },
      { key: 'key', value: '' },
      { key: 'id', value: '' },
    ],
    item: Array.from(folders, ([name, those]) => ({ id: idOf(name), name, item: those.flatMap(requestsOf) })),
  };
}

function requestsOf(entry: Entry): readonly object[] {
  const content = Object.entries(entry.operation.requestBody?.content ?? {});
  if (content.length === 0) return [requestOf(entry, undefined)];
  return content.map(([mediaType, { example = '' }]) => requestOf(entry, { mediaType, example }));
}

function requestOf(
  { method, path, operation }: Entry,
  body: { readonly mediaType: string; readonly example: unknown } | undefined,
): object {
  const { operationId, summary, description, parameters, security } = operation;
  const headers = parameters.filter((one) => one.in === 'header').map(fieldOf);
  const type = body === undefined ? [] : [{ key: 'Content-Type', value: body.mediaType }];
  const raw = typeof body?.example === 'string' ? body.example : JSON.stringify(body?.example, null, 2);
  const script = { listen: 'test', script: { type: 'text/javascript', exec: [KEEP_RECEIPT] } };
  return {
    id: idOf(`${operationId} ${body?.mediaType ?? ''}`),
    name: body === undefined ? summary : `${summary} (${body.mediaType})`,
    ...(method === 'post' && path.endsWith('/records') ? { event: [script] } : {}),
    request: {
      method: method.toUpperCase(),
      description,
      ...(security.length === 0 ? { auth: { type: 'noauth' } } : {}),
      header: [...type, ...headers],
      url: urlOf(path, parameters),
      ...(body === undefined ? {} : { body: { mode: 'raw', raw } }),
    },
    response: [],
  };
}

function urlOf(path: string, parameters: readonly Parameter[]): object {
  const segments = path.split('/').slice(1);
  const fields = parameters.filter((one) => one.in === 'query').flatMap(fieldsOf);
  const enabled = fields.filter(({ disabled }) => disabled !== true).map(({ key, value }) => `${key}=${value}`);
  const places = segments.map((segment) => segment.replace(/^\{(.+)\}$/, ':$1'));
  return {
    raw: `{{baseUrl}}/${places.join('/')}${enabled.length === 0 ? '' : `?${enabled.join('&')}`}`,
    host: ['{{baseUrl}}'],
    path: places,
    query: fields,
    variable: parameters
      .filter((one) => one.in === 'path')
      .map(({ name, example }) => ({ key: name, value: example === undefined ? `{{${name}}}` : String(example) })),
  };
}

interface Field {
  readonly key: string;
  readonly value: string;
  readonly description?: string;
  /** Without an example it is there to be filled in. */
  readonly disabled?: true;
}

function fieldsOf(parameter: Parameter): readonly Field[] {
  const { example } = parameter;
  return Array.isArray(example) ? example.map((one) => fieldOf({ ...parameter, example: one })) : [fieldOf(parameter)];
}

function fieldOf({ name, description, example }: Parameter): Field {
  return {
    key: name,
    value: example === undefined ? '' : String(example),
    ...(description === undefined ? {} : { description }),
    ...(example === undefined ? { disabled: true } : {}),
  };
}

/** A UUID (version 8: custom) made from a name. */
function idOf(name: string): string {
  const hex = hash('sha256', name);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
