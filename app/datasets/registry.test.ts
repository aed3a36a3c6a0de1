import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { datasetsDocument } from './generate.ts';
import { ContractError, loadDatasets } from './registry.ts';

/** The README's example of a new dataset: the test takes its text from there. */
async function readmeContract(): Promise<string> {
  const readme = await readFile(new URL('README.md', import.meta.url), 'utf8');
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  assert.ok(code !== undefined, 'README.md shows a contract');
  return code.replace("'../contract.ts'", `'${new URL('contract.ts', import.meta.url).href}'`);
}

const ROUTES = `export const routes = [{ path: '/tides', dataset: 'tides' }];`;

describe('loadDatasets', () => {
  let folder: string;
  let directory: URL;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'vigia-datasets-'));
    directory = pathToFileURL(`${folder}/`);
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function add(name: string, files: Readonly<Record<string, string>>): Promise<void> {
    await mkdir(path.join(folder, name));
    for (const [file, text] of Object.entries(files)) await writeFile(path.join(folder, name, file), text);
  }

  async function problemsOf(loading: Promise<unknown>): Promise<readonly string[]> {
    try {
      await loading;
    } catch (error) {
      if (error instanceof ContractError) return error.problems;
      throw error;
    }
    return [];
  }

  it('finds the four datasets, their folders and their routes', async () => {
    const { contracts, folders, routes } = await loadDatasets();
    assert.deepEqual([...contracts.keys()], ['articles', 'book_sales', 'flights', 'trips']);
    assert.deepEqual([...folders.keys()], [...contracts.keys()]);
    assert.deepEqual(
      routes.map((route) => route.path),
      ['/articles/readers', '/data_analysis', '/stats'],
    );
  });

  it('finds a dataset whose folder was added as the README says', async () => {
    await add('tides', { 'contract.ts': await readmeContract(), 'sample.ndjson': '{}\n', 'routes.ts': ROUTES });
    const registry = await loadDatasets(directory);
    assert.deepEqual([...registry.contracts.keys()], ['tides']);
    assert.deepEqual(
      registry.routes.map((route) => route.path),
      ['/tides'],
    );
    assert.equal(registry.folders.get('tides')?.href, new URL('tides/', directory).href);
    assert.match(datasetsDocument(registry), /"name": "tides"/);
  });

  it('refuses a folder without a contract, naming the file to add', async () => {
    await add('empty', {});
    const [problem] = await problemsOf(loadDatasets(directory));
    assert.match(problem ?? '', /empty\/contract\.ts: is missing\. Add it/);
  });

  it('refuses modules that do not export what is looked for', async () => {
    await add('tides', { 'contract.ts': 'export const agreement = {};' });
    assert.match((await problemsOf(loadDatasets(directory)))[0] ?? '', /no export named contract/);
    await add('waves', { 'contract.ts': await readmeContract(), 'routes.ts': 'export const paths = [];' });
    await rm(path.join(folder, 'tides'), { recursive: true });
    assert.match((await problemsOf(loadDatasets(directory)))[0] ?? '', /no export named routes/);
  });

  it('refuses a contract that does not fit its folder, telling every problem at once', async () => {
    const route = (dataset: string, at: string) => `{ path: '${at}', dataset: '${dataset}' }`;
    await add('waves', {
      'contract.ts': await readmeContract(),
      'routes.ts': `export const routes = [${route('flights', '/waves')}, ${route('tides', '/v1/x')}, ${route('tides', '/waves')}];`,
    });
    const problems = await problemsOf(loadDatasets(directory));
    assert.equal(problems.length, 5);
    assert.match(problems[0] ?? '', /waves\/contract\.ts: name: "tides" is not the folder's name "waves"/);
    assert.match(problems[1] ?? '', /sample\.ndjson is not in the folder/);
    assert.match(problems[2] ?? '', /route \/waves: belongs to "flights"/);
    assert.match(problems[3] ?? '', /route \/v1\/x: is not a path/);
    assert.match(problems[4] ?? '', /route \/waves: is declared twice/);
  });
});

describe('datasets.json', () => {
  it('is what the contracts say today', async () => {
    assert.equal(
      await readFile(new URL('datasets.json', import.meta.url), 'utf8'),
      datasetsDocument(await loadDatasets()),
    );
  });

  it('marks units, personal and derived fields and gives every gold view its columns', async () => {
    const all = JSON.parse(datasetsDocument(await loadDatasets())) as {
      readonly name: string;
      readonly fields: readonly {
        readonly name: string;
        readonly unit: string | null;
        readonly personal: boolean;
        readonly derived: boolean;
      }[];
      readonly gold: readonly { readonly view: string; readonly columns: readonly string[] }[];
    }[];
    const field = (dataset: string, name: string) =>
      all.find((each) => each.name === dataset)?.fields.find((each) => each.name === name);
    assert.equal(field('flights', 'delay')?.unit, 'min');
    assert.equal(field('book_sales', 'buyer_email')?.personal, true);
    assert.equal(field('articles', 'saga')?.derived, true);
    const fact = all
      .find((each) => each.name === 'articles')
      ?.gold.find((each) => each.view === 'gold.articles_fact_readers');
    assert.deepEqual(fact?.columns, ['article_id', 'saga', 'readers', 'published_at', 'entity', 'entity_count']);
  });
});
