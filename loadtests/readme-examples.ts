/**
 * The README's ```console blocks as commands with the output each promises, and a shell that runs them as a reader's
 * would: one after the other, variables kept.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** All examples together; the slowest are `npm run` and `npx`, about a second each. */
const SHELL_TIMEOUT_MS = 120_000;
/** Written after each command's output; no answer holds it. */
const END = '\u0004\n';

interface Example {
  readonly command: string;
  /** `…` stands for what differs each time. */
  readonly output: string;
}

/** A command begins with `$ ` and goes on over lines that end with `\` or `|`. */
export function readExamples(markdown: string): readonly Example[] {
  return [...markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [, command = '', output = ''] = /^((?:.*[\\|]\n)*.*)\n?([\s\S]*)$/.exec(text) ?? [];
        return { command, output: output.trimEnd() };
      }),
  );
}

interface ShellOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Shell text that comes before the first command. */
  readonly prelude: string;
}

/** Returns what each command wrote to standard output as a terminal shows it: CR LF (of CSV) is a line end. */
export async function runExamples(
  examples: readonly Example[],
  { cwd, env, prelude }: ShellOptions,
): Promise<readonly string[]> {
  const script = examples.map(({ command }) => `${command}\nprintf '\\004\\n'\n`).join('');
  const { stdout } = await promisify(execFile)('bash', ['-c', `${prelude}\n${script}`], {
    cwd,
    env: { ...env },
    timeout: SHELL_TIMEOUT_MS,
  });
  return stdout
    .split(END)
    .slice(0, -1)
    .map((output) => output.replaceAll('\r\n', '\n').trimEnd());
}

/** True when the output is the promised one, word for word but for what `…` stands for. */
export function isAsPrinted(output: string, promised: string): boolean {
  const pattern = promised.split('…').map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${pattern.join('[^"\\s]+')}$`).test(output);
}
