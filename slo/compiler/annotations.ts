/**
 * Everything that OpenSLO v1 cannot say, as annotations under one prefix. Each is listed here with where it may stand;
 * any other annotation is refused, because an extension that is not known is usually a misspelt one.
 */
import type { Located } from './read-objects.ts';
import type { Metadata } from './openslo.ts';
import type { Place, Problem, ProblemCode } from './problems.ts';

const PREFIX = 'vigia/';

/** Where → annotation → what it says. */
const ANNOTATIONS = {
  SLO: {
    'no-data': 'page, ticket, bad (slices only) or ignore: what silence means. Required.',
    'group-by': 'a label: one budget for each of its values',
    groups: 'with group-by: `datasets`, or the values that must report, separated by commas',
    'traffic-collapse': 'page, ticket or ignore (default): traffic far below yesterday and last week',
    'expected-rate': 'events a second on a normal day; lints measure it against the budget',
    expectation: 'a gauge, ticketed while above `expectation-limit`',
    'expectation-limit': 'the gauge that promises the limit; 0 means none',
  },
  SLI: {
    transform: 'age: the metric is a Unix time, its age is what is compared',
    'relative-to': 'a gauge that multiplies the objective’s value, group by group',
  },
  Service: { owner: 'the team that its alerts go to. Required.' },
  AlertCondition: {
    tier: 'fast, medium, slow or drain. Required.',
    'short-window': 'the window that ends the alert soon after the fault. Required.',
    'min-bad': 'fewer bad events in the long window fire nothing. Required.',
    'min-bad-slices': 'the same for slice objectives, at least 3. Required.',
  },
} as const;
type Holder = keyof typeof ANNOTATIONS;
type AnnotationName<H extends Holder> = keyof (typeof ANNOTATIONS)[H] & string;

export interface Annotations<H extends Holder> {
  get(name: AnnotationName<H>): string | undefined;
  place(name: AnnotationName<H>): Place;
  problem(name: AnnotationName<H>, code: ProblemCode, message: string): Problem;
}

/** `path` leads to the metadata inside the object. Problems: annotations that `holder` does not know. */
export function annotationsOf<H extends Holder>(options: {
  readonly holder: H;
  readonly located: Located;
  readonly metadata: Metadata;
  readonly path: readonly PropertyKey[];
}): { readonly annotations: Annotations<H>; readonly problems: readonly Problem[] } {
  const { holder, located, metadata, path } = options;
  const given = metadata.annotations ?? {};
  const known = Object.keys(ANNOTATIONS[holder]).map((name) => PREFIX + name);
  const at = [...path, 'annotations'];
  const problems = Object.keys(given)
    .filter((key) => !known.includes(key))
    .map(
      (key): Problem => ({
        code: 'ANNOTATION_UNKNOWN',
        place: located.keyPlace(at, key),
        message: `${key} is not an annotation of ${holder}. Known: ${known.join(', ')}.`,
      }),
    );
  const place = (name: string): Place => located.place([...at, PREFIX + name]);
  return {
    annotations: {
      get: (name) => given[PREFIX + name],
      place,
      problem: (name, code, message) => ({ code, place: place(name), message: `${PREFIX}${name} ${message}` }),
    },
    problems,
  };
}
