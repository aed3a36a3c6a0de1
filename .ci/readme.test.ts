import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const read = (file: string): Promise<string> => readFile(join(ROOT, file), 'utf8');
/** Not asked of git, so that a copy without it can be tested too. */
const files = globSync(['*.md', '{.ci,app,loadtests,slo,observability,infra}/**/*.{ts,md}'], {
  cwd: ROOT,
  exclude: ['**/node_modules/**'],
});

/** The part of the README under a heading. */
async function section(heading: string): Promise<string> {
  const [, text] = (await read('README.md')).split(`\n## ${heading}\n`);
  assert.ok(text !== undefined, `README.md has no "${heading}"`);
  return text.split('\n## ')[0] ?? '';
}

describe('README.md', () => {
  it('says of every runtime dependency why it is here, and of nothing else', async () => {
    const named = [...(await section('Why each runtime dependency is here')).matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)];
    const { dependencies } = JSON.parse(await read('package.json')) as { readonly dependencies: object };
    assert.deepEqual(named.map(([, name]) => name).sort(), Object.keys(dependencies).sort());
  });

  it('lists every folder of the service and every folder that holds code beside it', async () => {
    const named = [...(await section('Folders')).matchAll(/^\| \[`([^`]+)`\]/gm)].map(([, name]) => name);
    const folders = files
      .filter((file) => file.endsWith('.ts'))
      .map((file) =>
        file
          .split('/')
          .slice(0, file.startsWith('app/') ? -1 : 1)
          .slice(0, 2)
          .join('/'),
      );
    assert.deepEqual(named.sort(), [...new Set(folders)].sort());
  });

  it('names every command of package.json that a person runs', async () => {
    const text = await read('README.md');
    const { scripts } = JSON.parse(await read('package.json')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    const missing = Object.keys(scripts).filter((name) => !new RegExp(`npm (run (-s )?)?${name}(?![a-z:])`).test(text));
    assert.deepEqual(missing, []);
  });
});

describe('every README', () => {
  const readmes = files.filter((file) => file.endsWith('README.md'));

  it('is beside the code it speaks of, one in each folder of the service', () => {
    const folders = files.flatMap((file) => /^(app\/[a-z]+|app|loadtests|\.ci)\/[^/]+\.ts$/.exec(file)?.[1] ?? []);
    const missing = [...new Set(folders)].filter((folder) => !readmes.includes(`${folder}/README.md`));
    assert.deepEqual(missing, []);
  });

  for (const readme of readmes) {
    it(`${readme} links to files that exist`, async () => {
      const links = [...(await read(readme)).matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)].map(
        ([, to]) => to ?? '',
      );
      assert.deepEqual(
        links.filter((link) => !existsSync(join(ROOT, dirname(readme), link))),
        [],
      );
    });

    it(`${readme} names files of its folder that exist`, async () => {
      const folder = join(ROOT, dirname(readme));
      const names = [...(await read(readme)).matchAll(/^\| `([a-z][a-z0-9.-]*\.ts)`/gm)].map(([, name]) => name ?? '');
      assert.deepEqual(
        names.filter((name) => !existsSync(join(folder, name))),
        [],
      );
    });
  }
});
