/**
 * Runs the proofs of every objective against the rules it ships, several promtool processes at once: one evaluates on
 * one core. What failed is said in the words of the proof, not of promtool.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { durationText } from '../compiler/duration.ts';
import { type Check, expressionOf } from '../compiler/emit/promtool/proof.ts';
import { type ProofSet, proofSetFiles, proofSetPath } from '../compiler/emit/promtool/promtool.ts';
import { type Failure, runPromtool } from './run-promtool.ts';

export interface SetResult {
  readonly set: ProofSet;
  /** One text for each check that did not hold. */
  readonly failures: readonly string[];
  readonly seconds: number;
}

/** Files are written to a temporary folder, so that what is proved is what was handed in. */
export async function prove(options: {
  readonly sets: readonly ProofSet[];
  readonly promtool: string;
  readonly processes: number;
}): Promise<readonly SetResult[]> {
  const { processes, promtool, sets } = options;
  const folder = await mkdtemp(join(tmpdir(), 'slo-prove-'));
  try {
    for (const { path, text } of sets.flatMap(proofSetFiles)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    // The longest first, or the last one runs alone.
    const waiting = [...sets].sort((a, b) => stepsOf(b) - stepsOf(a));
    return await inParallel(waiting, processes, async (set) => {
      const startedMs = performance.now();
      const results = await runPromtool({ promtool, file: join(folder, proofSetPath(set)) });
      const failures = results.flatMap(({ failures: failed, name }) =>
        failed.map((failure) => `${name}\n    ${explained(set, failure)}`),
      );
      return { set, failures, seconds: (performance.now() - startedMs) / 1000 };
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Each item once, at most `limit` at a time; results in the order of the items. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

function explained(set: ProofSet, failure: Failure): string {
  const check = set.proofs
    .flatMap((proof) => proof.checks)
    .find((one) => {
      const expression = expressionOf(one, set.evaluationSeconds);
      return expression?.expr === failure.expr && expression.eval_time === failure.time;
    });
  if (check === undefined)
    return `${failure.expr} at ${failure.time}: expected ${failure.expected}, got ${failure.got}`;
  return failureText(check, failure);
}

function failureText(check: Check, { expected, got }: Failure): string {
  switch (check.kind) {
    case 'query':
      return `${check.query} at ${durationText(check.atSeconds)} should be ${expected} and is ${got}`;
    case 'silent':
      return `${alertText(check)} should be silent ${rangeText(check)} and fired ${countOf(got)} times`;
    case 'firing':
      return `${alertText(check)} should fire at all ${countOf(expected)} evaluations ${rangeText(check)} and fired at ${countOf(got)}`;
  }
}

function alertText({ alert }: Exclude<Check, { readonly kind: 'query' }>): string {
  const { alertname, tier } = alert;
  return tier === undefined ? `${alertname}` : `${alertname} (${tier})`;
}

function rangeText(check: Exclude<Check, { readonly kind: 'query' }>): string {
  return `after ${durationText(check.fromSeconds)} until ${durationText(check.toSeconds)}`;
}

/** The number at the end of a sample as promtool writes it; `nil` is none. */
function countOf(sample: string): string {
  const written = /} (\S+)$/.exec(sample)?.[1];
  return written === undefined ? (sample === 'nil' ? '0' : sample) : String(Number(written));
}

function stepsOf({ evaluationSeconds, groups, proofs }: ProofSet): number {
  const ends = proofs.map(({ checks }) =>
    Math.max(...checks.map((check) => (check.kind === 'query' ? check.atSeconds : check.toSeconds))),
  );
  const rules = groups.reduce((sum, group) => sum + group.rules.length, 0);
  return (ends.reduce((sum, end) => sum + end, 0) / evaluationSeconds) * rules;
}
