/** What is told of files: each step's duration, what waits, and how each file ended. */
import { type LANDING_ENDINGS, type LANDING_OUTCOMES, LANDING_STATES, type LANDING_STEPS } from './catalogue.ts';
import type { Log } from './log.ts';
import type { Measures } from './metrics.ts';
import type { RecordTelemetry, SettledRecords } from './record-telemetry.ts';

interface LandedFile {
  readonly id: string;
  /** Empty when its name says none. */
  readonly dataset: string;
  /** Under the landing folder. */
  readonly path: string;
}

export interface LandingTelemetry {
  landingStep(step: {
    readonly step: (typeof LANDING_STEPS)[number];
    readonly outcome: (typeof LANDING_OUTCOMES)[number];
    readonly seconds: number;
  }): void;
  /** After its commit: the rows of a file are accepted with the commit that makes them readable. */
  landingRange(outcome: SettledRecords): void;
  /** At each scrape. */
  landingLook(look: {
    readonly waiting: number;
    readonly running: number;
    readonly retrying: number;
    readonly oldestAgeSeconds: number;
  }): void;
  landingEnded(
    file: LandedFile & {
      readonly state: (typeof LANDING_ENDINGS)[number];
      readonly code: string | undefined;
      readonly records: number;
      readonly stored: number;
      readonly duplicate: number;
      readonly quarantined: number;
      readonly rejected: number;
    },
  ): void;
  landingFailed(
    file: LandedFile & { readonly code?: string; readonly attempts?: number; readonly error: unknown },
  ): void;
}

interface Parts {
  readonly metrics: Measures;
  readonly log: Log;
  readonly records: Pick<RecordTelemetry, 'recordsAccepted' | 'recordsSettled'>;
}

export function landingTelemetry({ metrics, log, records }: Parts): LandingTelemetry {
  return {
    landingStep: ({ step, outcome, seconds }) => metrics.observe('landingStepDuration', { step, outcome }, seconds),
    landingRange: (outcome) => {
      const { dataset, stored, duplicate, quarantined, rejected } = outcome;
      // A range that the ledger held was told of before.
      if (outcome.replayedMessages > 0) return;
      records.recordsAccepted({ dataset, accepted: stored + duplicate + quarantined, rejected });
      records.recordsSettled(outcome);
    },
    landingLook: ({ oldestAgeSeconds, ...counts }) => {
      metrics.set('landingOldestAge', {}, oldestAgeSeconds);
      for (const state of LANDING_STATES) {
        metrics.set('landingFiles', { state }, counts[state]);
      }
    },
    landingEnded: ({ state, path, id, ...rest }) => {
      metrics.add('landingEnds', { outcome: state }, 1);
      const event = state === 'refused' || state === 'gone' ? 'landingRefused' : 'landingEnded';
      log.write(event, { file: path, landingId: id, outcome: state, ...rest });
    },
    landingFailed: ({ path, id, ...rest }) => log.write('landingFailed', { file: path, landingId: id, ...rest }),
  };
}
