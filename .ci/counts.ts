/**
 * How many tests a suite ran, from what the suite itself says. A suite that says nothing, ran nothing, or ends badly
 * without naming a failure counts as failed: a green line always stands on tests that ran.
 */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

export type CountsFrom = 'exit code' | 'mocha' | 'kill line';

interface SuiteEnd {
  readonly countsFrom: CountsFrom;
  readonly exitCode: number;
  readonly lastLines: readonly string[];
  /** What the mocha reporter wrote; undefined when it wrote nothing. */
  readonly reported: string | undefined;
}

const KILL_LINE = /^kills=(\d+) sent=\d+ stored=\d+ lost=(\d+) duplicated=(\d+) seed=\d+$/;

export function countsOf(end: SuiteEnd): Counts {
  const counts = statedCounts(end);
  const executed = counts.passed + counts.failed;
  if (executed === 0 || (end.exitCode !== 0 && counts.failed === 0)) return { ...counts, failed: 1 };
  return counts;
}

function statedCounts(end: SuiteEnd): Counts {
  switch (end.countsFrom) {
    case 'exit code':
      return end.exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
    case 'mocha':
      return end.reported === undefined ? { passed: 0, failed: 0 } : (JSON.parse(end.reported) as Counts);
    case 'kill line':
      return killCounts(end.lastLines.at(-1) ?? '');
  }
}

function killCounts(line: string): Counts {
  const [, kills, lost, duplicated] = KILL_LINE.exec(line) ?? [];
  if (kills === undefined || lost !== '0' || duplicated !== '0') return { passed: 0, failed: 1 };
  return { passed: Number(kills), failed: 0 };
}
