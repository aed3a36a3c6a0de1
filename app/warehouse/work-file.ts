/**
 * Hands a batch of messages to DuckDB: one line of JSON each, in a file that lives as long as one statement needs it.
 *
 * The envelope's bytes go in as they travelled, with what the bus says of the message around them. No fsync: until the
 * commit the messages are on the bus, after it they are in the warehouse.
 */
import { randomUUID } from 'node:crypto';
import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contract } from '../datasets/contract.ts';
import { literal } from './duckdb-session.ts';
import { bodyStruct } from './duckdb-schema.ts';

export interface WorkLine {
  /** Where the message stands in its batch (to store) or in settle order (to seal). */
  readonly order: number;
  readonly sequence: number;
  readonly late: boolean;
  readonly data: Buffer;
}

const LINE_END = Buffer.from('}\n');
/** DuckDB allocates twice this for each reading thread; a longer line is refused. */
const LINE_BYTES_DEFAULT = 4 * 1024 * 1024;

export interface WorkFile {
  readonly path: string;
  readonly lineBytesMax: number;
}

/** Writes the lines, gives the file to `use`, and removes it whatever happens. */
export async function withWorkFile<T>(
  options: { readonly dir: string; readonly lines: readonly WorkLine[] },
  use: (file: WorkFile) => Promise<T>,
): Promise<T> {
  const { dir, lines } = options;
  const path = join(dir, `${randomUUID()}.ndjson`);
  const pieces: Buffer[] = [];
  let lineBytesMax = LINE_BYTES_DEFAULT;
  for (const { order, sequence, late, data } of lines) {
    const start = Buffer.from(`{"o":${order},"s":${sequence},"l":${late},"e":`);
    pieces.push(start, data, LINE_END);
    lineBytesMax = Math.max(lineBytesMax, start.length + data.length + LINE_END.length);
  }
  await writeFile(path, Buffer.concat(pieces));
  try {
    return await use({ path, lineBytesMax });
  } finally {
    await unlink(path);
  }
}

const HEADER =
  '"messageId" UUID, dataset VARCHAR, "requestId" VARCHAR, "apiKeyId" VARCHAR, "contractVersion" INTEGER, "receivedAt" TIMESTAMP';
const REJECTS =
  '"rejects" STRUCT("index" INTEGER, code VARCHAR, pointer VARCHAR, expected VARCHAR, got VARCHAR, body VARCHAR, "bodyBytes" INTEGER, "bodyHash" VARCHAR)[]';

/** `read_json(…)` with rows typed as the contract says, derived fields beside them. */
export function readRowsTyped(file: WorkFile, contract: Contract): string {
  const derived = contract.derived === undefined ? '' : `, derived ${bodyStruct(contract.derived.fields)}`;
  const row = `STRUCT("eventId" UUID, "index" INTEGER, body ${bodyStruct(contract.fields)}${derived})`;
  return readJson(file, `STRUCT("messageId" UUID, "rows" ${row}[])`);
}

/** `read_json(…)` with bodies as their JSON text, and rejects. */
export function readBodiesAsText(file: WorkFile): string {
  return readJson(file, `STRUCT(${HEADER}, "rows" STRUCT("eventId" UUID, "index" INTEGER, body JSON)[], ${REJECTS})`);
}

export function readRejects(file: WorkFile): string {
  return readJson(file, `STRUCT(${HEADER}, ${REJECTS})`);
}

function readJson({ path, lineBytesMax }: WorkFile, envelope: string): string {
  const columns = `{o: 'BIGINT', s: 'BIGINT', l: 'BOOLEAN', e: ${literal(envelope)}}`;
  return `read_json(${literal(path)}, format = 'newline_delimited', columns = ${columns}, maximum_object_size = ${lineBytesMax})`;
}
