/** What an emitter makes: text at a place below `slo/generated`. Emitters are pure; `compile` and `check` do the disk. */

export interface GeneratedFile {
  /** Relative to `slo/generated`, with slashes: `dashboards/slo-overview.json`. */
  readonly path: string;
  readonly text: string;
}

/** Said in every generated file that can carry a remark. */
export const GENERATED_NOTE = 'Generated from slo/ by `npm run slo -- compile`. Do not edit.';

export function jsonFile(path: string, value: unknown): GeneratedFile {
  return { path, text: `${JSON.stringify(value, null, 2)}\n` };
}
