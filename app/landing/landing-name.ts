/** What a landing file's place and name say of it: its dataset, its format and whether it is compressed. */
import { basename, dirname } from 'node:path';

export type FileFormat = 'csv' | 'ndjson' | 'parquet';

export interface NamedFile {
  readonly dataset: string;
  readonly format: FileFormat;
  readonly gzip: boolean;
}

const FORMATS: Readonly<Record<string, FileFormat>> = {
  '.csv': 'csv',
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.parquet': 'parquet',
};
/** Parquet compresses its own columns. */
const ENDINGS = ['.csv', '.csv.gz', '.ndjson', '.ndjson.gz', '.jsonl', '.jsonl.gz', '.parquet'] as const;

/** Of one name, on the file systems that are in use. */
const NAME_BYTES_MAX = 255;

/** A name with more before and behind it. One too long for that loses the end of its stem, where `~` is, and no ending. */
export function fittingName(
  name: string,
  { prefix = '', suffix = '' }: { readonly prefix?: string; readonly suffix?: string },
): string {
  const whole = `${prefix}${name}${suffix}`;
  if (Buffer.byteLength(whole) <= NAME_BYTES_MAX) return whole;
  const ending = name.slice(name.length - (endingOf(name)?.length ?? 0));
  const stem = Buffer.from(name.slice(0, name.length - ending.length));
  let bytes = NAME_BYTES_MAX - Buffer.byteLength(`${prefix}~${ending}${suffix}`);
  // Not in the middle of a character: those of several bytes go on with 10xxxxxx.
  while (bytes > 0 && ((stem[bytes] ?? 0) & 0xc0) === 0x80) bytes -= 1;
  return `${prefix}${stem.toString('utf8', 0, bytes)}~${ending}${suffix}`;
}

/** Hidden files, files still being written and files that were refused: nobody looks at them. */
export function isPassedOver(name: string): boolean {
  return isUnfinished(name) || isRefused(name);
}

export function isUnfinished(name: string): boolean {
  return name.startsWith('.') || name.endsWith('.part');
}

export function isRefused(name: string): boolean {
  return name.endsWith('.refused');
}

/** `path` is under the landing folder: `<dataset>/NAME.csv` or `<dataset>-2024.csv`. A text says what is missing. */
export function readName(path: string, datasets: readonly string[]): NamedFile | string {
  const name = basename(path);
  const folder = dirname(path);
  const dataset = folder === '.' ? leadingDataset(name, datasets) : datasets.find((one) => one === folder);
  if (dataset === undefined) {
    return `${JSON.stringify(path)} is for no dataset that exists here. Put it into landing/<dataset>/, where <dataset> is one of ${datasets.join(', ')}`;
  }
  const ending = endingOf(name);
  if (ending === undefined) {
    return `the ending of ${JSON.stringify(name)} names no format. Rename it so that it ends in one of ${ENDINGS.join(', ')}`;
  }
  const gzip = ending.endsWith('.gz');
  const format = FORMATS[gzip ? ending.slice(0, -'.gz'.length) : ending];
  if (format === undefined) throw new Error(`${ending} has no format`);
  return { dataset, format, gzip };
}

function endingOf(name: string): (typeof ENDINGS)[number] | undefined {
  const lower = name.toLowerCase();
  return ENDINGS.find((one) => lower.endsWith(one));
}

/** Of `book` and `book_sales` the longer one that is followed by a dot, a dash or an underscore. */
function leadingDataset(name: string, datasets: readonly string[]): string | undefined {
  return datasets
    .filter((dataset) => name.startsWith(dataset) && /^[._-]/.test(name.slice(dataset.length)))
    .sort((one, other) => other.length - one.length)[0];
}
