/** What is kept for an Idempotency-Key, and how it is shortened: what expired, and verdicts that quote what was erased. */
import type { Database } from 'lmdb';
import type { IdempotentAnswer } from './state.ts';

export interface IdempotencyEntry {
  readonly bodyHash: string;
  readonly requestId: string;
  readonly expiresAtMs: number;
  /** The instance that worked on it last. */
  readonly lease?: string;
  readonly answer?: IdempotentAnswer;
}

/** Judged again inside the transaction: a claim may have renewed the entry since it was listed. */
export function removeExpired(
  table: Database<{ readonly expiresAtMs: number }, string>,
  keys: readonly string[],
  nowMs: number,
): number {
  let removed = 0;
  for (const key of keys) {
    const entry = table.get(key);
    if (!entry || entry.expiresAtMs > nowMs) continue;
    void table.remove(key);
    removed += 1;
  }
  return removed;
}

/** Inside a transaction, too. Answers how many changed. */
export function forgetVerdictsOf(table: Database<IdempotencyEntry, string>, keys: readonly string[]): number {
  let changed = 0;
  for (const key of keys) {
    const entry = table.get(key);
    if (!entry?.answer) continue;
    void table.put(key, { ...entry, answer: { ...entry.answer, body: withoutValues(entry.answer.body) } });
    changed += 1;
  }
  return changed;
}

/** Index, code and rule of each verdict stay: the retry learns what it has to mend, and nothing of what was sent. */
function withoutValues(body: string): string {
  const answer = JSON.parse(body) as { readonly errors?: readonly Readonly<Record<string, unknown>>[] };
  if (answer.errors === undefined) return body;
  const errors = answer.errors.map((verdict) => ({ ...verdict, pointer: '', got: '' }));
  return JSON.stringify({ ...answer, errors });
}
