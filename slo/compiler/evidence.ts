/**
 * When counts prove something about a budget. Three answers, because few requests prove nothing: a service at twice its
 * budget shows no failure at all in one of twenty runs of 1,500 requests.
 *
 * - pass: the 95 % upper bound of the true ratio is at most twice the budget, and the observed ratio within it
 * - fail: the 95 % lower bound is above the budget
 * - inconclusive: otherwise
 *
 * Bounds are the exact one-sided ones of Clopper and Pearson (Biometrika 26, 1934): the upper bound is at most p exactly
 * when a binomial of that p shows so few in at most 5 % of runs, so no bound has to be solved for.
 */

export type Verdict = 'pass' | 'fail' | 'inconclusive';

export const CONFIDENCE = 0.95;
/** A pass means at most this many times the budget, with that confidence. */
export const PASS_BUDGETS_MAX = 2;
/** Searches end here; nobody sends more requests in a test. */
const TOTAL_MAX = 2 ** 40;

export interface Counts {
  readonly bad: number;
  readonly total: number;
  /** Allowed share of bad ones, above 0 and at most 0.5. */
  readonly budget: number;
}

export function verdictOf(counts: Counts): Verdict {
  if (passes(counts)) return 'pass';
  return fails(counts) ? 'fail' : 'inconclusive';
}

/** The smallest total with which `bad` still passes. */
export function passTotalMin({ bad, budget }: Omit<Counts, 'total'>): number {
  return firstTotal(bad, (total) => passes({ bad, total, budget }));
}

/** The largest total with which `bad` fails; 0 when none does. */
export function failTotalMax({ bad, budget }: Omit<Counts, 'total'>): number {
  const first = firstTotal(bad, (total) => !fails({ bad, total, budget }));
  return first === bad ? 0 : first - 1;
}

function passes({ bad, budget, total }: Counts): boolean {
  // The multiplication first: bad / total would round 1 / 1000 away from 0.001.
  return (
    bad <= total * budget * (1 + 1e-12) && atMost({ bad, total, ratio: PASS_BUDGETS_MAX * budget }) <= 1 - CONFIDENCE
  );
}

function fails({ bad, budget, total }: Counts): boolean {
  return bad > 0 && 1 - atMost({ bad: bad - 1, total, ratio: budget }) < 1 - CONFIDENCE;
}

/** P(X ≤ bad) for X binomial(total, ratio), summed from the largest term down in logarithms. */
function atMost({
  bad,
  ratio,
  total,
}: {
  readonly bad: number;
  readonly total: number;
  readonly ratio: number;
}): number {
  if (bad >= total) return 1;
  const odds = ratio / (1 - ratio);
  let term = total * Math.log1p(-ratio);
  let sum = 0;
  for (let k = 0; k <= bad; k += 1) {
    if (k > 0) term += Math.log(((total - k + 1) / k) * odds);
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/** Bisection: `holds` is false up to some total and true from there on. */
function firstTotal(from: number, holds: (total: number) => boolean): number {
  let below = Math.max(0, from - 1);
  let above = Math.max(1, from);
  while (!holds(above)) {
    below = above;
    above *= 2;
    if (above > TOTAL_MAX) throw new Error(`no total up to ${TOTAL_MAX} decides about ${from} bad`);
  }
  while (above - below > 1) {
    const middle = Math.floor((above + below) / 2);
    if (holds(middle)) above = middle;
    else below = middle;
  }
  return above;
}
