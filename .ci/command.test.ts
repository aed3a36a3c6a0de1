import assert from 'node:assert/strict';
import { runCommand } from './command.ts';

const script = (text: string): readonly [string, ...string[]] => [process.execPath, '-e', text];

describe('running a command', () => {
  it('answers exit code and last lines, blank ones left out', async () => {
    const result = await runCommand({
      command: script("console.log('first\\n\\nlast'); process.exitCode = 3"),
      timeoutMs: 5000,
    });
    assert.equal(result.exitCode, 3);
    assert.deepEqual(result.lastLines, ['first', 'last']);
  });

  it('ends a program that hangs, and says so', async () => {
    const result = await runCommand({ command: script('setInterval(() => {}, 1000)'), timeoutMs: 1 });
    assert.equal(result.timedOut, true);
    assert.notEqual(result.exitCode, 0);
  });

  it('counts a program that is not there, and one that dies of a signal, as failed', async () => {
    const absent = await runCommand({ command: ['vigia-no-such-program'], timeoutMs: 5000 });
    assert.equal(absent.exitCode, 127);
    const killed = await runCommand({ command: script("process.kill(process.pid, 'SIGKILL')"), timeoutMs: 5000 });
    assert.equal(killed.exitCode, 1);
  });
});
