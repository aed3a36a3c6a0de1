/**
 * A gzip body, inflated as far as the limit and no further.
 *
 * Several members in a row are one body (RFC 1952), and zero bytes after the last are padding, as gzip(1) has it; any
 * other byte after it is an error. A bomb costs at most one output chunk over the limit, because inflating goes on only
 * when the chunk before was taken.
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { AppError } from '../errors.ts';

/** Throws AppError MALFORMED_GZIP, BODY_INCOMPLETE (a stream that ends early), or what the source throws. */
export async function* inflate(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  // The callback only keeps the error from being unhandled: it destroys gunzip, whose iteration then throws it.
  const compressed = Readable.from(source, { objectMode: false });
  pipeline(compressed, gunzip, () => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (cause) {
    throw judged(cause);
  } finally {
    compressed.destroy();
    gunzip.destroy();
  }
}

function judged(cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'Z_BUF_ERROR') {
    return new AppError({
      code: 'BODY_INCOMPLETE',
      publicMessage:
        'BODY_INCOMPLETE: the gzip stream ends before its end mark; nothing of it was taken. Send the whole file.',
      cause,
    });
  }
  if (typeof code === 'string' && code.startsWith('Z_')) {
    return new AppError({
      code: 'MALFORMED_GZIP',
      publicMessage:
        'MALFORMED_GZIP: the body is declared as gzip and is not valid gzip, or something follows its end. Compress it again, or leave out Content-Encoding.',
      cause,
    });
  }
  return cause;
}
