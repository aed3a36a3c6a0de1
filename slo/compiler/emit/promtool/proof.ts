/**
 * A proof: series that are fed to the shipped rules, and what must then be true of an alert or a recorded number. Plain
 * data, so that the same proof can be held against the shipped rules and against rules that were broken on purpose.
 */
import { durationText } from '../../duration.ts';
import { GENERATED_NOTE } from '../generated-file.ts';
import type { RuleGroup } from '../prometheus.ts';

export interface Proof {
  /** What it shows, as a sentence: `api-availability, fast: pages 52 s after everything fails`. */
  readonly name: string;
  /** Sample spacing of the series below. */
  readonly intervalSeconds: number;
  /** Unix seconds of the first sample; left out: 0. Dated entries (exclusions) need a date. */
  readonly startSeconds?: number;
  readonly series: readonly FedSeries[];
  readonly checks: readonly Check[];
}

export interface FedSeries {
  readonly series: string;
  /** In promtool's notation. */
  readonly values: string;
}

/** Times are seconds since the first sample. */
export type Check =
  /** Not firing at any evaluation in (from, to]. */
  | { readonly kind: 'silent'; readonly alert: AlertSeries; readonly fromSeconds: number; readonly toSeconds: number }
  /** Firing at every evaluation in (from, to]. */
  | { readonly kind: 'firing'; readonly alert: AlertSeries; readonly fromSeconds: number; readonly toSeconds: number }
  /** A query that must answer exactly these samples. */
  | {
      readonly kind: 'query';
      readonly query: string;
      readonly atSeconds: number;
      readonly samples: readonly { readonly labels: string; readonly value: number }[];
    };

/** Labels of an alert, `alertname` among them. Exactly these: one more label is a failure. */
export type AlertSeries = Readonly<Record<string, string>>;

export interface ProofFile {
  /** Relative to the proof file. */
  readonly ruleFiles: readonly string[];
  readonly evaluationSeconds: number;
  readonly proofs: readonly Proof[];
}

/** The file that promtool reads. Written line by line: a general YAML writer takes a second for all of them. */
export function proofFileText({ evaluationSeconds, proofs, ruleFiles }: ProofFile): string {
  return [
    `# ${GENERATED_NOTE}`,
    `rule_files: [${ruleFiles.map(quoted).join(', ')}]`,
    `evaluation_interval: ${durationText(evaluationSeconds)}`,
    'tests:',
    ...proofs.flatMap((proof) => proofLines(proof, evaluationSeconds)),
    '',
  ].join('\n');
}

function proofLines(proof: Proof, evaluationSeconds: number): readonly string[] {
  const { checks, intervalSeconds, name, series, startSeconds } = proof;
  const start = startSeconds === undefined ? [] : [`    start_timestamp: ${dateText(startSeconds)}`];
  const expressions = checks.flatMap((check) => expressionOf(check, evaluationSeconds) ?? []);
  return [
    `  - name: ${quoted(name)}`,
    `    interval: ${durationText(intervalSeconds)}`,
    ...start,
    '    input_series:',
    ...series.map((fed) => `      - { series: ${quoted(fed.series)}, values: ${quoted(fed.values)} }`),
    '    promql_expr_test:',
    ...expressions.flatMap(expressionLines),
  ];
}

function expressionLines({ eval_time, exp_samples = [], expr }: Expression): readonly string[] {
  const samples = exp_samples.map(({ labels, value }) => `{ labels: ${quoted(labels)}, value: ${value} }`);
  return [
    `      - expr: ${quoted(expr)}`,
    `        eval_time: ${eval_time}`,
    `        exp_samples: [${samples.join(', ')}]`,
  ];
}

function dateText(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** Rules as promtool reads them; what an alert tells people (annotations) is no part of a proof. */
export function ruleFileText(groups: readonly RuleGroup[]): string {
  const lines = groups.flatMap((group) => [
    `  - name: ${quoted(group.name)}`,
    '    rules:',
    ...group.rules.flatMap((rule) => [
      'record' in rule ? `      - record: ${quoted(rule.record)}` : `      - alert: ${quoted(rule.alert)}`,
      '        expr: |-',
      ...rule.expr.split('\n').map((line) => `          ${line}`),
      `        labels: { ${Object.entries(rule.labels)
        .map(([label, value]) => `${label}: ${quoted(value)}`)
        .join(', ')} }`,
    ]),
  ]);
  return [`# ${GENERATED_NOTE}`, 'groups:', ...lines, ''].join('\n');
}

/** Single quotes: nothing but the quote itself is special, and PromQL is full of double ones. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export interface Expression {
  readonly expr: string;
  readonly eval_time: string;
  readonly exp_samples?: readonly { readonly labels: string; readonly value: number }[];
}

/**
 * `silent` and `firing` read the series ALERTS over a range, because a look at one moment misses an alert that came
 * and went. Ranges are left open: (from, to]; an empty one says nothing and has no expression.
 */
export function expressionOf(check: Check, evaluationSeconds: number): Expression | undefined {
  if (check.kind === 'query') {
    return { expr: check.query, eval_time: durationText(check.atSeconds), exp_samples: check.samples };
  }
  const { alert, fromSeconds, toSeconds } = check;
  const range = toSeconds - fromSeconds;
  if (range <= 0) return undefined;
  const labels = { ...alert, alertstate: 'firing' };
  const expr = `count_over_time(ALERTS${labelText(labels)}[${durationText(range)}])`;
  const at = { expr, eval_time: durationText(toSeconds) };
  if (check.kind === 'silent') return at;
  const evaluations = Math.floor(toSeconds / evaluationSeconds) - Math.floor(fromSeconds / evaluationSeconds);
  return { ...at, exp_samples: [{ labels: labelText(labels), value: evaluations }] };
}

export function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join(',')}}`;
}
