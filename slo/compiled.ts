/** Compiles what is in the repository, for verbs: problems are printed here, so that each verb only sees a sound model. */
import { type Compiled, compile } from './compiler/compile.ts';
import type { EmitSources } from './compiler/emit/emitters.ts';
import { readFleet } from './compiler/fleet.ts';
import { type Problem, problemText } from './compiler/problems.ts';
import { loadFleet, loadRunbooks, loadSlo, SLO_PLACES, type SloPlaces } from './load.ts';

export type Sound = Extract<Compiled, { readonly kind: 'compiled' }> & EmitSources;

/** Undefined after the problems were printed. `nowSeconds` as in CompileInput. */
export async function compiled(
  options: { readonly windows?: string; readonly nowSeconds: number | null; readonly quiet?: boolean },
  places: SloPlaces = SLO_PLACES,
): Promise<Sound | undefined> {
  const { nowSeconds, quiet, windows } = options;
  const result = compile(await loadSlo({ ...places, ...(windows === undefined ? {} : { windows }) }, nowSeconds));
  const { fleet, problems } = readFleet(await loadFleet(places));
  if (result.kind === 'refused' || fleet === undefined) {
    printRefusal([...(result.kind === 'refused' ? result.problems : []), ...problems]);
    return undefined;
  }
  if (quiet !== true) for (const warning of result.warnings) console.error(`warning: ${problemText(warning)}`);
  return { ...result, fleet, runbooks: await loadRunbooks(places) };
}

function printRefusal(problems: readonly Problem[]): void {
  for (const problem of problems) console.error(problemText(problem));
  console.error(`slo: ${problems.length} problem${problems.length === 1 ? '' : 's'}; nothing was compiled.`);
}
