import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

describe('the coverage bound', () => {
  it('leaves out tests, contract suites and exactly the files that hold nothing but types', async () => {
    const { exclude } = JSON.parse(await readFile(join(ROOT, '.c8rc.json'), 'utf8')) as {
      readonly exclude: readonly string[];
    };
    const typesOnly: string[] = [];
    for await (const file of glob('app/**/*.ts', { cwd: ROOT })) {
      if (!/\.(test|contract|d)\.ts$/.test(file) && (await holdsOnlyTypes(file))) typesOnly.push(file);
    }
    assert.deepEqual([...exclude].sort(), ['**/*.contract.ts', '**/*.d.ts', '**/*.test.ts', ...typesOnly].sort());
  });
});

/** Nothing is left to run once types and comments are gone; c8 would count such a file as 0 %, for nothing loads it. */
async function holdsOnlyTypes(file: string): Promise<boolean> {
  const text = stripTypeScriptTypes(await readFile(join(ROOT, file), 'utf8'));
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').trim().length === 0;
}
