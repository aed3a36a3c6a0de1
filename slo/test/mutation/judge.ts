/**
 * Which mutants the proofs catch: each proof in turn is run against all that are still alive. First those in which the
 * alert both fires and is silent, the shortest of them first: they catch most, and only the stubborn ones see days.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Proof, proofFileText, ruleFileText } from '../../compiler/emit/promtool/proof.ts';
import type { ProofSet } from '../../compiler/emit/promtool/promtool.ts';
import { inParallel } from '../../prove/prove.ts';
import { runPromtool } from '../../prove/run-promtool.ts';
import { checksFor, type Mutant, mutantsOf } from './mutants.ts';

export interface Verdict {
  readonly set: ProofSet;
  readonly mutants: readonly Mutant[];
  readonly survivors: readonly Mutant[];
}

export async function judge(options: {
  readonly sets: readonly ProofSet[];
  readonly promtool: string;
  readonly processes: number;
  /** Which mutants of a set are tried; all where left out. Asked set by set, in order. */
  readonly choose?: (mutants: readonly Mutant[], set: ProofSet) => readonly Mutant[];
  readonly onVerdict?: (verdict: Verdict) => void;
}): Promise<readonly Verdict[]> {
  const { choose = (all) => all, onVerdict, processes, promtool, sets } = options;
  return inParallel(sets, processes, async (set) => {
    const folder = await mkdtemp(join(tmpdir(), 'slo-mutation-'));
    try {
      const mutants = choose(mutantsOf(set), set);
      const proofs = [...set.proofs].sort((a, b) => telling(b) - telling(a) || lengthOf(a) - lengthOf(b));
      let alive: readonly Mutant[] = mutants;
      for (const proof of [...proofs.slice(0, 1).map(asProbe), ...proofs]) {
        const caught: string[] = [];
        for (const some of chunks(alive)) {
          caught.push(...(await caughtBy({ set, proof, mutants: some, promtool, folder })));
        }
        alive = alive.filter(({ id }) => !caught.includes(id));
      }
      const verdict = { set, mutants, survivors: alive };
      onVerdict?.(verdict);
      return verdict;
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

/** More at once take promtool minutes. */
const MUTANTS_AT_ONCE_MAX = 40;

function chunks(mutants: readonly Mutant[]): readonly (readonly Mutant[])[] {
  const count = Math.ceil(mutants.length / MUTANTS_AT_ONCE_MAX);
  return Array.from({ length: count }, (_, at) =>
    mutants.slice(at * MUTANTS_AT_ONCE_MAX, (at + 1) * MUTANTS_AT_ONCE_MAX),
  );
}

const PROBE_EVALUATIONS = 12;

/** The same series for a few evaluations and nothing checked: finds rules that Prometheus refuses to evaluate. */
function asProbe(proof: Proof): Proof {
  const atSeconds = PROBE_EVALUATIONS * proof.intervalSeconds;
  return {
    ...proof,
    checks: [{ kind: 'query', query: 'vector(1)', atSeconds, samples: [{ labels: '{}', value: 1 }] }],
  };
}

function isProbe({ checks }: Proof): boolean {
  const [first] = checks;
  return first?.kind === 'query' && first.query === 'vector(1)';
}

/** Ids of those that the proof tells from the alert it proves. */
async function caughtBy(options: {
  readonly set: ProofSet;
  readonly proof: Proof;
  readonly mutants: readonly Mutant[];
  readonly promtool: string;
  readonly folder: string;
}): Promise<ReadonlySet<string>> {
  const { folder, promtool, proof, set } = options;
  const caught = new Set<string>();
  let mutants = options.mutants.filter((mutant) => isProbe(proof) || checksFor(mutant, proof).length > 0);
  // Rules that Prometheus refuses to evaluate end the run, so it is repeated without them; each round names at least one.
  while (mutants.length > 0) {
    const failures = await runWith({ set, proof, mutants, promtool, folder });
    const named = new Set(failures.flatMap((text) => [...text.matchAll(/:(m\d+)\b/g)].map(([, id = '']) => id)));
    for (const id of named) caught.add(id);
    if (!failures.some((text) => text.startsWith('ERROR '))) return caught;
    if (named.size === 0) throw new Error(`${proof.name}: ${failures[0]}`);
    mutants = mutants.filter(({ id }) => !named.has(id));
  }
  return caught;
}

async function runWith(options: {
  readonly set: ProofSet;
  readonly proof: Proof;
  readonly mutants: readonly Mutant[];
  readonly promtool: string;
  readonly folder: string;
}): Promise<readonly string[]> {
  const { folder, mutants, promtool, proof, set } = options;
  const right = set.groups.map((group) => ({ ...group, rules: group.rules.filter((rule) => 'record' in rule) }));
  const [first] = right;
  if (first === undefined) return [];
  const groups = [{ ...first, rules: [...first.rules, ...mutants.flatMap(({ rules }) => rules)] }];
  await writeFile(join(folder, 'rules.yaml'), ruleFileText(groups));
  const file = join(folder, 'test.yaml');
  const checks = isProbe(proof) ? proof.checks : mutants.flatMap((mutant) => checksFor(mutant, proof));
  const { evaluationSeconds } = set;
  await writeFile(
    file,
    proofFileText({ ruleFiles: ['rules.yaml'], evaluationSeconds, proofs: [{ ...proof, checks }] }),
  );
  const results = await runPromtool({ promtool, file });
  return results.flatMap(({ failures }) => failures.map(({ expr, got }) => (expr === '' ? `ERROR ${got}` : expr)));
}

function lengthOf({ checks }: Proof): number {
  return Math.max(...checks.map((check) => (check.kind === 'query' ? check.atSeconds : check.toSeconds)));
}

function telling({ checks }: Proof): number {
  return new Set(checks.map(({ kind }) => kind)).size;
}
