import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, glob, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AREAS } from './direction.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Probe {
  readonly area: string;
  readonly file: string;
  readonly refused: readonly string[];
  readonly allowed: readonly string[];
}

const PROBES: readonly Probe[] = [
  {
    area: 'api',
    file: 'app/api/probe.ts',
    refused: [
      '../bus/lmdb-bus.ts',
      '../subscriber/subscriber.ts',
      '../telemetry/metrics.ts',
      '../main.ts',
      'lmdb',
      'pino',
      '@duckdb/node-api',
      '../datasets/trips/contract.ts',
      '../../slo/compiler/x.ts',
    ],
    allowed: [
      'express',
      'ws',
      '../bus/bus.ts',
      '../warehouse/query.ts',
      '../state/state.ts',
      '../record/decode.ts',
      '../datasets/contract.ts',
      '../telemetry/telemetry.ts',
      '../errors.ts',
      '../config.ts',
      './ws.ts',
      './express.ts',
      'zod',
      'node:fs',
    ],
  },
  {
    area: 'subscriber',
    file: 'app/subscriber/probe.ts',
    refused: ['../api/problem.ts', '../warehouse/duckdb-warehouse.ts', 'express', 'prom-client'],
    allowed: ['../bus/bus.ts', '../warehouse/warehouse.ts', '../record/envelopes.ts', '../telemetry/telemetry.ts'],
  },
  {
    area: 'landing',
    file: 'app/landing/probe.ts',
    refused: ['../api/api.ts', '../subscriber/subscriber.ts', '../warehouse/duckdb-warehouse.ts', 'lmdb', 'express'],
    allowed: [
      '../warehouse/file-range.ts',
      '../state/landing-file.ts',
      '../record/decode.ts',
      '../config.ts',
      'node:fs',
    ],
  },
  {
    area: 'record',
    file: 'app/record/probe.ts',
    refused: [
      '../warehouse/warehouse.ts',
      '../api/problem.ts',
      '../telemetry/telemetry.ts',
      '../config.ts',
      'express',
      'lmdb',
    ],
    allowed: ['../datasets/contract.ts', '../bus/envelope.ts', '../bus/bus.ts', '../errors.ts', 'csv-parse', 'zod'],
  },
  {
    area: 'bus',
    file: 'app/bus/probe.ts',
    refused: ['lmdb', '../state/state.ts', '../api/problem.ts'],
    allowed: ['../errors.ts', './lmdb-bus.ts'],
  },
  {
    area: 'bus adapters',
    file: 'app/bus/lmdb-probe.ts',
    refused: ['../warehouse/warehouse.ts', '@opentelemetry/api'],
    allowed: ['lmdb', './bus.ts', '../errors.ts'],
  },
  { area: 'state', file: 'app/state/probe.ts', refused: ['lmdb', '../bus/bus.ts'], allowed: ['../errors.ts'] },
  {
    area: 'state adapters',
    file: 'app/state/lmdb-probe.ts',
    refused: ['@duckdb/node-api', '../bus/bus.ts'],
    allowed: ['lmdb', './state.ts'],
  },
  {
    area: 'warehouse',
    file: 'app/warehouse/probe.ts',
    refused: ['@duckdb/node-api', '../bus/lmdb-bus.ts', '../api/query-grammar.ts'],
    allowed: ['../datasets/contract.ts', '../bus/envelope.ts'],
  },
  {
    area: 'warehouse adapters',
    file: 'app/warehouse/duckdb-probe.ts',
    refused: ['lmdb', '../subscriber/subscriber.ts'],
    allowed: ['@duckdb/node-api', './warehouse.ts'],
  },
  {
    area: 'datasets',
    file: 'app/datasets/probe.ts',
    refused: ['../api/route.ts', '../config.ts', 'express'],
    allowed: ['../warehouse/query.ts', './contract.ts'],
  },
  {
    area: 'one dataset',
    file: 'app/datasets/probe/probe.ts',
    refused: ['../trips/contract.ts', '../../api/route.ts', '@duckdb/node-api'],
    allowed: ['../contract.ts', '../../warehouse/query.ts', '../../errors.ts', './contract.ts'],
  },
  {
    area: 'telemetry',
    file: 'app/telemetry/probe.ts',
    refused: ['../bus/bus.ts', '../api/problem.ts', 'lmdb'],
    allowed: ['@opentelemetry/api', 'pino', 'prom-client'],
  },
  {
    area: 'cli',
    file: 'app/cli/probe.ts',
    refused: ['../api/problem.ts', '../subscriber/subscriber.ts', 'lmdb'],
    allowed: ['../main.ts', '../state/lmdb-state.ts', '../config.ts'],
  },
  {
    area: 'config and errors',
    file: 'app/errors.ts',
    refused: ['./bus/bus.ts', './main.ts', '../loadtests/x.ts', 'express'],
    allowed: ['./config.ts'],
  },
  {
    area: 'equation',
    file: 'app/equation.ts',
    refused: ['./bus/lmdb-bus.ts', './api/problem.ts', 'lmdb'],
    allowed: ['./bus/bus.ts', './warehouse/warehouse.ts'],
  },
  {
    area: 'main',
    file: 'app/main.ts',
    refused: ['../loadtests/x.ts', '../slo/compiler/x.ts', 'express', 'pino'],
    allowed: ['./api/server.ts', './bus/lmdb-bus.ts', './config.ts'],
  },
  {
    area: 'tests of app',
    file: 'app/api/probe.test.ts',
    refused: ['../../loadtests/kills/run.ts', '../../slo/compiler/x.ts'],
    allowed: ['express', '../bus/lmdb-bus.ts'],
  },
  {
    area: 'loadtests',
    file: 'loadtests/probe/probe.ts',
    refused: ['../../app/main.ts', '../../app/config.ts', '../../infra/index.ts'],
    allowed: ['express', '@duckdb/node-api', '../../app/telemetry/catalogue.ts', '../../.ci/command.ts'],
  },
  {
    area: 'slo compiler',
    file: 'slo/compiler/emit/probe.ts',
    refused: ['node:fs', 'node:fs/promises', '../../load.ts', '../../verbs/check.ts', '../../../app/config.ts', 'pino'],
    allowed: ['../model.ts', 'yaml', 'zod', '../../../app/telemetry/catalogue.ts'],
  },
  {
    area: 'slo',
    file: 'slo/verbs/probe.ts',
    refused: ['../../app/main.ts', '../../loadtests/x.ts', '../../infra/x.ts', '../../.ci/command.ts', 'prom-client'],
    allowed: ['node:fs', '../compiler/compile.ts', '../../observability/tools/tools.ts'],
  },
  {
    area: 'tests of the slo compiler',
    file: 'slo/compiler/probe.test.ts',
    refused: ['../../app/main.ts', '../../loadtests/x.ts'],
    allowed: ['node:fs', './compile.ts', '../../observability/tools/tools.ts', '../../app/telemetry/catalogue.ts'],
  },
  {
    area: 'tools',
    file: 'observability/tools/probe.ts',
    refused: ['../../app/telemetry/catalogue.ts', '../../slo/load.ts', 'pino'],
    allowed: ['./build.ts', 'node:fs'],
  },
  { area: '.ci', file: '.ci/probe.ts', refused: ['../app/errors.ts', 'express'], allowed: ['./command.ts', 'mocha'] },
];

