/** What explains the service: the OpenAPI document, a Swagger page served from here, and the page of error codes. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Express } from 'express';
import { z } from 'zod';
import { errorsPage } from './errors-page.ts';
import { openApiDocument } from './openapi.ts';
import { accountOf } from './request-account.ts';
import type { Exchange, Route } from './route.ts';

/** The Swagger page's files in metrics and log lines. */
export const ASSETS_ROUTE = { method: 'get', path: '/docs/:asset', answers: { 200: {} } } as const;

/** Swagger UI injects styles; scripts come only from here. */
const DOCS_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

const INITIALIZER = `window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, tryItOutEnabled: true, displayRequestDuration: true, validatorUrl: null });\n`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vigía: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/initializer.js"></script>
</body>
</html>
`;

const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const;

interface DocsOptions {
  readonly version: string;
  /** All other routes; the document describes these and itself. */
  readonly routes: readonly Route[];
}

export function docsRoutes({ version, routes }: DocsOptions): readonly Route[] {
  const open = { method: 'get', access: 'open', tag: 'Docs', query: z.object({}), errors: [] } as const;
  const html = { description: 'A page.', mediaTypes: ['text/html'] };
  const own: Route[] = [
    {
      ...open,
      path: '/openapi.json',
      summary: 'The OpenAPI document',
      description: 'Every route, made from the schemas that judge it.',
      answers: { 200: { description: 'OpenAPI 3.1.', schema: z.record(z.string(), z.unknown()) } },
      handle: (exchange) => send(exchange, 'application/json', document),
    },
    {
      ...open,
      path: '/docs',
      summary: 'The Swagger page',
      description: 'Lists and runs every route.',
      answers: { 200: html },
      handle: (exchange) => send(exchange, 'text/html; charset=utf-8', PAGE),
    },
    {
      ...open,
      path: '/docs/errors',
      summary: 'What each error code means',
      description: 'One heading a code: when it is answered and what to do.',
      answers: { 200: html },
      handle: (exchange) => send(exchange, 'text/html; charset=utf-8', errors),
    },
    {
      ...open,
      path: '/',
      summary: 'Start here',
      description: 'Redirects to /docs.',
      answers: { 302: { description: 'To /docs.', mediaTypes: ['text/html'] } },
      handle: ({ response }) => response.redirect(302, '/docs'),
    },
  ];
  const document = JSON.stringify(openApiDocument([...routes, ...own], { version }));
  const errors = errorsPage();
  return own;
}

/** The Swagger page's own files, from the installed package: no other host is asked. */
export function mountDocsAssets(app: Express): void {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  app.use('/docs', (_request, response, next) => {
    accountOf(response).route = ASSETS_ROUTE.path;
    next();
  });
  for (const asset of ASSETS) app.get(`/docs/${asset}`, (_request, response) => response.sendFile(join(folder, asset)));
  app.get('/docs/initializer.js', (_request, response) => {
    response.type('application/javascript').send(INITIALIZER);
  });
}

function send({ response }: Exchange, mediaType: string, body: string): void {
  response.setHeader('Content-Type', mediaType);
  response.setHeader('Content-Security-Policy', DOCS_POLICY);
  response.setHeader('Cache-Control', 'no-cache');
  response.send(body);
}
