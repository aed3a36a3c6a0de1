/**
 * Who may import what: the design's data-flow diagram as one table, made into Biome rules (`direction.json`, which
 * biome.json extends).
 *
 * Made from a table, because in Biome a later block that matches a file replaces an earlier one: every block needs
 * its whole list and no two may match one file, which nobody keeps up by hand. Each folder is an allow-list: what is
 * not named here is refused, `import type`, dynamic imports and re-exports included.
 *
 * `node .ci/direction.ts` writes the file; with `--check` it exits 1 when the file is not what the table makes.
 */
import { readFile, writeFile } from 'node:fs/promises';

/** Each library has one owner; `**` covers its subpaths. */
const OWNERS = {
  api: ['express', 'ws', 'swagger-ui-dist', 'rate-limiter-flexible'],
  lmdb: ['lmdb'],
  duckdb: ['@duckdb'],
  telemetry: ['@opentelemetry', 'prom-client', 'pino', 'import-in-the-middle'],
} as const;
type Owner = keyof typeof OWNERS;

interface Area {
  readonly name: string;
  /** Biome globs; `!` takes away what another area holds. */
  readonly files: readonly string[];
  /** Imports that leave the folder, as they are written in its files. */
  readonly may: readonly string[];
  /** What is refused before `may` gives some back. */
  readonly refuse: readonly string[];
  readonly owns: readonly Owner[];
  readonly because: string;
}

const TESTS = ['**/*.test.ts', '**/*.contract.ts'] as const;
const OUTSIDE_FOLDER = ['../**'] as const;
const EVERY_OWNER = Object.keys(OWNERS) as Owner[];
const CONTRACTS = ['../datasets/contract.ts', '../errors.ts'] as const;
const WAREHOUSE_QUESTIONS = [
  '../warehouse/warehouse.ts',
  '../warehouse/erasable.ts',
  '../warehouse/query.ts',
  '../warehouse/query-rules.ts',
  '../warehouse/query-value.ts',
] as const;
const JOURNEY = [
  '../bus/bus.ts',
  '../bus/envelope.ts',
  ...WAREHOUSE_QUESTIONS,
  '../state/state.ts',
  '../state/landing-file.ts',
  '../datasets/*.ts',
  '../record/**',
  '../telemetry/telemetry.ts',
  '../errors.ts',
  '../config.ts',
  '../equation.ts',
] as const;

/** What every folder beside the service may know of it. */
const OPEN_FACTS = ['**/app/telemetry/catalogue.ts', '**/app/datasets/datasets.json'] as const;
const OTHER_FOLDERS = ['**/app/**', '**/observability/**', '**/loadtests/**', '**/infra/**', '**/.ci/**'] as const;

const GROUND = [
  'app/config.ts',
  'app/config.generate.ts',
  'app/errors.ts',
  'app/lmdb-durability.ts',
  'app/durable-folder.ts',
  'app/private-files.ts',
] as const;
const BUS_ADAPTERS = ['app/bus/lmdb-*.ts', 'app/bus/commit-queue.ts'] as const;
const STATE_ADAPTERS = ['app/state/lmdb-*.ts'] as const;
const WAREHOUSE_ADAPTERS = [
  'app/warehouse/duckdb*.ts',
  'app/warehouse/bronze*.ts',
  'app/warehouse/recovery*.ts',
] as const;