describe('direction', () => {
  let folder: string;
  let refusals: ReadonlyMap<string, ReadonlySet<number>>;

  before(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'vigia-direction-')));
    await cp(join(ROOT, 'biome.json'), join(folder, 'biome.json'));
    await mkdir(join(folder, '.ci'));
    await cp(join(ROOT, '.ci/direction.json'), join(folder, '.ci/direction.json'));
    for (const probe of PROBES) await writeProbe(folder, probe);
    refusals = await lintedLines(folder);
  });
  after(() => rm(folder, { recursive: true }));

  for (const probe of PROBES) {
    it(`refuses in ${probe.file} what ${probe.area} may not import, and nothing else`, () => {
      const specifiers = [...probe.refused, ...probe.allowed];
      const refused = specifiers.filter((_, line) => refusals.get(probe.file)?.has(line + 1));
      assert.deepEqual(refused, probe.refused);
    });
  }

  it('sees type imports, re-exports and dynamic imports', () => {
    assert.deepEqual([...(refusals.get('app/api/forms.ts') ?? [])], [1, 2, 3]);
  });

  it('has a probe for every area', () => {
    assert.deepEqual(PROBES.map(({ area }) => area).sort(), AREAS.map(({ name }) => name).sort());
  });

  it('puts every source file into exactly one area, so that no block replaces another', async () => {
    const files = await Array.fromAsync(glob('{app,loadtests,observability,slo,.ci}/**/*.ts', { cwd: ROOT }));
    const astray = files.map((file) => [file, areasOf(file)] as const).filter(([, areas]) => areas.length !== 1);
    assert.deepEqual(astray, []);
    assert.ok(files.length > 10);
  });
});

async function writeProbe(folder: string, { file, refused, allowed }: Probe): Promise<void> {
  const lines = [...refused, ...allowed].map((specifier) => `import '${specifier}';`);
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), `${lines.join('\n')}\n`);
  const forms = ["import type { A } from 'lmdb';", "export { b } from '../bus/lmdb-bus.ts';", "await import('lmdb');"];
  await writeFile(join(folder, 'app/api/forms.ts'), `${forms.join('\n')}\n`);
}

async function lintedLines(folder: string): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
  const biome = join(ROOT, 'node_modules/.bin/biome');
  const parameters = [
    'lint',
    '--vcs-enabled=false',
    '--reporter=github',
    '--max-diagnostics=none',
    '--only=style/noRestrictedImports',
    '.',
  ];
  const { stdout } = await promisify(execFile)(biome, parameters, { cwd: folder }).catch(
    // Findings end biome with 1; they are what this asks for.
    (error: { readonly stdout: string }) => error,
  );
  const lines = new Map<string, Set<number>>();
  for (const [, path = '', line] of stdout.matchAll(/^::error .*?file=([^,]+),line=(\d+),/gm)) {
    const file = relative(folder, path);
    lines.set(file, (lines.get(file) ?? new Set()).add(Number(line)));
  }
  return lines;
}

function areasOf(file: string): readonly string[] {
  return AREAS.filter(({ files }) => {
    const [taken, given] = [files.filter((one) => one.startsWith('!')), files.filter((one) => !one.startsWith('!'))];
    return given.some((one) => matchesGlob(file, one)) && !taken.some((one) => matchesGlob(file, one.slice(1)));
  }).map(({ name }) => name);
}
