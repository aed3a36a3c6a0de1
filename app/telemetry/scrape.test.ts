import assert from 'node:assert/strict';
import type { MetricsListener } from './scrape.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';

describe('the metrics listener', () => {
  let telemetry: Telemetry;
  let listener: MetricsListener;
  const get = (path = '/metrics', method = 'GET') => fetch(`http://127.0.0.1:${listener.port}${path}`, { method });

  beforeEach(async () => {
    telemetry = createTelemetry({
      version: '1',
      logLevel: 'silent',
      logFile: '',
      logFileBytesMax: 1,
      logFilesMax: 1,
      datasets: [],
      codes: [],
      now: Date.now,
    });
    listener = await telemetry.listen({ host: '127.0.0.1', port: 0 });
  });
  afterEach(() => listener.close());

  it('answers OpenMetrics whatever is asked for', async () => {
    const response = await get();
    assert.equal(response.headers.get('content-type'), 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    assert.match(await response.text(), /\n# EOF\n$/);
  });
  it('serves nothing else', async () => {
    for (const path of ['/', '/metrics/x', '/livez']) assert.equal((await get(path)).status, 404);
    assert.equal((await get('/metrics', 'POST')).status, 405);
  });
  it('tells of the first scrape, also to who asks later', async () => {
    const first = listener.firstScrape({ timeoutMs: 5000 });
    await (await get()).text();
    assert.equal(await first, true);
    assert.equal(await listener.firstScrape({ timeoutMs: 1 }), true);
  });
  it('does not take an earlier scrape, or a wrong path, for the next one', async () => {
    await (await get()).text();
    const next = listener.nextScrape({ timeoutMs: 20 });
    await (await get('/')).text();
    assert.equal(await next, false);
    const second = listener.nextScrape({ timeoutMs: 5000 });
    await (await get()).text();
    assert.equal(await second, true);
  });
  it('takes the readings at each scrape, and answers when one fails', async () => {
    let reads = 0;
    telemetry.onScrape(() => telemetry.diskUsed({ ratio: ++reads / 10 }));
    telemetry.onScrape(() => Promise.reject(new Error('no reading')));
    assert.match(await (await get()).text(), /\nvigia_disk_used_ratio 0.1\n/);
    const second = await (await get()).text();
    assert.match(second, /\nvigia_disk_used_ratio 0.2\n/);
    assert.match(second, /\nvigia_sample_failures_total 2\n/);
    assert.match(second, /\nvigia_scrapes_total 1\n/);
  });
});
