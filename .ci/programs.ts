/**
 * What the tests need and npm does not bring: installed where that can be done without asking (root on Debian), else a
 * failure that says the command. A part that is missing never skips a test.
 */
import { spawnSync } from 'node:child_process';

/** Program → the Debian package that has it. */
const PROGRAMS = { strace: 'strace', curl: 'curl' } as const;
const INSTALL_TIMEOUT_MS = 5 * 60_000;

/** Throws with the command that installs what is missing. */
export function ensurePrograms(): void {
  const missing = Object.entries(PROGRAMS).filter(([program]) => !runs(program, '--version'));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const command = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() === 0 && runs('apt-get', '--version')) {
    console.log(`installing ${packages.join(', ')}`);
    const { status } = spawnSync('sh', ['-c', command], { stdio: 'inherit', timeout: INSTALL_TIMEOUT_MS });
    if (status === 0) return;
  }
  throw new Error(`${packages.join(', ')} missing. Install: sudo sh -c '${command}'`);
}

function runs(program: string, argument: string): boolean {
  return spawnSync(program, [argument], { stdio: 'ignore' }).error === undefined;
}
