/**
 * What bus and state know alike of LMDB: how long a commit may take, which failures it survives, and when its file's
 * name is durable. They know no other part of each other.
 */
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A healthy commit takes milliseconds; a client's own timeout is above this. */
const COMMIT_TIMEOUT_MS = 15_000;

/** MDB_MAP_FULL, ENOSPC, EDQUOT: the transaction was aborted whole, and the next may succeed. */
const OUT_OF_SPACE: readonly unknown[] = [-30_792, 28, 122];

/** The commit never answered: lmdb still holds its writer, and closing the environment would wait for it. */
export class CommitHung extends Error {}

/** Rejects with the reason that lmdb hides in a wrapper, or with CommitHung. */
export async function commitInTime<T>(commit: Promise<T>, timeoutMs: number = COMMIT_TIMEOUT_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new CommitHung(`no answer in ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([commit.catch(revealCause), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && OUT_OF_SPACE.includes(error.code);
}

/** fdatasync makes a file's bytes durable, not its name: a new file is gone after a power cut with the folder unsynced. */
export async function syncNames(dir: string): Promise<void> {
  for (const path of [dir, dirname(dir)]) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

/** lmdb rejects with a wrapper whose `commitError` is a promise that rejects with the reason. */
async function revealCause(error: unknown): Promise<never> {
  if (error instanceof Error && 'commitError' in error) await error.commitError;
  throw error;
}
