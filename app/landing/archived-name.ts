/**
 * What a file is called in the archive: SHA-256 of the bytes that it came with, hex, then its own name. The whole hash,
 * because by it alone an archived file is found from its rows: what was taken out of it since has changed its bytes, and
 * no book beside the file need know it.
 */
import { fittingName } from './landing-name.ts';

export interface ArchivedName {
  /** SHA-256, hex. */
  readonly fileId: string;
  /** Ends as the file's own did; a long one was shortened. */
  readonly name: string;
}

export function archivedName({ fileId, name }: ArchivedName): string {
  return fittingName(name, { prefix: `${fileId}-` });
}

/** Undefined for a name that the landing did not give. */
export function readArchivedName(text: string): ArchivedName | undefined {
  const [, fileId, name] = /^([0-9a-f]{64})-(.+)$/s.exec(text) ?? [];
  return fileId === undefined || name === undefined ? undefined : { fileId, name };
}
