/**
 * Takes records out of everything that the service keeps, whatever dies when.
 *
 * What is asked for is durable in the state store before anything is changed, and is carried on by the next start until
 * it is done. Each step can be done again. The order: dead letters; tombstones and the warehouse's transaction; what
 * came in between; then the bytes in bronze and archive, and verdicts kept for Idempotency-Keys. Last it is noted that a
 * compaction is due, because the databases' freed pages hold old bytes until then.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ErasureCounts, ErasureOutcome, ErasureRequest, Erasures } from './api/erasure-routes.ts';
import { randomId } from './api/ingest.ts';
import { archivedFiles, countArchived, removeArchived } from './archive-removal.ts';
import type { Bus, DeadLetterRest } from './bus/bus.ts';
import type { Config } from './config.ts';
import type { Contract } from './datasets/contract.ts';
import { type Wanted, withoutWanted } from './dead-letter-removal.ts';
import { AppError } from './errors.ts';
import { requestIdOf } from './landing/range-ids.ts';
import { LANDING_ENDS, type LandingFile, type LandingState } from './state/landing-file.ts';
import type { State } from './state/state.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { FoundRecord, FoundRecords, RecordPlace, RecordSelector } from './warehouse/erasable.ts';
import type { Warehouse } from './warehouse/warehouse.ts';

const FACT = 'erasures';
/** Since when freed pages hold what was erased; compaction.ts ends it. */
export const COMPACTION_FACT = 'compaction-due';
/** Above what a commit takes on a busy machine; below a client's patience. */
const SETTLE_TIMEOUT_MS = 10_000;
const SETTLE_LOOK_MS = 20;
const ANSWER_TIMEOUT_MS = 20_000;
const RETRY_MS = 5_000;
const LETTERS_PAGE = 100;
const LANDED_LOOK_MS = 200;
const UNDER_WAY: readonly LandingState[] = ['checking', 'storing'];
/** A letter may be put back while it is taken apart; then it is waited for once more. */
const DEAD_ROUNDS_MAX = 5;

interface ErasureParts {
  readonly config: Pick<Config, 'RECORD_BYTES_MAX'>;
  readonly dataDir: string;
  readonly bus: Bus;
  readonly warehouse: Warehouse;
  readonly state: State;
  readonly telemetry: Pick<Telemetry, 'log'>;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly sealAll: () => Promise<void>;
  readonly now: () => number;
}

/** As the state store keeps it until it is done. */
interface Asked {
  readonly id: string;
  readonly dataset: string;
  readonly selector: RecordSelector;
  readonly actor: string;
  readonly askedAtMs: number;
}

interface Survey {
  readonly counts: ErasureCounts;
  readonly erased: number;
  readonly found: FoundRecords;
}

export interface RunningErasures extends Erasures {
  /** Resolves when nothing is being erased any more; what was asked for goes on at the next start. */
  stop(): Promise<void>;
}

/** Goes on with what an earlier process left. The subscriber must be on. */
export async function startErasures(parts: ErasureParts): Promise<RunningErasures> {
  const erasures = new OneAfterAnother(parts);
  for (const asked of askedIn(await parts.state.fact(FACT))) void erasures.goOn(asked);
  return erasures;
}

/** `signal`: the service stops. */
type Parts = ErasureParts & { readonly signal: AbortSignal };

