/** How ledger and bronze call a file's rows: made of its bytes, its dataset and its cuts, so that all can be told again. */
import { hash } from 'node:crypto';

/** The same bytes for another dataset are another request: what one refused may be what the other is for. */
export function requestIdOf(fileId: string, dataset: string): string {
  return shortHash(`${fileId}:${dataset}`);
}

export interface RangeName {
  readonly fileId: string;
  readonly dataset: string;
  readonly firstIndex: number;
  readonly records: number;
}

export function rangeIdOf({ fileId, dataset, firstIndex, records }: RangeName): string {
  return shortHash(`${fileId}:${dataset}:${firstIndex}:${records}`);
}

function shortHash(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32);
}
