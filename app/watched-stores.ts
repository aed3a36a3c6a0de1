/**
 * Bus, warehouse and state as the rest of the service is given them: every call is counted, timed and, inside a trace,
 * has its span. Whoever gets an interface need not think of it, and nobody can forget it.
 *
 * Left alone: what answers from memory, `publish` and `subscribe` (telemetry watches them where their context is), and
 * `keyEverMade`, which runs on each request beside `apiKey` and fails when that does.
 */
import type { Bus } from './bus/bus.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { Warehouse } from './warehouse/warehouse.ts';

export interface Stores {
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
}

type Watcher = Pick<Telemetry, 'dependency' | 'onScrape' | 'reads'>;

/** `readers`: how many warehouse reads run at once; the others wait. */
export function watchStores({ bus, warehouse, state }: Stores, telemetry: Watcher, readers: number): Stores {
  return {
    bus: watchBus(bus, telemetry),
    warehouse: watchWarehouse(warehouse, telemetry, readers),
    state: watchState(state, telemetry),
  };
}

function watchBus(bus: Bus, { dependency }: Watcher): Bus {
  const watch = <T>(operation: Parameters<typeof dependency<'bus', T>>[0]['operation'], run: () => Promise<T>) =>
    dependency({ dependency: 'bus', operation }, run);
  return {
    name: bus.name,
    publish: (messages) => bus.publish(messages),
    subscribe: (handler, options) => bus.subscribe(handler, options),
    backlog: () => bus.backlog(),
    settledCount: () => bus.settledCount(),
    snapshot: () => watch('snapshot', () => bus.snapshot()),
    findByRequest: (requestId) => watch('read', () => bus.findByRequest(requestId)),
    read: (messageId) => watch('read', () => bus.read(messageId)),
    deadLetters: (page) => watch('dead_letters', () => bus.deadLetters(page)),
    replay: (options) => watch('replay', () => bus.replay(options)),
    removeFromDead: (rests, reason) => watch('dead_letters', () => bus.removeFromDead(rests, reason)),
    settled: (options) => watch('settled', () => bus.settled(options)),
    release: (settleOrders) => watch('release', () => bus.release(settleOrders)),
    reconcile: (ledgerHolds) => watch('reconcile', () => bus.reconcile(ledgerHolds)),
    check: () => watch('check', () => bus.check()),
    close: () => bus.close(),
  };
}

function watchWarehouse(warehouse: Warehouse, { dependency, onScrape, reads }: Watcher, readers: number): Warehouse {
  const watch = <T>(operation: Parameters<typeof dependency<'warehouse', T>>[0]['operation'], run: () => Promise<T>) =>
    dependency({ dependency: 'warehouse', operation }, run);
  let reading = 0;
  const read = async <T>(operation: 'aggregate' | 'records', run: () => Promise<T>): Promise<T> => {
    reading += 1;
    try {
      return await watch(operation, run);
    } finally {
      reading -= 1;
    }
  };
  onScrape(function warehouseReads() {
    reads({ running: Math.min(reading, readers), waiting: Math.max(0, reading - readers) });
  });
  return {
    name: warehouse.name,
    version: (dataset, range) => warehouse.version(dataset, range),
    store: (messages) => watch('store', () => warehouse.store(messages)),
    storeRange: (range, judge) => watch('store_range', () => warehouse.storeRange(range, judge)),
    ledgerHolds: (messageIds) => watch('ledger', () => warehouse.ledgerHolds(messageIds)),
    seal: (messages) => watch('seal', () => warehouse.seal(messages)),
    compact: () => watch('compact', () => warehouse.compact()),
    aggregate: (query, budget) => read('aggregate', () => warehouse.aggregate(query, budget)),
    records: (query, budget) => read('records', () => warehouse.records(query, budget)),
    quarantine: (page) => watch('quarantine', () => warehouse.quarantine(page)),
    audit: (page) => watch('audit', () => warehouse.audit(page)),
    writeAudit: (entry) => watch('write_audit', () => warehouse.writeAudit(entry)),
    requestOutcome: (requestId) => watch('request_outcome', () => warehouse.requestOutcome(requestId)),
    requestRows: (requestId, page) => watch('request_outcome', () => warehouse.requestRows(requestId, page)),
    accounting: (cut, messageIds) => watch('accounting', () => warehouse.accounting(cut, messageIds)),
    counts: () => watch('counts', () => warehouse.counts()),
    removeSamples: () => watch('erase', () => warehouse.removeSamples()),
    findRecords: (options) => watch('erase', () => warehouse.findRecords(options)),
    eraseRecords: (options) => watch('erase', () => warehouse.eraseRecords(options)),
    erasedPlaces: (erasureId) => watch('erase', () => warehouse.erasedPlaces(erasureId)),
    erasedOf: (requestId) => watch('erase', () => warehouse.erasedOf(requestId)),
    receivedAt: (requestIds) => watch('request_outcome', () => warehouse.receivedAt(requestIds)),
    requestMessages: (requestId) => watch('request_outcome', () => warehouse.requestMessages(requestId)),
    expire: (options) => watch('expire', () => warehouse.expire(options)),
    emptyErased: (options) => watch('erase', () => warehouse.emptyErased(options)),
    check: (timeoutMs) => watch('check', () => warehouse.check(timeoutMs)),
    close: () => warehouse.close(),
  };
}

function watchState(state: State, { dependency }: Watcher): State {
  const watch = <T>(operation: Parameters<typeof dependency<'state', T>>[0]['operation'], run: () => Promise<T>) =>
    dependency({ dependency: 'state', operation }, run);
  return {
    name: state.name,
    keyEverMade: () => state.keyEverMade(),
    apiKey: (id) => watch('api_key', () => state.apiKey(id)),
    apiKeys: () => watch('api_key', () => state.apiKeys()),
    addApiKey: (key) => watch('key_change', () => state.addApiKey(key)),
    revokeApiKey: (id, atMs) => watch('key_change', () => state.revokeApiKey(id, atMs)),
    claimIdempotency: (scope, claim) => watch('idempotency', () => state.claimIdempotency(scope, claim)),
    answerIdempotency: (scope, answer) => watch('idempotency', () => state.answerIdempotency(scope, answer)),
    releaseIdempotency: (scope) => watch('idempotency', () => state.releaseIdempotency(scope)),
    forgetVerdicts: (requestIds) => watch('idempotency', () => state.forgetVerdicts(requestIds)),
    signingKey: () => watch('fact', () => state.signingKey()),
    addTicket: (hash, ticket) => watch('ticket', () => state.addTicket(hash, ticket)),
    takeTicket: (hash, nowMs) => watch('ticket', () => state.takeTicket(hash, nowMs)),
    fact: (name) => watch('fact', () => state.fact(name)),
    setFact: (name, value) => watch('fact', () => state.setFact(name, value)),
    changeFact: (name, change) => watch('fact', () => state.changeFact(name, change)),
    landingFiles: () => watch('landing', () => state.landingFiles()),
    putLandingFile: (file, plan) => watch('landing', () => state.putLandingFile(file, plan)),
    landingPlan: (id) => watch('landing', () => state.landingPlan(id)),
    removeLandingFiles: (ids) => watch('landing', () => state.removeLandingFiles(ids)),
    sweep: (nowMs) => watch('sweep', () => state.sweep(nowMs)),
    check: () => watch('check', () => state.check()),
    close: () => state.close(),
  };
}
