/** Runs `promtool test rules` on one file and reads its report: which proofs held, and what each other one got instead. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export interface Failure {
  /** Empty: the test could not be run, and `got` says why. */
  readonly expr: string;
  /** As promtool writes it: `1h24m30s`. */
  readonly time: string;
  readonly expected: string;
  readonly got: string;
}

export interface ProofResult {
  readonly name: string;
  readonly failures: readonly Failure[];
}

/** Proofs take seconds; a file full of mutants half a minute of CPU, and ten times that on a busy machine. */
const RUN_TIMEOUT_MS = 10 * 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Throws where promtool said nothing of its tests. */
export async function runPromtool(options: {
  readonly promtool: string;
  /** Absolute; its rule files are found beside it. */
  readonly file: string;
}): Promise<readonly ProofResult[]> {
  const { file, promtool } = options;
  const report = `${file}.xml`;
  const output = await run(promtool, ['test', 'rules', `--junit=${report}`, file]);
  const results = readReport(await readFile(report, 'utf8'));
  const isFailed = results.some(({ failures }) => failures.length > 0);
  if (results.length === 0 || isFailed !== (output.exitCode !== 0)) {
    throw new Error(`promtool could not run ${file}: ${output.text}`);
  }
  return results;
}

async function run(
  command: string,
  parameters: readonly string[],
): Promise<{ readonly exitCode: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: RUN_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
    execFile(command, [...parameters], limits, (error, stdout, stderr) => {
      const text = `${stdout}${stderr}`;
      if (error === null) return resolve({ exitCode: 0, text });
      if (error.killed === true || typeof error.code !== 'number') return reject(error);
      resolve({ exitCode: error.code, text });
    });
  });
}

const TEST_CASE = /<testcase name="([^"]*)">(.*?)<\/testcase>/gs;
const FAILURE = /<failure[^>]*>(.*?)<\/failure>/gs;
const MISMATCH = /expr: ("(?:[^"\\]|\\.)*"), time: (\S+),\s*exp: (.*?)\n\s*got: (.*?)(?=\n\s*expr: |$)/gs;

function readReport(xml: string): readonly ProofResult[] {
  return [...xml.matchAll(TEST_CASE)].map(([, name = '', body = '']) => ({
    name: unescaped(name),
    failures: [...body.matchAll(FAILURE)].flatMap(([, text = '']) => failuresOf(unescaped(text))),
  }));
}

function failuresOf(text: string): readonly Failure[] {
  const found = [...text.matchAll(MISMATCH)].map(([, expr = '""', time = '', expected = '', got = '']) => ({
    expr: JSON.parse(expr) as string,
    time,
    expected,
    got: got.trim(),
  }));
  // An error of a query, a series that cannot be read: no mismatch, but a failure all the same.
  return found.length > 0 ? found : [{ expr: '', time: '', expected: 'an answer', got: text.trim() }];
}

function unescaped(text: string): string {
  return text
    .replace(/&#x([\dA-Fa-f]+);/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&');
}
