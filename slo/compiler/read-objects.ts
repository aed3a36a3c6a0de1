/** Files of OpenSLO → objects with the place of each value, or every problem there is in their shape. */
import type { z } from 'zod';
import { KINDS, type Kind, type OpenSlo } from './openslo.ts';
import type { Problem } from './problems.ts';
import { readShape, shown } from './shape.ts';
import { readYaml, type YamlDocument } from './yaml-source.ts';

export interface SourceFile {
  /** As problems name it, with forward slashes. */
  readonly file: string;
  readonly text: string;
}

/** One object and where each value of it stands. */
export interface Located<K extends Kind = Kind> {
  readonly object: OpenSlo<K>;
  readonly file: string;
  readonly place: YamlDocument['place'];
  readonly keyPlace: YamlDocument['keyPlace'];
}

const VERSION = 'openslo/v1';

export function readObjects(files: readonly SourceFile[]): {
  readonly objects: readonly Located[];
  readonly problems: readonly Problem[];
} {
  const objects: Located[] = [];
  const problems: Problem[] = [];
  for (const source of files) {
    const read = readYaml(source);
    problems.push(...read.problems);
    for (const document of read.documents) {
      const { object, found } = readObject(document);
      problems.push(...found);
      if (object !== undefined) {
        objects.push({ object, file: source.file, place: document.place, keyPlace: document.keyPlace });
      }
    }
  }
  return { objects, problems };
}

function readObject(document: YamlDocument): { readonly object?: OpenSlo; readonly found: readonly Problem[] } {
  const { apiVersion, kind } = (document.value ?? {}) as { readonly apiVersion?: unknown; readonly kind?: unknown };
  if (typeof apiVersion === 'string' && apiVersion !== VERSION) {
    const message = `${apiVersion} is not compiled. Write the object as ${VERSION}.`;
    return { found: [{ code: 'VERSION_UNSUPPORTED', place: document.place(['apiVersion']), message }] };
  }
  if (typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) {
    const given = kind === undefined ? 'kind is missing' : `${shown(kind)} is not a kind of OpenSLO v1`;
    const code = kind === undefined ? 'KEY_MISSING' : 'VALUE_REFUSED';
    const message = `${given}. Use one of: ${Object.keys(KINDS).join(', ')}.`;
    return { found: [{ code, place: document.place(['kind']), message }] };
  }
  const { value, problems } = readShape(KINDS[kind as Kind] as z.ZodType<OpenSlo>, document);
  return value === undefined ? { found: problems } : { object: value, found: problems };
}
