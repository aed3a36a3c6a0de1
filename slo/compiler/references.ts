/** Objects by kind and name: repeated names, references that lead nowhere, and objects that nothing refers to. */
import type { Kind } from './openslo.ts';
import type { Place, Problem } from './problems.ts';
import type { Located } from './read-objects.ts';

export interface References {
  /** The object of that name, or a problem at `place`. */
  find<K extends Kind>(
    kind: K,
    name: string,
    place: Place,
  ): { readonly found?: Located<K>; readonly problems: readonly Problem[] };
  /** What was never found by anyone, except SLOs, which nothing refers to. */
  unused(): readonly Problem[];
}

export function indexObjects(objects: readonly Located[]): {
  readonly references: References;
  readonly problems: readonly Problem[];
} {
  const byName = new Map<string, Located>();
  const problems: Problem[] = [];
  for (const located of objects) {
    const { kind, metadata } = located.object;
    const first = byName.get(`${kind}/${metadata.name}`);
    if (first === undefined) byName.set(`${kind}/${metadata.name}`, located);
    else problems.push(repeated(located, first));
  }
  const used = new Set<Located>();
  const references: References = {
    find: <K extends Kind>(kind: K, name: string, place: Place) => {
      const found = byName.get(`${kind}/${name}`);
      if (found === undefined) {
        const names = objects.flatMap(({ object }) => (object.kind === kind ? [object.metadata.name] : []));
        const there = names.length === 0 ? 'There is none' : `There are: ${names.sort().join(', ')}`;
        const message = `no ${kind} is called ${name}. ${there}.`;
        return { problems: [{ code: 'REFERENCE_UNKNOWN', place, message } satisfies Problem] };
      }
      used.add(found);
      return { found: found as Located<K>, problems: [] };
    },
    unused: () =>
      objects
        .filter((located) => located.object.kind !== 'SLO' && !used.has(located))
        .map(({ object, place }) => ({
          code: 'OBJECT_UNUSED',
          place: place(['metadata', 'name']),
          message: `nothing refers to ${object.kind} ${object.metadata.name}. Use it, or remove it.`,
        })),
  };
  return { references, problems };
}

function repeated(located: Located, first: Located): Problem {
  const { kind, metadata } = located.object;
  const { file, line } = first.place(['metadata', 'name']);
  return {
    code: 'NAME_REPEATED',
    place: located.place(['metadata', 'name']),
    message: `${kind} ${metadata.name} is also at ${file}:${line}. Name one of them otherwise.`,
  };
}
