/**
 * `npm test`: every suite in order, each one's real counts summed; the last line is `tests: N passed, N failed`.
 * Every suite runs, also after one failed, so that one run shows all there is to mend.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from './command.ts';
import { type Counts, type CountsFrom, countsOf } from './counts.ts';
import { ensurePrograms } from './programs.ts';

interface Suite {
  readonly name: string;
  /** Runs in `npm run test:unit` too, which stays under 60 s: as it is, or as this shorter command. */
  readonly quick: boolean | readonly [string, ...string[]];
  readonly countsFrom: CountsFrom;
  readonly command: readonly [string, ...string[]];
  /** Pinned programs that its tests run. Built before them: no test's timeout could cover the first build. */
  readonly tools?: readonly string[];
}

const COUNTS_FILE = '{counts}';
const REPORTER = ['--reporter', './.ci/reporter.ts', '--reporter-option', `counts=${COUNTS_FILE}`] as const;

/** Starts the service a few dozen times, under strace and on damaged files: about 80 s. */
const DURABILITY = 'loadtests/durability/*.test.ts';

/** Tests that start the whole service, or programs of their own, again and again. */
const STARTS_SERVICES = ['app/api/**', 'app/cli/**', 'app/telemetry/service-*', 'app/bus/durability.test.ts'].flatMap(
  (pattern) => ['--ignore', pattern],
);

/** A new suite is one row. */
const SUITES: readonly Suite[] = [
  { name: 'check', quick: true, countsFrom: 'exit code', command: ['node', '.ci/check.ts'] },
  {
    name: 'unit',
    quick: ['mocha', ...REPORTER, ...STARTS_SERVICES, 'app/**/*.test.ts', '.ci/**/*.test.ts'],
    countsFrom: 'mocha',
    command: ['c8', 'mocha', ...REPORTER, 'app/**/*.test.ts', '.ci/**/*.test.ts'],
  },
  {
    name: 'slo',
    quick: false,
    countsFrom: 'mocha',
    command: ['mocha', ...REPORTER, 'slo/**/*.test.ts', 'observability/tools/*.test.ts'],
    tools: ['promtool', 'oslo', 'alertmanager'],
  },
  {
    name: 'loadtests',
    quick: false,
    countsFrom: 'mocha',
    command: ['mocha', ...REPORTER, '--ignore', DURABILITY, 'loadtests/**/*.test.ts'],
  },
  { name: 'durability', quick: false, countsFrom: 'mocha', command: ['mocha', ...REPORTER, DURABILITY] },
  {
    name: 'kills',
    quick: false,
    countsFrom: 'kill line',
    command: ['node', 'loadtests/kills/run.ts', '--runs', '25', '--seed', '1'],
  },
];

/** The whole run takes about 4 minutes; a suite that takes this long hangs. */
const SUITE_TIMEOUT_MS = 20 * 60_000;
/** A first build of every tool takes about 20 minutes on two cores; with a warm cache nothing is built. */
const TOOLS_TIMEOUT_MS = 60 * 60_000;
const WRONG_USAGE = 64;

const USAGE = `Usage: npm test -- [--quick] [--only NAME]
  --quick      only the suites of npm run test:unit
  --only NAME  only this suite: ${SUITES.map((suite) => suite.name).join(', ')}
Exit codes: 0 all passed, 1 something failed, ${WRONG_USAGE} wrong usage.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const suites = chosenSuites();
  if (typeof suites === 'number') return suites;
  ensurePrograms();
  await ensureTools(suites.flatMap(({ tools }) => tools ?? []));
  const folder = await mkdtemp(join(tmpdir(), 'vigia-test-'));
  const results: Counts[] = [];
  try {
    for (const suite of suites) results.push(await runSuite(suite, join(folder, `${suite.name}.json`)));
  } finally {
    await rm(folder, { recursive: true });
  }
  const passed = results.reduce((sum, counts) => sum + counts.passed, 0);
  const failed = results.reduce((sum, counts) => sum + counts.failed, 0);
  console.log(`tests: ${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function ensureTools(names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const { exitCode } = await runCommand({
    command: ['node', 'observability/tools/run.ts', ...names],
    timeoutMs: TOOLS_TIMEOUT_MS,
  });
  if (exitCode !== 0) throw new Error(`the pinned programs ${names.join(', ')} could not be built: see above`);
}

function chosenSuites(): readonly Suite[] | number {
  try {
    const { values } = parseArgs({
      options: { quick: { type: 'boolean' }, only: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    const chosen = SUITES.filter(
      (suite) => (values.only ?? suite.name) === suite.name && (!values.quick || suite.quick !== false),
    );
    if (chosen.length > 0) return values.quick ? chosen.map(shortened) : chosen;
    console.error(`No suite is called ${values.only}.\n${USAGE}`);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
  return WRONG_USAGE;
}

function shortened(suite: Suite): Suite {
  return Array.isArray(suite.quick) ? { ...suite, command: suite.quick } : suite;
}

async function runSuite(suite: Suite, countsFile: string): Promise<Counts> {
  console.log(`\n── ${suite.name} ──`);
  const [program, ...parameters] = suite.command;
  const { exitCode, lastLines, seconds } = await runCommand({
    command: [program, ...parameters.map((parameter) => parameter.replace(COUNTS_FILE, countsFile))],
    timeoutMs: SUITE_TIMEOUT_MS,
  });
  const counts = countsOf({
    countsFrom: suite.countsFrom,
    exitCode,
    lastLines,
    reported: await readReport(countsFile),
  });
  console.log(
    `── ${suite.name}: ${counts.passed} passed, ${counts.failed} failed, exit code ${exitCode}, ${seconds.toFixed(1)} s`,
  );
  return counts;
}

async function readReport(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
