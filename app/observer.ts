/** Looks at the parts on an interval and sets the gauges that no single event carries: backlog, equation, sizes. */
import type { Bus } from './bus/bus.ts';
import type { Config } from './config.ts';
import type { Contract } from './datasets/contract.ts';
import type { Equation } from './equation.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { Warehouse } from './warehouse/warehouse.ts';

interface ObserverParts {
  readonly config: Pick<Config, 'ACCOUNTING_INTERVAL_MS'>;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly telemetry: Telemetry;
  readonly equation: () => Promise<Equation>;
  readonly now: () => number;
}

/** Expired answers and tickets are swept this often. */
const SWEEP_MS = 600_000;

export function startObserver(parts: ObserverParts): { stop(): void } {
  let looking = false;
  const look = (): void => {
    if (looking) return;
    looking = true;
    observe(parts)
      .catch((error: unknown) => parts.telemetry.observationFailed({ error }))
      .finally(() => {
        looking = false;
      });
  };
  const sweep = (): void => {
    parts.state.sweep(parts.now()).catch((error: unknown) => parts.telemetry.observationFailed({ error }));
  };
  // Backlog ages are read at each scrape, since they grow by themselves.
  parts.telemetry.onScrape(() => observeBacklog(parts));
  const timers = [setInterval(look, parts.config.ACCOUNTING_INTERVAL_MS), setInterval(sweep, SWEEP_MS)];
  for (const timer of timers) timer.unref();
  look();
  return {
    stop: () => {
      for (const timer of timers) clearInterval(timer);
    },
  };
}

function observeBacklog({ bus, contracts, telemetry, now }: ObserverParts): void {
  const backlog = new Map(bus.backlog().map((one) => [one.dataset, one]));
  for (const dataset of contracts.keys()) {
    const waiting = backlog.get(dataset);
    const oldestAgeSeconds = waiting?.oldestAtMs === undefined ? 0 : Math.max(0, (now() - waiting.oldestAtMs) / 1000);
    telemetry.backlog({ dataset, messages: waiting?.messages ?? 0, rows: waiting?.rows ?? 0, oldestAgeSeconds });
  }
  telemetry.unsealed(bus.settledCount());
}

async function observe({ equation, telemetry }: ObserverParts): Promise<void> {
  const { datasets } = await equation();
  for (const [dataset, terms] of Object.entries(datasets)) telemetry.equation({ dataset, terms });
}
