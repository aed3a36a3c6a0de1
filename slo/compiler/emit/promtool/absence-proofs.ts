/** Proofs of what is said when there is no data: that it never came, that it is gone, that it is back. */
import { alertsOf } from '../../alerts.ts';
import { decimal } from '../../decimal.ts';
import { firingBand } from '../../math/band.ts';
import { BASE_WINDOW_SECONDS, NO_DATA_AFTER_SECONDS } from '../../model.ts';
import { badRate } from '../../series.ts';
import { alertSeries, appearsAndGoes, burnSeries, EVENTS, type ProofContext, shifted } from './burn-proofs.ts';
import type { Check, Proof } from './proof.ts';
import { noDataAlerts, proof, reads, silentTiers, windowsOf } from './proof-parts.ts';

export function absenceProofs(context: ProofContext): readonly Proof[] {
  return [nothingAtAll(context), vanishing(context)];
}

const HOUR_SECONDS = 3600;

/** Nothing of the service was ever seen; its neighbours are. */
function nothingAtAll(context: ProofContext): Proof {
  const { environment, objective } = context;
  const untilSeconds = 2 * NO_DATA_AFTER_SECONDS;
  const counted =
    objective.noData.choice === 'bad' ? neverReported(context, untilSeconds) : silentTiers(context, { untilSeconds });
  return proof(context, {
    what: `data that never came ${objective.noData.choice === 'bad' ? 'is bad, group by group' : 'is missed after ten minutes, and is not an error'}`,
    spans: [{ seconds: untilSeconds, events: null, bad: 0 }],
    checks: [
      ...counted,
      ...(objective.noData.choice === 'bad'
        ? []
        : windowsOf(context).map((window) =>
            reads(context, { series: badRate(window), atSeconds: untilSeconds, value: null }),
          )),
      ...noDataAlerts(context).flatMap((alert) =>
        appearsAndGoes({
          alert,
          evaluationSeconds: environment.evaluationSeconds,
          appears: {
            earliestSeconds: NO_DATA_AFTER_SECONDS,
            latestSeconds: NO_DATA_AFTER_SECONDS + environment.evaluationSeconds,
          },
          goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
          untilSeconds: 0,
        }),
      ),
    ],
  });
}

/** Where silence is bad, every group that must report burns from the first evaluation on. */
function neverReported(context: ProofContext, untilSeconds: number): readonly Check[] {
  const { environment, objective, tiers } = context;
  const [tier] = tiers;
  const burn = alertsOf(objective).find((alert) => alert.kind === 'burn' && alert.tier.name === tier?.name);
  if (tier === undefined || burn === undefined || objective.indicator.kind !== 'slices') return [];
  const fault = { errorRatio: decimal(1), eventsPerSecond: null };
  const fires = firingBand({ tier, indicator: objective.indicator, fault, environment });
  if (fires === undefined) return [];
  // Without history the floor alone decides, and the evaluation at 0 is a slice too.
  const earliestSeconds = (tier.badEventsMin - 1) * objective.indicator.sliceSeconds;
  const appears = { ...fires, earliestSeconds };
  const groups = objective.grouping?.expected ?? [undefined];
  return groups.flatMap((group) =>
    appearsAndGoes({
      alert: alertSeries(objective, burn, group),
      evaluationSeconds: environment.evaluationSeconds,
      appears,
      goes: { earliestSeconds: untilSeconds, latestSeconds: Number.POSITIVE_INFINITY },
      untilSeconds: 0,
    }),
  );
}

/** The target stops answering: missed when the shortest window is empty. Where silence is bad, it burns instead. */
function vanishing(context: ProofContext): Proof {
  const { environment, objective } = context;
  const { evaluationSeconds, scrapeSeconds } = environment;
  const { indicator, noData } = objective;
  const gone = HOUR_SECONDS;
  const lasts = 1800;
  const sliceSeconds = indicator.kind === 'slices' ? indicator.sliceSeconds : 0;
  // rate() needs two samples, so a window is empty one scrape before it is; slices look back one slice more.
  const missed = BASE_WINDOW_SECONDS + sliceSeconds;
  const appears = {
    earliestSeconds: gone + missed - scrapeSeconds - sliceSeconds,
    latestSeconds: gone + missed + scrapeSeconds + evaluationSeconds,
  };
  const back = gone + lasts;
  return proof(context, {
    what: 'a target that is gone is missed after five minutes, and no more when it is back',
    spans: [
      { seconds: gone, events: EVENTS, bad: 0 },
      { seconds: lasts, events: null, bad: 0 },
      { seconds: 600, events: EVENTS, bad: 0 },
    ],
    checks: [
      ...(noData.choice === 'bad'
        ? []
        : [reads(context, { series: badRate(BASE_WINDOW_SECONDS), atSeconds: back, value: null })]),
      ...(noData.choice === 'bad'
        ? goneIsBad(context, { gone, sliceSeconds })
        : silentTiers(context, { untilSeconds: back })),
      ...noDataAlerts(context).flatMap((alert) =>
        appearsAndGoes({
          alert,
          evaluationSeconds,
          appears,
          goes: { earliestSeconds: back, latestSeconds: back + sliceSeconds + 2 * scrapeSeconds + evaluationSeconds },
          untilSeconds: back + 600,
        }),
      ),
    ],
  });
}

function goneIsBad(
  context: ProofContext,
  { gone, sliceSeconds }: { readonly gone: number; readonly sliceSeconds: number },
): readonly Check[] {
  const { environment, objective } = context;
  const [tier] = context.tiers;
  if (tier === undefined) return [];
  const fault = { errorRatio: decimal(1), eventsPerSecond: null };
  const fires = firingBand({ tier, indicator: objective.indicator, fault, environment });
  if (fires === undefined) return [];
  // The slice in which the last measurement lies is still good.
  const appears = shifted(fires, gone + sliceSeconds);
  return appearsAndGoes({
    alert: burnSeries(objective, tier),
    evaluationSeconds: environment.evaluationSeconds,
    appears: { ...appears, earliestSeconds: appears.earliestSeconds - sliceSeconds },
    goes: { earliestSeconds: gone + 1800, latestSeconds: Number.POSITIVE_INFINITY },
    untilSeconds: 0,
  });
}
