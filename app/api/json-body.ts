/** A small JSON body of an operator's request, judged by its schema. */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { AppError } from '../errors.ts';
import { readMediaType } from '../record/media-type.ts';
import { type ByteBudget, HeldBytes } from './byte-budget.ts';
import { readBody } from './request-body.ts';

const JSON_BODY_BYTES_MAX = 1024 * 1024;

/** Throws AppError: media type, size, syntax, or the first field that fails with its place. */
export async function readJsonBody<S extends z.ZodType>(
  request: IncomingMessage,
  { schema, budget }: { readonly schema: S; readonly budget: ByteBudget },
): Promise<z.output<S>> {
  const { format, gzip } = readMediaType(request.headers['content-type'], request.headers['content-encoding']);
  if (format !== 'json' || gzip) {
    throw new AppError({
      code: 'MEDIA_TYPE_UNSUPPORTED',
      publicMessage: 'MEDIA_TYPE_UNSUPPORTED: this route takes application/json. Set the Content-Type.',
    });
  }
  const parsed = schema.safeParse(parseJson(await wholeBody(request, budget)));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const pointer = `/${issue?.path.map(String).join('/') ?? ''}`;
  throw new AppError({
    code: 'PARAMETER_INVALID',
    publicMessage: `PARAMETER_INVALID: ${pointer} of the body: ${issue?.message ?? 'invalid'}. /docs shows what this route takes.`,
    errors: [{ code: 'PARAMETER_INVALID', pointer, expected: issue?.message ?? '' }],
  });
}

/** Counted while it arrives; given back when it is whole, to be parsed at once. */
async function wholeBody(request: IncomingMessage, budget: ByteBudget): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const held = new HeldBytes(budget);
  let bytes = 0;
  try {
    for await (const chunk of readBody(request, budget)) {
      held.take(chunk.length);
      bytes += chunk.length;
      if (bytes > JSON_BODY_BYTES_MAX) {
        throw new AppError({
          code: 'BODY_TOO_LARGE',
          publicMessage: `BODY_TOO_LARGE: this route takes at most ${JSON_BODY_BYTES_MAX} bytes. Ask in parts.`,
        });
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    held.release();
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch (cause) {
    throw new AppError({
      code: 'MALFORMED_JSON',
      publicMessage: 'MALFORMED_JSON: the body is not valid JSON. Check quotes and commas.',
      cause,
    });
  }
}
