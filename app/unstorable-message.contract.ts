/** A message that stays on the bus for as long as it is tried: it says that it is ours, and no table takes its row. */
import type { BusMessage } from './bus/bus.ts';

export function unstorableFlight(): BusMessage {
  const messageId = 'f'.repeat(32);
  const body = { departed_at: '2001-01-01T00:03:00Z', delay: 'late', distance: 403, origin: 'SMF', destination: 'SAN' };
  const envelope = {
    messageId,
    dataset: 'flights',
    contractVersion: 1,
    requestId: 'e'.repeat(32),
    apiKeyId: 'anonymous',
    receivedAt: new Date().toISOString(),
    rowCount: 1,
    rejectCount: 0,
    rows: [{ eventId: 'd'.repeat(32), index: 0, body }],
    rejects: [],
  };
  const { dataset, requestId } = envelope;
  return { messageId, dataset, requestId, rowCount: 1, data: Buffer.from(JSON.stringify(envelope)), attributes: {} };
}
