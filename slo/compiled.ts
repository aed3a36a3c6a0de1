/** Compiles what is in the repository, for verbs: problems are printed here, so that each verb only sees a sound model. */
import { type Compiled, compile } from './compiler/compile.ts';
import { problemText } from './compiler/problems.ts';
import { loadSlo, SLO_PLACES, type SloPlaces } from './load.ts';

export type Sound = Extract<Compiled, { readonly kind: 'compiled' }>;

/** Undefined after the problems were printed. `nowSeconds` as in CompileInput. */
export async function compiled(
  options: { readonly windows?: string; readonly nowSeconds: number | null; readonly quiet?: boolean },
  places: SloPlaces = SLO_PLACES,
): Promise<Sound | undefined> {
  const { nowSeconds, quiet, windows } = options;
  const result = compile(await loadSlo({ ...places, ...(windows === undefined ? {} : { windows }) }, nowSeconds));
  if (result.kind === 'refused') {
    for (const problem of result.problems) console.error(problemText(problem));
    console.error(
      `slo: ${result.problems.length} problem${result.problems.length === 1 ? '' : 's'}; nothing was compiled.`,
    );
    return undefined;
  }
  if (quiet !== true) for (const warning of result.warnings) console.error(`warning: ${problemText(warning)}`);
  return result;
}
