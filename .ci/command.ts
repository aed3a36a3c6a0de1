/**
 * Runs one program to its end: output passes through as it comes, the last lines are kept for whoever reads a result
 * out of them. A program that hangs is ended with everything it started, so that a test run always ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

interface CommandOptions {
  readonly command: readonly [string, ...string[]];
  readonly timeoutMs: number;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly seconds: number;
  /** The last lines of standard output that are not blank, oldest first. */
  readonly lastLines: readonly string[];
  readonly timedOut: boolean;
}

const LAST_LINES_MAX = 20;
const NOT_STARTED_EXIT_CODE = 127;
const CUT_OFF_EXIT_CODE = 124;
const SIGNAL_EXIT_CODE = 1;
const FORWARDED = ['SIGINT', 'SIGTERM'] as const;

export async function runCommand({ command, timeoutMs }: CommandOptions): Promise<CommandResult> {
  const startedAtMs = performance.now();
  const [program, ...parameters] = command;
  // A group of its own, so that the time limit also ends what the program started.
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const closed = once(child, 'close').catch((error: unknown) => {
    console.error(`${program} did not start: ${error instanceof Error ? error.message : String(error)}`);
    return [NOT_STARTED_EXIT_CODE];
  });
  const endGroup = (signal: NodeJS.Signals): void => signalGroup(child.pid, signal);
  for (const signal of FORWARDED) process.on(signal, endGroup);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    endGroup('SIGKILL');
  }, timeoutMs);

  const lastLines: string[] = [];
  child.stdout.pipe(process.stdout, { end: false });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.trim() === '') return;
    lastLines.push(line);
    if (lastLines.length > LAST_LINES_MAX) lastLines.shift();
  });

  const [exitCode] = await closed;
  clearTimeout(timer);
  for (const signal of FORWARDED) process.off(signal, endGroup);
  if (timedOut) console.error(`${command.join(' ')}: cut off after ${timeoutMs / 1000} s.`);
  return {
    exitCode: timedOut ? CUT_OFF_EXIT_CODE : Number(exitCode ?? SIGNAL_EXIT_CODE),
    seconds: (performance.now() - startedAtMs) / 1000,
    lastLines,
    timedOut,
  };
}

function signalGroup(processId: number | undefined, signal: NodeJS.Signals): void {
  if (processId === undefined) return;
  try {
    process.kill(-processId, signal);
  } catch (error) {
    // The group ended by itself between the decision and the signal.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
