/** Every series the rules record for a model: what dashboards, gate and runbooks may read besides the catalogue. */
import type { Model, Objective } from '../model.ts';
import {
  badEvents,
  badRate,
  derivedWindows,
  rawRatio,
  rawWindows,
  SERIES,
  totalRate,
  weightedRatio,
} from '../series.ts';

export function recordedSeries({ objectives }: Model): ReadonlySet<string> {
  return new Set([SERIES.evaluated, ...objectives.flatMap(seriesOf)]);
}

function seriesOf(objective: Objective): readonly string[] {
  const { collapse, grouping, indicator, periodSeconds, tiers } = objective;
  return [
    ...rawWindows(objective).flatMap((window) => [badRate(window), totalRate(window), rawRatio(window)]),
    ...[...derivedWindows(objective), periodSeconds].map(weightedRatio),
    ...tiers.filter(({ windows }) => windows === 'derived').map(({ longSeconds }) => badEvents(longSeconds)),
    ...[SERIES.target, SERIES.budget, SERIES.remaining, SERIES.coverage, SERIES.excludedSeconds],
    ...(indicator.kind === 'slices' ? [SERIES.badSlice, SERIES.totalSlice] : []),
    ...(grouping === null ? [] : [SERIES.expected]),
    ...(collapse === null ? [] : [SERIES.baseline, SERIES.baselineKnown]),
  ];
}
