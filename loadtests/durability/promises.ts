/**
 * What a trace of system calls says about the two promises: no 202 before its message is on disk, no acknowledgement
 * before the warehouse's commit is.
 *
 * How the parts write, as seen with strace. LMDB writes a transaction's pages (writev, pwrite64), calls fdatasync on
 * `bus/data.mdb`, and then writes its meta page through a second descriptor of the same file, opened with O_DSYNC; only
 * after that is the transaction there at the next start. DuckDB appends a transaction to `warehouse.duckdb.wal` and
 * calls fsync on it. Request ids are in both as plain text, and a settled message is `{"sequence":N,"settledAtMs":…}`
 * in the bus, so that each write can be told to belong to one request.
 */
import type { SystemCall } from './traced-service.ts';

/** A request that was answered 202, and its message's number on the bus. */
export interface Promised {
  readonly requestId: string;
  readonly sequence: number;
}

const isWrite = ({ name }: SystemCall): boolean => /^p?writev?(64)?$/.test(name);
const isSync = ({ name, result }: SystemCall): boolean => (name === 'fdatasync' || name === 'fsync') && result === 0;
const onFile = (suffix: string) => (call: SystemCall) => call.target.endsWith(suffix);
const onBus = onFile('/bus/data.mdb');
const onWal = onFile('/warehouse.duckdb.wal');

/** The requests whose 202 began to leave before the transaction with their message was durable. */
export function answeredEarly(calls: readonly SystemCall[], promised: readonly Promised[]): readonly string[] {
  const bus = calls.filter(onBus);
  const meta = synchronousDescriptor(bus);
  return promised.flatMap(({ requestId }) => {
    const answer = calls.find(
      (call) => isWrite(call) && call.target.startsWith('socket:') && isAnswerTo(call, requestId),
    );
    if (answer === undefined) return [`${requestId}: no 202 in the trace`];
    // The first one is the publish: later transactions write the same page again for its neighbours.
    const written = bus.find((call) => isWrite(call) && call.text.includes(requestId));
    const synced = written && bus.find((call) => isSync(call) && call.beganAt > written.endedAt);
    const durable =
      synced &&
      meta !== undefined &&
      bus.find((call) => isWrite(call) && call.descriptor === meta && call.beganAt > synced.endedAt);
    if (durable && durable.result > 0 && durable.endedAt < answer.beganAt) return [];
    return [`${requestId}: 202 at ${answer.beganAt}, durable at ${durable ? durable.endedAt : 'no time'}`];
  });
}

/** The requests whose message was acknowledged on the bus before the warehouse's transaction with it was durable. */
export function acknowledgedEarly(calls: readonly SystemCall[], promised: readonly Promised[]): readonly string[] {
  const wal = calls.filter(onWal);
  const bus = calls.filter((call) => onBus(call) && isWrite(call));
  return promised.flatMap(({ requestId, sequence }) => {
    const settled = bus.find((call) => call.text.includes(`{\\"sequence\\":${sequence},\\"settledAtMs\\"`));
    if (settled === undefined) return [`${requestId}: never acknowledged`];
    const written = wal.find((call) => isWrite(call) && call.text.includes(requestId));
    const synced = written && wal.find((call) => isSync(call) && call.beganAt > written.endedAt);
    if (synced !== undefined && synced.endedAt < settled.beganAt) return [];
    return [`${requestId}: acknowledged at ${settled.beganAt}, committed at ${synced?.endedAt ?? 'no time'}`];
  });
}

/** Files and folders that were synced before this moment of the trace. */
export function syncedBefore(calls: readonly SystemCall[], moment: number): ReadonlySet<string> {
  return new Set(calls.filter((call) => isSync(call) && call.endedAt < moment).map(({ target }) => target));
}

export function firstAnswerAt(calls: readonly SystemCall[]): number {
  return calls.find((call) => isWrite(call) && call.text.includes('HTTP/1.1 202'))?.beganAt ?? 0;
}

function isAnswerTo({ text }: SystemCall, requestId: string): boolean {
  return text.includes('HTTP/1.1 202') && text.includes(requestId);
}

/** Undefined when there is none: then nothing the bus wrote is durable. */
function synchronousDescriptor(bus: readonly SystemCall[]): number | undefined {
  return bus.findLast(({ name, text, result }) => name === 'openat' && /O_D?SYNC/.test(text) && result >= 0)?.result;
}
