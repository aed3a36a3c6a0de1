/**
 * What the service keeps is its own user's alone: the state store has the key that signs receipts, and the rest is
 * other people's records.
 *
 * It is the umask that says so, because DuckDB and LMDB make their files themselves, some again and again (the write-
 * ahead log). What others shall reach, where files come in and where a collector reads the log, is made as open as the
 * umask was before. What exists keeps its mode: a person chose it.
 */
import { chmodSync } from 'node:fs';

const OWNER_ONLY = 0o077;
let umaskBefore: number | undefined;

/** Once, before a process makes anything. In tests, which are no process of their own, everything stays as open as it was. */
export function keepPrivate(): void {
  umaskBefore ??= process.umask(OWNER_ONLY);
}

/** For a file or folder that was just made. */
export function openToOthers(path: string, kind: 'file' | 'folder'): void {
  if (umaskBefore !== undefined) chmodSync(path, (kind === 'file' ? 0o666 : 0o777) & ~umaskBefore);
}
