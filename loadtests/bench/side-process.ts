/**
 * What the service is compared with or exports to, each in a process of its own, as the service is: a bare Express
 * application, and a place for spans that answers 200 and looks at nothing.
 *
 * Run by itself (`side-process.ts express` or `sink`) it serves; imported, it starts such a process.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import express from 'express';

type Side = 'express' | 'sink';

export interface SideProcess {
  readonly url: string;
  /** How many requests and bytes it has taken; only the sink counts. */
  received(): Promise<{ readonly requests: number; readonly bytes: number }>;
  close(): Promise<void>;
}

export async function startSide(side: Side): Promise<SideProcess> {
  const child = fork(fileURLToPath(import.meta.url), [side]);
  const [{ port }] = (await once(child, 'message')) as [{ readonly port: number }];
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    received: async () => {
      const response = await fetch(`${url}/received`);
      return (await response.json()) as { readonly requests: number; readonly bytes: number };
    },
    close: async () => {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

/** Express as its guide shows it: no option touched. `PUT /answer` sets what `GET /answer` then gives. */
function bareExpress(): RequestListener {
  const app = express();
  app.use(express.json());
  let answer: unknown = {};
  app.post('/echo', (request, response) => {
    response.json(request.body);
  });
  app.put('/answer', (request, response) => {
    answer = request.body;
    response.end();
  });
  app.get('/answer', (_request, response) => {
    response.json(answer);
  });
  return app;
}

function sink(): RequestListener {
  const received = { requests: 0, bytes: 0 };
  return (request, response) => {
    if (request.url === '/received') {
      response.end(JSON.stringify(received));
      return;
    }
    received.requests += 1;
    request.on('data', (chunk: Buffer) => {
      received.bytes += chunk.length;
    });
    request.on('end', () => response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end());
  };
}

function serve(side: string | undefined): Server {
  const server = createServer(side === 'express' ? bareExpress() : sink());
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
  process.once('disconnect', () => process.exit(0));
  return server;
}

if (import.meta.main) serve(process.argv[2]);
