/**
 * Every metric, label and log event, once, as data. `slo`, dashboards and alerts read this file and nothing else of
 * the service. OpenTelemetry's conventions in Prometheus form where they exist, `vigia_*` where they do not.
 */

/** Holds 0.3 (the read objective) and 5 (the pipeline objective); a threshold that is not a bound cannot be asked for. */
export const SECONDS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.3, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const;

/** One constant for exemplars here and the collector's tail sampler: a request is slow above this. */
export const SLOW_SECONDS = 0.3;

export interface MetricDefinition {
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly unit: string;
  /** Label → its closed set of values, or `dataset`/`route`/`code` for sets that the service knows at start. */
  readonly labels: Readonly<Record<string, readonly string[] | 'dataset' | 'route' | 'code'>>;
  readonly buckets?: readonly number[];
}
