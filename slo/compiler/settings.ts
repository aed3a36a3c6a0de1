/** The files beside the objectives: what runs the rules, what is left out, which metrics are others', what a policy caps. */
import { z } from 'zod';
import { decimalSchema, durationSchema } from './openslo.ts';
import type { Environment, Exclusion } from './model.ts';
import { compareText, type Place, type Problem } from './problems.ts';
import type { SourceFile } from './read-objects.ts';
import { readShape } from './shape.ts';
import { readYaml, type YamlDocument } from './yaml-source.ts';

const seconds = durationSchema.transform((value, context): number => {
  if (typeof value === 'number' && value > 0) return value;
  context.addIssue({ code: 'custom', message: 'a duration above 0 is expected, like 15s', input: value });
  return z.NEVER;
});
const text = z.string().min(1, { error: 'an empty text says nothing' });

const environmentSchema = z.strictObject({
  scrapeInterval: seconds,
  evaluationInterval: seconds,
  retention: seconds,
});

const externalSchema = z.strictObject({
  metrics: z.record(
    z.string(),
    z.strictObject({ kind: z.enum(['counter', 'gauge', 'histogram']), from: text, labels: z.array(z.string()) }),
  ),
});
export type ExternalMetrics = z.infer<typeof externalSchema>['metrics'];

const UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const instant = z.string().transform((written, context): number => {
  const milliseconds = UTC.test(written) ? Date.parse(written) : Number.NaN;
  if (!Number.isNaN(milliseconds)) return milliseconds / 1000;
  context.addIssue({ code: 'custom', message: 'a time in UTC is expected, like 2026-01-10T02:00:00Z', input: written });
  return z.NEVER;
});
const exclusionsSchema = z.strictObject({
  exclusions: z.array(
    z.strictObject({
      id: text,
      objectives: z.array(z.string()).min(1, { error: 'an exclusion names its objectives' }),
      start: instant,
      end: instant,
      reason: z.string().min(20, { error: 'a reason that a stranger understands has at least 20 characters' }),
      author: text,
    }),
  ),
});

const states = ['healthy', 'careful', 'low', 'spent'] as const;
const policySchema = z.strictObject({
  budget: z
    .array(
      z.strictObject({
        state: z.enum(states),
        /** Share of the budget left above which the state holds; the last one has none. */
        remainingAbove: decimalSchema.optional(),
        decides: text,
        freezes: text,
        ends: text,
        gate: z.enum(['open', 'small-changes', 'repairs-only']),
      }),
    )
    .length(states.length, { error: `the states are ${states.join(', ')}` }),
  gate: z.strictObject({
    coverageMin: decimalSchema,
    burnMax: decimalSchema,
    overrideReasonCharactersMin: decimalSchema,
  }),
  paging: z.strictObject({
    atNight: text,
    pagesPerWeekMax: decimalSchema,
    tooMany: text,
    escalation: z.array(z.strictObject({ after: seconds, to: text })).min(1),
  }),
  exclusions: z.strictObject({ longest: seconds, perPeriod: seconds, by: text }),
});
export type Policy = z.infer<typeof policySchema>;

export interface Settings {
  readonly environment: Environment;
  readonly externalMetrics: ExternalMetrics;
  readonly policy: Policy;
  readonly exclusions: readonly WrittenExclusion[];
}

export interface WrittenExclusion extends Exclusion {
  readonly objectives: readonly string[];
  readonly place: Place;
}

export interface SettingFiles {
  readonly environment: SourceFile;
  readonly externalMetrics: SourceFile;
  readonly policy: SourceFile;
  readonly exclusions: SourceFile;
}

/** Everything, or every problem in the shape of it. */
export function readSettings(files: SettingFiles): {
  readonly settings?: Settings;
  readonly problems: readonly Problem[];
} {
  const environment = readOne(environmentSchema, files.environment);
  const external = readOne(externalSchema, files.externalMetrics);
  const policy = readOne(policySchema, files.policy);
  const exclusions = readOne(exclusionsSchema, files.exclusions);
  const problems = [environment, external, policy, exclusions].flatMap((read) => read.problems);
  if (!environment.value || !external.value || !policy.value || !exclusions.value) return { problems };
  const written = exclusions.value.exclusions.map(({ author, end, id, objectives, reason, start }, index) => ({
    ...{ id, objectives, reason, author, startSeconds: start, endSeconds: end },
    place: exclusions.document?.place(['exclusions', index]) ?? { file: files.exclusions.file, line: 1 },
  }));
  return {
    settings: {
      environment: {
        scrapeSeconds: environment.value.scrapeInterval,
        evaluationSeconds: environment.value.evaluationInterval,
        retentionSeconds: environment.value.retention,
      },
      externalMetrics: external.value.metrics,
      policy: policy.value,
      exclusions: written.sort((a, b) => a.startSeconds - b.startSeconds || compareText(a.id, b.id)),
    },
    problems,
  };
}

function readOne<T>(
  schema: z.ZodType<T>,
  source: SourceFile,
): { readonly value?: T; readonly document?: YamlDocument; readonly problems: readonly Problem[] } {
  const { documents, problems } = readYaml(source);
  const [document, second] = documents;
  if (problems.length > 0) return { problems };
  if (document === undefined || second !== undefined) {
    const message = `${documents.length} documents. Write one.`;
    return { problems: [{ code: 'YAML_UNREADABLE', place: { file: source.file, line: 1 }, message }] };
  }
  return { ...readShape(schema, document), document };
}

export function durationSecondsOf({ endSeconds, startSeconds }: Exclusion): number {
  return endSeconds - startSeconds;
}
