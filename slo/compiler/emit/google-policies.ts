/**
 * `generated/google-policies.json`: alert policies of Cloud Monitoring for the hour when our own Prometheus is dead. A
 * coarse backstop, and labelled as one: they read what Google itself counts at its own doors, which knows neither
 * routes nor load tests, lags by minutes, and cannot be recorded, so only raw windows (page tiers) are here. While our
 * own alerting lives it pages first and with more to say.
 *
 * Texts in `${…}` are filled in by the infrastructure program; `placeholders` says with what. Metrics that no request
 * has made yet do not exist, so validation of metrics is switched off.
 */
import { decimalText } from '../decimal.ts';
import { durationText } from '../duration.ts';
import type { Model, Objective, Tier } from '../model.ts';
import { percentText } from './alert-text.ts';
import { type GeneratedFile, jsonFile } from './generated-file.ts';

/** What stands in `${…}`. */
export const PLACEHOLDERS = {
  service: 'name of the Cloud Run service that answers HTTP',
  topic: 'id of the topic that accepted rows are published to',
  subscription: 'id of the subscription that stores them',
  livezCheck: 'id of the uptime check `livez`',
} as const;

/** Google's metrics as PromQL names them: https://cloud.google.com/monitoring/promql/promql-mapping */
export const GOOGLE_METRICS = {
  requests: 'run_googleapis_com:request_count',
  publishes: 'pubsub_googleapis_com:topic_send_request_count',
  oldestUnacknowledged: 'pubsub_googleapis_com:subscription_oldest_unacked_message_age',
} as const;
/** Written by our Prometheus to Managed Prometheus; its absence is what is watched. */
export const HEARTBEAT = 'ALERTS';

export interface GooglePolicy {
  readonly name: string;
  readonly displayName: string;
  readonly severity: 'CRITICAL';
  readonly userLabels: Readonly<Record<string, string>>;
  readonly condition: GoogleCondition;
  readonly documentation: { readonly subject: string; readonly content: string };
  readonly autoCloseSeconds: number;
}

export type GoogleCondition =
  | {
      readonly kind: 'promql';
      readonly query: string;
      readonly durationSeconds: number;
      readonly evaluationIntervalSeconds: number;
      readonly ruleGroup: string;
      readonly alertRule: string;
      readonly disableMetricValidation: true;
    }
  /** Uptime checks answer booleans, which filters count. */
  | {
      readonly kind: 'uptime';
      readonly filter: string;
      readonly alignmentPeriodSeconds: number;
      readonly perSeriesAligner: 'ALIGN_NEXT_OLDER';
      readonly crossSeriesReducer: 'REDUCE_COUNT_FALSE';
      readonly groupByFields: readonly string[];
      readonly comparison: 'COMPARISON_GT';
      readonly thresholdValue: number;
      readonly durationSeconds: number;
    };

/** Google accepts multiples of 30 s; its request metrics come once a minute. */
const EVALUATION_SECONDS = 60;
const AUTO_CLOSE_SECONDS = 3600;
/** The longest redelivery backoff of the subscription: beyond it nothing is merely being tried again. */
const OLDEST_UNACKNOWLEDGED_SECONDS_MAX = 600;
/** Prometheus evaluates the Watchdog every half minute; ten minutes survive a restart and a slow start. */
const HEARTBEAT_MISSED_SECONDS = 600;
/** One checker that cannot reach us is its own trouble; two are ours. */
const UPTIME_FAILING_CHECKERS_MAX = 1;
const UPTIME_CHECK = { name: 'livez', path: '/livez', periodSeconds: 60, timeoutSeconds: 10 } as const;

/** Objective → what Google counts of the same promise, bad and all. */
// biome-ignore format: read across
const REQUEST_BACKSTOPS: Readonly<Record<string, { readonly bad: string; readonly total: string; readonly counts: string }>> = {
  'api-availability': {
    counts: 'every request that Cloud Run handed to the service, writes, probes and load tests too',
    total: `${GOOGLE_METRICS.requests}{monitored_resource="cloud_run_revision",service_name="\${service}"}`,
    bad: `${GOOGLE_METRICS.requests}{monitored_resource="cloud_run_revision",service_name="\${service}",response_code_class="5xx"}`,
  },
  'ingest-availability': {
    counts: 'every publication to the topic: without it no write is durable',
    total: `${GOOGLE_METRICS.publishes}{monitored_resource="pubsub_topic",topic_id="\${topic}"}`,
    bad: `${GOOGLE_METRICS.publishes}{monitored_resource="pubsub_topic",topic_id="\${topic}",response_class!="success"}`,
  },
};

export function emitGooglePolicies(model: Model): readonly GeneratedFile[] {
  return [
    jsonFile('google-policies.json', {
      placeholders: PLACEHOLDERS,
      uptimeChecks: [UPTIME_CHECK],
      policies: googlePolicies(model),
    }),
  ];
}

