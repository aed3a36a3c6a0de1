/** A rejected row as it stands in its message: bounded, with length and hash of what it was. */
import { hash } from 'node:crypto';
import type { EnvelopeReject } from '../bus/envelope.ts';
import type { WholeRecord } from './row-sink.ts';
import type { Verdict } from './verdict.ts';

interface Rejected {
  readonly index: number;
  readonly verdict: Verdict;
  readonly text: string;
  readonly bytesMax: number;
  readonly whole: WholeRecord | undefined;
}

export function rejectText(rejected: Rejected): string {
  return JSON.stringify(rejectOf(rejected));
}

export function rejectOf({ index, verdict, text, bytesMax, whole }: Rejected): EnvelopeReject {
  const { code, pointer, expected, got } = verdict;
  const bytes = Buffer.byteLength(text);
  return {
    index,
    code,
    pointer,
    expected,
    got,
    body: bytes <= bytesMax ? text : cutToBytes(text, bytesMax),
    bodyBytes: whole?.bytes ?? bytes,
    bodyHash: whole?.hash ?? hash('sha256', text, 'hex'),
  };
}

/** On a code point boundary: what is kept is valid UTF-8. */
export function cutToBytes(text: string, bytesMax: number): string {
  // No code unit is less than one byte, so more than this many are never kept. A surrogate pair cut here is three
  // bytes at the end, which the loop takes away.
  const bytes = Buffer.from(text.slice(0, bytesMax));
  let end = Math.min(bytesMax, bytes.length);
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0b1100_0000) === 0b1000_0000) end -= 1;
  return bytes.toString('utf8', 0, end);
}
