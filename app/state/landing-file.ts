/** What is known of a file in the landing folder, from its first sight to its end: JSON values, kept in the state store. */

/**
 * `waiting` (seen, may still change) → `checking` → `storing` → `done`; `retrying` is a failure that may pass. The ends
 * are `done`, `skipped` (everything in it was stored before), `refused` and `gone` (it went away first).
 */
export const LANDING_STATES = [
  'waiting',
  'checking',
  'storing',
  'retrying',
  'done',
  'skipped',
  'refused',
  'gone',
] as const;
export type LandingState = (typeof LANDING_STATES)[number];
export type LandingEnd = 'done' | 'skipped' | 'refused' | 'gone';

export const LANDING_ENDS: readonly LandingState[] = ['done', 'skipped', 'refused', 'gone'] satisfies LandingEnd[];

/** Records by what became of them, summed over the ranges that are stored. */
export interface LandingCounts {
  readonly read: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly rejected: number;
}

export interface LandingFile {
  /** Of this file as it lies there: another content, time or place is another id. */
  readonly id: string;
  /** Under the landing folder. */
  readonly path: string;
  /** Empty when the name says none. */
  readonly dataset: string;
  readonly bytes: number;
  readonly state: LandingState;
  readonly seenAtMs: number;
  readonly changedAtMs: number;
  /** When it was first taken: `receivedAt` of its rows. */
  readonly takenAtMs?: number;
  readonly endedAtMs?: number;
  /** SHA-256 of its bytes, hex. */
  readonly fileId?: string;
  /** All its records; known after the check. */
  readonly records?: number;
  readonly counts: LandingCounts;
  readonly receipt?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly attempts: number;
  readonly retryAtMs?: number;
  /** Where it lies now, under the data folder: archived or refused. */
  readonly movedTo?: string;
}

/** Where a file can be cut: see app/landing/range-plan.ts. */
export interface LandingPlan {
  readonly fileId: string;
  readonly records: number;
  readonly columns: readonly string[];
  readonly ranges: readonly {
    readonly start: number;
    readonly end: number;
    readonly firstIndex: number;
    readonly records: number;
    readonly crc32: number;
  }[];
}
