/** Rows that are taken out of dead letters for good: what is left of the letter, and where they are counted. */
import type { DeadLetterRest, RemovalReason } from './bus.ts';
import { type Header, NOTHING_REMOVED, type Tables, type Tail } from './lmdb-tables.ts';

/** The tail that the transaction under way will write. */
export interface TailDraft {
  sequence: number;
  settleOrder: number;
  acceptedRows: Record<string, number>;
  removedRows: Record<RemovalReason, Record<string, number>>;
}

export function draftOf({ sequence, settleOrder, acceptedRows, removedRows = NOTHING_REMOVED }: Tail): TailDraft {
  const { erased, expired } = removedRows;
  return {
    sequence,
    settleOrder,
    acceptedRows: { ...acceptedRows },
    removedRows: { erased: { ...erased }, expired: { ...expired } },
  };
}

interface Letter {
  readonly sequence: number;
  readonly header: Header;
}

export function writeRest(
  tables: Tables,
  { sequence, header, rest }: Letter & { readonly rest: DeadLetterRest['rest'] },
): void {
  if (rest === undefined) {
    void tables.dead.remove(sequence);
    void tables.header.remove(sequence);
    void tables.body.remove(sequence);
  } else {
    void tables.header.put(sequence, { ...header, rowCount: rest.rowCount, bytes: rest.data.length });
    void tables.body.put(sequence, rest.data);
  }
}

/** By dataset for the equation, by message for the receipt. */
export function writeRemoved(
  tables: Tables,
  draft: TailDraft,
  { sequence, header, reason, rows }: Letter & { readonly reason: RemovalReason; readonly rows: number },
): void {
  if (rows === 0) return;
  const { messageId, dataset, requestId } = header;
  const before = tables.removed.get(sequence) ?? { messageId, requestId, erased: 0, expired: 0 };
  void tables.removed.put(sequence, { ...before, [reason]: before[reason] + rows });
  const counts = draft.removedRows[reason];
  counts[dataset] = (counts[dataset] ?? 0) + rows;
}
