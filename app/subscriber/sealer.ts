/**
 * Moves stored messages from the bus into sealed bronze files, and only then lets the bus forget them.
 *
 * Until its file is sealed a message is on the bus, so at any moment bronze and bus together hold everything that was
 * ever accepted. Sealing runs on an interval, when enough bytes wait, and once at stop.
 */
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';

/** Messages in one pass: 50,000 single-row messages make a file of some MiB. */
const SEAL_MESSAGES_MAX = 50_000;
/** How often the amount waiting is looked at. */
const LOOK_MS = 1_000;

export interface SealerParts {
  readonly config: Pick<Config, 'SEAL_INTERVAL_MS' | 'SEAL_BYTES_MAX'>;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly telemetry: Telemetry;
  readonly now: () => number;
}

export interface Sealer {
  /** Seals everything that waits now. Rejects when that fails; the messages stay on the bus. */
  sealAll(): Promise<void>;
  /** Ends the interval and seals what waits. A failure is reported, not thrown: a stop goes on, the bus has it all. */
  stop(): Promise<void>;
}

export function startSealer(parts: SealerParts): Sealer {
  let sealing: Promise<void> = Promise.resolve();
  let lastSealAtMs = parts.now();
  /** One after another; a failed one does not spoil the next. */
  const seal = (): Promise<void> => {
    const pass = sealing
      .then(() => sealWaiting(parts))
      .finally(() => {
        lastSealAtMs = parts.now();
      });
    sealing = pass.catch(() => undefined);
    return pass;
  };
  const sealOrReport = (): Promise<void> => seal().catch((error: unknown) => parts.telemetry.sealFailed({ error }));
  let busy = false;
  const timer = setInterval(
    () => {
      const waiting = parts.bus.settledCount();
      const due =
        parts.now() - lastSealAtMs >= parts.config.SEAL_INTERVAL_MS || waiting.bytes >= parts.config.SEAL_BYTES_MAX;
      if (busy || waiting.messages === 0 || !due) return;
      busy = true;
      void sealOrReport().finally(() => {
        busy = false;
      });
    },
    Math.min(LOOK_MS, parts.config.SEAL_INTERVAL_MS),
  );
  timer.unref();
  return {
    sealAll: seal,
    stop: () => {
      clearInterval(timer);
      return sealOrReport();
    },
  };
}

async function sealWaiting({ config, bus, warehouse, telemetry }: SealerParts): Promise<void> {
  let passes =
    Math.ceil(bus.settledCount().messages / SEAL_MESSAGES_MAX) +
    Math.ceil(bus.settledCount().bytes / config.SEAL_BYTES_MAX);
  while (passes > 0) {
    const settled = await bus.settled({ limit: SEAL_MESSAGES_MAX, bytesMax: config.SEAL_BYTES_MAX });
    if (settled.length === 0) return;
    const startedAt = performance.now();
    const sealed = await warehouse.seal(
      settled.map(({ message, sequence, settleOrder, foreign }) => ({
        messageId: message.messageId,
        dataset: message.dataset,
        data: message.data,
        sequence,
        settleOrder,
        late: foreign,
      })),
    );
    await bus.release(settled.map((one) => one.settleOrder));
    telemetry.sealed({ ...sealed, messages: settled.length, seconds: (performance.now() - startedAt) / 1000 });
    passes -= 1;
  }
}