export const AREAS: readonly Area[] = [
  folder('api', { may: JOURNEY, owns: ['api'], because: 'api knows the interfaces, never an adapter or subscriber' }),
  folder('subscriber', { may: JOURNEY, because: 'subscriber knows the interfaces, never an adapter or api' }),
  folder('landing', {
    may: [...JOURNEY, '../durable-folder.ts', '../private-files.ts', '../warehouse/file-range.ts'],
    because: 'landing knows the interfaces, never an adapter, api or subscriber',
  }),
  folder('record', {
    may: [...CONTRACTS, '../bus/bus.ts', '../bus/envelope.ts'],
    because: 'record is pure: contracts in, messages out',
  }),
  ...interfaceFolder('bus', { adapters: BUS_ADAPTERS, may: [...CONTRACTS, '../lmdb-durability.ts'], owns: ['lmdb'] }),
  ...interfaceFolder('state', {
    adapters: STATE_ADAPTERS,
    may: ['../errors.ts', '../lmdb-durability.ts'],
    owns: ['lmdb'],
  }),
  ...interfaceFolder('warehouse', {
    adapters: WAREHOUSE_ADAPTERS,
    may: [...CONTRACTS, '../bus/envelope.ts', '../durable-folder.ts'],
    owns: ['duckdb'],
  }),
  {
    name: 'datasets',
    files: only(['app/datasets/*.ts']),
    refuse: OUTSIDE_FOLDER,
    may: [...WAREHOUSE_QUESTIONS, '../errors.ts'],
    owns: [],
    because: 'a dataset is data: it names what it reads, others run it',
  },
  {
    name: 'one dataset',
    files: only(['app/datasets/*/**']),
    refuse: OUTSIDE_FOLDER,
    may: [
      '../contract.ts',
      '../seeded-random.ts',
      '../route.ts',
      '../../warehouse/warehouse.ts',
      '../../warehouse/query.ts',
      '../../errors.ts',
    ],
    owns: [],
    because: 'a dataset is data: it knows the contract language and no other dataset',
  },
  folder('telemetry', {
    may: ['../errors.ts', '../config.ts', '../private-files.ts'],
    owns: ['telemetry'],
    because: 'telemetry knows nothing of what it watches',
  }),
  folder('cli', {
    may: [
      '../main.ts',
      '../samples.ts',
      '../{open-stores,compaction,data-format,backup,restore,doctor,equation,operator-tasks,custody-tasks,private-files,system-error,version}.ts',
      '../config.ts',
      '../errors.ts',
      '../landing/{drop-file,landing-name}.ts',
      '../bus/**',
      '../state/**',
      '../warehouse/**',
      '../datasets/*.ts',
      '../record/**',
      '../telemetry/telemetry.ts',
    ],
    because: 'a command composes parts as main does; it is neither api nor subscriber',
  }),
  {
    name: 'config and errors',
    files: only(GROUND),
    refuse: ['../**', './**'],
    may: ['./config.ts'],
    owns: [],
    because: 'config and errors are the ground everything stands on',
  },
  {
    name: 'equation',
    files: only(['app/equation.ts']),
    refuse: ['../**', './**'],
    may: ['./bus/bus.ts', './warehouse/warehouse.ts', './telemetry/catalogue.ts', './errors.ts'],
    owns: [],
    because: 'the loss equation adds up what the interfaces say',
  },
  {
    name: 'main',
    files: only(['app/*.ts', ...GROUND.map((file) => `!${file}`), '!app/equation.ts']),
    refuse: OUTSIDE_FOLDER,
    may: ['../package.json'],
    owns: [],
    because: 'app imports nothing outside app',
  },
  {
    name: 'tests of app',
    files: ['app/**/*.test.ts', 'app/**/*.contract.ts'],
    refuse: ['**/slo/**', '**/observability/**', '**/loadtests/**', '**/infra/**', '**/.ci/**'],
    may: [],
    owns: EVERY_OWNER,
    because: 'app imports nothing outside app',
  },
  {
    name: 'slo compiler',
    files: only(['slo/compiler/**', '!**/*.fixture.ts']),
    refuse: [...OTHER_FOLDERS, 'node:*', 'node:*/**', '**/verbs/**', '**/load.ts', '**/slo/test/**'],
    may: OPEN_FACTS,
    owns: [],
    because: 'the compiler is pure: texts in, texts out; load.ts and the verbs do the disk',
  },
  {
    name: 'slo',
    files: ['slo/**', '!slo/compiler/**'],
    refuse: OTHER_FOLDERS,
    may: [...OPEN_FACTS, '**/observability/tools/**'],
    owns: [],
    because: 'slo knows of the service what its catalogue says, and of the rest nothing',
  },
  {
    name: 'tests of the slo compiler',
    files: ['slo/compiler/**/*.test.ts', 'slo/compiler/**/*.fixture.ts'],
    refuse: OTHER_FOLDERS,
    may: [...OPEN_FACTS, '**/observability/tools/**'],
    owns: [],
    because: 'slo knows of the service what its catalogue says, and of the rest nothing',
  },
  {
    name: 'tools',
    files: ['observability/tools/**'],
    refuse: ['../**'],
    may: [],
    owns: [],
    because: 'anyone may call the tools, so they know nobody',
  },
  {
    name: 'loadtests',
    files: ['loadtests/**'],
    refuse: ['**/app/**', '**/observability/**', '**/infra/**', '**/.ci/**', '**/slo/**'],
    may: [
      '**/app/telemetry/catalogue.ts',
      '**/app/datasets/datasets.json',
      '**/slo/generated/**',
      '**/observability/tools/**',
      '**/.ci/command.ts',
    ],
    // Benchmarks measure against the bare library.
    owns: EVERY_OWNER,
    because: 'loadtests push the running service from outside',
  },
  {
    name: '.ci',
    files: ['.ci/**'],
    refuse: ['../**'],
    may: [],
    owns: [],
    because: 'the frame runs the parts as processes and imports none of them',
  },
];

