/**
 * `/metrics`, on a port of its own so that it can stay private and so that a busy API does not hide its own state.
 * Always OpenMetrics (exemplars exist nowhere else). Readings that age by themselves are taken at each scrape; one
 * that fails is counted and logged, and the scrape is answered all the same.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Prometheus gives up after 10 s by default; the other readings still need their turn. */
const SAMPLE_TIMEOUT_MS = 2000;

export interface MetricsListener {
  readonly port: number;
  /** Resolves after the first answered scrape, or after `timeoutMs`. True when there was one. */
  firstScrape(options: { readonly timeoutMs: number }): Promise<boolean>;
  /** Resolves after a scrape that begins from now on was answered, or after `timeoutMs`. */
  nextScrape(options: { readonly timeoutMs: number }): Promise<boolean>;
  close(): Promise<void>;
}

export type Sample = () => void | Promise<void>;

interface ScrapeParts {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly samples: ReadonlySet<Sample>;
}

export async function openMetricsListener(
  parts: ScrapeParts,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<MetricsListener> {
  let scraped = false;
  const waiting = new Set<(began: number) => void>();
  const server = createServer((request, response) => {
    const began = performance.now();
    answer(parts, request, response).then(
      (answered) => {
        if (!answered) return;
        scraped = true;
        for (const wake of waiting) wake(began);
      },
      (error: unknown) => {
        parts.log.write('sampleFailed', { sample: 'scrape', error });
        response.destroy();
      },
    );
  });
  const scrapeAfter = (after: number, timeoutMs: number): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeoutMs);
    const wake = (began: number): void => {
      if (began >= after) resolve(true);
    };
    waiting.add(wake);
    return promise.finally(() => {
      clearTimeout(timer);
      waiting.delete(wake);
    });
  };
  return {
    port: await listen(server, { host, port }),
    firstScrape: async ({ timeoutMs }) => scraped || scrapeAfter(0, timeoutMs),
    nextScrape: ({ timeoutMs }) => scrapeAfter(performance.now(), timeoutMs),
    close: () => close(server),
  };
}

/** True when a whole scrape was handed over. */
async function answer(parts: ScrapeParts, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  request.resume();
  if (request.url?.split('?', 1)[0] !== '/metrics') return refuse(response, 404);
  if (request.method !== 'GET') return refuse(response, 405);
  const startedAt = performance.now();
  await Promise.all(Array.from(parts.samples, (sample) => take(parts, sample)));
  const text = await parts.metrics.render();
  parts.metrics.add('scrapes', {});
  parts.metrics.set('scrapeDuration', {}, (performance.now() - startedAt) / 1000);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  response.once('close', () => resolve(response.writableFinished));
  response.writeHead(200, { 'Content-Type': parts.metrics.registry.contentType, 'Cache-Control': 'no-store' });
  response.end(text);
  return promise;
}

function refuse(response: ServerResponse, status: 404 | 405): false {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    ...(status === 405 ? { Allow: 'GET' } : {}),
  });
  response.end('Metrics are at GET /metrics.\n');
  return false;
}

async function take({ metrics, log }: ScrapeParts, sample: Sample): Promise<void> {
  const { promise: deadline, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('The reading took too long.')), SAMPLE_TIMEOUT_MS);
  try {
    await Promise.race([sample(), deadline]);
  } catch (error) {
    metrics.add('sampleFailures', {});
    log.write('sampleFailed', { sample: sample.name, error });
  } finally {
    clearTimeout(timer);
  }
}

function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once('error', reject);
  server.listen({ host, port }, () => {
    server.off('error', reject);
    resolve((server.address() as AddressInfo).port);
  });
  return promise;
}

function close(server: Server): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.close((error) => (error === undefined ? resolve() : reject(error)));
  server.closeIdleConnections();
  return promise;
}
