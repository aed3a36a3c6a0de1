/** A dataset's sample, read and judged by the parts that every record passes. */
import { createReadStream } from 'node:fs';
import { decodeBody } from '../record/decode.ts';
import { EnvelopeWriter } from '../record/envelopes.ts';
import { eventIdOf } from '../record/identity.ts';
import type { BodyFormat } from '../record/media-type.ts';
import { compileValidator } from '../record/validate.ts';
import type { Contract, Row } from './contract.ts';

const MIB = 1024 * 1024;
const RECEIVED_AT_MS = Date.UTC(2026, 0, 1);

export interface SampleRows {
  readonly rows: readonly Row[];
  readonly eventIds: readonly string[];
  /** `index: code pointer` of each row that the contract refuses. */
  readonly refused: readonly string[];
  /** What the subscriber would be given. */
  readonly messages: ReturnType<EnvelopeWriter['finish']>;
}

export async function sampleRows(contract: Contract, folder: URL): Promise<SampleRows> {
  const validator = compileValidator(contract);
  const rows: Row[] = [];
  const eventIds: string[] = [];
  const refused: string[] = [];
  let ids = 0;
  const writer = new EnvelopeWriter({
    contract,
    apiKeyId: 'sample',
    receivedAtMs: RECEIVED_AT_MS,
    limits: { messageRowsMax: 10_000, messageBytesMax: 8 * MIB, rejectBytesMax: 1024 },
    newId: () => {
      ids += 1;
      return `${contract.name.length}${ids}`.padStart(32, '0');
    },
  });
  const limits = {
    recordBytesMax: MIB,
    arrayBodyBytesMax: 4 * MIB,
    bodyBytesMax: 32 * MIB,
    rowsMax: 10_000,
    jsonDepthMax: 32,
  };
  const source = createReadStream(new URL(contract.sample.file, folder));
  await decodeBody(source, { format: formatOf(contract.sample.file), gzip: false, contract, limits }, (decoded) => {
    const judged =
      'verdict' in decoded
        ? ({ ok: false, verdict: decoded.verdict } as const)
        : validator.judge(decoded.value, decoded.source);
    if (!judged.ok) {
      refused.push(`${decoded.index}: ${judged.verdict.code} ${judged.verdict.pointer}`);
      return;
    }
    const eventId = eventIdOf(contract, judged.row, { apiKeyId: 'sample', batchKey: 'sample', index: decoded.index });
    rows.push(judged.row);
    eventIds.push(eventId);
    writer.row(decoded.index, eventId, judged.row);
  });
  return { rows, eventIds, refused, messages: writer.finish('f'.repeat(32)) };
}

function formatOf(file: string): BodyFormat {
  if (file.endsWith('.csv')) return 'csv';
  return file.endsWith('.ndjson') ? 'ndjson' : 'json';
}
