/** What is told of rows on their way: outcomes, freshness, the loss equation, and where they rest. */
import { EQUATION_TERMS, type EquationTerm, type RETENTION_LAYERS, type STORAGE_PARTS } from './catalogue.ts';
import type { Log } from './log.ts';
import type { Measures } from './metrics.ts';

export interface SettledRecords {
  readonly dataset: string;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly quarantinedByCode: Readonly<Record<string, number>>;
  readonly rejected: number;
  readonly rejectedByCode: Readonly<Record<string, number>>;
  readonly replayedMessages: number;
}

export type EquationSums = Readonly<Record<EquationTerm | 'overdue' | 'difference', number>>;

export interface DeadRecords {
  readonly dataset: string;
  readonly code: string;
  readonly rows: number;
  readonly messageId: string;
  readonly attempts?: number;
  /** Empty: another publisher's. */
  readonly requestId?: string;
}

export interface RecordTelemetry {
  /** When the answer says so: rejected rows stand outside the equation. */
  recordsAccepted(answer: { readonly dataset: string; readonly accepted: number; readonly rejected: number }): void;
  /** After the commit. */
  recordsSettled(outcome: SettledRecords): void;
  /** `rows` of one message, readable `seconds` after acceptance. */
  becameReadable(message: { readonly dataset: string; readonly seconds: number; readonly rows?: number }): void;
  /** When it is durable there. */
  deadLettered(message: DeadRecords): void;
  deadLettersReplayed(replay: {
    readonly messages: number;
    readonly rows: number;
    readonly keyId?: string;
    readonly requestId?: string;
  }): void;
  /** What the contract promises; a dataset without expectEverySeconds is never missed. */
  promised(contract: {
    readonly dataset: string;
    readonly freshnessSeconds: number;
    readonly expectEverySeconds?: number;
  }): void;
  /** The last accepted row before this process started. */
  lastRecord(last: { readonly dataset: string; readonly atMs: number }): void;
  /** At each scrape. Unreadable is unacknowledged unless it is said otherwise: a commit is acknowledged at once. */
  backlog(look: {
    readonly dataset: string;
    readonly messages: number;
    readonly rows: number;
    readonly oldestAgeSeconds: number;
    readonly oldestUnreadableAgeSeconds?: number;
  }): void;
  deadLetters(look: { readonly dataset: string; readonly messages: number }): void;
  equation(look: { readonly dataset: string; readonly terms: EquationSums }): void;
  unclassified(look: { readonly dataset: string; readonly rows: number; readonly sum: number }): void;
  unsealed(look: { readonly messages: number; readonly bytes: number; readonly oldestAtMs: number | undefined }): void;
  sealed(seal: {
    readonly files: number;
    readonly rows: number;
    readonly bytes: number;
    readonly messages: number;
    readonly seconds: number;
  }): void;
  sealFailed(failure: { readonly error: unknown }): void;
  compactionFailed(failure: { readonly error: unknown }): void;
  expired(what: {
    readonly dataset: string;
    readonly layer: (typeof RETENTION_LAYERS)[number];
    readonly rows: number;
    readonly files: number;
  }): void;
  storage(look: { readonly part: (typeof STORAGE_PARTS)[number]; readonly bytes: number }): void;
  diskUsed(look: { readonly ratio: number }): void;
}

interface Parts {
  readonly metrics: Measures;
  readonly log: Log;
  readonly now: () => number;
  /** Registers a reading taken at each scrape: an age must grow while nothing happens. */
  readonly onScrape: (sample: () => void) => void;
}

export function recordTelemetry(parts: Parts): RecordTelemetry {
  const { metrics, log, now } = parts;
  const expectation = expectations(parts);
  return {
    recordsAccepted: ({ dataset, accepted, rejected }) => {
      metrics.add('records', { dataset, outcome: 'accepted' }, accepted);
      metrics.add('records', { dataset, outcome: 'rejected' }, rejected);
      if (accepted > 0) expectation.seen(dataset, now());
    },
    recordsSettled: (outcome) => countSettled(metrics, outcome, now()),
    becameReadable: ({ dataset, seconds, rows = 1 }) =>
      metrics.observeMany('acceptToReadable', { dataset }, seconds, rows),
    deadLettered: ({ dataset, rows, code, messageId, attempts, requestId }) => {
      metrics.add('records', { dataset, outcome: 'dead_lettered' }, rows);
      log.write('messageDeadLettered', { dataset, code, messageId, attempts, requestId, records: rows });
    },
    deadLettersReplayed: ({ messages, rows, keyId, requestId }) =>
      log.write('deadLettersReplayed', { messages, records: rows, keyId, requestId }),
    promised: ({ dataset, freshnessSeconds, expectEverySeconds }) => {
      metrics.set('freshnessPromise', { dataset }, freshnessSeconds);
      metrics.set('expectEvery', { dataset }, expectEverySeconds ?? 0);
      if (expectEverySeconds !== undefined) expectation.expected(dataset);
    },
    lastRecord: ({ dataset, atMs }) => {
      expectation.seen(dataset, atMs);
      metrics.set('lastCommit', { dataset }, atMs / 1000);
    },
    ...lookTelemetry(parts),
    ...custodyTelemetry(parts),
  };
}

