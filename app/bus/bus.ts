/**
 * What stands between "accepted" and "stored".
 *
 * The semantics mirror Pub/Sub so that one contract suite runs on every implementation: at-least-once, no order
 * promised, a delivery is leased until it is settled, a failed one comes again after a backoff, and one that failed
 * on every attempt goes to the dead letters with its reason.
 */

/** A message as the bus sees it: bytes and attributes. `envelope.ts` in `record/` knows what the bytes mean. */
export interface BusMessage {
  /** Random, 128 bits, 32 hex digits: never a position, so that a restored bus cannot reuse one. */
  readonly messageId: string;
  readonly dataset: string;
  /** Empty when another publisher sent it: the delivery is `foreign` then. */
  readonly requestId: string;
  /** Accepted rows inside, without rejects. */
  readonly rowCount: number;
  readonly data: Buffer;
  /** `traceparent`, `tracestate` and what else travels with the message. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Delivery {
  readonly message: BusMessage;
  /** Grows with publication; orders the cut of the loss equation and nothing else. */
  readonly sequence: number;
  readonly publishedAtMs: number;
  /** 1 on the first delivery. */
  readonly attempt: number;
  /** True when a publisher other than Vigía sent it: it is accepted when first delivered. */
  readonly foreign: boolean;
}

/** What became of a delivery. Anything else (a throw, an unlisted delivery) means: deliver it again. */
export type Settlement =
  | { readonly kind: 'ack' }
  | { readonly kind: 'dead_letter'; readonly code: string; readonly reason: string };

/**
 * Settles a batch: one settlement for each delivery, in order. A throw settles none: all come again, a batch in smaller
 * ones, a single message after a backoff. `undefined` leaves that one delivery unsettled. A retryable AppError (the
 * warehouse is away) pauses all deliveries and never makes a dead letter.
 */
export type Handler = (deliveries: readonly Delivery[]) => Promise<readonly (Settlement | undefined)[]>;

export interface SubscribeOptions {
  readonly batchMessagesMax: number;
  readonly batchBytesMax: number;
  /** How long a batch may wait to fill once its first message is there. */
  readonly batchWaitMs: number;
  /** Told of each message once its dead letter is durable, whoever gave it up: the handler or the bus. */
  readonly onDeadLetter?: (letter: BuriedMessage) => void;
}

export interface BuriedMessage {
  readonly messageId: string;
  readonly dataset: string;
  readonly requestId: string;
  readonly rowCount: number;
  readonly code: string;
  readonly attempts: number;
}

export interface Subscription {
  /** Stops taking new deliveries and resolves when those under way are settled, or after `timeoutMs`. */
  drain(options: { readonly timeoutMs: number }): Promise<void>;
}

export interface DeadLetter {
  readonly message: BusMessage;
  readonly sequence: number;
  readonly code: string;
  readonly reason: string;
  readonly attempts: number;
  readonly publishedAtMs: number;
  readonly deadAtMs: number;
  readonly foreign: boolean;
}

