/**
 * The shapes of OpenSLO v1, each key by name: what the specification knows is read, what it does not know is refused.
 * Which of the known parts are compiled is decided later (`lower.ts`), so that a part that is not supported is named as
 * that and not as a misspelling. https://github.com/OpenSLO/OpenSLO/tree/main#specification
 */
import { z } from 'zod';
import { type Decimal, readDecimal } from './decimal.ts';
import { readDuration } from './duration.ts';
import { WrittenNumber } from './yaml-source.ts';

const NAME = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
/** OpenSLO's own limit. */
const DESCRIPTION_CHARACTERS_MAX = 1050;
const CALENDAR_UNITS = /^\d+[MQY]$/;

const name = z.string().regex(NAME, { error: 'a name is lower-case letters, digits and hyphens, at most 63' });
const text = z.string().min(1, { error: 'an empty text says nothing' });
const description = z
  .string()
  .max(DESCRIPTION_CHARACTERS_MAX, { error: `a description has at most ${DESCRIPTION_CHARACTERS_MAX} characters` });

export const decimalSchema = z
  .custom<WrittenNumber>((value) => value instanceof WrittenNumber, { error: 'a number without quotes is expected' })
  .transform((written, context): Decimal => {
    const value = readDecimal(written.text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: 'a plain decimal is expected, like 0.999', input: written });
    return z.NEVER;
  });

/** Seconds, or the text of a calendar unit (`1M`), which is refused later by what it means. */
export const durationSchema = z.string().transform((written, context): number | string => {
  if (CALENDAR_UNITS.test(written)) return written;
  const seconds = readDuration(written);
  if (seconds !== undefined) return seconds;
  context.addIssue({ code: 'custom', message: 'a duration is expected, like 5m, 1h or 30d', input: written });
  return z.NEVER;
});

const labels = z.record(z.string(), z.union([z.string(), z.array(z.string())]));
const metadata = z.strictObject({
  name,
  displayName: text.optional(),
  labels: labels.optional(),
  annotations: z.record(z.string(), z.string({ error: 'an annotation is a text: put it in quotes' })).optional(),
});

const metricSource = z.strictObject({
  metricSource: z.strictObject({
    metricSourceRef: name.optional(),
    type: text.optional(),
    spec: z.strictObject({ query: text }),
  }),
});
const sliSpec = z.strictObject({
  description: description.optional(),
  thresholdMetric: metricSource.optional(),
  ratioMetric: z
    .strictObject({
      counter: z.boolean(),
      good: metricSource.optional(),
      bad: metricSource.optional(),
      total: metricSource.optional(),
      rawType: z.enum(['success', 'failure']).optional(),
      raw: metricSource.optional(),
    })
    .optional(),
});
const indicator = z.strictObject({ metadata, spec: sliSpec });

const operator = z.enum(['lt', 'lte', 'gt', 'gte']);
const objective = z.strictObject({
  displayName: text.optional(),
  op: operator.optional(),
  value: decimalSchema.optional(),
  target: decimalSchema.optional(),
  targetPercent: decimalSchema.optional(),
  timeSliceTarget: decimalSchema.optional(),
  timeSliceWindow: durationSchema.optional(),
  indicator: indicator.optional(),
  indicatorRef: name.optional(),
  compositeWeight: decimalSchema.optional(),
});

const conditionSpec = z.strictObject({
  description: description.optional(),
  severity: text,
  condition: z.strictObject({
    kind: z.enum(['burnrate']),
    op: operator,
    threshold: decimalSchema,
    lookbackWindow: durationSchema,
    alertAfter: durationSchema.optional(),
  }),
});
const notificationTargetSpec = z.strictObject({ description: description.optional(), target: text });
const policySpec = z.strictObject({
  description: description.optional(),
  alertWhenNoData: z.boolean().optional(),
  alertWhenBreaching: z.boolean().optional(),
  alertWhenResolved: z.boolean().optional(),
  conditions: z
    .array(
      z.strictObject({
        conditionRef: name.optional(),
        kind: z.enum(['AlertCondition']).optional(),
        metadata: metadata.optional(),
        spec: conditionSpec.optional(),
      }),
    )
    .length(1, { error: 'OpenSLO v1 has exactly one condition in a policy' }),
  notificationTargets: z
    .array(
      z.strictObject({
        targetRef: name.optional(),
        kind: z.enum(['AlertNotificationTarget']).optional(),
        metadata: metadata.optional(),
        spec: notificationTargetSpec.optional(),
      }),
    )
    .min(1, { error: 'a policy notifies at least one target' }),
});

const sloSpec = z.strictObject({
  description: description.optional(),
  service: name,
  indicator: indicator.optional(),
  indicatorRef: name.optional(),
  budgetingMethod: z.enum(['Occurrences', 'Timeslices', 'RatioTimeslices']),
  timeWindow: z
    .array(
      z.strictObject({
        duration: durationSchema,
        isRolling: z.boolean(),
        calendar: z.strictObject({ startTime: text, timeZone: text }).optional(),
      }),
    )
    .length(1, { error: 'OpenSLO v1 has exactly one time window' }),
  objectives: z.array(objective).min(1, { error: 'an SLO has an objective' }),
  alertPolicies: z
    .array(
      z.strictObject({
        alertPolicyRef: name.optional(),
        kind: z.enum(['AlertPolicy']).optional(),
        metadata: metadata.optional(),
        spec: policySpec.optional(),
      }),
    )
    .optional(),
});

const dataSourceSpec = z.strictObject({
  description: description.optional(),
  type: text,
  connectionDetails: z.record(z.string(), z.unknown()).optional(),
});

function object<const K extends string, S extends z.ZodType>(kind: K, spec: S) {
  return z.strictObject({ apiVersion: z.literal('openslo/v1'), kind: z.literal(kind), metadata, spec });
}

/** Kind → its schema. */
export const KINDS = {
  DataSource: object('DataSource', dataSourceSpec),
  Service: object('Service', z.strictObject({ description: description.optional() })),
  SLI: object('SLI', sliSpec),
  SLO: object('SLO', sloSpec),
  AlertPolicy: object('AlertPolicy', policySpec),
  AlertCondition: object('AlertCondition', conditionSpec),
  AlertNotificationTarget: object('AlertNotificationTarget', notificationTargetSpec),
} as const;
export type Kind = keyof typeof KINDS;
export type OpenSlo<K extends Kind = Kind> = K extends Kind ? z.infer<(typeof KINDS)[K]> : never;

export type Metadata = z.infer<typeof metadata>;
export type SliSpec = z.infer<typeof sliSpec>;
export type MetricSource = z.infer<typeof metricSource>;
export type PolicySpec = z.infer<typeof policySpec>;
export type ConditionSpec = z.infer<typeof conditionSpec>;
export type SloObjective = z.infer<typeof objective>;
