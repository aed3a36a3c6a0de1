/**
 * The versions of every partition (a dataset's event date), in memory: reads name their version without a query.
 *
 * Derived from silver at open and kept in step by every commit, so it cannot disagree with the rows for longer than
 * a process lives.
 */
import type { PartitionsVersion } from './warehouse.ts';

const DAY_MS = 86_400_000;

export interface Commit {
  readonly commitNumber: number;
  readonly committedAtMs: number;
}

export interface TimeRange {
  readonly fromMs?: number;
  readonly toMs?: number;
}

export class Partitions {
  #generation: string;
  /** Dataset → day since the epoch → the newest commit that added to it. */
  readonly #days = new Map<string, Map<number, Commit>>();
  readonly #newest = new Map<string, Commit>();

  constructor(generation: string) {
    this.#generation = generation;
  }

  get generation(): string {
    return this.#generation;
  }

  /** A rebuild or an erasure: what earlier cursors point into is gone. */
  startGeneration(generation: string): void {
    this.#generation = generation;
  }

  touch(options: { readonly dataset: string; readonly days: readonly number[]; readonly commit: Commit }): void {
    const { dataset, days, commit } = options;
    if (days.length === 0) return;
    const known = this.#days.get(dataset) ?? new Map<number, Commit>();
    this.#days.set(dataset, known);
    for (const day of days) {
      const before = known.get(day);
      if (before === undefined || before.commitNumber < commit.commitNumber) known.set(day, commit);
    }
    const newest = this.#newest.get(dataset);
    if (newest === undefined || newest.commitNumber < commit.commitNumber) this.#newest.set(dataset, commit);
  }

  /** Which of these days hold rows already. */
  present(dataset: string, days: readonly number[]): readonly number[] {
    const known = this.#days.get(dataset);
    return known === undefined ? [] : days.filter((day) => known.has(day));
  }

  days(dataset: string): readonly number[] {
    return [...(this.#days.get(dataset)?.keys() ?? [])];
  }

  newest(dataset: string): Commit | undefined {
    return this.#newest.get(dataset);
  }

  version(dataset: string, range: TimeRange): PartitionsVersion {
    const commit = this.#newestIn(dataset, range);
    return {
      generation: this.#generation,
      commitNumber: commit?.commitNumber ?? 0,
      committedAtMs: commit?.committedAtMs,
    };
  }

  #newestIn(dataset: string, { fromMs, toMs }: TimeRange): Commit | undefined {
    if (fromMs === undefined && toMs === undefined) return this.#newest.get(dataset);
    const first = Math.floor((fromMs ?? Number.NEGATIVE_INFINITY) / DAY_MS);
    const last = Math.floor(((toMs ?? Number.POSITIVE_INFINITY) - 1) / DAY_MS);
    let newest: Commit | undefined;
    for (const [day, commit] of this.#days.get(dataset) ?? []) {
      if (day < first || day > last) continue;
      if (newest === undefined || newest.commitNumber < commit.commitNumber) newest = commit;
    }
    return newest;
  }
}
