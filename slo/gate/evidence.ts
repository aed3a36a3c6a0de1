/** Asks a Prometheus what the gate needs to know. Whatever goes wrong on the way becomes evidence, never a pass. */
import type { GateData, GateObjective } from '../compiler/emit/gate-file.ts';
import { BASE_WINDOW_SECONDS } from '../compiler/model.ts';
import { totalRate } from '../compiler/series.ts';
import { PrometheusError, queryAt, type Sample } from '../prometheus-client.ts';
import type { Evidence, Standing } from './verdict.ts';

export async function gateEvidence(options: { readonly url: string; readonly data: GateData }): Promise<Evidence> {
  const { data, url } = options;
  try {
    const evaluated = await queryAt({ url, query: data.evaluatedQuery });
    const running = new Set(evaluated.map(({ labels }) => labels['slo']));
    if (!data.objectives.some(({ name }) => running.has(name))) return { kind: 'no-rules' };
    const standings = await Promise.all(data.objectives.map((objective) => standingsOf(url, objective)));
    return { kind: 'standings', standings: standings.flat() };
  } catch (error) {
    if (error instanceof PrometheusError) return { kind: 'unreachable', why: error.message };
    throw error;
  }
}

async function standingsOf(url: string, objective: GateObjective): Promise<readonly Standing[]> {
  const [fastest] = objective.tiers;
  const measuredQuery = `${totalRate(BASE_WINDOW_SECONDS)}{slo=${JSON.stringify(objective.name)}}`;
  const [coverage, left, measured, ratio] = await Promise.all([
    queryAt({ url, query: objective.coverageQuery }),
    queryAt({ url, query: objective.budgetLeftQuery }),
    queryAt({ url, query: measuredQuery }),
    fastest === undefined ? [] : queryAt({ url, query: fastest.longQuery }),
  ]);
  const groups = objective.grouping?.expected ?? [null];
  return groups.map((group): Standing => {
    const of = (samples: readonly Sample[]): number | null => sampleOf(samples, objective, group);
    const error = of(ratio);
    return {
      name: group === null ? objective.name : `${objective.name} (${group})`,
      // Rules run for all groups of an objective or for none.
      coverage: coverage[0]?.value ?? null,
      budgetLeft: of(left) ?? (of(measured) === null ? null : 'idle'),
      burn: error === null ? null : error / objective.budget,
    };
  });
}

/** The sample of a group; the only one without grouping. NaN is no number. */
function sampleOf(samples: readonly Sample[], { grouping }: GateObjective, group: string | null): number | null {
  const found = samples.find(({ labels }) => grouping === null || group === null || labels[grouping.label] === group);
  return found === undefined || Number.isNaN(found.value) ? null : found.value;
}
