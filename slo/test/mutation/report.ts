/** The score of a run, and the names of what got away. */
import type { Verdict } from './judge.ts';

/** Below this the proofs prove too little. */
export const CAUGHT_MIN = 0.95;

export interface Score {
  readonly mutants: number;
  readonly survivors: readonly string[];
  /** From 0 to 1. */
  readonly caught: number;
}

export function scoreOf(verdicts: readonly Verdict[]): Score {
  const mutants = verdicts.reduce((sum, verdict) => sum + verdict.mutants.length, 0);
  const survivors = verdicts.flatMap(({ set, survivors: left }) =>
    left.map(({ change, operator, where }) => `${set.objective.name} ${set.name}, ${where}: ${operator}, ${change}`),
  );
  return { mutants, survivors, caught: mutants === 0 ? 0 : 1 - survivors.length / mutants };
}
