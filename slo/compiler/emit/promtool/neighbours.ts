/**
 * Recorded series of objectives next door, full of errors, in every proof: an expression that forgets one of its own
 * labels reads them and is found out.
 */
import { promqlNames } from '../../promql-names.ts';
import { SERIES } from '../../series.ts';
import type { RuleGroup } from '../prometheus.ts';
import { labelText, type Proof } from './proof.ts';

const NEIGHBOUR = 'neighbour';
/** Rules ran for it and found nothing: what an alert for missing data must not mistake for its own. */
const EMPTY = 'empty';

export function withNeighbours(options: {
  readonly proofs: readonly Proof[];
  readonly groups: readonly RuleGroup[];
  /** Labels of the objective's own recorded series. */
  readonly identity: Readonly<Record<string, string>>;
}): readonly Proof[] {
  const { groups, identity, proofs } = options;
  const names = new Set(groups.flatMap(({ rules }) => rules).flatMap(({ expr }) => promqlNames(expr).metrics));
  const recorded = [...names].filter((name) => name.startsWith('slo:')).sort();
  const strangers = [
    ...recorded.flatMap((name) =>
      [{ slo: NEIGHBOUR }, { service: NEIGHBOUR }].map((other) => ({
        series: `${name}${labelText({ ...identity, ...other })}`,
        value: isRate(name) ? BUSY_RATE : 1,
      })),
    ),
    ...[{ slo: EMPTY }, { service: EMPTY }].map((other) => ({
      series: `${SERIES.evaluated}${labelText({ ...identity, ...other })}`,
      value: 1,
    })),
  ];
  return proofs.map((proof) => {
    const ends = proof.checks.map((check) => (check.kind === 'query' ? check.atSeconds : check.toSeconds));
    const samples = Math.ceil(Math.max(...ends) / proof.intervalSeconds);
    const fed = strangers.map(({ series, value }) => ({ series, values: `${value}x${samples}` }));
    return { ...proof, series: [...proof.series, ...fed] };
  });
}

/** Events a second; more than any proof feeds, and all of them bad. */
const BUSY_RATE = 1_000_000;

function isRate(name: string): boolean {
  return name.includes(':rate') || name.includes(':events');
}
