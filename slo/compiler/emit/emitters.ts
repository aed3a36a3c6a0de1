/** Everything that is made from the model, the fleet and what people wrote beside them. A new artefact is one row. */
import type { Fleet } from '../fleet.ts';
import type { Model } from '../model.ts';
import { emitAlertmanagerInhibition } from './alertmanager-inhibition.ts';
import { emitDashboards } from './dashboards.ts';
import { emitFleetRules } from './fleet-rules.ts';
import { emitGateFile } from './gate-file.ts';
import type { GeneratedFile } from './generated-file.ts';
import { emitGooglePolicies } from './google-policies.ts';
import { emitK6File } from './k6-file.ts';
import { emitObjectivesFile } from './objectives-file.ts';
import { emitPrometheusRules } from './prometheus.ts';
import { emitPromtoolProofs } from './promtool/promtool.ts';
import { emitRunbooks } from './runbooks.ts';

export interface EmitSources {
  readonly model: Model;
  readonly fleet: Fleet;
  /** Path as an objective names it → the half that a person wrote. */
  readonly runbooks: ReadonlyMap<string, string>;
}

const EMITTERS: readonly ((sources: EmitSources) => readonly GeneratedFile[])[] = [
  ({ model }) => emitPrometheusRules(model),
  ({ model }) => emitPromtoolProofs(model),
  ({ fleet }) => emitFleetRules(fleet),
  ({ model }) => emitAlertmanagerInhibition(model),
  ({ model }) => emitGateFile(model),
  ({ model }) => emitObjectivesFile(model),
  ({ model }) => emitK6File(model),
  ({ model }) => emitGooglePolicies(model),
  ({ model }) => emitDashboards(model),
  emitRunbooks,
];

/** Every generated file, by path. Two emitters that make one path are a mistake of the program. */
export function emitAll(sources: EmitSources): readonly GeneratedFile[] {
  const files = EMITTERS.flatMap((emit) => emit(sources)).sort((a, b) => (a.path < b.path ? -1 : 1));
  const twice = files.find((file, index) => file.path === files[index + 1]?.path);
  if (twice !== undefined) throw new Error(`two emitters make ${twice.path}`);
  return files;
}
