/**
 * A request's body as buffers.
 *
 * A small body of known length is gathered by events: an async iterator over a socket costs more than the whole rest
 * of a one-record POST. Everything else streams.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.ts';
import type { ByteBudget } from './byte-budget.ts';

const GATHERED_BYTES_MAX = 64 * 1024;

/** Throws BODY_INCOMPLETE, or BODY_BYTES_EXHAUSTED. Whoever takes a chunk has to count it; until then it is counted here. */
export function readBody(request: IncomingMessage, budget: ByteBudget): AsyncIterable<Buffer> {
  const length = Number(request.headers['content-length'] ?? Number.NaN);
  return length <= GATHERED_BYTES_MAX ? gathered(request, { length, budget }) : streamed(request);
}

async function* gathered(
  request: IncomingMessage,
  { length, budget }: { readonly length: number; readonly budget: ByteBudget },
): AsyncGenerator<Buffer> {
  budget.take(length);
  let body: Buffer;
  try {
    body = await gather(request);
  } finally {
    budget.give(length);
  }
  yield body;
}

function gather(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
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
