/** What proofs of guards are made of: a proof on the objective's own metrics, and checks of several alerts at once. */
import { alertsOf } from '../../alerts.ts';
import { alertSeries, burnSeries, firstGroup, type ProofContext } from './burn-proofs.ts';
import { feed, type Span } from './feed.ts';
import { type Check, labelText, type Proof } from './proof.ts';
import { identityOf } from './seeded-proofs.ts';

export function silentTiers(context: ProofContext, options: { readonly untilSeconds: number }): readonly Check[] {
  return context.tiers.map((tier) => ({
    kind: 'silent',
    alert: burnSeries(context.objective, tier),
    fromSeconds: 0,
    toSeconds: options.untilSeconds,
  }));
}

export function silentNoData(
  context: ProofContext,
  range: { readonly fromSeconds: number; readonly toSeconds: number },
): readonly Check[] {
  return noDataAlerts(context).map((alert) => ({ kind: 'silent', alert, ...range }));
}

export function noDataAlerts({ objective }: ProofContext): readonly Readonly<Record<string, string>>[] {
  const groups = objective.grouping?.expected ?? [undefined];
  return alertsOf(objective)
    .filter(({ kind }) => kind === 'no-data')
    .flatMap((alert) => groups.map((group) => alertSeries(objective, alert, group)));
}

export function proof(
  context: ProofContext,
  options: {
    readonly what: string;
    readonly spans: readonly Span[];
    readonly checks: readonly Check[];
    readonly instances?: readonly string[];
    readonly withoutBadSeries?: boolean;
  },
): Proof {
  const { objective, environment } = context;
  const { checks, what, ...fed } = options;
  return {
    name: `${objective.name}: ${what}`,
    intervalSeconds: environment.scrapeSeconds,
    series: feed({ objective, scrapeSeconds: environment.scrapeSeconds, ...firstGroup(objective), ...fed }),
    checks,
  };
}

/** Windows that the tiers proved here read. */
export function windowsOf({ tiers }: ProofContext): readonly number[] {
  return [...new Set(tiers.flatMap(({ longSeconds, shortSeconds }) => [shortSeconds, longSeconds]))];
}

/** A recorded series of the first group has this value, or is absent. */
export function reads(
  { objective }: ProofContext,
  options: { readonly series: string; readonly atSeconds: number; readonly value: number | null },
): Check {
  const { atSeconds, series, value } = options;
  const query = `${series}${labelText(identityOf(objective))}`;
  return { kind: 'query', query, atSeconds, samples: value === null ? [] : [{ labels: query, value }] };
}