/** Age of the last row of each dataset that expects rows; from the start of the process when none was seen. */
function expectations({ metrics, now, onScrape }: Parts) {
  const startedAtMs = now();
  const lastAtMs = new Map<string, number>();
  const expecting = new Set<string>();
  onScrape(() => {
    for (const dataset of expecting) {
      metrics.set('expectedRecordAge', { dataset }, Math.max(0, now() - (lastAtMs.get(dataset) ?? startedAtMs)) / 1000);
    }
  });
  return {
    expected: (dataset: string) => expecting.add(dataset),
    seen: (dataset: string, atMs: number) => lastAtMs.set(dataset, Math.max(atMs, lastAtMs.get(dataset) ?? 0)),
  };
}

function countSettled(metrics: Measures, outcome: SettledRecords, nowMs: number): void {
  const { dataset } = outcome;
  metrics.add('records', { dataset, outcome: 'stored' }, outcome.stored);
  metrics.add('records', { dataset, outcome: 'duplicate' }, outcome.duplicate);
  metrics.add('records', { dataset, outcome: 'quarantined' }, outcome.quarantined);
  metrics.add('replayedMessages', { dataset }, outcome.replayedMessages);
  for (const byCode of [outcome.quarantinedByCode, outcome.rejectedByCode]) {
    for (const [code, rows] of Object.entries(byCode)) metrics.add('quarantinedRecords', { dataset, code }, rows);
  }
  metrics.set('lastCommit', { dataset }, nowMs / 1000);
}

function lookTelemetry({ metrics, log, now }: Parts) {
  const differences = new Map<string, number>();
  return {
    backlog: ({ dataset, messages, rows, oldestAgeSeconds, oldestUnreadableAgeSeconds = oldestAgeSeconds }) => {
      metrics.set('backlogMessages', { dataset }, messages);
      metrics.set('backlogRecords', { dataset }, rows);
      metrics.set('oldestUnacknowledgedAge', { dataset }, oldestAgeSeconds);
      metrics.set('oldestUnreadableAge', { dataset }, oldestUnreadableAgeSeconds);
    },
    deadLetters: ({ dataset, messages }) => metrics.set('deadLetterMessages', { dataset }, messages),
    equation: ({ dataset, terms }) => {
      for (const [term, state] of Object.entries(EQUATION_TERMS) as [EquationTerm, string][])
        metrics.set('equationRecords', { dataset, state }, terms[term]);
      metrics.set('equationDifference', { dataset }, terms.difference);
      metrics.set('overdueRecords', { dataset }, terms.overdue);
      metrics.set('equationTaken', {}, now() / 1000);
      // Once for each change: the sum is taken every few seconds.
      if (terms.difference !== 0 && differences.get(dataset) !== terms.difference) {
        log.write('equationBroken', { dataset, difference: terms.difference });
      }
      differences.set(dataset, terms.difference);
    },
    unclassified: ({ dataset, rows, sum }) => {
      metrics.set('unclassifiedRecords', { dataset }, rows);
      metrics.set('unclassifiedSum', { dataset }, sum);
    },
  } satisfies Partial<RecordTelemetry>;
}

function custodyTelemetry({ metrics, log, now }: Parts) {
  return {
    unsealed: ({ messages, bytes, oldestAtMs }) => {
      metrics.set('unsealedMessages', {}, messages);
      metrics.set('unsealedBytes', {}, bytes);
      metrics.set('oldestUnsealedAge', {}, oldestAtMs === undefined ? 0 : Math.max(0, now() - oldestAtMs) / 1000);
    },
    sealed: ({ files, rows, bytes, messages, seconds }) => {
      metrics.add('sealedFiles', {}, files);
      metrics.add('sealedRecords', {}, rows);
      metrics.add('sealedBytes', {}, bytes);
      log.write('sealed', { files, records: rows, bytes, messages, durationMs: Math.round(seconds * 1000) });
    },
    sealFailed: ({ error }) => {
      metrics.add('sealFailures', {});
      log.write('sealFailed', { error });
    },
    compactionFailed: ({ error }) => log.write('compactionFailed', { error }),
    expired: ({ dataset, layer, rows, files }) => {
      metrics.add('expiredRecords', { dataset, layer }, rows);
      metrics.add('expiredFiles', { dataset, layer }, files);
      log.write('retentionRan', { dataset, layer, records: rows, files });
    },
    storage: ({ part, bytes }) => metrics.set('storageBytes', { part }, bytes),
    diskUsed: ({ ratio }) => metrics.set('diskUsed', {}, ratio),
  } satisfies Partial<RecordTelemetry>;
}
