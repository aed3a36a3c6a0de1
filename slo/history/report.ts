/**
 * One calendar month of one objective: how much of the month's budget was spent, on what, which pages it sent and
 * whether they were true, what was left out, and what to think about. Asked of recorded series at query time, so the
 * month is a view and no series of its own.
 */
import { decimalNumber } from '../compiler/decimal.ts';
import { spenders, spentBy } from '../compiler/emit/objective-query.ts';
import { BASE_WINDOW_SECONDS, type Objective } from '../compiler/model.ts';
import type { Policy } from '../compiler/settings.ts';
import { badRate, totalRate } from '../compiler/series.ts';
import { queryAt, type Sample } from '../prometheus-client.ts';
import { type Episode, pagesOf, sentEpisodes } from './backtest.ts';

export interface Month {
  /** `2026-03`. */
  readonly name: string;
  /** Unix seconds; the end is now where the month is not over. */
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

export interface MonthReport {
  readonly objective: Objective;
  readonly month: Month;
  /** Share of bad events, by group (null: the only one); null where nothing happened. */
  readonly ratios: readonly { readonly group: string | null; readonly bad: number; readonly total: number }[];
  /** What spent most, largest first: labels and bad events. */
  readonly spenders: readonly { readonly labels: string; readonly bad: number }[];
  readonly pages: readonly (Episode & { readonly isTrue: boolean })[];
  readonly excludedSeconds: number;
}

/** `2026-03` → its seconds in UTC, cut at now; undefined where it is no month, or has not begun. */
export function monthOf(name: string, nowSeconds: number): Month | undefined {
  const [, year, month] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(name) ?? [];
  if (year === undefined || month === undefined) return undefined;
  const fromSeconds = Date.UTC(Number(year), Number(month) - 1) / 1000;
  const toSeconds = Math.min(Date.UTC(Number(year), Number(month)) / 1000, nowSeconds);
  return toSeconds <= fromSeconds ? undefined : { name, fromSeconds, toSeconds };
}

const SPENDERS_MAX = 5;
/** A page that was over sooner than a person can open a laptop asked for nobody. */
const TRUE_PAGE_SECONDS_MIN = 300;
const STEP_SECONDS = 60;

export async function monthReport(options: {
  readonly url: string;
  readonly objective: Objective;
  readonly month: Month;
}): Promise<MonthReport> {
  const { month, objective, url } = options;
  const seconds = Math.floor(month.toSeconds - month.fromSeconds);
  const at = { url, atSeconds: month.toSeconds };
  const sum = (series: string): string =>
    `sum_over_time(${series}{slo=${JSON.stringify(objective.name)}}[${seconds}s])`;
  const window = { duration: `${seconds}s`, seconds: String(seconds) };
  const spent = spentBy(objective, { labels: spenders(objective), window });
  const tiers = objective.tiers.filter(({ severity }) => severity === 'page');
  const range = { fromSeconds: month.fromSeconds, toSeconds: month.toSeconds, stepSeconds: STEP_SECONDS };
  const [bad, total, most, sent] = await Promise.all([
    queryAt({ ...at, query: sum(badRate(BASE_WINDOW_SECONDS)) }),
    queryAt({ ...at, query: sum(totalRate(BASE_WINDOW_SECONDS)) }),
    queryAt({ ...at, query: `topk(${SPENDERS_MAX}, ${spent} > 0)` }),
    sentEpisodes({ url, objective, tiers, ...range }),
  ]);
  return {
    objective,
    month,
    ratios: ratiosOf(objective, { bad, total }),
    spenders: most
      .map(({ labels, value }) => ({ labels: labelsText(labels), bad: value }))
      .sort((a, b) => b.bad - a.bad),
    pages: pagesOf(sent).map((page) => ({ ...page, isTrue: isTruePage(page, objective) })),
    excludedSeconds: excludedSeconds(objective, month),
  };
}

function ratiosOf(
  { grouping }: Objective,
  { bad, total }: { readonly bad: readonly Sample[]; readonly total: readonly Sample[] },
): MonthReport['ratios'] {
  return (grouping?.expected ?? [null]).map((group) => {
    const of = (samples: readonly Sample[]): number =>
      samples.find(({ labels }) => grouping === null || labels[grouping.label] === group)?.value ?? 0;
    return { group, bad: of(bad), total: of(total) };
  });
}

/** Long enough to act on, and not in time that had been left out. */
function isTruePage({ beginSeconds, endSeconds }: Episode, { exclusions }: Objective): boolean {
  const isExcluded = exclusions.some((one) => beginSeconds >= one.startSeconds && beginSeconds < one.endSeconds);
  return endSeconds - beginSeconds >= TRUE_PAGE_SECONDS_MIN && !isExcluded;
}

function excludedSeconds({ exclusions }: Objective, { fromSeconds, toSeconds }: Month): number {
  return exclusions.reduce(
    (sum, one) => sum + Math.max(0, Math.min(one.endSeconds, toSeconds) - Math.max(one.startSeconds, fromSeconds)),
    0,
  );
}

/** The report as people read it. */
export function reportText(report: MonthReport, policy: Policy): string {
  const { month, objective, pages } = report;
  const wrong = pages.filter(({ isTrue }) => !isTrue).length;
  return [
    `## ${objective.name}, ${month.name}`,
    '',
    ...report.ratios.map((ratio) => `- ${ratioText(objective, ratio)}`),
    `- pages: ${pages.length}, of which ${wrong} false${wrong === 0 ? '' : ` (over within ${TRUE_PAGE_SECONDS_MIN / 60} minutes, or in excluded time)`}`,
    ...pages.map((page) => `  - ${pageText(page)}`),
    ...report.spenders.map(({ bad, labels }) => `- spent on ${labels}: ${Math.round(bad)} bad`),
    `- excluded: ${Math.round(report.excludedSeconds / 60)} minutes`,
    ...proposals(report, policy).map((proposal) => `- to think about: ${proposal}`),
    '',
  ].join('\n');
}

function ratioText(
  { budget }: Objective,
  { bad, group, total }: { readonly bad: number; readonly group: string | null; readonly total: number },
): string {
  const whose = group === null ? '' : `${group}: `;
  if (total === 0) return `${whose}nothing happened, nothing was spent`;
  return `${whose}${percent(1 - bad / total, 5)} good; ${percent(spentShare({ bad, total }, decimalNumber(budget)), 3)} of the month's budget spent`;
}

function spentShare({ bad, total }: { readonly bad: number; readonly total: number }, budget: number): number {
  return total === 0 ? 0 : bad / total / budget;
}

function proposals(
  { excludedSeconds: excluded, month, objective, pages, ratios, spenders: most }: MonthReport,
  policy: Policy,
): readonly string[] {
  const budget = decimalNumber(objective.budget);
  const worst = Math.max(...ratios.map((ratio) => spentShare(ratio, budget)));
  const weeks = (month.toSeconds - month.fromSeconds) / (7 * 86_400);
  const pagesMax = decimalNumber(policy.paging.pagesPerWeekMax) * weeks;
  const [first] = most;
  return [
    ...(worst > 1
      ? [`the budget is overspent; ${first === undefined ? 'find what spent it' : `begin with ${first.labels}`}`]
      : []),
    ...(worst < 0.1 && pages.length === 0 ? ['hardly any budget was spent: deploy faster, or promise more'] : []),
    ...(pages.length > pagesMax ? [policy.paging.tooMany] : []),
    ...(worst < 0.5 && pages.length > 2
      ? ['pages came while half of the budget was left: see whether they could have been tickets']
      : []),
    ...(excluded > policy.exclusions.perPeriod ? ['more was excluded than the policy allows'] : []),
  ];
}

function pageText({ beginSeconds, endSeconds, group, isTrue, tier }: MonthReport['pages'][number]): string {
  const begin = new Date(beginSeconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
  return `${begin} ${group === null ? '' : `${group} `}${tier}, ${Math.round((endSeconds - beginSeconds) / 60)} min, ${isTrue ? 'true' : 'false'}`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).filter(([label]) => label !== '__name__');
  return pairs.length === 0 ? 'everything' : pairs.map(([label, value]) => `${label}=${value}`).join(' ');
}

function percent(ratio: number, digits: number): string {
  return `${Number((100 * ratio).toPrecision(digits))} %`;
}