export function googlePolicies({ objectives }: Model): readonly GooglePolicy[] {
  return objectives.flatMap((objective) => [...requestPolicies(objective), ...otherPolicies(objective)]);
}

function requestPolicies(objective: Objective): readonly GooglePolicy[] {
  const counted = REQUEST_BACKSTOPS[objective.name];
  if (counted === undefined) return [];
  const tiers = objective.tiers.filter(({ severity, windows }) => severity === 'page' && windows === 'raw');
  return tiers.map((tier) => {
    const over = (seconds: number): string => {
      const window = durationText(seconds);
      return `(sum(rate(${counted.bad}[${window}])) / sum(rate(${counted.total}[${window}])) > ${decimalText(tier.threshold)})`;
    };
    const enough = `(sum(increase(${counted.bad}[${durationText(tier.longSeconds)}])) >= ${tier.badEventsMin})`;
    return policy(objective, {
      name: `${objective.name}-${tier.name}`,
      tier,
      query: [over(tier.longSeconds), over(tier.shortSeconds), enough].join(' and '),
      says: `More than ${percentText(tier.threshold)} bad over ${durationText(tier.longSeconds)} and ${durationText(tier.shortSeconds)}. Counted: ${counted.counts}.`,
    });
  });
}

function otherPolicies(objective: Objective): readonly GooglePolicy[] {
  switch (objective.name) {
    case 'api-uptime':
      return [uptimePolicy(objective), heartbeatPolicy(objective)];
    case 'pipeline-freshness':
      return [backlogPolicy(objective)];
    default:
      return [];
  }
}

function backlogPolicy(objective: Objective): GooglePolicy {
  const age = `max(${GOOGLE_METRICS.oldestUnacknowledged}{monitored_resource="pubsub_subscription",subscription_id="\${subscription}"})`;
  return policy(objective, {
    name: `${objective.name}-oldest-unacknowledged`,
    query: `${age} > ${OLDEST_UNACKNOWLEDGED_SECONDS_MAX}`,
    says: `The oldest unacknowledged message is older than ${durationText(OLDEST_UNACKNOWLEDGED_SECONDS_MAX)}: nothing stores it, or it fails again and again.`,
  });
}

function heartbeatPolicy(objective: Objective): GooglePolicy {
  const window = durationText(HEARTBEAT_MISSED_SECONDS);
  return policy(objective, {
    name: 'watchdog-absent',
    query: `absent_over_time(${HEARTBEAT}{alertname="Watchdog",alertstate="firing"}[${window}])`,
    says: `No heartbeat of our own Prometheus for ${window}: it is dead, or cannot write here. Until it is back only these policies page. It must write ${HEARTBEAT} to Managed Prometheus.`,
  });
}

function uptimePolicy(objective: Objective): GooglePolicy {
  const { name, path, periodSeconds } = UPTIME_CHECK;
  const base = policy(objective, {
    name: `${objective.name}-${name}`,
    query: '',
    says: `More than ${UPTIME_FAILING_CHECKERS_MAX} of Google's checkers cannot get ${path}.`,
  });
  return {
    ...base,
    condition: {
      kind: 'uptime',
      filter: `metric.type="monitoring.googleapis.com/uptime_check/check_passed" AND resource.type="uptime_url" AND metric.label.check_id="\${livezCheck}"`,
      // Twice the period: every checker has answered in it.
      alignmentPeriodSeconds: 2 * periodSeconds,
      perSeriesAligner: 'ALIGN_NEXT_OLDER',
      crossSeriesReducer: 'REDUCE_COUNT_FALSE',
      groupByFields: ['metric.label.check_id'],
      comparison: 'COMPARISON_GT',
      thresholdValue: UPTIME_FAILING_CHECKERS_MAX,
      durationSeconds: periodSeconds,
    },
  };
}

function policy(
  objective: Objective,
  text: { readonly name: string; readonly query: string; readonly says: string; readonly tier?: Tier },
): GooglePolicy {
  const { name: slo, owner, service } = objective;
  const { name, query, says, tier } = text;
  return {
    name,
    displayName: `Backstop: ${name}`,
    severity: 'CRITICAL',
    userLabels: {
      ...{ service, slo, owner, severity: 'page', backstop: 'coarse' },
      ...(tier === undefined ? {} : { tier: tier.name }),
    },
    condition: {
      kind: 'promql',
      query,
      durationSeconds: 0,
      evaluationIntervalSeconds: EVALUATION_SECONDS,
      ruleGroup: 'slo-backstop',
      alertRule: name,
      disableMetricValidation: true,
    },
    documentation: {
      subject: `Backstop: ${name}`,
      content: `${says}\n\nThis is a coarse backstop on Google's own metrics. Look first whether our own alerting lives: if it does, it has said more.\n\nRunbook: slo/generated/runbooks/${slo}.md`,
    },
    autoCloseSeconds: AUTO_CLOSE_SECONDS,
  };
}
