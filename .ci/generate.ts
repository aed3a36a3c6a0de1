/**
 * `npm run generate`: every file that is made from another, in one place. `--check` writes nothing and exits 1 when
 * one of them is stale. A new generator is one row; each takes `--check` itself.
 */
import { runCommand } from './command.ts';

/** What node is given. */
const GENERATORS: readonly (readonly string[])[] = [
  ['.ci/direction.ts'],
  ['app/config.generate.ts'],
  ['app/datasets/generate.ts'],
  ['app/telemetry/generate.ts'],
  // After the datasets: freshness has a budget for each.
  ['slo/generate.ts'],
  ['--import', './app/telemetry/start.ts', 'app/postman.generate.ts'],
];
const GENERATOR_TIMEOUT_MS = 60_000;
const WRONG_USAGE = 64;

const flags = process.argv.slice(2);
if (flags.some((flag) => flag !== '--check')) {
  console.error('Usage: npm run generate -- [--check]');
  process.exit(WRONG_USAGE);
}
for (const generator of GENERATORS) {
  const { exitCode } = await runCommand({ command: ['node', ...generator, ...flags], timeoutMs: GENERATOR_TIMEOUT_MS });
  if (exitCode !== 0) process.exitCode = 1;
}
