/**
 * Which bodies are taken, decided by the headers alone and exactly: a body is never sniffed, so that what a sender
 * declares is what is judged.
 */
import { AppError } from '../errors.ts';

export type BodyFormat = 'json' | 'ndjson' | 'csv';

export interface MediaType {
  readonly format: BodyFormat;
  readonly gzip: boolean;
}

const FORMATS: ReadonlyMap<string, BodyFormat> = new Map([
  ['application/json', 'json'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['text/csv', 'csv'],
]);
const TAKEN = `${[...FORMATS.keys()].join(', ')}, each with charset utf-8 or none, plain or Content-Encoding: gzip`;
/** Header text shown back to the sender; a header may be kilobytes long. */
const SHOWN_CHARACTERS_MAX = 100;

/** Throws AppError MEDIA_TYPE_UNSUPPORTED, naming what is taken. */
export function readMediaType(contentType: string | undefined, contentEncoding: string | undefined): MediaType {
  // What nearly every sender writes, without the work of taking it apart.
  if (contentType === 'application/json' && contentEncoding === undefined) return { format: 'json', gzip: false };
  return { format: formatOf(contentType), gzip: isGzip(contentEncoding) };
}

function formatOf(contentType: string | undefined): BodyFormat {
  if (contentType === undefined) throw unsupported('there is no Content-Type');
  const [type = '', ...parameters] = contentType.split(';');
  const format = FORMATS.get(type.trim().toLowerCase());
  if (format === undefined) throw unsupported(`Content-Type ${shown(type)} is not taken`);
  for (const parameter of parameters) {
    if (!isKnownParameter(parameter.trim().toLowerCase(), format)) {
      throw unsupported(`the Content-Type parameter ${shown(parameter)} is not taken`);
    }
  }
  return format;
}

/** `header=present` is text/csv's own parameter (RFC 4180) and says what is required anyway. */
function isKnownParameter(parameter: string, format: BodyFormat): boolean {
  return (
    parameter === '' || /^charset="?utf-?8"?$/.test(parameter) || (format === 'csv' && parameter === 'header=present')
  );
}

function isGzip(contentEncoding: string | undefined): boolean {
  switch (contentEncoding?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return false;
    case 'gzip':
    case 'x-gzip':
      return true;
    default:
      throw unsupported(`Content-Encoding ${shown(contentEncoding ?? '')} is not taken`);
  }
}

function shown(text: string): string {
  return JSON.stringify(text.trim().slice(0, SHOWN_CHARACTERS_MAX));
}

function unsupported(reason: string): AppError {
  return new AppError({
    code: 'MEDIA_TYPE_UNSUPPORTED',
    publicMessage: `MEDIA_TYPE_UNSUPPORTED: ${reason}. Send one of ${TAKEN}.`,
  });
}
