/**
 * The alerts that today's rules would have sent over past days, from the metrics that a Prometheus still holds. Rules
 * need not have run: their expressions are asked for with everything they record put in.
 */
import { type Rule, ruleGroups } from '../compiler/emit/prometheus.ts';
import type { Objective, Tier } from '../compiler/model.ts';
import { queryRange, type SeriesRange } from '../prometheus-client.ts';
import { inlined } from './inlined.ts';

/** One alert from its first evaluation to its last. */
export interface Episode {
  readonly objective: string;
  readonly tier: string;
  /** Of a grouped objective. */
  readonly group: string | null;
  readonly beginSeconds: number;
  readonly endSeconds: number;
}

export interface BacktestOptions {
  readonly url: string;
  readonly objective: Objective;
  readonly tiers: readonly Tier[];
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stepSeconds: number;
}

/** Episodes of each tier, in order of their beginning. */
export async function backtest(options: BacktestOptions): Promise<readonly Episode[]> {
  const { objective, tiers } = options;
  const rules = ruleGroups(objective).flatMap((group) => group.rules);
  const found: Episode[] = [];
  for (const tier of tiers) {
    const expr = inlined(burnExpression(rules, tier), rules);
    const ranges = await inPieces({ ...options, query: expr });
    found.push(...episodesOf({ ...options, tier: tier.name, ranges }));
  }
  return found.sort((a, b) => a.beginSeconds - b.beginSeconds);
}

function burnExpression(rules: readonly Rule[], tier: Tier): string {
  const rule = rules.find((one) => 'alert' in one && one.labels['tier'] === tier.name);
  if (rule === undefined) throw new Error(`no alert for ${tier.name}`);
  return rule.expr;
}

/** Prometheus answers 11,000 points at most; fewer, because every point reads a window. */
const POINTS_MAX = 1500;

async function inPieces(options: BacktestOptions & { readonly query: string }): Promise<readonly SeriesRange[]> {
  const { fromSeconds, query, stepSeconds, toSeconds, url } = options;
  const pieces: SeriesRange[] = [];
  const pieceSeconds = POINTS_MAX * stepSeconds;
  for (let begin = fromSeconds; begin <= toSeconds; begin += pieceSeconds) {
    const end = Math.min(begin + pieceSeconds - stepSeconds, toSeconds);
    pieces.push(...(await queryRange({ url, query, fromSeconds: begin, toSeconds: end, stepSeconds })));
  }
  return pieces;
}

/** Points that follow one another by one step are one episode. */
function episodesOf(options: {
  readonly objective: Objective;
  readonly tier: string;
  readonly stepSeconds: number;
  readonly ranges: readonly SeriesRange[];
}): readonly Episode[] {
  const { objective, ranges, stepSeconds, tier } = options;
  const label = objective.grouping?.label;
  const groups = Map.groupBy(ranges, ({ labels }) => (label === undefined ? null : (labels[label] ?? null)));
  return [...groups].flatMap(([group, series]) => {
    const times = series.flatMap(({ points }) => points.map(([seconds]) => seconds)).sort((a, b) => a - b);
    const episodes: Episode[] = [];
    for (const seconds of times) {
      const last = episodes.at(-1);
      if (last !== undefined && seconds - last.endSeconds <= stepSeconds) {
        episodes[episodes.length - 1] = { ...last, endSeconds: seconds };
      } else episodes.push({ objective: objective.name, tier, group, beginSeconds: seconds, endSeconds: seconds });
    }
    return episodes;
  });
}

/** What a person is woken by: tiers of one objective and group that overlap are one page, named by the first. */
export function pagesOf(episodes: readonly Episode[]): readonly Episode[] {
  const pages: Episode[] = [];
  for (const episode of [...episodes].sort((a, b) => a.beginSeconds - b.beginSeconds)) {
    const at = pages.findLastIndex((page) => page.objective === episode.objective && page.group === episode.group);
    const page = pages[at];
    if (page === undefined || episode.beginSeconds > page.endSeconds) pages.push(episode);
    else pages[at] = { ...page, endSeconds: Math.max(page.endSeconds, episode.endSeconds) };
  }
  return pages;
}

/** What was sent then, by the series ALERTS; empty where rules did not run or nothing fired. */
export async function sentEpisodes(options: BacktestOptions): Promise<readonly Episode[]> {
  const { objective, tiers } = options;
  const found: Episode[] = [];
  for (const tier of tiers) {
    const labels = `alertname="SLOBurn",alertstate="firing",slo=${JSON.stringify(objective.name)},tier="${tier.name}"`;
    // Samples of the step itself: an instant lookup would see a page for five minutes after its end.
    const query = `max_over_time(ALERTS{${labels}}[${options.stepSeconds}s])`;
    found.push(...episodesOf({ ...options, tier: tier.name, ranges: await inPieces({ ...options, query }) }));
  }
  return found.sort((a, b) => a.beginSeconds - b.beginSeconds);
}
