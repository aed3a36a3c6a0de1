/**
 * What the ledger holds of a file already, however it was cut: the limits of a range may have been others then, and a bad
 * record of a range that is cut otherwise would be set apart a second time.
 *
 * Ranges are stored in the order of the file. So their lengths, as the ledger has them, say where each began; that a
 * range began there its id proves. Behind a range that is missing only ranges of today's cut are known.
 */
import type { Warehouse } from '../warehouse/warehouse.ts';
import { type RangeName, rangeIdOf, requestIdOf } from './range-ids.ts';

export interface HeldRecords {
  readonly messageIds: ReadonlySet<string>;
  /** All records below this index. */
  readonly upTo: number;
}

interface Range {
  readonly firstIndex: number;
  readonly records: number;
}

export async function heldRecords(
  warehouse: Pick<Warehouse, 'requestMessages'>,
  { fileId, dataset }: Pick<RangeName, 'fileId' | 'dataset'>,
): Promise<HeldRecords> {
  const messages = await warehouse.requestMessages(requestIdOf(fileId, dataset));
  let upTo = 0;
  for (const { messageId, records } of messages) {
    if (messageId !== rangeIdOf({ fileId, dataset, firstIndex: upTo, records })) break;
    upTo += records;
  }
  return { messageIds: new Set(messages.map(({ messageId }) => messageId)), upTo };
}

export function isHeld(held: HeldRecords, range: Range & { readonly messageId: string }): boolean {
  return held.messageIds.has(range.messageId) || range.firstIndex + range.records <= held.upTo;
}

/** Whether one of the ranges holds records of both kinds. */
export function cutsThrough({ upTo }: HeldRecords, ranges: readonly Range[]): boolean {
  return ranges.some(({ firstIndex, records }) => firstIndex < upTo && upTo < firstIndex + records);
}
