/** Judging a query string by its schema, and answering JSON that is not cached. */
import { z } from 'zod';
import { AppError, type ErrorDetail } from '../errors.ts';
import type { Exchange } from './route.ts';

const PAGE_LIMIT_DEFAULT = 100;
const PAGE_LIMIT_MAX = 1_000;

export const pageParameters = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(PAGE_LIMIT_MAX)
    .default(PAGE_LIMIT_DEFAULT)
    .describe(`How many entries, 1 to ${PAGE_LIMIT_MAX}.`),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the page before.'),
};

/** Every parameter at most once, none unknown; throws AppError that names the parameter, the value and the rule. */
export function parseQuery<S extends z.ZodObject>(schema: S, query: URLSearchParams): z.output<S> {
  const names = Object.keys(schema.shape);
  const errors: ErrorDetail[] = [];
  const values: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of query) {
    if (!names.includes(name)) throw unknownParameter(name, names);
    if (name in values) errors.push({ code: 'PARAMETER_INVALID', parameter: name, expected: 'once', got: 'repeated' });
    values[name] = value;
  }
  const parsed = schema.safeParse({ ...values });
  if (parsed.success && errors.length === 0) return parsed.data;
  for (const issue of parsed.success ? [] : parsed.error.issues) {
    const parameter = String(issue.path[0] ?? '');
    const code = parameter in values ? 'PARAMETER_INVALID' : 'PARAMETER_MISSING';
    errors.push({ code, parameter, expected: issue.message, got: (values[parameter] ?? '').slice(0, 64) });
  }
  const first = errors[0];
  throw new AppError({
    code: first?.code ?? 'PARAMETER_INVALID',
    publicMessage: `${first?.code}: ${first?.parameter}=${first?.got ?? ''}: ${first?.expected}. Mend the parameter; /docs lists what this route takes.`,
    errors,
  });
}

export function unknownParameter(name: string, known: readonly string[]): AppError {
  const takes = known.length === 0 ? 'This route takes none.' : `This route takes ${known.join(', ')}.`;
  return new AppError({
    code: 'PARAMETER_UNKNOWN',
    publicMessage: `PARAMETER_UNKNOWN: there is no parameter ${JSON.stringify(name.slice(0, 64))}. ${takes}`,
    errors: [{ code: 'PARAMETER_UNKNOWN', parameter: name.slice(0, 64), expected: known.join(', '), got: '' }],
  });
}

export function sendJson({ response }: Exchange, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json');
  if (!response.hasHeader('Cache-Control')) response.setHeader('Cache-Control', 'private, no-store');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}
