/**
 * May this change be deployed? Budget, burn, coverage and reachability in, one verdict out. It fails closed: what is not
 * known is not good. Pure, so that the whole truth table is a test.
 */
import { compare, type Decimal, decimal, decimalNumber } from '../compiler/decimal.ts';
import type { Policy } from '../compiler/settings.ts';

/** What Prometheus said of one objective, or of one group of it. */
export interface Standing {
  /** `api-latency`, or `pipeline-freshness (flights)`. */
  readonly name: string;
  /** Share of the period in which rules ran; null: never. */
  readonly coverage: number | null;
  /** Share of the budget left; below 0 when overspent. `idle`: measured, and nothing happened; null: not measured. */
  readonly budgetLeft: number | 'idle' | null;
  /** How many times too fast the budget burned over the last hour; null: nothing happened, or not measured. */
  readonly burn: number | null;
}

export type Evidence =
  /** Prometheus did not answer, or not with data. */
  | { readonly kind: 'unreachable'; readonly why: string }
  /** It answered, and no rule of ours runs there. */
  | { readonly kind: 'no-rules' }
  | { readonly kind: 'standings'; readonly standings: readonly Standing[] };

export type Change = 'ordinary' | 'small' | 'repair';

export interface Override {
  readonly author: string;
  readonly reason: string;
}

export interface GateQuestion {
  readonly evidence: Evidence;
  readonly change: Change;
  /** Said by the caller; believed only while nothing was measured yet. */
  readonly isFirst: boolean;
  readonly override: Override | null;
}

export type Verdict =
  | { readonly kind: 'open'; readonly reasons: readonly string[] }
  /** Somebody answered for it in writing. */
  | { readonly kind: 'overridden'; readonly reasons: readonly string[]; readonly override: Override }
  | { readonly kind: 'closed'; readonly reasons: readonly string[] }
  /** Closed because nobody can know. */
  | { readonly kind: 'unknown'; readonly reasons: readonly string[] };

/** 0 goes on; 2 is a finding, 1 a gate that could not judge. Both stop a deployment. */
export const EXIT_CODES = { open: 0, overridden: 0, closed: 2, unknown: 1 } as const satisfies Record<
  Verdict['kind'],
  number
>;

export function gateVerdict(question: GateQuestion, policy: Policy): Verdict {
  const verdict = judged(question, policy);
  const { override } = question;
  if (override === null || verdict.kind === 'open') return verdict;
  const problem = overrideProblem(override, policy);
  return problem === undefined
    ? { kind: 'overridden', reasons: verdict.reasons, override }
    : { ...verdict, reasons: [...verdict.reasons, problem] };
}

function judged({ change, evidence, isFirst }: GateQuestion, policy: Policy): Verdict {
  switch (evidence.kind) {
    case 'unreachable':
      return { kind: 'unknown', reasons: [`Prometheus cannot be asked: ${evidence.why}`] };
    case 'no-rules':
      return isFirst
        ? { kind: 'open', reasons: ['first deployment: no rule has run yet, so no budget was spent'] }
        : {
            kind: 'unknown',
            reasons: ['no rule of these objectives has run in the last 15 minutes; a first deployment says so'],
          };
    case 'standings':
      return ofStandings({ standings: evidence.standings, change, isFirst }, policy);
  }
}

function ofStandings(
  question: { readonly standings: readonly Standing[]; readonly change: Change; readonly isFirst: boolean },
  policy: Policy,
): Verdict {
  const { change, isFirst, standings } = question;
  const covered = standings.filter(({ coverage }) => isCovered(coverage, policy));
  if (isFirst && covered.length > 0) {
    const names = covered.map(({ name }) => name).join(', ');
    return { kind: 'closed', reasons: [`not a first deployment: ${names} have been measured for long`] };
  }
  const unknown = isFirst ? [] : standings.flatMap((standing) => unknownReasons(standing, policy));
  if (unknown.length > 0) return { kind: 'unknown', reasons: unknown };
  const reasons = standings.flatMap((standing) => refusals(standing, { change, isFirst }, policy));
  if (reasons.length > 0) return { kind: 'closed', reasons };
  return { kind: 'open', reasons: isFirst ? ['first deployment: too little was measured to have spent a budget'] : [] };
}

function isCovered(coverage: number | null, { gate }: Policy): boolean {
  return coverage !== null && coverage >= decimalNumber(gate.coverageMin);
}

function unknownReasons({ budgetLeft, coverage, name }: Standing, policy: Policy): readonly string[] {
  const least = percent(decimalNumber(policy.gate.coverageMin));
  if (coverage === null) return [`${name}: no coverage is recorded, so its budget is a guess`];
  if (!isCovered(coverage, policy)) {
    return [`${name}: rules ran in ${percent(coverage)} of the period, less than ${least}; its budget is a guess`];
  }
  return budgetLeft === null ? [`${name}: nothing is measured, so its budget is not known`] : [];
}

function refusals(
  { budgetLeft, burn, name }: Standing,
  { change, isFirst }: { readonly change: Change; readonly isFirst: boolean },
  policy: Policy,
): readonly string[] {
  // A repair is what ends an incident and what a spent budget is for.
  if (change === 'repair') return [];
  const reasons: string[] = [];
  const burnMax = decimalNumber(policy.gate.burnMax);
  if (burn !== null && burn > burnMax) {
    reasons.push(
      `${name}: the budget burned ${short(burn)} times too fast in the last hour (at most ${burnMax}): an incident is going on`,
    );
  }
  if (isFirst || budgetLeft === null) return reasons;
  const state = budgetState(budgetLeft === 'idle' ? 1 : budgetLeft, policy);
  const left = budgetLeft === 'idle' ? 'all' : percent(budgetLeft);
  if (!ALLOWED[state.gate].includes(change)) {
    reasons.push(
      `${name}: ${left} of the budget is left (${state.state}): ${NEEDED[state.gate]}. ${state.decides} decides; it ends ${state.ends}`,
    );
  }
  return reasons;
}

type BudgetState = Policy['budget'][number];

const ALLOWED: Readonly<Record<BudgetState['gate'], readonly Change[]>> = {
  open: ['ordinary', 'small', 'repair'],
  'small-changes': ['small', 'repair'],
  'repairs-only': ['repair'],
};
const NEEDED: Readonly<Record<BudgetState['gate'], string>> = {
  open: 'any change',
  'small-changes': 'only small changes and repairs',
  'repairs-only': 'only repairs',
};

/** The first state whose bound is below what is left; the last one has none. */
function budgetState(left: number, { budget }: Policy): BudgetState {
  const found = budget.find(
    ({ remainingAbove }) => remainingAbove === undefined || left > decimalNumber(remainingAbove),
  );
  if (found === undefined) throw new Error('the policy has no state for a spent budget');
  return found;
}

function overrideProblem({ author, reason }: Override, { gate }: Policy): string | undefined {
  const least: Decimal = gate.overrideReasonCharactersMin;
  if (author.trim() === '') return 'the override has no author';
  return compare(decimal(reason.trim().length), least) < 0
    ? `the override's reason has ${reason.trim().length} characters; write ${decimalNumber(least)} at least, for whoever reads it in a year`
    : undefined;
}

function percent(ratio: number): string {
  return `${Number((100 * ratio).toFixed(1))} %`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
