/** Everything that is made from the model. A new artefact is one row. */
import type { Model } from '../model.ts';
import { emitAlertmanagerInhibition } from './alertmanager-inhibition.ts';
import { emitGateFile } from './gate-file.ts';
import type { GeneratedFile } from './generated-file.ts';
import { emitObjectivesFile } from './objectives-file.ts';
import { emitPrometheusRules } from './prometheus.ts';

const EMITTERS: readonly ((model: Model) => readonly GeneratedFile[])[] = [
  emitPrometheusRules,
  emitAlertmanagerInhibition,
  emitGateFile,
  emitObjectivesFile,
];

/** Every generated file, by path. Two emitters that make one path are a mistake of the program. */
export function emitAll(model: Model): readonly GeneratedFile[] {
  const files = EMITTERS.flatMap((emit) => emit(model)).sort((a, b) => (a.path < b.path ? -1 : 1));
  const twice = files.find((file, index) => file.path === files[index + 1]?.path);
  if (twice !== undefined) throw new Error(`two emitters make ${twice.path}`);
  return files;
}
