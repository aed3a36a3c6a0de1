/** What can be wrong with a file besides its content: in the words its owner reads. */
import { AppError } from '../errors.ts';

export function fileChanged(): AppError {
  return new AppError({
    code: 'FILE_CHANGED',
    publicMessage:
      'FILE_CHANGED: the file changed while it was read; what was stored of it stays, and it is taken again when it rests. Write a file elsewhere and move it in when it is whole.',
  });
}

export function fileGone(): AppError {
  return new AppError({
    code: 'FILE_GONE',
    publicMessage:
      'FILE_GONE: the file was removed or renamed before all of it was stored; what was stored of it stays. Put it back to have the rest stored.',
  });
}

export function fileNotRegular(): AppError {
  return new AppError({
    code: 'FILE_NOT_REGULAR',
    publicMessage:
      'FILE_NOT_REGULAR: this is a link, or no regular file; nothing of it was read. Copy the file itself into the folder.',
  });
}

export function fileNameUnknown(problem: string): AppError {
  return new AppError({ code: 'FILE_NAME_UNKNOWN', publicMessage: `FILE_NAME_UNKNOWN: ${problem}.` });
}

export function fileTooLarge(bytesMax: number): AppError {
  return new AppError({
    code: 'FILE_TOO_LARGE',
    publicMessage: `FILE_TOO_LARGE: the file is over ${bytesMax} bytes after inflation (LANDING_INFLATED_BYTES_MAX); nothing of it was taken. Cut it into parts, or raise the limit.`,
  });
}

const SYSTEM_REASONS: Readonly<Record<string, string>> = {
  EACCES: 'the service may not read or move it; give its user the right to',
  EPERM: 'the service may not read or move it; give its user the right to',
  EROFS: 'the disk can only be read',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk is full for the service (quota)',
  EIO: 'the disk does not answer as it should',
  EMFILE: 'the service has too many files open',
  ENFILE: 'the system has too many files open',
  ENOENT: 'a folder that the service needs is gone',
  EXDEV: 'landing and archive are on two disks; put them on one',
};

/** Disk, permissions: what the operator mends, and then it goes on. Not in the system's words, which name our paths. */
export function fileUnreadable(cause: unknown): AppError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  const reason = SYSTEM_REASONS[code] ?? `the system refused it (${code})`;
  return new AppError({
    code: 'FILE_UNREADABLE',
    publicMessage: `FILE_UNREADABLE: ${reason}. The file stays where it is and is tried again; the log says more.`,
    cause,
  });
}
