/** How each process of a run dies: at a moment or at a named point, in turn, so that few kills meet every point. */

export type Dying =
  | { readonly kind: 'moment'; readonly afterMs: number }
  | { readonly kind: 'point'; readonly name: string; readonly passing: number };

/** Where the service kills itself, and at which passing at most: late enough to have a past, and always reached. */
export const FAULT_POINTS = [
  { name: 'after-publish', passingsMax: 40 },
  { name: 'before-commit', passingsMax: 4 },
  { name: 'after-commit-before-ack', passingsMax: 4 },
  { name: 'while-sealing', passingsMax: 3 },
  { name: 'after-commit', passingsMax: 4 },
  { name: 'before-idempotency-answer', passingsMax: 10 },
  { name: 'after-idempotency-answer', passingsMax: 10 },
] as const;

const KILL_AFTER_MS_MAX = 600;

/** Every odd kill is at a moment; the others go through the points, from the first. */
export function dyingOf(kill: number, random: () => number): Dying {
  const chance = random();
  const point = FAULT_POINTS[Math.floor(kill / 2) % FAULT_POINTS.length];
  if (kill % 2 === 1 || point === undefined) return { kind: 'moment', afterMs: Math.ceil(chance * KILL_AFTER_MS_MAX) };
  return { kind: 'point', name: point.name, passing: 1 + Math.floor(chance * point.passingsMax) };
}