export interface DeadLetterFilter {
  readonly dataset?: string;
  readonly code?: string;
  readonly messageIds?: readonly string[];
  /** When it died: `fromMs` ≤ deadAtMs < `toMs`. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** What is left of a dead letter out of which rows were taken for good. */
export interface DeadLetterRest {
  readonly sequence: number;
  /** Undefined when nothing is left: the message is gone. */
  readonly rest: Pick<BusMessage, 'data' | 'rowCount'> | undefined;
  /** Accepted rows taken out: counted in `removedRows`. Those that the ledger holds too, and a foreign publisher's, are not. */
  readonly removedRows: number;
}

export type RemovalReason = 'erased' | 'expired';

/** One consistent look at the bus: everything in it belongs to messages with `sequence <= cut`. */
export interface BusSnapshot {
  readonly cut: number;
  readonly takenAtMs: number;
  /** Rows ever accepted, by dataset, counted in the transaction that made them durable. */
  readonly acceptedRows: Readonly<Record<string, number>>;
  /** Of them those that were taken out of dead letters for good, by dataset, counted in the transaction that took them. */
  readonly removedRows: Readonly<Record<RemovalReason, Readonly<Record<string, number>>>>;
  /** Every message that is neither acknowledged nor dead. Some may be in the ledger already (commit before ack). */
  readonly unsettled: readonly UnsettledMessage[];
  readonly deadLetters: readonly UnsettledMessage[];
}

export interface UnsettledMessage {
  readonly messageId: string;
  readonly dataset: string;
  readonly rowCount: number;
  readonly publishedAtMs: number;
  readonly foreign: boolean;
}

/** An acknowledged message that the bus still keeps, because no bronze file holds it yet. */
export interface SettledMessage {
  readonly message: BusMessage;
  readonly sequence: number;
  readonly publishedAtMs: number;
  /** Grows with acknowledgement: a rebuild that replays in this order makes the same decisions. */
  readonly settleOrder: number;
  readonly foreign: boolean;
}

export interface RequestMessage {
  readonly messageId: string;
  /** A removal's rows are those that were taken out of the message while it was dead. */
  readonly state: 'unsettled' | 'dead' | RemovalReason;
  readonly rowCount: number;
}

export interface BusBacklog {
  readonly dataset: string;
  readonly messages: number;
  readonly rows: number;
  /** Publication time of the oldest message that is neither acknowledged nor dead. */
  readonly oldestAtMs: number | undefined;
}

export interface Bus {
  readonly name: 'embedded' | 'pubsub';
  /**
   * Resolves when every message is durable, all or none on the embedded bus.
   * Throws AppError BUS_UNAVAILABLE or DISK_FULL; then the outcome of each message is unknown to the caller.
   */
  publish(messages: readonly BusMessage[]): Promise<void>;
  /** One subscriber at a time. Only messages that are durable are delivered. */
  subscribe(handler: Handler, options: SubscribeOptions): Subscription;
  backlog(): readonly BusBacklog[];
  /** All terms of the loss equation that the bus holds, at one cut. */
  snapshot(): Promise<BusSnapshot>;
  /** Unsettled and dead messages of one request and what was removed from dead ones, for its receipt. */
  findByRequest(requestId: string): Promise<readonly RequestMessage[]>;
  /** Reads one message that the bus still holds (for the rows of a receipt and of a dead letter). */
  read(messageId: string): Promise<BusMessage | undefined>;
  /** Newest publication first. `after` is the messageId of the last one of the page before; unknown: CURSOR_GONE. */
  deadLetters(page: {
    readonly filter: DeadLetterFilter;
    readonly limit: number;
    readonly after?: string;
  }): Promise<readonly DeadLetter[]>;
  /** Puts matching dead letters back, same id, attempts from zero. Returns how many match; changes nothing on a dry run. */
  replay(options: {
    readonly filter: DeadLetterFilter;
    readonly limit: number;
    readonly dryRun: boolean;
  }): Promise<{ readonly messages: number; readonly rows: number }>;
  /** One transaction. Left out is what is no dead letter any more (put back meanwhile); answers how many were done. */
  removeFromDead(rests: readonly DeadLetterRest[], reason: RemovalReason): Promise<number>;
  /** Acknowledged messages waiting for their bronze file, in settle order. */
  settled(options: { readonly limit: number; readonly bytesMax: number }): Promise<readonly SettledMessage[]>;
  /** `oldestAtMs` is when the oldest of them was acknowledged. */
  settledCount(): { readonly messages: number; readonly bytes: number; readonly oldestAtMs: number | undefined };
  /** Forgets acknowledged messages: their bronze file is sealed. */
  release(settleOrders: readonly number[]): Promise<void>;
  /**
   * At start, before `subscribe`: squares the bus with the ledger. Acknowledges unsettled messages that the ledger
   * holds, and puts back acknowledged ones that it does not (the warehouse lost them). Those are delivered before all
   * others and in settle order, so that the same decisions are made again.
   */
  reconcile(
    ledgerHolds: (messageIds: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<{ readonly acknowledged: number; readonly redelivered: number }>;
  /** Rejects when the bus cannot take a message now (disk, closed). For readiness. */
  check(): Promise<void>;
  close(): Promise<void>;
}
