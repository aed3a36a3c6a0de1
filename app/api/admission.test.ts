/** Admission: a standing queue sheds a growing share, one long turn sheds nothing, and probes are always let in. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Admission } from './admission.ts';

const TARGET_MS = 100;
const WINDOW_MS = 500;

describe('admission', () => {
  let admission: Admission;
  let nowMs = 0;
  let dice = 0;
  beforeEach(() => {
    admission = new Admission({ targetMs: TARGET_MS, windowMs: WINDOW_MS, random: () => dice });
    // Only this test observes.
    admission.stop();
    nowMs = performance.now();
  });
  const window = (...delaysMs: readonly number[]): void => {
    for (const delayMs of delaysMs) {
      nowMs += (WINDOW_MS + 1) / delaysMs.length;
      admission.observe({ delayMs, nowMs });
    }
  };

  it('lets everybody in while delays stay at the target', () => {
    for (let count = 0; count < 10; count += 1) window(100, 100, 100, 100);
    assert.equal(admission.share, 0);
    assert.equal(admission.admits(), true);
  });

  it('lets everybody in after long turns, as long as one delay of the window is short', () => {
    for (let count = 0; count < 10; count += 1) window(900, 900, 5, 900);
    assert.equal(admission.share, 0);
  });

  it('takes one turn that is longer than the window for no queue', () => {
    nowMs += 5_000;
    admission.observe({ delayMs: 4_000, nowMs });
    assert.equal(admission.share, 0);
    window(1, 1, 1);
    assert.equal(admission.share, 0);
  });

  it('refuses a share that grows while the queue stands, to nine tenths and no more', () => {
    const shares = Array.from({ length: 12 }, () => {
      window(101, 150, 300, 120);
      return Math.round(admission.share * 10) / 10;
    });
    assert.deepEqual(shares, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9]);
    dice = 0.89;
    assert.equal(admission.admits(), false);
    dice = 0.9;
    assert.equal(admission.admits(), true);
  });

  it('shrinks the share by half a step a window when the queue is gone, back to nothing', () => {
    window(200, 200, 200, 200);
    window(1, 1, 1, 1);
    assert.ok(Math.abs(admission.share - 0.05) < 1e-9);
    window(1, 1, 1, 1);
    assert.equal(admission.share, 0);
    dice = 0;
    assert.equal(admission.admits(), true);
  });

  it('keeps the latency of those let in when twice as much comes as can be worked', async () => {
    // A queue of unit work in simulated time: each 500 ms window brings twice what can be worked in it.
    const perWindow = 50;
    let queue = 0;
    let draw = 0;
    const even = new Admission({
      targetMs: TARGET_MS,
      windowMs: WINDOW_MS,
      random: () => (draw = (draw + 0.618034) % 1),
    });
    even.stop();
    let clock = performance.now();
    const waits: number[] = [];
    for (let step = 0; step < 2_000; step += 1) {
      clock += WINDOW_MS / perWindow;
      for (let arrival = 0; arrival < 2; arrival += 1) if (even.admits()) queue += 1;
      queue = Math.max(0, queue - 1);
      const delayMs = queue * (WINDOW_MS / perWindow);
      even.observe({ delayMs, nowMs: clock });
      waits.push(delayMs);
    }
    const settled = waits.slice(1_000).sort((one, other) => one - other);
    const p95 = settled[Math.floor(settled.length * 0.95)] ?? Number.POSITIVE_INFINITY;
    // Unshed, the queue would be 1,000 turns of 10 ms long by now.
    assert.ok(p95 < 2_500, `p95 ${p95} ms`);
  });

  it('measures by itself that a thread is kept busy', async () => {
    const own = new Admission({ targetMs: 5, windowMs: 50, random: () => 0 });
    const server = createServer((_request, response) => response.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      // Every turn works 15 ms, so every timer is late.
      const busy = setInterval(() => {
        const until = performance.now() + 40;
        while (performance.now() < until);
      }, 1);
      for (let request = 0; request < 100 && own.share === 0; request += 1) await (await fetch(url)).text();
      clearInterval(busy);
      assert.ok(own.share > 0);
    } finally {
      own.stop();
      server.close();
      server.closeAllConnections();
    }
  });
});
