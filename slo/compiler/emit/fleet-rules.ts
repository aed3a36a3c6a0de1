/**
 * `generated/prometheus/fleet.yaml`: availability and latency of any number of services by a fixed number of rules. The fleet
 * is one recorded table (service, slo, owner, class → budget); every other rule joins it, in one group, so that a
 * service costs table rows and no rules.
 *
 * | series | is |
 * |---|---|
 * | `fleet:objective:budget` | the table; also tells since when a service is listed |
 * | `fleet:total:rate5m`, `fleet:bad:rate5m` … | events a second by service and slo, of listed services only |
 * | `fleet:error:ratio5m` … | their ratio over raw windows; absent without traffic |
 * | `fleet:error:weighted1d` … | the same over long windows, weighted by traffic |
 * | `fleet:budget:remaining` | 1 whole, 0 spent, negative overspent |
 *
 * Names of their own, because the recorded names of single objectives belong to those objectives' rules.
 */
import { stringify } from 'yaml';
import { METRICS } from '../../../app/telemetry/catalogue.ts';
import { type Decimal, decimal, decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import type { Fleet, FleetObjective } from '../fleet.ts';
import { EVALUATED_RANGE_SECONDS, NO_DATA_AFTER_SECONDS, type Severity, type TierName } from '../model.ts';
import { quoted } from '../selector.ts';
import { GENERATED_NOTE, type GeneratedFile } from './generated-file.ts';
import type { Rule, RuleGroup } from './prometheus.ts';

export const FLEET_SERIES = { budget: 'fleet:objective:budget', remaining: 'fleet:budget:remaining' } as const;
const TABLE = FLEET_SERIES.budget;
const REMAINING = FLEET_SERIES.remaining;
const BASE_SECONDS = 300;
const DAY_SECONDS = 86_400;
const PERIOD_SECONDS = 30 * DAY_SECONDS;
/** As for single objectives: fewer bad events than this fire nothing. */
const BAD_EVENTS_MIN = 5;
/** Traffic of a service that nobody listed: half an hour of it, so that one curl raises nothing. */
const UNLISTED_WINDOW_SECONDS = 1800;

interface FleetTier {
  readonly name: TierName;
  readonly severity: Severity;
  readonly factor: Decimal;
  readonly longSeconds: number;
  readonly shortSeconds: number;
  readonly windows: 'raw' | 'derived';
}

// biome-ignore format: read across
const TIERS: readonly FleetTier[] = [
  { name: 'fast', severity: 'page', factor: decimal('14.4'), longSeconds: 3600, shortSeconds: 300, windows: 'raw' },
  { name: 'medium', severity: 'page', factor: decimal('6'), longSeconds: 21_600, shortSeconds: 1800, windows: 'raw' },
  { name: 'slow', severity: 'ticket', factor: decimal('3'), longSeconds: DAY_SECONDS, shortSeconds: 7200, windows: 'derived' },
  { name: 'drain', severity: 'ticket', factor: decimal('1'), longSeconds: 3 * DAY_SECONDS, shortSeconds: 21_600, windows: 'derived' },
];
const RAW_WINDOWS = [BASE_SECONDS, 1800, 3600, 21_600] as const;
const DERIVED_WINDOWS = [7200, 21_600, DAY_SECONDS, 3 * DAY_SECONDS, PERIOD_SECONDS] as const;

const COUNT = `${METRICS.httpServerRequestDuration.name}_count`;
const BUCKET = `${METRICS.httpServerRequestDuration.name}_bucket`;
const FAILED = 'http_response_status_code=~"5.."';
/** A failed answer is charged to availability alone. */
const ANSWERED = 'http_response_status_code!~"5.."';
const ON = 'on (service, slo)';

export function emitFleetRules(fleet: Fleet): readonly GeneratedFile[] {
  const text = stringify({ groups: [fleetRuleGroup(fleet)] }, { lineWidth: 0, aliasDuplicateObjects: false });
  return [{ path: 'prometheus/fleet.yaml', text: `# ${GENERATED_NOTE}\n${text}` }];
}

export function fleetRuleGroup(fleet: Fleet): RuleGroup {
  const rows = tableRows(fleet);
  const joined = rows.length === 0 ? [] : [record(TABLE, rows.join(' or ')), ...ratioRules(fleet), ...alertRules()];
  return { name: 'slo-fleet', rules: [...joined, unlistedAlert(fleet, rows.length > 0)] };
}

/** One row a service and objective; the labels of a service are put on once for all its rows. */
function tableRows({ services }: Fleet): readonly string[] {
  return services
    .filter(({ objectives }) => objectives.length > 0)
    .map((service) => {
      const rows = service.objectives.map((objective) =>
        labelled(`vector(${decimalText(objective.budget)})`, labelsOf(objective)),
      );
      return labelled(`(${rows.join(' or ')})`, { service: service.name, owner: service.owner, class: service.class });
    });
}

function labelsOf(objective: FleetObjective): Readonly<Record<string, string>> {
  return objective.name === 'availability'
    ? { slo: objective.name }
    : { slo: objective.name, le: decimalText(objective.thresholdSeconds) };
}

function ratioRules(fleet: Fleet): readonly Rule[] {
  const bounds = boundsOf(fleet);
  return [
    ...RAW_WINDOWS.flatMap((seconds) => {
      const window = durationText(seconds);
      return [
        record(`fleet:total:rate${window}`, totalOver(window)),
        record(`fleet:bad:rate${window}`, badOver(window, bounds)),
        record(`fleet:error:ratio${window}`, `fleet:bad:rate${window} / (fleet:total:rate${window} > 0)`),
      ];
    }),
    ...DERIVED_WINDOWS.map((seconds) => {
      const window = durationText(seconds);
      const sum = (series: string): string => `sum_over_time(${series}[${window}])`;
      return record(`fleet:error:weighted${window}`, `${sum('fleet:bad:rate5m')} / (${sum('fleet:total:rate5m')} > 0)`);
    }),
    record(
      REMAINING,
      `1 - fleet:error:weighted${durationText(PERIOD_SECONDS)} / ${ON} group_left (owner, class) ${TABLE}`,
    ),
  ];
}

function totalOver(window: string): string {
  const all = labelled(`sum by (service) (rate(${COUNT}[${window}]))`, { slo: 'availability' });
  const answered = labelled(`sum by (service) (rate(${COUNT}{${ANSWERED}}[${window}]))`, { slo: 'latency' });
  return `(${all} or ${answered}) and ${ON} ${TABLE}`;
}

/** 0 while there are none, absent while there is no total. A bound that is no bucket of the service makes all slow. */
function badOver(window: string, bounds: readonly string[]): string {
  const total = `fleet:total:rate${window}`;
  const failed = labelled(`sum by (service) (rate(${COUNT}{${FAILED}}[${window}]))`, { slo: 'availability' });
  const unavailable = `(${failed} and ${ON} ${TABLE}) or ${ON} 0 * ${total}{slo="availability"}`;
  if (bounds.length === 0) return unavailable;
  // prom-client writes le="1", Prometheus 3 stores "1.0": the table holds the short form.
  const spelt = bounds.map((bound) => `${bound.replaceAll('.', '\\.')}(\\.0)?`).join('|');
  const buckets = `sum by (service, le) (rate(${BUCKET}{${ANSWERED},le=~${quoted(spelt)}}[${window}]))`;
  const shortened = `label_replace(${buckets}, "le", "$1", "le", "(.*)\\\\.0")`;
  const fast = labelled(`sum by (service) (${shortened} and on (service, le) ${TABLE})`, { slo: 'latency' });
  const slow = `clamp_min(${total}{slo="latency"} - ${ON} (${fast} or ${ON} 0 * ${total}{slo="latency"}), 0)`;
  return `${unavailable} or ${slow}`;
}

function boundsOf({ services }: Fleet): readonly string[] {
  const bounds = services
    .flatMap(({ objectives }) => objectives)
    .flatMap((objective) => (objective.name === 'latency' ? [decimalText(objective.thresholdSeconds)] : []));
  return [...new Set(bounds)].sort();
}

function alertRules(): readonly Rule[] {
  return [...TIERS.map(burnRule), noDataRule()];
}

function burnRule(tier: FleetTier): Rule {
  const { factor, longSeconds, name, severity, shortSeconds } = tier;
  const kind = tier.windows === 'raw' ? 'ratio' : 'weighted';
  const over = (seconds: number, group: string): string =>
    `(fleet:error:${kind}${durationText(seconds)} > ${ON} group_left (${group}) ${decimalText(factor)} * ${TABLE})`;
  const enough = `(${badEventsOf(tier)} >= ${BAD_EVENTS_MIN})`;
  const conditions = [
    over(longSeconds, 'owner, class'),
    over(shortSeconds, ''),
    enough,
    ...(longSeconds > 3600 ? [listedFor((longSeconds * 9) / 10)] : []),
  ];
  return {
    alert: 'SLOBurn',
    expr: conditions.join(` and ${ON} `),
    labels: { severity, tier: name },
    annotations: {
      summary: `{{ $labels.service }} {{ $labels.slo }}: the 30d budget burns over ${decimalText(factor)} times too fast`,
      description: `{{ $value | humanizePercentage }} of the last ${durationText(longSeconds)} was bad.`,
      ...PLACES,
    },
  };
}

function badEventsOf({ longSeconds, windows }: FleetTier): string {
  const window = durationText(longSeconds);
  if (windows === 'raw') return `fleet:bad:rate${window} * ${longSeconds}`;
  // The mean over all evaluations while the service was listed, those without data too.
  const evaluations = `sum by (service, slo) (count_over_time(${TABLE}[${window}]))`;
  return `sum_over_time(fleet:bad:rate5m[${window}]) / ${ON} ${evaluations} * ${longSeconds}`;
}

/** A listed service none of whose series is there: `absent()` would carry no labels. */
function noDataRule(): Rule {
  return {
    alert: 'SLONoData',
    expr: `(${TABLE} unless ${ON} fleet:total:rate5m) and ${ON} ${listedFor(NO_DATA_AFTER_SECONDS)}`,
    labels: { severity: 'page' },
    annotations: {
      summary: '{{ $labels.service }} {{ $labels.slo }}: nothing is measured',
      description: `The service is listed and has no series to judge it by, after ${durationText(NO_DATA_AFTER_SECONDS)} or more.`,
      ...PLACES,
    },
  };
}

/** Rules knew of the service that long ago. */
function listedFor(seconds: number): string {
  return `(count_over_time(${TABLE}[${durationText(EVALUATED_RANGE_SECONDS)}] offset ${durationText(seconds)}) > 0)`;
}

function unlistedAlert({ owner, services }: Fleet, hasTable: boolean): Rule {
  const own = services.filter(({ objectives }) => objectives.length === 0).map(({ name }) => name);
  const others = own.length === 0 ? '' : `{service!~${quoted(own.join('|'))}}`;
  const window = durationText(UNLISTED_WINDOW_SECONDS);
  const traffic = `sum by (service) (rate(${COUNT}${others}[${window}])) > 0`;
  return {
    alert: 'ServiceWithoutObjective',
    expr: hasTable ? `(${traffic}) unless on (service) ${TABLE}` : traffic,
    labels: { severity: 'ticket', owner },
    annotations: {
      summary:
        '{{ with $labels.service }}{{ . }}{{ else }}A target without the label service{{ end }} has traffic and no objective',
      description: '{{ $value | humanize }} requests a second that nobody promised anything about.',
      ...PLACES,
    },
  };
}

const PLACES = { runbook: 'slo/generated/runbooks/fleet.md', dashboard: '/d/slo-fleet' } as const;

function labelled(expression: string, labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels).reduce(
    (inner, [label, value]) => `label_replace(${inner}, ${quoted(label)}, ${quoted(value)}, "", "")`,
    expression,
  );
}

function record(name: string, expr: string): Rule {
  return { record: name, expr, labels: {} };
}
