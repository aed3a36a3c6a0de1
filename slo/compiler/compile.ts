/**
 * The whole way from files to the model: shape, references, lowering, lints. Pure: what it needs of the world (files,
 * datasets, which runbooks exist, the time) is handed in, so that a test can hand in anything.
 */
import { exclusionProblems } from './lint-exclusions.ts';
import { lint } from './lint.ts';
import { type LoweredObjective, lowerObjective } from './lower.ts';
import type { Model } from './model.ts';
import { byPlace, isError, type Problem } from './problems.ts';
import { type Located, readObjects, type SourceFile } from './read-objects.ts';
import { indexObjects } from './references.ts';
import { type Policy, readSettings, type SettingFiles } from './settings.ts';

export interface CompileInput extends SettingFiles {
  /** `slo/objectives/*.yaml`: one SLO each, with what belongs to it alone. */
  readonly objectives: readonly SourceFile[];
  /** Services, data sources, targets and the windows: what several objectives refer to. */
  readonly shared: readonly SourceFile[];
  readonly datasets: readonly string[];
  /** Paths of the runbooks that exist, spelt as the objectives' files are. */
  readonly runbooks: ReadonlySet<string>;
  /** Unix time, for what is past; null: ask nothing of the clock, so that the output depends on files alone. */
  readonly nowSeconds: number | null;
}

export type Compiled =
  | { readonly kind: 'compiled'; readonly model: Model; readonly policy: Policy; readonly warnings: readonly Problem[] }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

export function compile(input: CompileInput): Compiled {
  const { settings, problems: inSettings } = readSettings(input);
  const { objects, problems: inShape } = readObjects([...input.shared, ...input.objectives]);
  const { problems: inNames, references } = indexObjects(objects);
  const early = [...inSettings, ...inShape, ...inNames];
  if (settings === undefined || early.length > 0) return refused(early);

  const lowered: LoweredObjective[] = [];
  const problems: Problem[] = [];
  const slos = objects.filter((located): located is Located<'SLO'> => located.object.kind === 'SLO');
  for (const slo of slos) {
    const result = lowerObjective(slo, {
      references,
      datasets: input.datasets,
      exclusionsOf: (name) => settings.exclusions.filter(({ objectives }) => objectives.includes(name)),
    });
    problems.push(...result.problems);
    if (result.lowered !== undefined) lowered.push(result.lowered);
  }
  // What refers to nothing is only known when every reference could be followed.
  if (problems.length === 0) problems.push(...references.unused());
  problems.push(
    ...exclusionProblems({
      settings,
      objectives: slos.map(({ object }) => object.metadata.name),
      nowSeconds: input.nowSeconds,
    }),
    ...lint(lowered, { settings, runbooks: input.runbooks }),
  );
  // What decides a page of rules that are not made is of no interest yet.
  if (problems.some(isError)) return refused(problems.filter(isError));
  const objectives = lowered.map(({ objective }) => objective).sort((a, b) => (a.name < b.name ? -1 : 1));
  const model = { objectives, environment: settings.environment };
  return { kind: 'compiled', model, policy: settings.policy, warnings: problems.sort(byPlace) };
}

function refused(problems: readonly Problem[]): Compiled {
  return { kind: 'refused', problems: [...problems].sort(byPlace) };
}
