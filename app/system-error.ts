/** What the operating system refused, in words for the person who started the program. */
import { userInfo } from 'node:os';

/** Undefined when the error is not the operating system's, or says nothing that a person can act on. */
export function systemErrorText(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('path' in error)) return undefined;
  const path = 'dest' in error ? `${String(error.path)} or ${String(error.dest)}` : String(error.path);
  switch (error.code) {
    case 'ENOENT':
      return `There is no ${path}.`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path}: a file is where a folder should be.`;
    case 'EISDIR':
      return `${path} is a folder, not a file.`;
    case 'EACCES':
    case 'EPERM':
      return `User ${userName()} may not use ${path}. Be the user whose file it is, or set another DATA_DIR.`;
    case 'EROFS':
      return `${path} is on a disk that is read only. Set another DATA_DIR.`;
    case 'ENOSPC':
      return `The disk is full: ${path} could not be written. Make room and try again.`;
    default:
      return undefined;
  }
}

/** In a container a user id may have no name. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
