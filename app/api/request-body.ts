/**
 * A request's body as buffers.
 *
 * A small body of known length is gathered by events: an async iterator over a socket costs more than the whole rest
 * of a one-record POST. Everything else streams.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.ts';

const GATHERED_BYTES_MAX = 64 * 1024;

export function readBody(request: IncomingMessage): AsyncIterable<Buffer> {
  const length = Number(request.headers['content-length'] ?? Number.NaN);
  return length <= GATHERED_BYTES_MAX ? gathered(request) : streamed(request);
}

async function* gathered(request: IncomingMessage): AsyncGenerator<Buffer> {
  yield await new Promise<Buffer>((resolve, reject) => {
    // It may have broken off while the caller was being judged; no event would tell it again.
    if (request.destroyed && !request.readableEnded) {
      reject(brokenOff(undefined));
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () =>
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)),
    );
    request.once('error', (cause) => reject(brokenOff(cause)));
    request.once('aborted', () => reject(brokenOff(undefined)));
  });
}

async function* streamed(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    // A body that is refused half-way must not take its connection with it: the answer goes out there.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch (cause) {
    throw brokenOff(cause);
  }
}

function brokenOff(cause: unknown): AppError {
  return new AppError({
    code: 'BODY_INCOMPLETE',
    publicMessage: 'BODY_INCOMPLETE: the body broke off before its end; nothing of it was taken. Send it again.',
    cause,
  });
}