class OneAfterAnother implements RunningErasures {
  readonly #parts: Parts;
  readonly #stopping = new AbortController();
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ErasureParts) {
    this.#parts = { ...parts, signal: this.#stopping.signal };
  }

  async survey({ contract, selector }: ErasureRequest): Promise<ErasureOutcome> {
    await settled(this.#parts);
    const { counts, erased } = await survey(this.#parts, { id: randomId(), contract, selector });
    return { counts, erased, state: 'surveyed' };
  }

  async erase({ contract, selector, actor }: ErasureRequest): Promise<ErasureOutcome> {
    const { state, now } = this.#parts;
    // What cannot be done at all is found out before anything is promised.
    const { counts } = await this.survey({ contract, selector, actor });
    const asked = { id: randomId(), dataset: contract.name, selector, actor, askedAtMs: now() };
    await state.changeFact(FACT, (before) => [...askedIn(before), asked]);
    const late = pause(ANSWER_TIMEOUT_MS, undefined, { ref: false });
    const erased = await Promise.race([this.goOn(asked), late]);
    return erased === undefined ? { counts, erased: 0, state: 'running' } : { counts, erased, state: 'done' };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#last;
  }

  /** Resolves with the rows erased; undefined when the service stops first. Never rejects. */
  goOn(asked: Asked): Promise<number | undefined> {
    const done = this.#last.then(() => this.#untilDone(asked));
    this.#last = done;
    return done;
  }

  async #untilDone(asked: Asked): Promise<number | undefined> {
    const { telemetry, now } = this.#parts;
    const { signal } = this.#stopping;
    const startedAtMs = now();
    while (!signal.aborted) {
      try {
        const rows = await carryOut(this.#parts, asked);
        telemetry.log('recordsErased', { dataset: asked.dataset, records: rows, durationMs: now() - startedAtMs });
        return rows;
      } catch (error) {
        if (signal.aborted) return undefined;
        telemetry.log('erasureFailed', { dataset: asked.dataset, error });
        await pause(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
    return undefined;
  }
}

interface Target {
  readonly id: string;
  readonly contract: Contract;
  readonly selector: RecordSelector;
}

/** Where everything is now. Bronze is looked through twice: what the bus still held is what the second look adds. */
async function survey(parts: ErasureParts, target: Target): Promise<Survey> {
  const { warehouse, sealAll } = parts;
  const { id, contract, selector } = target;
  const asked = { dataset: contract.name, selector, erasureId: id };
  const sealed = await warehouse.findRecords({ ...asked, scanned: new Set() });
  await sealAll();
  const onBus = await warehouse.findRecords({ ...asked, scanned: sealed.scanned });
  const found = both(sealed, onBus);
  const dead = await lettersOf(parts, { ...target, key: found.key });
  const counts = {
    silver: found.silver,
    quarantine: found.quarantine,
    deadLetters: dead.reduce((sum, { rows, rejects }) => sum + rows + rejects, 0),
    bronze: sealed.records.length,
    bus: onBus.records.length,
    archive: await archived(parts, { dataset: contract.name, places: found.records }, countArchived),
  };
  const rows = found.records.filter(({ kind }) => kind === 'row').length;
  return { counts, erased: rows + dead.reduce((sum, one) => sum + one.rows, 0), found };
}

function both(one: FoundRecords, other: FoundRecords): FoundRecords {
  const records: readonly FoundRecord[] = [...one.records, ...other.records];
  const silver = one.silver + other.silver;
  return { ...other, records, silver, quarantine: one.quarantine + other.quarantine, key: one.key ?? other.key };
}

/** Answers the accepted rows that became erased. */
async function carryOut(parts: Parts, asked: Asked): Promise<number> {
  const { warehouse, state, sealAll, contracts, now } = parts;
  const { id, dataset, selector, actor } = asked;
  const contract = contracts.get(dataset);
  if (contract === undefined) throw new Error(`no contract named ${dataset}`);
  await landed(parts, asked);
  await settled(parts);
  const target = { id, contract, selector };
  const { found } = await survey(parts, target);
  let rows = await removeFromDead(parts, { ...target, key: found.key });
  const request = { erasureId: id, dataset, selector, actor };
  if (found.records.length > 0) {
    rows += await warehouse.eraseRecords({ ...request, records: found.records });
    // What came between the look and the tombstones has a commit before theirs.
    await settled(parts);
    await sealAll();
    const later = await warehouse.findRecords({ ...request, scanned: found.scanned });
    if (later.records.length > 0) rows += await warehouse.eraseRecords({ ...request, records: later.records });
  }
  await warehouse.emptyErased(request);
  const places = await warehouse.erasedPlaces(id);
  await state.forgetVerdicts(new Set(places.map(({ requestId }) => requestId)));
  await archived(parts, { dataset, places }, removeArchived);
  if (rows + places.length > 0) await state.changeFact(COMPACTION_FACT, (since) => since ?? now());
  await state.changeFact(FACT, (before) => askedIn(before).filter((one) => one.id !== id));
  return rows;
}

/** Resolves when everything that was accepted before is stored, or dead. Throws OVERLOADED when that takes too long. */
async function settled({ bus, now, signal }: Parts): Promise<void> {
  const deadlineMs = now() + SETTLE_TIMEOUT_MS;
  const awaited = new Set((await bus.snapshot()).unsettled.map(({ messageId }) => messageId));
  while (awaited.size > 0) {
    if (now() > deadlineMs) throw notSettled(awaited.size);
    await pause(SETTLE_LOOK_MS, undefined, { signal });
    const left = new Set((await bus.snapshot()).unsettled.map(({ messageId }) => messageId));
    for (const messageId of awaited) if (!left.has(messageId)) awaited.delete(messageId);
  }
}

interface Letter extends DeadLetterRest {
  readonly rows: number;
  readonly rejects: number;
}

/** Dead letters that hold something of it, and what would be left of each. */
async function lettersOf({ bus, warehouse }: ErasureParts, wanted: Wanted): Promise<readonly Letter[]> {
  const found: Letter[] = [];
  const filter = { dataset: wanted.contract.name };
  for (let after: string | undefined; ; ) {
    const page = await bus.deadLetters({ filter, limit: LETTERS_PAGE, ...(after === undefined ? {} : { after }) });
    // Rows of a letter that was stored before it died are the ledger's to count.
    const held = await warehouse.ledgerHolds(page.map(({ message }) => message.messageId));
    for (const letter of page) {
      const less = withoutWanted(letter, wanted);
      if (less === undefined) continue;
      const rows = held.has(letter.message.messageId) ? 0 : less.rows;
      found.push({ ...less, rows, sequence: letter.sequence, removedRows: rows });
    }
    after = page.at(-1)?.message.messageId;
    if (page.length < LETTERS_PAGE) return found;
  }
}

/** Answers the accepted rows taken out. */
async function removeFromDead(parts: Parts, wanted: Wanted): Promise<number> {
  let rows = 0;
  for (let round = 0; round < DEAD_ROUNDS_MAX; round += 1) {
    const letters = await lettersOf(parts, wanted);
    let done = 0;
    for (const letter of letters) {
      const removed = await parts.bus.removeFromDead([letter], 'erased');
      done += removed;
      if (removed > 0) rows += letter.rows;
    }
    if (done === letters.length) return rows;
    await settled(parts);
  }
  throw notSettled(1);
}

interface InArchive {
  readonly dataset: string;
  readonly places: readonly RecordPlace[];
}

/**
 * Resolves when no file of the dataset is being stored that was there when it was asked for: of such a file what comes
 * later would stay. A file that waits, or that cannot go on for now, is stored afterwards, and what it brings is new.
 */
async function landed({ state, signal }: Parts, { dataset, askedAtMs }: Asked): Promise<void> {
  const isUnderWay = (file: LandingFile): boolean =>
    file.dataset === dataset && UNDER_WAY.includes(file.state) && file.seenAtMs <= askedAtMs;
  while ((await state.landingFiles()).some(isUnderWay)) await pause(LANDED_LOOK_MS, undefined, { signal });
}

/** Throws while a file of them is still on its way to the archive. */
async function archived(
  { dataDir, state, config }: ErasureParts,
  { dataset, places }: InArchive,
  work: typeof countArchived,
): Promise<number> {
  if (places.length === 0) return 0;
  const requests = Map.groupBy(places, ({ requestId }) => requestId);
  if (work === removeArchived) {
    const open = (await state.landingFiles()).filter((file) => !LANDING_ENDS.includes(file.state));
    const touches = ({ fileId }: LandingFile): boolean =>
      fileId !== undefined && requests.has(requestIdOf(fileId, dataset));
    if (open.some(touches)) throw stillLanding();
  }
  let records = 0;
  for (const { fileId, path, name } of await archivedFiles(dataDir, dataset)) {
    const those = requests.get(requestIdOf(fileId, dataset));
    if (those === undefined) continue;
    const indexes = new Set(those.map(({ index }) => index));
    records += await work({ dataDir, path, name, dataset, indexes, recordBytesMax: config.RECORD_BYTES_MAX });
  }
  return records;
}

function askedIn(fact: unknown): readonly Asked[] {
  return (fact ?? []) as readonly Asked[];
}

function notSettled(messages: number): AppError {
  return new AppError({
    code: 'OVERLOADED',
    publicMessage: `OVERLOADED: ${messages} messages that were accepted before are not stored yet. Try again after the time in Retry-After.`,
  });
}

function stillLanding(): AppError {
  return new AppError({
    code: 'OVERLOADED',
    publicMessage: 'OVERLOADED: a file that holds such a record is still being stored.',
  });
}