function only(files: readonly string[]): readonly string[] {
  return [...files, ...TESTS.map((glob) => `!${glob}`)];
}

function folder(
  name: string,
  area: { readonly may: readonly string[]; readonly owns?: readonly Owner[]; readonly because: string },
): Area {
  return {
    name,
    files: only([`app/${name}/**`]),
    refuse: OUTSIDE_FOLDER,
    may: area.may,
    owns: area.owns ?? [],
    because: area.because,
  };
}

/** The interface's side of a folder and its adapters, which alone may touch the library. */
function interfaceFolder(
  name: string,
  area: { readonly adapters: readonly string[]; readonly may: readonly string[]; readonly owns: readonly Owner[] },
): readonly Area[] {
  const shared = { refuse: OUTSIDE_FOLDER, may: area.may, because: 'an adapter knows its interface and no other part' };
  return [
    { ...shared, name, files: [...only([`app/${name}/**`]), ...area.adapters.map((glob) => `!${glob}`)], owns: [] },
    { ...shared, name: `${name} adapters`, files: only(area.adapters), owns: area.owns },
  ];
}

function ruleOf(area: Area): unknown {
  const foreign = EVERY_OWNER.filter((owner) => !area.owns.includes(owner));
  const libraries = foreign.map((owner) => ({
    group: OWNERS[owner].flatMap((library) => [library, `${library}/**`]),
    message: `Only ${owner === 'lmdb' || owner === 'duckdb' ? `the ${owner} adapters` : `app/${owner}`} may use this library: one owner each.`,
  }));
  const direction = {
    group: [...area.refuse, ...area.may.map((pattern) => `!${pattern}`)],
    message: `Direction (${area.name}): ${area.because}. See .ci/direction.ts.`,
  };
  return {
    includes: area.files,
    linter: {
      rules: { style: { noRestrictedImports: { level: 'error', options: { patterns: [...libraries, direction] } } } },
    },
  };
}

function directionRules(): string {
  return `${JSON.stringify({ overrides: AREAS.map(ruleOf) }, null, 2)}\n`;
}

if (import.meta.main) {
  const file = new URL('./direction.json', import.meta.url);
  const made = directionRules();
  if (!process.argv.includes('--check')) await writeFile(file, made);
  else if ((await readFile(file, 'utf8')) !== made) {
    console.error('.ci/direction.json is not what .ci/direction.ts makes. Run: npm run generate');
    process.exitCode = 1;
  }
}
