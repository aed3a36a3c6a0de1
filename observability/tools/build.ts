/** One `go build`, niced so that a first build leaves the machine usable, and told apart by how it failed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface BuildOptions {
  readonly name: string;
  readonly folder: string;
  readonly program: string;
  readonly buildFlags: readonly string[];
  readonly output: string;
  readonly timeoutMs: number;
  /** For tests: another place to look for `go`. */
  readonly searchPath?: string;
}

const NICENESS = '15';
const OUTPUT_CHARACTERS_MAX = 4_000;
/** What the go.mod files ask for at most; Debian's own package is older. */
const GO_VERSION = '1.26.8';
const INSTALL_GO = `curl -fsSL https://go.dev/dl/go${GO_VERSION}.linux-amd64.tar.gz | sudo tar -C /usr/local -xz && export PATH=$PATH:/usr/local/go/bin`;

/** `failure` says what went wrong and what to do; null when `output` is there. */
export async function runBuild(options: BuildOptions): Promise<{ readonly failure: string | null }> {
  const { buildFlags, folder, output, program, searchPath, timeoutMs } = options;
  console.error(`building ${options.name} (once; minutes on a small machine)`);
  const environment = searchPath === undefined ? process.env : { ...process.env, PATH: searchPath };
  const flags = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w', ...buildFlags];
  const child = spawn('nice', ['-n', NICENESS, 'go', 'build', ...flags, '-o', output, program], {
    cwd: folder,
    // Not another Go than the one that is here, and no other go.sum than the committed one.
    env: { ...environment, GOTOOLCHAIN: 'local', GOFLAGS: '-mod=readonly' },
    stdio: ['ignore', 'inherit', 'pipe'],
    timeout: timeoutMs,
  });
  let told = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told = (told + text).slice(-OUTPUT_CHARACTERS_MAX);
  });
  const [exitCode, signal]: [number | null, string | null] = await once(child, 'close').then(
    ([code, ended]) => [code, ended],
    (error: unknown) => [127, String(error)],
  );
  if (exitCode === 0) return { failure: null };
  if (exitCode === 127) return { failure: `Go is missing. Install: ${INSTALL_GO}` };
  if (/requires go >= |invalid go version|unknown directive: tool/.test(told)) {
    return { failure: `this Go is too old: ${told.trim()}\nInstall: ${INSTALL_GO}` };
  }
  return { failure: `go build ended with ${signal ?? `exit code ${exitCode}`}:\n${told.trim()}` };
}
