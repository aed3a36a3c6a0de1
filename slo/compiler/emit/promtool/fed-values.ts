/** Values of fed series in promtool's notation: `a+bxn` is n + 1 samples from a by b, `_xn` is n times nothing. */

export interface CounterPhase {
  /** Samples. */
  readonly count: number;
  /** Added at each sample; null: the target does not answer. Whole numbers, because promtool adds them up as floats. */
  readonly increment: number | null;
  /** Counts in place of `increment` only at every n-th sample, from the n-th on. */
  readonly every?: number;
}

/** A counter that stands at 0 at the first sample; the phases begin with the second. */
export function counterValues(phases: readonly CounterPhase[]): string {
  let value = 0;
  const parts = ['0'];
  for (const { count, every = 1, increment } of phases) {
    if (count <= 0) continue;
    if (increment === null) {
      parts.push(`_x${count}`);
    } else if (every === 1) {
      parts.push(run(value + increment, increment, count));
      value += increment * count;
    } else {
      let left = count;
      while (left > 0) {
        const still = Math.min(every - 1, left);
        if (still > 0) parts.push(run(value, 0, still));
        left -= still;
        if (left === 0) break;
        value += increment;
        parts.push(String(value));
        left -= 1;
      }
    }
  }
  return parts.join(' ');
}

/** A gauge; the phases begin with the first sample. */
export function gaugeValues(phases: readonly { readonly count: number; readonly value: number | null }[]): string {
  return phases
    .filter(({ count }) => count > 0)
    .map(({ count, value }) => (value === null ? `_x${count}` : run(value, 0, count)))
    .join(' ');
}

function run(start: number, step: number, count: number): string {
  if (count === 1) return String(start);
  return step === 0 ? `${start}x${count - 1}` : `${start}+${step}x${count - 1}`;
}
