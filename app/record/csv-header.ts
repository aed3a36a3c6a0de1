/** Whether a CSV header names exactly what a contract lets a producer send: each field once, no other, none required missing. */
import type { Contract } from '../datasets/contract.ts';

const NAME_CHARACTERS_MAX = 64;

/** The problem as the beginning of a sentence; undefined when there is none. */
export function headerProblem(names: readonly string[], contract: Contract): string | undefined {
  const seen = new Set<string>();
  for (const name of names) {
    const shown = JSON.stringify(name.slice(0, NAME_CHARACTERS_MAX));
    if (!Object.hasOwn(contract.fields, name)) {
      return `${shown} is not a field of ${contract.name}, which has ${Object.keys(contract.fields).join(', ')}`;
    }
    if (seen.has(name)) return `${shown} stands twice in the header`;
    seen.add(name);
  }
  const missing = Object.entries(contract.fields).filter(([name, field]) => field.optional !== true && !seen.has(name));
  return missing.length === 0 ? undefined : `the header lacks ${missing.map(([name]) => name).join(', ')}`;
}
