/** A folder of generated files against what they should be. Every file in it is generated: one that is extra is stale. */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { GeneratedFile } from './compiler/emit/generated-file.ts';

export interface Difference extends GeneratedFile {
  /** `text` is what should be there; of an extra file, nothing. */
  readonly kind: 'missing' | 'different' | 'extra';
  /** What is there now. */
  readonly before: string;
}

/** By path. */
export async function differences(folder: string, wanted: readonly GeneratedFile[]): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  const there = new Set(await filesBelow(folder));
  for (const { path, text } of wanted) {
    const before = there.has(path) ? await readFile(join(folder, path), 'utf8') : undefined;
    if (before !== text) {
      found.push({ path, text, before: before ?? '', kind: before === undefined ? 'missing' : 'different' });
    }
    there.delete(path);
  }
  for (const path of there) {
    found.push({ path, text: '', before: await readFile(join(folder, path), 'utf8'), kind: 'extra' });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Lines around the first place where the two differ, `-` what is there, `+` what should be. */
export function diffText({ before, path, text }: Difference): string {
  const is = before.split('\n');
  const should = text.split('\n');
  let first = 0;
  while (first < is.length && is[first] === should[first]) first += 1;
  let lastIs = is.length;
  let lastShould = should.length;
  while (lastIs > first && lastShould > first && is[lastIs - 1] === should[lastShould - 1]) {
    lastIs -= 1;
    lastShould -= 1;
  }
  const removed = is.slice(first, lastIs).map((line) => `-${line}`);
  const added = should.slice(first, lastShould).map((line) => `+${line}`);
  return [`slo/generated/${path}:${first + 1}`, ...cut(removed), ...cut(added)].join('\n');
}
/** The first lines say what changed; a whole dashboard says nothing more. */
const LINES_SHOWN_MAX = 20;

function cut(lines: readonly string[]): readonly string[] {
  if (lines.length <= LINES_SHOWN_MAX) return lines;
  return [...lines.slice(0, LINES_SHOWN_MAX), `… ${lines.length - LINES_SHOWN_MAX} more lines`];
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
