/** The OpenAPI 3.1 document, made from the same route objects that Express mounts. */
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Route } from './route.ts';

/** Codes that any route may answer; listed once in the document's description. */
const EVERYWHERE: readonly ErrorCode[] = ['HOST_NOT_ALLOWED', 'OVERLOADED', 'INTERNAL', 'STOPPING'];
const WITH_KEY: readonly ErrorCode[] = [
  'KEY_MISSING',
  'KEY_INVALID',
  'SCOPE_MISSING',
  'ADDRESS_NOT_ALLOWED',
  'RATE_LIMITED',
];

type Json = Readonly<Record<string, unknown>>;

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'traceId', 'errors'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(ERRORS) },
    traceId: { type: 'string' },
    errors: { type: 'array', items: { type: 'object' } },
  },
};

export function openApiDocument(routes: readonly Route[], { version }: { readonly version: string }): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:([A-Za-z]+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Vigía',
      version,
      description:
        'An analytics data service you can put on call. Every 4xx and 5xx is a problem document (RFC 9457) with a stable code; /docs/errors explains each.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'vg_<id>_<secret>; not asked while no key was ever made.' },
      },
      schemas: { Problem: problemSchema },
    },
    paths,
  };
}

function operation(route: Route): Json {
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    description: accessText(route),
    parameters: [
      ...pathParameters(route),
      ...parameters(route.query, 'query', exampleQuery(route)),
      ...parameters(route.headers, 'header', new URLSearchParams()),
    ],
    ...(route.body === undefined ? {} : { requestBody: requestBody(route) }),
    responses: { ...answers(route), ...problems(route) },
    security: route.access === 'open' ? [] : [{ key: [] }],
  };
}

/** `getV1DatasetsDatasetRecords`: stable and unique, since method and path are. */
function operationId(route: Route): string {
  const words = route.path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return (
    route.method +
    (words.length === 0 ? 'Root' : words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(''))
  );
}

function accessText(route: Route): string {
  const access =
    { open: 'Open to all.', any: 'Any valid key.' }[route.access as 'open' | 'any'] ?? `Scope \`${route.access}\`.`;
  return `${route.description}\n\n${access}`;
}

function pathParameters(route: Route): readonly Json[] {
  const [path = ''] = route.examples?.[0]?.path.split('?') ?? [];
  const values = path.split('/');
  return route.path.split('/').flatMap((part, index) => {
    if (!part.startsWith(':')) return [];
    const example = values[index];
    const shown = example === undefined ? {} : { example };
    return [{ name: part.slice(1), in: 'path', required: true, schema: { type: 'string' }, ...shown }];
  });
}

function exampleQuery(route: Route): URLSearchParams {
  return new URLSearchParams(route.examples?.[0]?.path.split('?')[1] ?? '');
}

function parameters(
  schema: z.ZodObject | undefined,
  place: 'query' | 'header',
  examples: URLSearchParams,
): readonly Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(schema) as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    ...(rest.type === 'array' ? { style: 'form', explode: true } : {}),
    schema: rest,
    ...(examples.has(name) ? { example: exampleOf(rest, examples.getAll(name)) } : {}),
  }));
}

/** A query is text; its example has the type that the schema says. */
function exampleOf(schema: Json, [first = '', ...more]: readonly string[]): unknown {
  switch (schema.type) {
    case 'array':
      return [first, ...more];
    case 'integer':
    case 'number':
      return Number(first);
    default:
      return first;
  }
}

function requestBody(route: Route): Json {
  const body = route.body;
  if (body === undefined) return {};
  const content = Object.entries(body.mediaTypes).map(([mediaType, schema]) => {
    const text = route.examples?.find((one) => one.body?.mediaType === mediaType)?.body?.text;
    const example = text !== undefined && mediaType === 'application/json' ? (JSON.parse(text) as unknown) : text;
    return [mediaType, { schema: jsonSchema(schema), ...(example === undefined ? {} : { example }) }];
  });
  return { required: body.required, description: body.description, content: Object.fromEntries(content) };
}

function answers(route: Route): Json {
  return Object.fromEntries(
    Object.entries(route.answers).map(([status, { description, schema, mediaTypes = ['application/json'] }]) => {
      const shape = schema === undefined ? { type: 'string' } : jsonSchema(schema, 'output');
      const content = mediaTypes.map((mediaType) => [
        mediaType,
        { schema: mediaType === 'application/json' ? shape : { type: 'string' } },
      ]);
      return [
        status,
        {
          description,
          ...(schema === undefined && mediaTypes[0] === 'application/json'
            ? {}
            : { content: Object.fromEntries(content) }),
        },
      ];
    }),
  );
}

function problems(route: Route): Json {
  const codes = [...route.errors, ...EVERYWHERE, ...(route.access === 'open' ? [] : WITH_KEY)];
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus]
      .filter(([status]) => !(status in route.answers))
      .map(([status, those]) => [
        status,
        {
          description: those.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('; '),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]),
  );
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): Json {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>;
  return rest;
}
