/**
 * Moves stored messages from the bus into sealed bronze files, and only then lets the bus forget them.
 *
 * Until its file is sealed a message is on the bus, so at any moment bronze and bus together hold everything that was
 * ever accepted. Sealing runs on an interval, when enough bytes wait, and once at stop. After a seal on the interval,
 * with nothing else to do, small sealed files are put together, some at a time.
 */
import type { Bus, SettledMessage } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import { decodeForeign } from '../record/envelopes.ts';
import type { Validator } from '../record/validate.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';

/** Messages in one pass: 50,000 single-row messages make a file of some MiB. */
const SEAL_MESSAGES_MAX = 50_000;
/** In one pass: one bad message is found among SEAL_MESSAGES_MAX in 17 halvings; more failures than two such are an outage. */
const FAILURES_MAX = 34;
/** How often the amount waiting is looked at. */
const LOOK_MS = 1_000;

export interface SealerParts {
  readonly config: Pick<Config, 'SEAL_INTERVAL_MS' | 'SEAL_BYTES_MAX'>;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly validators: ReadonlyMap<string, Validator>;
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
  /** In the same row: a stop waits for the one under way, which is bounded, and begins no other. */
  const compact = (): Promise<void> => {
    sealing = sealing
      .then(async () => void (stopping || (await parts.warehouse.compact())))
      .catch((error: unknown) => parts.telemetry.compactionFailed({ error }));
    return sealing;
  };
  let stopping = false;
  let busy = false;
  const timer = setInterval(
    () => {
      const waiting = parts.bus.settledCount();
      const due =
        parts.now() - lastSealAtMs >= parts.config.SEAL_INTERVAL_MS || waiting.bytes >= parts.config.SEAL_BYTES_MAX;
      if (busy || !due) return;
      busy = true;
      void sealOrReport()
        .then(compact)
        .finally(() => {
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
      stopping = true;
      return sealOrReport();
    },
  };
}

async function sealWaiting(parts: SealerParts): Promise<void> {
  const { config, bus, warehouse } = parts;
  let passes =
    Math.ceil(bus.settledCount().messages / SEAL_MESSAGES_MAX) +
    Math.ceil(bus.settledCount().bytes / config.SEAL_BYTES_MAX);
  // Entries of the audit that no message brought are sealed as well.
  if (passes === 0) await warehouse.seal([]);
  while (passes > 0) {
    const settled = await bus.settled({ limit: SEAL_MESSAGES_MAX, bytesMax: config.SEAL_BYTES_MAX });
    if (settled.length === 0) return;
    await sealBatch(parts, settled);
    passes -= 1;
  }
}

/** What cannot be sealed stays on the bus and keeps no other message waiting. Throws the first failure, at the end. */
async function sealBatch(parts: SealerParts, settled: readonly SettledMessage[]): Promise<void> {
  const failures: unknown[] = [];
  const waiting = [...Map.groupBy(settled, ({ message }) => message.dataset).values()];
  for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
    const failure = await sealMessages(parts, group).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (failure === undefined) continue;
    failures.push(failure.error);
    if (failures.length >= FAILURES_MAX) break;
    const half = Math.ceil(group.length / 2);
    if (group.length > 1) waiting.push(group.slice(half), group.slice(0, half));
  }
  if (failures.length > 0) throw failures[0];
}

async function sealMessages(
  { bus, warehouse, telemetry, contracts, validators }: SealerParts,
  settled: readonly SettledMessage[],
): Promise<void> {
  const startedAt = performance.now();
  const sealed = await warehouse.seal(
    settled.map(({ message, sequence, settleOrder, foreign, publishedAtMs }) => ({
      messageId: message.messageId,
      dataset: message.dataset,
      // As it was stored: another publisher's bytes are no envelope.
      data: foreign ? decodeForeign(message, contracts, validators, publishedAtMs).data : message.data,
      sequence,
      settleOrder,
      late: foreign,
    })),
  );
  await bus.release(settled.map((one) => one.settleOrder));
  telemetry.sealed({ ...sealed, messages: settled.length, seconds: (performance.now() - startedAt) / 1000 });
}
