/**
 * From a delivery to an outcome.
 *
 * A batch of deliveries becomes one warehouse commit; only after it are they acknowledged. What is wrong with the data
 * is an outcome (quarantine, dead letter); what is wrong with a dependency is thrown, and the bus delivers again. A
 * delivery that comes twice changes nothing: the ledger knows its message.
 */
import type { Bus, Delivery, Settlement, Subscription } from '../bus/bus.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import { AppError } from '../errors.ts';
import { decodeEnvelope, decodeForeign } from '../record/envelopes.ts';
import type { Validator } from '../record/validate.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { StorableMessage, StoreOutcome, Warehouse } from '../warehouse/warehouse.ts';

export interface SubscriberParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly validators: ReadonlyMap<string, Validator>;
  readonly telemetry: Telemetry;
  readonly now: () => number;
  readonly onCommit: (outcome: StoreOutcome) => void;
  readonly faultPoint?: (name: string) => void;
}

type Decoded =
  | { readonly kind: 'storable'; readonly message: StorableMessage }
  | { readonly kind: 'unreadable'; readonly settlement: Settlement };

export function startSubscriber(parts: SubscriberParts): Subscription {
  const { config, bus } = parts;
  return bus.subscribe(
    (deliveries) =>
      parts.telemetry.processing({ deliveries: deliveries.map((one) => describe(parts, one)) }, () =>
        settle(parts, deliveries),
      ),
    {
      batchMessagesMax: config.BATCH_MESSAGES_MAX,
      batchBytesMax: config.BATCH_BYTES_MAX,
      batchWaitMs: config.BATCH_WAIT_MS,
      onDeadLetter: ({ rowCount, ...letter }) => parts.telemetry.deadLettered({ ...letter, rows: rowCount }),
    },
  );
}

async function settle(parts: SubscriberParts, deliveries: readonly Delivery[]): Promise<readonly Settlement[]> {
  const decoded = deliveries.map((delivery) => decode(parts, delivery));
  const storable = decoded.flatMap((one) => (one.kind === 'storable' ? [one.message] : []));
  if (storable.length > 0) {
    const startedAt = performance.now();
    const outcome = await parts.warehouse.store(storable);
    parts.faultPoint?.('after-commit-before-ack');
    const stored = deliveries.filter((_, at) => decoded[at]?.kind === 'storable');
    report(parts, stored, { outcome, durationMs: Math.round(performance.now() - startedAt) });
  }
  return decoded.map((one) => (one.kind === 'storable' ? { kind: 'ack' } : one.settlement));
}

function decode(parts: SubscriberParts, delivery: Delivery): Decoded {
  const { message, sequence, foreign } = delivery;
  try {
    if (!foreign) {
      const envelope = decodeEnvelope(message, parts.contracts);
      return { kind: 'storable', message: { envelope, data: message.data, sequence, late: false } };
    }
    const { envelope, data } = decodeForeign(message, parts.contracts, parts.validators, delivery.publishedAtMs);
    return { kind: 'storable', message: { envelope, data, sequence, late: true } };
  } catch (error) {
    if (!(error instanceof AppError) || error.retryable) throw error;
    return { kind: 'unreadable', settlement: { kind: 'dead_letter', code: error.code, reason: error.publicMessage } };
  }
}

/** Told after the commit, when nothing may fail the delivery any more: it would come again, at last as a dead letter. */
interface Committed {
  readonly outcome: StoreOutcome;
  readonly durationMs: number;
}

function report(parts: SubscriberParts, stored: readonly Delivery[], { outcome, durationMs }: Committed): void {
  const { telemetry } = parts;
  const { commitNumber, committedAtMs, storedRows } = outcome;
  for (const [dataset, counts] of Object.entries(outcome.datasets)) {
    telemetry.recordsSettled({ dataset, ...counts });
    const { stored: rows, duplicate, quarantined, rejected, replayedMessages: replayed } = counts;
    const line = { dataset, stored: rows, duplicate, quarantined, rejected, replayed };
    telemetry.log('batchStored', { ...line, commitNumber, durationMs });
  }
  // Rows that are new only: a duplicate was readable long before, and a delivery that comes again makes nothing readable.
  // One that was dead and put back counts from its acceptance: for so long nobody could read it.
  for (const [at, { message, publishedAtMs }] of stored.entries()) {
    const seconds = Math.max(0, (committedAtMs - publishedAtMs) / 1000);
    telemetry.becameReadable({ dataset: message.dataset, seconds, rows: storedRows[at] ?? 0 });
  }
  telemetry.harmlessly(() => parts.onCommit(outcome));
}

function describe(parts: SubscriberParts, delivery: Delivery) {
  return {
    dataset: delivery.message.dataset,
    messageId: delivery.message.messageId,
    attributes: delivery.message.attributes,
    attempt: delivery.attempt,
    ageSeconds: Math.max(0, (parts.now() - delivery.publishedAtMs) / 1000),
  };
}
