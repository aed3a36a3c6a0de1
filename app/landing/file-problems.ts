/** What can be wrong with a file as a whole, besides its content: in the words its owner reads. */
import { AppError } from '../errors.ts';

export function fileChanged(): AppError {
  return new AppError({
    code: 'FILE_CHANGED',
    publicMessage:
      'FILE_CHANGED: the file changed while it was read; what was stored of it stays, and it is taken again when it rests. Write a file elsewhere and move it in when it is whole.',
  });
}
