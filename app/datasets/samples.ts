/**
 * Reads a dataset's sample file as rows that have not been judged: they go through the path a user's records take.
 * Memory stays flat for NDJSON and CSV; a JSON array is read whole.
 */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse';
import type { Contract } from './contract.ts';

/** A row as a producer would send it; CSV cells are text. */
export type SampleRow = Readonly<Record<string, unknown>>;

/** `folder` ends with a slash. Throws when the file is not what its name says. */
export function readSample(contract: Contract, folder: URL): AsyncIterable<SampleRow> {
  const file = new URL(contract.sample.file, folder);
  if (file.pathname.endsWith('.csv')) return readCsv(file);
  return file.pathname.endsWith('.ndjson') ? readLines(file) : readArray(file);
}

async function* readLines(file: URL): AsyncGenerator<SampleRow> {
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line.trim() !== '') yield JSON.parse(line) as SampleRow;
  }
}

async function* readArray(file: URL): AsyncGenerator<SampleRow> {
  yield* JSON.parse(await readFile(file, 'utf8')) as SampleRow[];
}

/** `pipe` does not carry errors across: without the listener a missing file would leave the reader waiting. */
async function* readCsv(file: URL): AsyncGenerator<SampleRow> {
  const parser = parse({ columns: true, bom: true });
  const source = createReadStream(file);
  source.on('error', (error) => parser.destroy(error));
  yield* source.pipe(parser) as AsyncIterable<SampleRow>;
}
