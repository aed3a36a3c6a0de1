/**
 * `npm run check`: what is true of the source without running it. Under 60 s on 2 cores. All checks run, so that one
 * call shows everything there is to mend.
 */
import { runCommand } from './command.ts';

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly mend: string;
}

const CHECKS: readonly Check[] = [
  { name: 'lock file', command: ['node', '.ci/lockfile.ts', '--check'], mend: 'node .ci/lockfile.ts' },
  { name: 'generated files', command: ['node', '.ci/generate.ts', '--check'], mend: 'npm run generate' },
  { name: 'types', command: ['tsc', '--noEmit'], mend: 'the lines named above' },
  {
    name: 'lint, format, direction',
    command: ['biome', 'check', '--error-on-warnings', '--max-diagnostics=none', '.'],
    mend: 'npx biome check --write .',
  },
  { name: 'dead code', command: ['knip', '--no-progress'], mend: 'remove what is named above, or use it' },
];
const CHECK_TIMEOUT_MS = 60_000;

const failed: Check[] = [];
for (const check of CHECKS) {
  const { exitCode, seconds } = await runCommand({ command: check.command, timeoutMs: CHECK_TIMEOUT_MS });
  if (exitCode !== 0) failed.push(check);
  console.log(`${exitCode === 0 ? 'ok    ' : 'FAILED'} ${check.name} (${seconds.toFixed(1)} s)`);
}
for (const check of failed) console.error(`check: ${check.name} failed. To mend: ${check.mend}`);
process.exitCode = failed.length === 0 ? 0 : 1;
