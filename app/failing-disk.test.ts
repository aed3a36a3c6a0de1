/**
 * Runs `*.failing-disk.contract.ts`, each in a process of its own: a write of one page that the disk refuses may spoil the memory
 * of the process inside lmdb's own code (see bus/README.md), and the suite would die of it, there or much later.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MOCHA = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
/** About one run in twenty is aborted. */
const RUNS_MAX = 5;
/** How a spoiled heap shows itself: glibc's words before its abort, or a fault at once. */
const SPOILED = /corrupted|malloc|free\(\)|double free|SIGABRT|SIGSEGV|Aborted/;

describe('on a disk that fails', function () {
  this.timeout(120_000);
  const files = globSync('app/**/*.failing-disk.contract.ts', { cwd: ROOT });

  it('is shown by some file', () => assert.ok(files.length > 0));

  for (const file of files) {
    it(`${file} holds`, async () => {
      for (let runs = 1; runs <= RUNS_MAX; runs += 1) {
        const { ended, output } = await runFile(file);
        if (ended === '0') return;
        assert.match(`${ended}\n${output}`, SPOILED, output);
      }
      assert.fail(`aborted ${RUNS_MAX} times`);
    });
  }
});

async function runFile(file: string): Promise<{ readonly ended: string; readonly output: string }> {
  const child = spawn(process.execPath, [MOCHA, file], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, error, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { ended: String(signal ?? code), output: `${out}\n${error}` };
}
