/**
 * Finds the datasets: every folder here is one, so adding a dataset is adding a folder and nothing else.
 *
 * A folder holds `contract.ts` (export `contract`), a sample file and, where it has routes of its own, `routes.ts`
 * (export `routes`). A contract that is not sound stops the start with every problem it has.
 */
import { access, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Contract } from './contract.ts';
import { contractProblems } from './judge-contract.ts';
import type { DatasetRoute } from './route.ts';

export interface Registry {
  /** By name, in alphabetical order. */
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly routes: readonly DatasetRoute[];
  /** Where a dataset's sample lies; ends with a slash. */
  readonly folders: ReadonlyMap<string, URL>;
}

/** The message names the file, the place in it and the remedy, one problem a line. */
export class ContractError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ContractError';
    this.problems = problems;
  }
}

interface Dataset {
  readonly folder: URL;
  readonly contract: Contract;
  readonly routes: readonly DatasetRoute[];
  readonly problems: readonly string[];
}

/** `directory` ends with a slash. Throws ContractError. */
export async function loadDatasets(directory: URL = new URL('./', import.meta.url)): Promise<Registry> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  const datasets = await Promise.all(names.map((name) => loadDataset(new URL(`${name}/`, directory), name)));
  const routes = datasets.flatMap((dataset) => dataset.routes);
  const problems = [...datasets.flatMap((dataset) => dataset.problems), ...repeatedPaths(routes)];
  if (problems.length > 0) throw new ContractError(problems);
  return {
    contracts: new Map(datasets.map(({ contract }) => [contract.name, contract])),
    routes,
    folders: new Map(datasets.map(({ contract, folder }) => [contract.name, folder])),
  };
}

async function loadDataset(folder: URL, name: string): Promise<Dataset> {
  const file = new URL('contract.ts', folder);
  if (!(await exists(file))) {
    throw new ContractError([`${fileURLToPath(file)}: is missing. Add it, or take the folder out of the datasets.`]);
  }
  const { contract } = (await import(file.href)) as { readonly contract?: Contract };
  if (contract === undefined) {
    throw new ContractError([
      `${fileURLToPath(file)}: has no export named contract. Export the contract under that name.`,
    ]);
  }
  const routes = await loadRoutes(new URL('routes.ts', folder));
  const problems = [...contractProblems(contract), ...(await folderProblems({ contract, folder, name, routes }))];
  return { folder, contract, routes, problems: problems.map((problem) => `${fileURLToPath(file)}: ${problem}`) };
}

async function loadRoutes(file: URL): Promise<readonly DatasetRoute[]> {
  if (!(await exists(file))) return [];
  const { routes } = (await import(file.href)) as { readonly routes?: readonly DatasetRoute[] };
  if (routes !== undefined) return routes;
  throw new ContractError([`${fileURLToPath(file)}: has no export named routes. Export the list under that name.`]);
}

async function folderProblems(options: {
  readonly contract: Contract;
  readonly folder: URL;
  readonly name: string;
  readonly routes: readonly DatasetRoute[];
}): Promise<string[]> {
  const { contract, folder, name, routes } = options;
  const problems: string[] = [];
  if (contract.name !== name)
    problems.push(`name: "${contract.name}" is not the folder's name "${name}". Give both one name.`);
  if (!(await exists(new URL(contract.sample.file, folder)))) {
    problems.push(`sample.file: ${contract.sample.file} is not in the folder. Add the file.`);
  }
  for (const route of routes) {
    if (route.dataset !== contract.name)
      problems.push(`route ${route.path}: belongs to "${route.dataset}". Name this dataset.`);
    if (!/^\/[a-z0-9_/-]+$/.test(route.path) || route.path.startsWith('/v1/')) {
      problems.push(`route ${route.path}: is not a path of lower-case words outside /v1/. Rename it.`);
    }
  }
  return problems;
}

function repeatedPaths(routes: readonly DatasetRoute[]): string[] {
  const paths = routes.map((route) => route.path);
  return paths
    .filter((path, index) => paths.indexOf(path) !== index)
    .map((path) => `route ${path}: is declared twice. Rename one of them.`);
}

async function exists(file: URL): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
