/** What every command does alike: `--help`, wrong usage is 64, a failure is one line and 1. */

import { keepPrivate } from '../private-files.ts';
import { systemErrorText } from '../system-error.ts';

export class UsageError extends Error {}

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;

interface Command {
  readonly help: string;
  /** Returns the exit code. */
  readonly run: (args: readonly string[]) => Promise<number>;
}

export async function runCommand({ help, run }: Command): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${help}\n`);
    return;
  }
  keepPrivate();
  try {
    process.exitCode = await run(args);
  } catch (error) {
    const usage =
      error instanceof UsageError ||
      (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
    const text = systemErrorText(error) ?? (error instanceof Error ? error.message : String(error));
    process.stderr.write(`${text}\n${usage ? `\n${help}\n` : ''}`);
    process.exitCode = usage ? EXIT_USAGE : EXIT_FAILED;
  }
}
