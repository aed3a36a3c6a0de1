/**
 * One file's way: check → ranges → archive. Each step can be done again: a range that the ledger holds is passed over,
 * so a crash anywhere costs at most the range that was being stored.
 *
 * Nothing of a file is stored before the whole of it was checked. After that only what may pass can stop it.
 */
import { existsSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import type { Contract } from '../datasets/contract.ts';
import type { Validator } from '../record/validate.ts';
import type { LandingCounts, LandingFile, LandingPlan } from '../state/landing-file.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { FileRange, RangeOutcome } from '../warehouse/file-range.ts';
import type { Warehouse } from '../warehouse/warehouse.ts';
import { bytesOf, checkFile, needsWorkFile, type ReadParquet, recordFormat } from './file-check.ts';
import { fileNameUnknown } from './file-problems.ts';
import { cutsThrough, type HeldRecords, heldRecords, isHeld } from './held-records.ts';
import type { LandingFolder } from './landing-folder.ts';
import { type NamedFile, readName } from './landing-name.ts';
import { cutRange } from './range-cut.ts';
import { rangeIdOf, requestIdOf } from './range-ids.ts';

/** Whose rows a file's are: no API key is called so. */
export const LANDING_KEY_ID = 'landing';

/** Writes the file to `target`, durably, without the content of some of its records; answers of how many: see archive-removal.ts. */
export type CopyWithout = (options: {
  readonly path: string;
  readonly name: string;
  readonly dataset: string;
  readonly indexes: ReadonlySet<number>;
  readonly recordBytesMax: number;
  readonly target: string;
}) => Promise<number>;

export interface TakeParts {
  readonly config: Config;
  readonly dataDir: string;
  readonly folder: LandingFolder;
  readonly warehouse: Pick<Warehouse, 'storeRange' | 'requestMessages' | 'requestOutcome' | 'erasedOf' | 'writeAudit'>;
  readonly state: Pick<State, 'landingPlan'>;
  readonly telemetry: Pick<Telemetry, 'landingStep'>;
  readonly contracts: ReadonlyMap<string, Contract>;
  readonly validators: ReadonlyMap<string, Validator>;
  /** Undefined where the warehouse cannot read Parquet: such a file is refused by its name. */
  readonly readParquet?: ReadParquet;
  readonly copyWithout: CopyWithout;
  readonly now: () => number;
  readonly faultPoint: (name: string) => void;
}

export interface TakeHooks {
  /** Throws when the service stops: between chunks of a check and between ranges. */
  readonly goOn: () => void;
  /** What is known now, made durable. */
  readonly put: (change: Partial<LandingFile>, plan?: LandingPlan) => Promise<LandingFile>;
  readonly stored: (outcome: RangeOutcome, range: FileRange) => void;
}

export type TakenFile =
  | { readonly kind: 'done'; readonly counts: LandingCounts; readonly movedTo: string }
  | { readonly kind: 'skipped'; readonly movedTo: string };

/** A file that is open, and what its name said. */
interface OpenFile {
  readonly handle: FileHandle;
  readonly file: LandingFile;
  readonly named: NamedFile;
  readonly contract: Contract;
  readonly validator: Validator;
  readonly workPath: string;
}

/** Throws AppError: one that is not retryable, from the check, refuses the file. */
export async function takeFile(parts: TakeParts, file: LandingFile, hooks: TakeHooks): Promise<TakenFile> {
  const handle = await parts.folder.open(file);
  const workPath = join(parts.dataDir, 'work', `landing-${file.id}`);
  try {
    const opened = { handle, file, workPath, ...namedParts(parts, file) };
    // Taken before, by this process or one that is gone: what the ledger holds of it is its own.
    const again = file.takenAtMs !== undefined;
    const receivedAtMs = file.takenAtMs ?? parts.now();
    await hooks.put({ state: 'checking', dataset: opened.named.dataset, takenAtMs: receivedAtMs });
    const { plan, before } = await planWithout(parts, opened, hooks);
    parts.faultPoint('landing-checked');
    const ranges = plan.ranges.map((range) => fileRange({ opened, plan, range, receivedAtMs }));
    const held = new Set(ranges.filter((range) => isHeld(before, range)).map(({ messageId }) => messageId));
    const { fileId } = plan;
    const known = { fileId, records: plan.records };
    if (held.size === ranges.length && !again) {
      await hooks.put({ ...known, state: 'storing' }, plan);
      return { kind: 'skipped', movedTo: await archive(parts, { ...opened, fileId, wasHeld: true }) };
    }
    const countsBefore = held.size === 0 ? NOTHING : await countsOf(parts, ranges, held);
    await hooks.put({ ...known, state: 'storing', counts: countsBefore }, plan);
    const counts = await storeRanges(parts, { opened, plan, ranges, held, before: countsBefore }, hooks);
    return { kind: 'done', counts, movedTo: await archive(parts, { ...opened, fileId, wasHeld: held.size > 0 }) };
  } finally {
    await handle.close();
    await rm(workPath, { force: true });
  }
}

const NOTHING: LandingCounts = { read: 0, stored: 0, duplicate: 0, quarantined: 0, rejected: 0 };

function namedParts({ contracts, validators, readParquet }: TakeParts, { path }: LandingFile) {
  const named = readName(path, [...contracts.keys()]);
  if (typeof named === 'string') throw fileNameUnknown(named);
  if (named.format === 'parquet' && readParquet === undefined)
    throw fileNameUnknown('Parquet files are not taken here');
  const contract = contracts.get(named.dataset);
  const validator = validators.get(named.dataset);
  if (contract === undefined || validator === undefined) throw new Error(`no contract for ${named.dataset}`);
  return { named, contract, validator };
}

interface PlanAndBefore {
  readonly plan: LandingPlan;
  /** What the ledger holds of the file. */
  readonly before: HeldRecords;
}

/** Cut so that every range is held as a whole or not at all. */
async function planWithout(parts: TakeParts, opened: OpenFile, hooks: TakeHooks): Promise<PlanAndBefore> {
  const plan = await timed(parts, 'check', () => planOf(parts, opened, hooks));
  const before = await heldRecords(parts.warehouse, { fileId: plan.fileId, dataset: opened.contract.name });
  if (!cutsThrough(before, plan.ranges)) return { plan, before };
  return { plan: await timed(parts, 'check', () => checked(parts, opened, { ...hooks, cutAt: before.upTo })), before };
}

/** Kept from before when the file can be cut as it lies there; a work file has to be made again. */
async function planOf(parts: TakeParts, opened: OpenFile, hooks: TakeHooks): Promise<LandingPlan> {
  const { file, named } = opened;
  const kept = needsWorkFile(named) ? undefined : await parts.state.landingPlan(file.id);
  return kept ?? checked(parts, opened, hooks);
}

async function checked(
  { config, folder, readParquet }: TakeParts,
  opened: OpenFile,
  { goOn, cutAt }: Pick<TakeHooks, 'goOn'> & { readonly cutAt?: number },
): Promise<LandingPlan> {
  const { file } = opened;
  try {
    return await checkFile({
      ...opened,
      path: pathOfOpened(opened.handle) ?? folder.at(file.path),
      folder: dirname(folder.at(file.path)),
      recordBytesMax: config.RECORD_BYTES_MAX,
      rangeRowsMax: config.LANDING_RANGE_ROWS_MAX,
      rangeBytesMax: config.LANDING_RANGE_BYTES_MAX,
      inflatedBytesMax: config.LANDING_INFLATED_BYTES_MAX,
      ...(readParquet === undefined ? {} : { readParquet }),
      ...(cutAt === undefined ? {} : { cutAt }),
      onBytes: goOn,
    });
  } finally {
    // What seems broken may only be half written; what seems sound may have changed behind us.
    await folder.checkUnchanged(file);
  }
}

/** Of the file that was opened, whatever has its name by now, and without the `*` or `[` that a name may have. Undefined where the system has no such path. */
function pathOfOpened({ fd }: FileHandle): string | undefined {
  const path = `/proc/self/fd/${fd}`;
  return existsSync(path) ? path : undefined;
}

interface Planned {
  readonly opened: OpenFile;
  readonly plan: LandingPlan;
  readonly range: LandingPlan['ranges'][number];
  readonly receivedAtMs: number;
}

function fileRange({ opened, plan, range, receivedAtMs }: Planned): FileRange {
  const { named, contract, workPath } = opened;
  const { fileId, columns } = plan;
  const { firstIndex, records } = range;
  return {
    messageId: rangeIdOf({ fileId, dataset: contract.name, firstIndex, records }),
    dataset: contract.name,
    requestId: requestIdOf(fileId, contract.name),
    apiKeyId: LANDING_KEY_ID,
    contractVersion: contract.version,
    receivedAt: new Date(receivedAtMs).toISOString(),
    fileId,
    format: recordFormat(named) === 'csv' ? { kind: 'csv', columns } : { kind: 'ndjson' },
    path: `${workPath}-${firstIndex}`,
    firstIndex,
    records,
  };
}

/** Of the ranges that were stored before: the ledger's word counts, not what was noted beside it. */
async function countsOf(
  { warehouse }: TakeParts,
  ranges: readonly FileRange[],
  held: ReadonlySet<string>,
): Promise<LandingCounts> {
  const read = ranges.filter(({ messageId }) => held.has(messageId)).reduce((sum, { records }) => sum + records, 0);
  const { stored, duplicate, quarantined, rejected } = await warehouse.requestOutcome(ranges[0]?.requestId ?? '');
  return { read, stored, duplicate, quarantined, rejected };
}

interface StoreOptions {
  readonly opened: OpenFile;
  readonly plan: LandingPlan;
  readonly ranges: readonly FileRange[];
  readonly held: ReadonlySet<string>;
  readonly before: LandingCounts;
}

async function storeRanges(
  parts: TakeParts,
  { opened, plan, ranges, held, before }: StoreOptions,
  hooks: TakeHooks,
): Promise<LandingCounts> {
  const source = needsWorkFile(opened.named) ? await open(opened.workPath) : opened.handle;
  let counts = before;
  try {
    for (const [at, range] of ranges.entries()) {
      if (held.has(range.messageId)) continue;
      hooks.goOn();
      await parts.folder.checkUnchanged(opened.file);
      const planned = plan.ranges[at];
      if (planned === undefined) throw new Error(`range ${at} has no plan`);
      const outcome = await timed(parts, 'range', () =>
        storeOne(parts, { opened, range, planned, columns: plan.columns, source }),
      );
      parts.faultPoint('landing-range-stored');
      counts = plus(counts, outcome, range.records);
      hooks.stored(outcome, range);
      await hooks.put({ counts });
    }
    return counts;
  } finally {
    if (source !== opened.handle) await source.close();
  }
}

interface RangeToStore {
  readonly opened: OpenFile;
  readonly range: FileRange;
  readonly planned: LandingPlan['ranges'][number];
  readonly columns: readonly string[];
  readonly source: FileHandle;
}

async function storeOne(
  { config, warehouse }: TakeParts,
  { opened, range, planned, columns, source }: RangeToStore,
): Promise<RangeOutcome> {
  const work = await open(range.path, 'w');
  try {
    const cut = await cutRange(bytesOf(source, planned), work, {
      range: planned,
      format: recordFormat(opened.named),
      columns,
      validator: opened.validator,
      recordBytesMax: config.RECORD_BYTES_MAX,
      rejectBytesMax: config.REJECT_BYTES_MAX,
      jsonDepthMax: config.JSON_DEPTH_MAX,
    });
    return await warehouse.storeRange(range, (indexes) => cut.judge(indexes));
  } finally {
    await work.close();
    await rm(range.path, { force: true });
  }
}

function plus(counts: LandingCounts, { counts: more }: RangeOutcome, records: number): LandingCounts {
  return {
    read: counts.read + records,
    stored: counts.stored + more.stored,
    duplicate: counts.duplicate + more.duplicate,
    quarantined: counts.quarantined + more.quarantined,
    rejected: counts.rejected + more.rejected,
  };
}

interface StoredFile extends OpenFile {
  readonly fileId: string;
  /** Something of it before it was taken: an erasure, which waits for the file under way, may have gone by. */
  readonly wasHeld: boolean;
}

/** Durable in the archive before it leaves landing: who wrote it may never have asked for its bytes to be. */
async function archive(parts: TakeParts, stored: StoredFile): Promise<string> {
  const { handle, file, fileId, contract, workPath, wasHeld } = stored;
  const { folder, faultPoint } = parts;
  await handle.sync();
  const emptied = wasHeld ? await withoutErased(parts, stored) : undefined;
  await folder.checkUnchanged(file);
  faultPoint('landing-archiving');
  try {
    const kept = { dataset: contract.name, fileId, emptied };
    const movedTo = await timed(parts, 'archive', () => folder.archive(file.path, kept));
    faultPoint('landing-archived');
    return movedTo;
  } finally {
    await rm(`${workPath}-emptied`, { force: true });
  }
}

/** A copy without what was erased while the archive did not have the file. Undefined when that is nothing. */
async function withoutErased(
  { warehouse, folder, config, copyWithout }: TakeParts,
  { file, fileId, contract, handle, workPath }: StoredFile,
): Promise<string | undefined> {
  const dataset = contract.name;
  const erased = await warehouse.erasedOf(requestIdOf(fileId, dataset));
  if (erased.length === 0 || (await folder.archived({ dataset, fileId })) !== undefined) return undefined;
  const target = `${workPath}-emptied`;
  const records = await copyWithout({
    path: pathOfOpened(handle) ?? folder.at(file.path),
    name: basename(file.path),
    dataset,
    indexes: new Set(erased),
    recordBytesMax: config.RECORD_BYTES_MAX,
    target,
  });
  return records === 0 ? undefined : target;
}

type Step = Parameters<Telemetry['landingStep']>[0]['step'];

async function timed<T>({ telemetry }: TakeParts, step: Step, run: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const tell = (outcome: 'ok' | 'failed'): void =>
    telemetry.landingStep({ step, outcome, seconds: (performance.now() - startedMs) / 1000 });
  try {
    const done = await run();
    tell('ok');
    return done;
  } catch (error) {
    tell('failed');
    throw error;
  }
}
