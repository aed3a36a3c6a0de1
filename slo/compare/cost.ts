/**
 * Samples that one evaluation of all rules reads, by a real Prometheus' own count (`stats=all`), on the same number of
 * series and three days of history.
 */
import { z } from 'zod';
import { BASE_WINDOW_SECONDS, type Objective } from '../compiler/model.ts';
import { badRate, SERIES, totalRate } from '../compiler/series.ts';
import { type History, startPrometheus } from '../history/seeded-prometheus.ts';
import { matchingLabels, seriesText } from '../compiler/emit/promtool/matching-labels.ts';
import type { Contestant } from './contestants.ts';

/** Coarser than production, so that the history is written in a minute; both read the same. */
const SCRAPE_SECONDS = 120;
const HISTORY_SECONDS = 3 * 86_400;
const END_SECONDS = Date.UTC(2026, 2, 4) / 1000;

const statsAnswer = z.object({
  data: z.object({ stats: z.object({ samples: z.object({ totalQueryableSamples: z.number() }) }) }),
});

export async function samplesRead(options: {
  readonly objective: Objective;
  readonly contestants: readonly Contestant[];
  readonly seriesCount: number;
}): Promise<ReadonlyMap<Contestant['name'], number>> {
  const { contestants, objective, seriesCount } = options;
  await using prometheus = await startPrometheus(histories(objective, seriesCount));
  const counts = new Map<Contestant['name'], number>();
  for (const { groups, name } of contestants) {
    let sum = 0;
    for (const { expr } of groups.flatMap((group) => group.rules)) sum += await samplesOf(prometheus.url, expr);
    counts.set(name, sum);
  }
  return counts;
}

async function samplesOf(url: string, query: string): Promise<number> {
  const parameters = new URLSearchParams({ query, time: String(END_SECONDS), stats: 'all' });
  const response = await fetch(`${url}/api/v1/query`, { method: 'POST', body: parameters });
  const text = await response.text();
  if (!response.ok) throw new Error(`${query}: ${text}`);
  return statsAnswer.parse(JSON.parse(text)).data.stats.samples.totalQueryableSamples;
}

/** A fifth of the series are errors; recorded series of both, as often as the rules are evaluated. */
function histories(objective: Objective, seriesCount: number): readonly History[] {
  const { indicator } = objective;
  if (indicator.kind !== 'bad-ratio') throw new Error(`${objective.name} has no bad events to count`);
  const raw = Array.from({ length: seriesCount }, (_, index): History => {
    const selector = index % 5 === 0 ? indicator.bad : indicator.total;
    const labels = { ...matchingLabels(selector.matchers), instance: `i${index}` };
    return { series: seriesText({ metric: selector.metric, labels }), points: line(index % 5 === 0 ? 1 : 1000) };
  });
  const ids = `{service=${JSON.stringify(objective.service)},slo=${JSON.stringify(objective.name)}}`;
  const sloth = `{sloth_id="${objective.service}-${objective.name}",sloth_service="${objective.service}",sloth_slo="${objective.name}",sloth_window="5m"}`;
  const recorded = [
    `${badRate(BASE_WINDOW_SECONDS)}${ids}`,
    `${totalRate(BASE_WINDOW_SECONDS)}${ids}`,
    `${SERIES.evaluated}${ids}`,
    `slo:sli_error:ratio_rate5m${sloth}`,
  ];
  return [...raw, ...recorded.map((series) => ({ series, points: line(0, 60) }))];
}

function line(step: number, everySeconds = SCRAPE_SECONDS): readonly (readonly [number, number])[] {
  const count = HISTORY_SECONDS / everySeconds;
  return Array.from(
    { length: count },
    (_, at) => [END_SECONDS - (count - 1 - at) * everySeconds, at * step + 1] as const,
  );
}
