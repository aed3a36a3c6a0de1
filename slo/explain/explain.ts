/** What an objective means in time: a table of faults, and what its tiers need of traffic. Text for people. */
import { type Decimal, decimal, decimalNumber, decimalText } from '../compiler/decimal.ts';
import { durationText } from '../compiler/duration.ts';
import { firingBand, resetBand } from '../compiler/math/band.ts';
import {
  burnRate,
  floorRate,
  meaningfulRate,
  secondsUntilSpent,
  spentAfter,
  trustworthyRate,
} from '../compiler/math/budget.ts';
import type { Environment, Objective, Tier } from '../compiler/model.ts';

/** Events a second that bring a fault about; null: so many that no floor decides. */
export interface ExplainOptions {
  readonly objective: Objective;
  readonly environment: Environment;
  readonly eventsPerSecond: Decimal | null;
}

const ERROR_RATIOS = ['1', '0.5', '0.2', '0.1', '0.05', '0.02', '0.01', '0.005', '0.002', '0.001', '0.0005', '0.0002'];

export function explain(options: ExplainOptions): string {
  const { objective } = options;
  const unit = objective.indicator.kind === 'slices' ? 'slices' : 'events';
  return [
    `${objective.name}: ${objective.description}`,
    `target ${percent(decimalNumber(objective.target))} over ${durationText(objective.periodSeconds)}; budget ${percent(decimalNumber(objective.budget))} of ${unit}${budgetTime(objective)}`,
    '',
    ...table([FAULT_COLUMNS, ...faultRows(options)]),
    '',
    ...table([TIER_COLUMNS, ...objective.tiers.map((tier) => tierRow(objective, tier))]),
    '',
    ...rateLines(objective),
  ].join('\n');
}

const FAULT_COLUMNS = [
  'error ratio',
  'burn',
  'told by',
  'page after',
  'ticket after',
  'budget spent by then',
  'resets after',
  'budget gone after',
];

/** Faults above what the slowest tier tells, and the first one below it. */
function faultRows(options: ExplainOptions): readonly (readonly string[])[] {
  const slowest = Math.min(...options.objective.tiers.map(({ threshold }) => decimalNumber(threshold)));
  const told = ERROR_RATIOS.filter((ratio) => Number(ratio) > slowest);
  const untold = ERROR_RATIOS.find((ratio) => Number(ratio) <= slowest);
  return [...told, ...(untold === undefined ? [] : [untold])].map((ratio) => faultRow(options, decimal(ratio)));
}

interface Told {
  readonly tier: Tier;
  readonly seconds: number;
  readonly latestSeconds: number;
}

function faultRow({ environment, eventsPerSecond, objective }: ExplainOptions, errorRatio: Decimal): readonly string[] {
  const fault = { errorRatio, eventsPerSecond };
  const told = objective.tiers.flatMap((tier): readonly Told[] => {
    const band = firingBand({ tier, indicator: objective.indicator, fault, environment });
    return band === undefined ? [] : [{ tier, seconds: band.earliestSeconds, latestSeconds: band.latestSeconds }];
  });
  const first = (severity: Tier['severity']): Told | undefined =>
    told.filter(({ tier }) => tier.severity === severity).sort((a, b) => a.seconds - b.seconds)[0];
  const earliest = first('page') ?? first('ticket');
  const gone = secondsUntilSpent(objective, errorRatio);
  const burn = `${Number(burnRate(objective, errorRatio).toPrecision(4))}x`;
  if (earliest === undefined) return [percent(decimalNumber(errorRatio)), burn, 'nobody', '', '', '', '', time(gone)];
  const reset = resetBand({ tier: earliest.tier, indicator: objective.indicator, fault, environment });
  return [
    percent(decimalNumber(errorRatio)),
    burn,
    earliest.tier.name,
    between(first('page')),
    between(first('ticket')),
    percent(spentAfter({ objective, errorRatio, seconds: earliest.seconds })),
    time(reset.latestSeconds),
    time(gone),
  ];
}

const TIER_COLUMNS = [
  'tier',
  'severity',
  'windows',
  'fires above',
  'k',
  'floor',
  'floor alone decides below',
  'no chance pages from',
];

function tierRow(objective: Objective, tier: Tier): readonly string[] {
  const isSlices = objective.indicator.kind === 'slices';
  const trusted = trustworthyRate(objective, tier);
  return [
    tier.name,
    tier.severity,
    `${durationText(tier.longSeconds)} and ${durationText(tier.shortSeconds)}`,
    percent(decimalNumber(tier.threshold)),
    decimalText(tier.factor),
    String(tier.badEventsMin),
    isSlices ? '–' : rate(floorRate(tier)),
    isSlices ? '–' : trustText(trusted),
  ];
}

function trustText(trusted: number | undefined): string {
  if (trusted === undefined) return 'no rate is enough';
  return trusted === 0 ? 'every rate' : rate(trusted);
}

function rateLines(objective: Objective): readonly string[] {
  if (objective.indicator.kind === 'slices') return ['Slices come by the clock: traffic changes nothing.'];
  const meaningful = rate(meaningfulRate(objective));
  return [
    `Lowest trustworthy rate: ${meaningful}; below it a period allows fewer than 10 bad events and the budget is a lottery.`,
    'No chance pages: a service that only just keeps its promise is told of by chance in at most one window of a thousand.',
  ];
}

/** Latest is one scrape and one evaluation later. */
function between(told: Told | undefined): string {
  return told === undefined ? 'never' : `${time(told.seconds)} to ${time(told.latestSeconds)}`;
}

function budgetTime({ budget, indicator, periodSeconds }: Objective): string {
  const seconds = decimalNumber(budget) * periodSeconds;
  return indicator.kind === 'slices' ? `: ${time(seconds)}` : `: ${time(seconds)} of a total outage`;
}

/** To the second under an hour, to the minute above. */
function time(seconds: number | undefined): string {
  if (seconds === undefined) return 'never';
  const step = seconds < 3600 ? 1 : 60;
  return durationText(Math.round(seconds / step) * step);
}

function percent(ratio: number): string {
  return `${Number((100 * ratio).toPrecision(4))} %`;
}

function rate(eventsPerSecond: number): string {
  return eventsPerSecond < 1
    ? `${Number((3600 * eventsPerSecond).toPrecision(3))}/h`
    : `${Number(eventsPerSecond.toPrecision(3))}/s`;
}

function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
