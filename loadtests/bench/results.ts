/** What a bound is, when it holds, and how results are written. */

/** One line of the table; its names are what `--json` writes. */
export interface Result {
  readonly name: string;
  /** Median of the rounds, in the unit of the name; null where there is none. */
  readonly baseline: number | null;
  readonly value: number;
  /** value / baseline. */
  readonly ratio: number | null;
  /** For a rate the least ratio, or without a baseline the least value; for a time, a slope or a size the most value. */
  readonly bound: number;
  readonly holds: boolean;
}

interface RateOptions {
  readonly name: string;
  readonly baselines: readonly number[];
  readonly values: readonly number[];
  readonly ratioMin: number;
}

/** Per round value against the baseline measured beside it: noise that lasts longer than a round falls out. */
export function rateResult({ name, baselines, values, ratioMin }: RateOptions): Result {
  const ratio = median(values.map((value, round) => value / (baselines[round] ?? Number.NaN)));
  return {
    name,
    baseline: round3(median(baselines)),
    value: round3(median(values)),
    ratio: round3(ratio),
    bound: ratioMin,
    holds: ratio >= ratioMin,
  };
}

interface LeastOptions {
  readonly name: string;
  readonly values: readonly number[];
  readonly least: number;
}

interface MostOptions {
  readonly name: string;
  readonly value: number;
  readonly most: number;
  readonly baseline?: number;
}

export function mostResult({ name, value, most, baseline }: MostOptions): Result {
  return {
    name,
    baseline: baseline === undefined ? null : round3(baseline),
    value: round3(value),
    ratio: baseline === undefined ? null : round3(value / baseline),
    bound: round3(most),
    holds: value <= most,
  };
}

/** A rate that nothing is measured beside. */
export function leastResult({ name, values, least }: LeastOptions): Result {
  const value = median(values);
  return { name, baseline: null, value: round3(value), ratio: null, bound: least, holds: value >= least };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between neighbours. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (sorted.length - 1) * fraction;
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) throw new Error('nothing was measured');
  return low + (high - low) * (at - Math.floor(at));
}

/** A Markdown table, which is also readable as it is. */
export function table(results: readonly Result[]): string {
  const head = ['what', 'baseline', 'value', 'ratio', 'bound', 'holds'];
  const rows = results.map((one) => [
    one.name,
    one.baseline === null ? '–' : shown(one.baseline),
    shown(one.value),
    one.ratio === null ? '–' : `${one.ratio.toFixed(2)}×`,
    boundText(one),
    one.holds ? 'yes' : 'NO',
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n');
}

function boundText({ name, ratio, bound }: Result): string {
  if (!name.endsWith('/s')) return `≤ ${shown(bound)}`;
  return ratio === null ? `≥ ${shown(bound)}` : `≥ ${bound}×`;
}

function shown(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Math.round(value * 100) / 100);
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}
