/** The data folder as a command meets it: perhaps not there yet, perhaps owned by a running service. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import type { State } from '../state/state.ts';
import { userName } from '../system-error.ts';

type FolderConfig = Pick<Config, 'DATA_DIR' | 'IDEMPOTENCY_HOURS'>;

/** Absolute. Throws where there is none: a command that only looks must not leave one behind. */
export function presentDataDir({ DATA_DIR }: Pick<Config, 'DATA_DIR'>): string {
  const dataDir = resolve(DATA_DIR);
  if (!existsSync(dataDir)) throw new Error(`There is no data folder at ${dataDir} (DATA_DIR).`);
  return dataDir;
}

/** The state store, which several processes may have open. */
export async function openState({ DATA_DIR, IDEMPOTENCY_HOURS: idempotencyHours }: FolderConfig): Promise<State> {
  const dir = resolve(DATA_DIR, 'state');
  try {
    return await openLmdbState({ dir, now: Date.now, idempotencyHours, processId: process.pid });
  } catch (error) {
    // LMDB names neither the file nor the user.
    if (!(error instanceof Error && error.message.startsWith('Permission denied'))) throw error;
    const message = `User ${userName()} may not use ${dir}. Be the user whose file it is, or set another DATA_DIR.`;
    throw new Error(message, { cause: error });
  }
}
