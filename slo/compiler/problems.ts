/**
 * What can be wrong with a specification: one code for each rule. A problem says where (file and line), what stands
 * there, which rule it breaks and what to do. Every code has a file in `slo/test/bad` and every file there one code; a
 * test compares both ways, with the exact message.
 */

/** Code → what the rule protects from. Codes are never renamed or used again. */
export const PROBLEM_CODES = {
  YAML_UNREADABLE: 'A file that is not YAML holds no promise.',
  KEY_UNKNOWN: 'A misspelt key that is ignored turns an alert off without a word.',
  KEY_MISSING: 'What is not said would be guessed.',
  VALUE_TYPE: 'A number in quotes is a text to one reader and a number to the next.',
  VALUE_REFUSED: 'The value is outside what OpenSLO v1 and this compiler understand.',
  VERSION_UNSUPPORTED: 'Other versions of OpenSLO mean other things by the same words.',
  PART_UNSUPPORTED: 'A part of OpenSLO that is not compiled is refused by name, never left out.',
  WINDOW_CALENDAR:
    'A budget that refills at midnight of the first rewards waiting; months are reported, not alerted on.',
  NAME_REPEATED: 'Two objects of one name: which one an alert means would depend on the order of files.',
  NAME_NOT_FILE: 'The objective, its file and its runbook are found by one name.',
  REFERENCE_UNKNOWN: 'The object referred to does not exist.',
  OBJECT_UNUSED: 'An object that nothing refers to is a promise or a tier that someone believes in.',
  ANNOTATION_UNKNOWN: 'An extension that is not known is a misspelt one.',
  ANNOTATION_REFUSED: 'The value of an extension breaks its rule.',
  QUERY_UNREADABLE: 'A query is one metric with matchers: the compiler adds rate, window and sum.',
  METRIC_UNKNOWN: 'A metric that the service does not have makes an objective that never fails.',
  METRIC_KIND: 'A rate of a gauge, or a threshold on a counter, is a number without meaning.',
  METRIC_NOT_ZERO: 'A series that is born with its first error hides that error from rate().',
  LABEL_UNKNOWN: 'A matcher on a label that does not exist matches everything or nothing.',
  LABEL_VALUE_UNKNOWN: 'A matcher that matches no value the label can have counts nothing.',
  BUCKET_UNKNOWN: 'A latency between two buckets cannot be counted.',
  TARGET_REFUSED: 'A target of 1 leaves no budget and divides by zero; one below 0.5 promises nothing.',
  TIER_UNREACHABLE: 'An alert whose threshold is above 100 % errors can never fire.',
  TIER_ORDER: 'A tier must be told apart by name, factor and windows.',
  TIER_SCRAPES: 'A short window of fewer than 4 scrapes is empty when one scrape fails.',
  TIER_RETENTION: 'A query that reaches past the data reads a shorter window and calls it the long one.',
  FLOOR_REFUSED: 'Fewer than 3 bad slices are one blip.',
  SLICE_SCRAPES: 'A slice shorter than 2 scrapes is empty when one scrape fails.',
  SLICE_EVALUATIONS: 'Slices that evaluations do not divide are counted twice here and missed there.',
  NO_DATA_REFUSED: 'Counting silence as bad needs a slice objective; a ratio has nothing to count.',
  DETECTION_DECIDED: 'Scrape, slice or floor, not the burn rate, decides when the page comes.',
  TRAFFIC_LOW: 'With fewer than 10 allowed bad events in the period the budget is a lottery.',
  RULE_COLLISION: 'Two rules of one name and one label set overwrite each other.',
  RUNBOOK_MISSING: 'A page without a runbook wakes someone who then guesses.',
  OWNER_MISSING: 'An alert without an owner reaches nobody.',
  EXCLUSION_REFUSED: 'An exclusion is dated, reasoned, capped and by someone.',
  EXCLUSION_PAST: 'An exclusion that no window reaches any more only costs evaluation time.',
} as const satisfies Record<string, string>;
export type ProblemCode = keyof typeof PROBLEM_CODES;

/** Nothing is compiled while there is an error; a warning is printed and compiled. */
const WARNINGS: ReadonlySet<ProblemCode> = new Set(['DETECTION_DECIDED', 'TRAFFIC_LOW', 'EXCLUSION_PAST']);

export interface Place {
  /** As the caller named it: `slo/objectives/api-latency.yaml`. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

export interface Problem {
  readonly code: ProblemCode;
  readonly place: Place;
  /** The value, the rule and the remedy, in sentences. */
  readonly message: string;
}

export function isError({ code }: Problem): boolean {
  return !WARNINGS.has(code);
}

/** `slo/objectives/x.yaml:9: 0.31 s is not a bucket … [BUCKET_UNKNOWN]` */
export function problemText({ code, message, place }: Problem): string {
  return `${place.file}:${place.line}: ${message} [${code}]`;
}

export function byPlace(a: Problem, b: Problem): number {
  return compareText(a.place.file, b.place.file) || a.place.line - b.place.line || compareText(a.message, b.message);
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
