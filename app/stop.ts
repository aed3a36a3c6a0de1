/**
 * The graceful stop: end readiness, finish requests, drain the subscriber, seal, close the stores, flush telemetry.
 * Every step has its share of STOP_TIMEOUT_MS, and together they end before it.
 */
import type { Api } from './api/api.ts';
import type { Subscription } from './bus/bus.ts';
import type { Config } from './config.ts';
import type { Sealer } from './subscriber/sealer.ts';
import type { MetricsListener, Telemetry } from './telemetry/telemetry.ts';
import type { Stores } from './watched-stores.ts';

interface Stoppable {
  readonly config: Pick<Config, 'STOP_TIMEOUT_MS' | 'SCRAPE_WAIT_MS'>;
  readonly api: Api;
  readonly subscription: Subscription;
  readonly sealer: Sealer;
  readonly watchers: readonly { stop(): void | Promise<void> }[];
  readonly metrics: MetricsListener;
  readonly stores: Stores;
  readonly lock: { release(): Promise<void> };
  readonly telemetry: Telemetry;
}

/** Shares of the deadline: requests, then deliveries; sealing and the last scrape have what the others leave. */
const SHARES = { requests: 0.4, deliveries: 0.25, stores: 0.1, telemetry: 0.15 } as const;

export async function stopService(parts: Stoppable, { reason }: { readonly reason: string }): Promise<void> {
  const { config, api, subscription, sealer, watchers, metrics, stores, lock, telemetry } = parts;
  const deadlineMs = performance.now() + config.STOP_TIMEOUT_MS;
  const share = (of: keyof typeof SHARES): number => config.STOP_TIMEOUT_MS * SHARES[of];
  telemetry.stopping({ reason });
  await api.close({ timeoutMs: share('requests') });
  await subscription.drain({ timeoutMs: share('deliveries') });
  for (const watcher of watchers) await watcher.stop();
  await sealer.stop();
  // What was counted since the scrape before would be lost with the process.
  const leftMs = deadlineMs - performance.now() - share('stores') - share('telemetry');
  const scrapeMs = Math.min(config.SCRAPE_WAIT_MS, leftMs);
  if (scrapeMs > 0) await metrics.nextScrape({ timeoutMs: scrapeMs });
  await metrics.close();
  await stores.warehouse.close();
  await stores.bus.close();
  await stores.state.close();
  await lock.release();
  telemetry.stopped({ reason });
  await telemetry.shutdown({ timeoutMs: share('telemetry') });
}
