/**
 * Golden pairs: what an emitter makes of the golden model stands in `slo/test/golden/` and is reviewed as text.
 * `npx mocha 'slo/compiler/emit/*.test.ts' --update-golden` writes it anew.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { GeneratedFile } from './generated-file.ts';

const ROOT = join(import.meta.dirname, '..', '..', 'test', 'golden');

/** Compares files under `slo/test/golden/<folder>` both ways: none missing, none left over, each the same text. */
export function assertGolden(folder: string, files: readonly GeneratedFile[]): void {
  const root = join(ROOT, folder);
  if (process.argv.includes('--update-golden')) {
    for (const { path, text } of files) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
  }
  assert.deepEqual(files.map(({ path }) => path).sort(), filesBelow(root), `slo/test/golden/${folder}`);
  for (const { path, text } of files) assert.equal(text, readFileSync(join(root, path), 'utf8'), path);
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
