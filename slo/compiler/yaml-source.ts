/**
 * YAML with two things that plain parsers lose: the line of every value, and numbers as they were written. A target of
 * 0.999 stays the text `0.999`, so that no binary fraction ever enters a rule.
 */
import { type Document, isMap, isScalar, LineCounter, parseAllDocuments, type ScalarTag } from 'yaml';
import type { Place, Problem } from './problems.ts';

/** A number as it stands in the file. */
export class WrittenNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export interface YamlDocument {
  readonly value: unknown;
  /** Place of the value at a path; of its nearest parent where there is none. */
  place(path: readonly PropertyKey[]): Place;
  /** Place of the key itself, for a key that should not be there. */
  keyPlace(path: readonly PropertyKey[], key: string): Place;
}

const NUMBER_TAG: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  // All that YAML calls a number, so that `1e3`, `0x10` and `.inf` are refused as numbers and not taken for text.
  test: /^[-+]?(?:\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|0x[\da-fA-F]+|0o[0-7]+|\.inf|\.Inf|\.INF|\.nan|\.NaN|\.NAN)$/,
  resolve: (text) => new WrittenNumber(text),
  stringify: ({ value }) => (value instanceof WrittenNumber ? value.text : String(value)),
};

/** Every document of a file; empty documents are left out. */
export function readYaml(options: { readonly file: string; readonly text: string }): {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly Problem[];
} {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(options.text, {
    lineCounter: lines,
    prettyErrors: false,
    version: '1.2',
    customTags: (tags) => [...tags.filter((tag) => !isNumberTag(tag)), NUMBER_TAG],
  });
  const documents = [...parsed];
  const problems = documents.flatMap((document) =>
    document.errors.map(
      (error): Problem => ({
        code: 'YAML_UNREADABLE',
        place: { file: options.file, line: lines.linePos(error.pos[0]).line },
        message: `${error.message.trim().replace(/\.$/, '')}. Mend the YAML.`,
      }),
    ),
  );
  if (problems.length > 0) return { documents: [], problems };
  return {
    documents: documents
      // A trailing `---` or remarks alone.
      .filter((document) => document.contents !== null && document.toJS() !== null)
      .map((document) => withPlaces(document, options.file, lines)),
    problems: [],
  };
}

function isNumberTag(tag: unknown): boolean {
  const name = typeof tag === 'string' ? tag : (tag as ScalarTag).tag;
  return /(?:^|:)(?:int|float)/.test(name);
}

function withPlaces(document: Document, file: string, lines: LineCounter): YamlDocument {
  const placeAt = (offset: number | undefined): Place => ({ file, line: lines.linePos(offset ?? 0).line });
  const nodeAt = (path: readonly PropertyKey[]): unknown =>
    path.length === 0 ? document.contents : document.getIn(path, true);
  const place = (path: readonly PropertyKey[]): Place => {
    for (let length = path.length; length >= 0; length -= 1) {
      const range = (nodeAt(path.slice(0, length)) as { range?: readonly number[] } | undefined)?.range;
      if (range !== undefined) return placeAt(range[0]);
    }
    return placeAt(0);
  };
  return {
    value: document.toJS({ maxAliasCount: 100 }) as unknown,
    place,
    keyPlace: (path, key) => {
      const map = nodeAt(path);
      const pair = isMap(map) ? map.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined;
      const range = isScalar(pair?.key) ? pair.key.range : undefined;
      return range == null ? place(path) : placeAt(range[0]);
    },
  };
}
