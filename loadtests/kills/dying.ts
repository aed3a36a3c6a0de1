/**
 * How each process of a run dies: at a seeded moment or at a named point of the service, so that 25 kills meet every
 * point and some moments.
 */

export type Dying =
  | { readonly kind: 'moment'; readonly afterMs: number; readonly beside: Beside }
  | { readonly kind: 'point'; readonly name: string; readonly passing: number; readonly beside: Beside };

/**
 * What happens to the folder besides: a backup is asked for, records are erased, or were erased before so that the start
 * rids the stores of their bytes, small bronze files are there to be put together, or the folder is one of format 0 again.
 */
export type Beside = 'nothing' | 'backup' | 'bronze compaction' | 'erasure' | 'migration' | 'store compaction';

interface FaultPoint {
  readonly name: string;
  /** It dies at this passing at most: late enough to have a past, and always reached. */
  readonly passingsMax: number;
  readonly beside?: Beside;
}

/** Where the service kills itself. */
export const FAULT_POINTS: readonly FaultPoint[] = [
  { name: 'after-publish', passingsMax: 40 },
  { name: 'range-in-bronze', passingsMax: 6 },
  { name: 'before-commit', passingsMax: 4 },
  { name: 'landing-range-stored', passingsMax: 6 },
  { name: 'after-commit-before-ack', passingsMax: 4 },
  { name: 'landing-checked', passingsMax: 2 },
  { name: 'while-sealing', passingsMax: 3 },
  { name: 'range-drafted', passingsMax: 6 },
  { name: 'rewrite-drafted', passingsMax: 1, beside: 'bronze compaction' },
  { name: 'after-commit', passingsMax: 4 },
  { name: 'landing-archiving', passingsMax: 2 },
  { name: 'rewrite-noted', passingsMax: 1, beside: 'bronze compaction' },
  { name: 'erase-after-tombstones', passingsMax: 1, beside: 'erasure' },
  { name: 'while-migrating', passingsMax: 1, beside: 'migration' },
  { name: 'landing-archived', passingsMax: 2 },
  { name: 'while-compacting', passingsMax: 3, beside: 'store compaction' },
  { name: 'rewrite-switched', passingsMax: 1, beside: 'bronze compaction' },
  { name: 'before-idempotency-answer', passingsMax: 10 },
  { name: 'erase-after-commit', passingsMax: 1, beside: 'erasure' },
  { name: 'while-backing-up', passingsMax: 1, beside: 'backup' },
  { name: 'rewrite-recorded', passingsMax: 1, beside: 'bronze compaction' },
  { name: 'erase-while-rewriting', passingsMax: 1, beside: 'erasure' },
  { name: 'after-idempotency-answer', passingsMax: 10 },
  { name: 'rewrite-removed', passingsMax: 1, beside: 'bronze compaction' },
];

const KILL_AFTER_MS_MAX = 600;
/** A command takes a second to start, and what it asks for some more. */
const KILL_BESIDE_AFTER_MS_MAX = 2_500;
/** What happens when a process dies at a moment. */
const BESIDES: readonly Beside[] = ['nothing', 'nothing', 'backup', 'erasure'];

/**
 * The points come in turn, from the first; half of the deaths are at moments, but no point is left out for them while
 * there are deaths enough for all.
 */
export function planOf({ runs, random }: { readonly runs: number; readonly random: () => number }): readonly Dying[] {
  const atPoints = Math.min(runs, Math.max(FAULT_POINTS.length, Math.ceil(runs / 2)));
  let points = 0;
  return Array.from({ length: runs }, (_, run): Dying => {
    const chance = random();
    // Spread evenly: the first death is at a point, the last too when all are.
    const point = FAULT_POINTS[points % FAULT_POINTS.length];
    if (point === undefined || points * runs >= (run + 1) * atPoints) return momentOf(chance, random);
    points += 1;
    const { name, passingsMax, beside = 'nothing' } = point;
    return { kind: 'point', name, passing: 1 + Math.floor(chance * passingsMax), beside };
  });
}

function momentOf(chance: number, random: () => number): Dying {
  const beside = BESIDES[Math.floor(random() * BESIDES.length)] ?? 'nothing';
  const afterMsMax = beside === 'nothing' ? KILL_AFTER_MS_MAX : KILL_BESIDE_AFTER_MS_MAX;
  return { kind: 'moment', afterMs: Math.ceil(chance * afterMsMax), beside };
}
