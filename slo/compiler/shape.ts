/** One document against one schema: each issue of zod becomes a problem with its place, its rule and its remedy. */
import type { z } from 'zod';
import type { Place, Problem } from './problems.ts';
import { WrittenNumber, type YamlDocument } from './yaml-source.ts';

/** Unknown values are answered with what is known; longer lists help nobody. */
const KNOWN_SHOWN_MAX = 12;

export function readShape<T>(
  schema: z.ZodType<T>,
  document: YamlDocument,
): { readonly value?: T; readonly problems: readonly Problem[] } {
  const result = schema.safeParse(document.value);
  if (result.success) return { value: result.data, problems: [] };
  return { problems: result.error.issues.flatMap((issue) => problemsOf(issue, document)) };
}

function problemsOf(issue: z.core.$ZodIssue, document: YamlDocument): readonly Problem[] {
  const { path } = issue;
  const place: Place = document.place(path);
  const where = path.length === 0 ? 'the object' : pathText(path);
  const value = valueAt(document.value, path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      code: 'KEY_UNKNOWN',
      place: document.keyPlace(path, key),
      message: `${key} is not a key of ${where}. Remove it, or mend its spelling.`,
    }));
  }
  if (value === undefined) {
    return [{ code: 'KEY_MISSING', place, message: `${where} is missing. Add it.` }];
  }
  if (issue.code === 'invalid_value') {
    const known = issue.values.slice(0, KNOWN_SHOWN_MAX).join(', ');
    return [{ code: 'VALUE_REFUSED', place, message: `${where} is ${shown(value)}. Use one of: ${known}.` }];
  }
  if (issue.code === 'invalid_type') {
    const message = `${where} is ${shown(value)}: ${expectation(issue)}.`;
    return [{ code: 'VALUE_TYPE', place, message }];
  }
  const isType = issue.code === 'custom' && !(value instanceof WrittenNumber) && typeof value !== 'string';
  return [
    {
      code: isType || isQuoted(issue) ? 'VALUE_TYPE' : 'VALUE_REFUSED',
      place,
      message: `${where} is ${shown(value)}: ${issue.message}.`,
    },
  ];
}

/** A text where a number belongs. */
function isQuoted(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'custom' && issue.message.startsWith('a number');
}

function expectation(issue: z.core.$ZodIssueInvalidType): string {
  if (issue.message.startsWith('Invalid input')) {
    const kind =
      issue.expected === 'object' || issue.expected === 'record'
        ? 'a mapping'
        : issue.expected === 'array'
          ? 'a list'
          : `a ${issue.expected}`;
    return `${kind} is expected`;
  }
  return issue.message;
}

/** `spec.objectives[0].target` */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`),
    '',
  );
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}

export function shown(value: unknown): string {
  if (value instanceof WrittenNumber) return value.text;
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  return value === null ? 'empty' : typeof value === 'object' ? 'a mapping' : String(value);
}
