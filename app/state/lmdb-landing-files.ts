/** The landing folder's two tables: what is known of each file, and the plans of those that are not at their end. */
import type { Database, RootDatabase } from 'lmdb';
import { LANDING_ENDS, type LandingFile, type LandingPlan } from './landing-file.ts';

/** Called inside the store's own transactions. */
export class LmdbLandingFiles {
  readonly #files: Database<LandingFile, string>;
  readonly #plans: Database<LandingPlan, string>;

  constructor(root: RootDatabase) {
    this.#files = root.openDB({ name: 'landing-files', encoding: 'json' });
    this.#plans = root.openDB({ name: 'landing-plans', encoding: 'json' });
  }

  list(): LandingFile[] {
    const files = Array.from(this.#files.getRange(), ({ value }) => value);
    return files.sort((one, other) => one.seenAtMs - other.seenAtMs);
  }

  put(file: LandingFile, plan: LandingPlan | undefined): void {
    void this.#files.put(file.id, file);
    if (LANDING_ENDS.includes(file.state)) void this.#plans.remove(file.id);
    else if (plan !== undefined) void this.#plans.put(file.id, plan);
  }

  plan(id: string): LandingPlan | undefined {
    return this.#plans.get(id);
  }

  remove(ids: readonly string[]): void {
    for (const table of [this.#files, this.#plans]) for (const id of ids) void table.remove(id);
  }
}
