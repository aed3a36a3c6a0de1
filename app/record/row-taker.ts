/**
 * From a decoded row to a bus message: judged, then a row with its id or a reject with its verdict. The API and the
 * subscriber (foreign publishers) take the same way, so that one row has one verdict and one id.
 */
import type { EnvelopeWriter } from './envelopes.ts';
import { eventIdOf, type RowSource } from './identity.ts';
import type { DecodedRow } from './row-sink.ts';
import type { Validator } from './validate.ts';
import type { Verdict } from './verdict.ts';

interface RowTakerOptions extends Omit<RowSource, 'index'> {
  readonly validator: Validator;
  readonly writer: EnvelopeWriter;
}

/** The function writes one row and returns why it was refused, if it was. */
export function rowTaker(options: RowTakerOptions): (row: DecodedRow) => Verdict | undefined {
  const { validator, writer, apiKeyId, batchKey } = options;
  const { contract } = validator;
  return (row) => {
    if ('verdict' in row) {
      writer.reject(row.index, row.verdict, row.text, row.whole);
      return row.verdict;
    }
    const judged = validator.judge(row.value, row.source);
    if (!judged.ok) {
      writer.reject(row.index, judged.verdict, row.text);
      return judged.verdict;
    }
    writer.row(row.index, eventIdOf(contract, judged.row, { apiKeyId, batchKey, index: row.index }), judged.row);
    return undefined;
  };
}
