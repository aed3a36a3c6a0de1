/**
 * `generated/dashboards/`: an overview, a page for each objective (budget, burn, what spent it, traffic) and one for the
 * fleet. Only series that the rules record or the catalogue lists are read; an objective's page is where its alerts lead
 * (`/d/slo-<name>`).
 */
import { decimalNumber, decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import { BASE_WINDOW_SECONDS, type Model, type Objective } from '../model.ts';
import { badRate, rawRatio, SERIES, tierRatio, totalRate, weightedRatio } from '../series.ts';
import { percentText } from './alert-text.ts';
import { fleetDashboard } from './fleet-dashboard.ts';
import { type GeneratedFile, jsonFile } from './generated-file.ts';
import {
  DASHBOARD_RANGE,
  latencyQuantile,
  measurement,
  ofObjective,
  spenders,
  spentBy,
  thresholdQuery,
} from './objective-query.ts';
import {
  dashboard,
  FULL,
  linesPanel,
  type Page,
  type PanelSource,
  type Step,
  statPanel,
  tablePanel,
  textPanel,
} from './panels.ts';

/** Shares of the budget at which the policy changes its state (`slo/policy.yaml`). */
const BUDGET_STEPS: readonly Step[] = [
  { from: null, color: 'red' },
  { from: 0, color: 'orange' },
  { from: 0.25, color: 'yellow' },
  { from: 0.5, color: 'green' },
];
const COVERAGE_STEPS: readonly Step[] = [
  { from: null, color: 'red' },
  { from: 0.9, color: 'green' },
];
const PLAIN: readonly Step[] = [{ from: null, color: 'green' }];
const ANY_IS_BAD: readonly Step[] = [...PLAIN, { from: 1, color: 'red' }];
const SPENDERS_MAX = 10;
const BASE = durationText(BASE_WINDOW_SECONDS);

export function emitDashboards(model: Model): readonly GeneratedFile[] {
  const pages = [overview(model), fleetDashboard(), ...model.objectives.map(objectivePage)];
  return pages.map((page) => jsonFile(`dashboards/${page.uid}.json`, dashboard(page)));
}

function overview({ objectives }: Model): Page {
  return {
    uid: 'slo-overview',
    title: 'Objectives',
    description: 'Every promise, what is left of its budget, and what is wrong now.',
    from: 'now-7d',
    rows: [
      { title: 'Now', panels: [firingTable('alertname=~"SLO.*|ServiceWithoutObjective"'), ...lossPanels()] },
      { title: 'Budgets', panels: [budgetTable(objectives), budgetLines()] },
      { title: 'Trust', panels: [trustPanel(), pagesPanel()] },
    ],
  };
}

function budgetTable(objectives: readonly Objective[]): PanelSource {
  const periods = [...new Set(objectives.map(({ periodSeconds }) => periodSeconds))].map(weightedRatio);
  const burn = `${rawRatio(BASE_WINDOW_SECONDS)} / on (service, slo) group_left () ${SERIES.budget}`;
  return tablePanel({
    title: 'What is left',
    description: 'One line for each objective, and for each group of one. Burn 1: the budget lasts exactly its period.',
    width: FULL,
    height: 10,
    columns: { 'Budget left': SERIES.remaining, 'Bad in the period': periods.join(' or '), [`Burn, ${BASE}`]: burn },
    units: { 'Budget left': 'percentunit', 'Bad in the period': 'percentunit', [`Burn, ${BASE}`]: 'none' },
    links: { slo: `/d/slo-$\{__data.fields.slo}` },
  });
}

function budgetLines(): PanelSource {
  return linesPanel({
    title: 'Budget left',
    description: 'Falls while bad events happen faster than old ones leave the period. Below 0: overspent.',
    width: FULL,
    unit: 'percentunit',
    queries: [{ expr: `min by (slo) (${SERIES.remaining})`, legend: '{{slo}}' }],
  });
}

/** The promises without a budget: not one row. */
function lossPanels(): readonly PanelSource[] {
  const shared = { unit: 'short', decimals: 0, steps: ANY_IS_BAD, width: 6, height: 8 } as const;
  return [
    statPanel({
      ...shared,
      title: 'Loss equation',
      description: 'Accepted rows minus the sum of their states. Anything but 0 is a lost or a doubled row.',
      expr: 'max(abs(vigia_equation_difference_records))',
    }),
    statPanel({
      ...shared,
      title: 'Overdue rows',
      description: 'Accepted rows that are unsettled past the redelivery deadline.',
      expr: 'sum(vigia_overdue_records)',
    }),
  ];
}

function trustPanel(): PanelSource {
  return statPanel({
    title: 'Lowest coverage',
    description:
      'Share of the period in which rules ran. Below 90 % every number here is a guess, and the gate is closed.',
    expr: `min(${SERIES.coverage})`,
    unit: 'percentunit',
    steps: COVERAGE_STEPS,
    width: 6,
    height: 8,
  });
}

function pagesPanel(): PanelSource {
  return linesPanel({
    title: 'Alerts that fire',
    description: 'By severity. More than two pages a week for one owner is more than anyone reads.',
    width: 18,
    unit: 'short',
    queries: [
      {
        expr: 'count by (severity, owner) (ALERTS{alertname=~"SLO.*",alertstate="firing"})',
        legend: '{{severity}} {{owner}}',
      },
    ],
  });
}

function firingTable(matcher: string): PanelSource {
  return tablePanel({
    title: 'Firing now',
    description: 'Every alert that fires, inhibited ones too.',
    width: 12,
    columns: { '': `ALERTS{${matcher},alertstate="firing"}` },
    links: { slo: `/d/slo-$\{__data.fields.slo}` },
  });
}

function objectivePage(objective: Objective): Page {
  const { name, title } = objective;
  return {
    uid: `slo-${name}`,
    title: `Objective: ${title}`,
    description: objective.description,
    from: 'now-6h',
    rows: [
      {
        title: 'Budget',
        panels: [...budgetStats(objective), promise(objective), firingTable(`slo="${name}"`), budgetLeft(objective)],
      },
      { title: 'Burn', panels: [burnLines(objective)] },
      { title: 'What spent it', panels: spentPanels(objective) },
      { title: 'Traffic', panels: [trafficLines(objective), ...latencyPanels(objective)] },
    ],
  };
}

function budgetStats(objective: Objective): readonly PanelSource[] {
  const { budget, periodSeconds } = objective;
  const of = ofObjective(objective);
  const period = durationText(periodSeconds);
  const allowed = decimalNumber(budget);
  return [
    statPanel({
      title: 'Budget left',
      description: `Of the last ${period}, of the worst group. Below 0: overspent.`,
      expr: `min(${SERIES.remaining}${of})`,
      unit: 'percentunit',
      steps: BUDGET_STEPS,
      width: 5,
    }),
    statPanel({
      title: `Bad in ${period}`,
      description: `${percentText(budget)} are allowed. Weighted by traffic, exclusions left out.`,
      expr: `max(${weightedRatio(periodSeconds)}${of})`,
      unit: 'percentunit',
      decimals: 4,
      steps: [...PLAIN, { from: allowed, color: 'red' }],
      width: 5,
    }),
    statPanel({
      title: `Burn, ${BASE}`,
      description: `How many times faster than sustainable. 1: the budget lasts exactly ${period}.`,
      expr: `max(${rawRatio(BASE_WINDOW_SECONDS)}${of}) / ${decimalText(budget)}`,
      unit: 'none',
      steps: [...PLAIN, { from: 1, color: 'yellow' }, { from: fastest(objective), color: 'red' }],
      width: 5,
    }),
    statPanel({
      title: 'Coverage',
      description: 'Share of the period in which rules ran. Idle time counts as seen.',
      expr: `min(${SERIES.coverage}${of})`,
      unit: 'percentunit',
      steps: COVERAGE_STEPS,
      width: 5,
    }),
    statPanel({
      title: 'Left out',
      description: 'Excluded time in the period (slo/exclusions.yaml).',
      expr: `max(${SERIES.excludedSeconds}${of})`,
      unit: 's',
      decimals: 0,
      steps: [...PLAIN, { from: 1, color: 'yellow' }],
      width: 4,
    }),
  ];
}

function fastest({ tiers }: Objective): number {
  return Math.max(1, ...tiers.map(({ factor }) => decimalNumber(factor)));
}

function promise(objective: Objective): PanelSource {
  const { description, exclusions, file, name, owner } = objective;
  const lines = [
    description,
    `Owner: **${owner}** · [${file}](${file}) · runbook: \`slo/generated/runbooks/${name}.md\``,
    ...exclusions.map(
      ({ author, endSeconds, id, reason, startSeconds }) =>
        `Left out: ${id}, ${iso(startSeconds)} to ${iso(endSeconds)}, ${author}: ${reason}`,
    ),
  ];
  return textPanel({
    title: 'The promise',
    description: 'As it is written in the repository.',
    markdown: lines.join('\n\n'),
    width: 12,
    height: 8,
  });
}

function budgetLeft(objective: Objective): PanelSource {
  return linesPanel({
    title: 'Budget left over time',
    description: 'Widen the range to the whole period to see which day spent it.',
    width: FULL,
    unit: 'percentunit',
    steps: BUDGET_STEPS,
    queries: [{ expr: `${SERIES.remaining}${ofObjective(objective)}`, legend: legendOf(objective, 'left') }],
  });
}

/** Each tier's long window; the alert needs its short one too. */
function burnLines(objective: Objective): PanelSource {
  const { budget, tiers } = objective;
  const of = ofObjective(objective);
  const steps = tiers
    .map(
      ({ factor, severity }): Step => ({ from: decimalNumber(factor), color: severity === 'page' ? 'red' : 'orange' }),
    )
    .sort((a, b) => (a.from ?? 0) - (b.from ?? 0));
  return linesPanel({
    title: 'Burn by tier',
    description: `Bad share divided by what is allowed. A tier alerts above its factor: ${tiers.map((tier) => `${tier.name} ${decimalText(tier.factor)} over ${durationText(tier.longSeconds)} and ${durationText(tier.shortSeconds)} (${tier.severity})`).join(', ')}.`,
    width: FULL,
    unit: 'none',
    steps: [{ from: null, color: 'green' }, ...steps],
    queries: tiers.flatMap((tier) =>
      [tier.longSeconds, tier.shortSeconds].map((seconds) => ({
        expr: `${tierRatio(tier, seconds)}${of} / ${decimalText(budget)}`,
        legend: legendOf(objective, `${tier.name} ${durationText(seconds)}`),
      })),
    ),
  });
}

function spentPanels(objective: Objective): readonly PanelSource[] {
  const labels = spenders(objective);
  const legend = labels.length === 0 ? 'bad' : labels.map((label) => `{{${label}}}`).join(' ');
  const spent = spentBy(objective, { labels, window: DASHBOARD_RANGE });
  return [
    dailyBars(objective),
    tablePanel({
      title: 'Who spent it',
      description: 'Bad events in the time shown, the largest first, counted from the metrics themselves.',
      width: 12,
      columns: { Bad: `topk(${SPENDERS_MAX}, ${spent}) > 0` },
    }),
    objective.indicator.kind === 'slices'
      ? measuredLines(objective)
      : linesPanel({
          title: 'Bad events, by whom',
          description: `In each ${BASE}. Open an exemplar on the latency panel, or the log of the route, for one of them.`,
          width: FULL,
          unit: 'short',
          queries: [
            {
              expr: `${spentBy(objective, { labels, window: { duration: BASE, seconds: String(BASE_WINDOW_SECONDS) } })} > 0`,
              legend,
            },
          ],
        }),
  ];
}

/** A day's bad events over what the period allows at its own traffic. */
function dailyBars(objective: Objective): PanelSource {
  const { budget, periodSeconds } = objective;
  const of = ofObjective(objective);
  const days = periodSeconds / 86_400;
  const allowed = `(${decimalText(budget)} * ${days} * avg_over_time(${totalRate(BASE_WINDOW_SECONDS)}${of}[${durationText(periodSeconds)}]) > 0)`;
  return linesPanel({
    title: 'Spent in the day before',
    description: 'Share of the whole budget. Exclusions are not left out here: these are the events that happened.',
    width: 12,
    unit: 'percentunit',
    barsEvery: '1d',
    queries: [
      {
        expr: `avg_over_time(${badRate(BASE_WINDOW_SECONDS)}${of}[1d]) / ${allowed}`,
        legend: legendOf(objective, 'spent'),
      },
    ],
  });
}

function measuredLines(objective: Objective): PanelSource {
  const { indicator } = objective;
  if (indicator.kind !== 'slices') throw new Error(`${objective.name} is not judged by slices`);
  const legend = legendOf(objective, 'measured');
  return linesPanel({
    title: 'What is measured',
    description: `Good while the measurement is ${COMPARED[indicator.good]} the threshold; the worst of each ${durationText(indicator.sliceSeconds)} decides.`,
    width: FULL,
    unit: 'none',
    queries: [
      { expr: measurement(indicator), legend },
      { expr: thresholdQuery(indicator.threshold), legend: legendOf(objective, 'threshold') },
    ],
  });
}
const COMPARED = { lt: 'below', lte: 'at most', gt: 'above', gte: 'at least' } as const;

function trafficLines(objective: Objective): PanelSource {
  const of = ofObjective(objective);
  const baseline = {
    expr: `${SERIES.baseline}${of}`,
    legend: legendOf(objective, 'yesterday and last week, the smaller'),
  };
  const kind = objective.indicator.kind === 'slices' ? 'Slices' : 'Events';
  return linesPanel({
    title: `${kind} a second`,
    description: 'All that are counted, good and bad. An outage that keeps traffic away burns no budget.',
    width: objective.indicator.kind === 'good-ratio' && objective.indicator.latency !== null ? 12 : FULL,
    unit: 'short',
    queries: [
      { expr: `${totalRate(BASE_WINDOW_SECONDS)}${of}`, legend: legendOf(objective, 'now') },
      ...(objective.collapse === null ? [] : [baseline]),
    ],
  });
}

function latencyPanels({ indicator }: Objective): readonly PanelSource[] {
  if (indicator.kind !== 'good-ratio' || indicator.latency === null) return [];
  const bound = decimalNumber(indicator.latency.thresholdSeconds);
  return [
    linesPanel({
      title: 'How long it took',
      description: `Estimated between buckets; the promise is counted on the bound of ${decimalText(indicator.latency.thresholdSeconds)} s exactly. Points are traces that were kept.`,
      width: 12,
      unit: 's',
      steps: [...PLAIN, { from: bound, color: 'red' }],
      queries: ([50, 95, 99] as const).map((percentile) => ({
        expr: latencyQuantile(indicator, percentile),
        legend: `p${percentile}`,
        exemplar: percentile === 99,
      })),
    }),
  ];
}

function legendOf({ grouping }: Objective, text: string): string {
  return grouping === null ? text : `{{${grouping.label}}} ${text}`;
}

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
