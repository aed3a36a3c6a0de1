/**
 * The landing folder, watched: what comes in is taken when it rests, one file at a time, and goes to the archive.
 *
 * The folder is looked through once a second: no watcher of any system tells of every change on every file system, and
 * a look is a few system calls. A file is taken when two looks LANDING_SETTLE_MS apart find it unchanged, or at once
 * when its content is older than its name by that much, as `mv` leaves it. What is known of each file is in the state
 * store, so a restart goes on where it was. Nothing that happens to a file reaches the API: a failure that may pass
 * leaves it where it is and tries again, any other refuses it with its reason.
 */
import { AppError } from '../errors.ts';
import { makeReceiptId } from '../record/receipt-id.ts';
import {
  LANDING_ENDS,
  type LandingEnd,
  type LandingFile,
  type LandingPlan,
  type LandingState,
} from '../state/landing-file.ts';
import type { State } from '../state/state.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { FileRange, RangeOutcome } from '../warehouse/file-range.ts';
import { fileChanged, fileGone, fileNameUnknown, fileNotRegular, fileUnreadable } from './file-problems.ts';
import { type FoundFile, LandingFolder } from './landing-folder.ts';
import { requestIdOf } from './range-ids.ts';
import { LANDING_KEY_ID, type TakenFile, type TakeParts, takeFile } from './take-file.ts';

export interface LandingParts extends Omit<TakeParts, 'folder' | 'state' | 'telemetry'> {
  readonly state: Pick<State, 'landingFiles' | 'putLandingFile' | 'landingPlan' | 'removeLandingFiles'>;
  readonly telemetry: Pick<
    Telemetry,
    'landingStep' | 'landingLook' | 'landingEnded' | 'landingFailed' | 'landingRange' | 'onScrape' | 'observationFailed'
  >;
  readonly signingKey: Buffer;
  /** Tests only: of one look. */
  readonly filesMax?: number;
  /** Each change of a file, after it is durable, and each range that became readable. */
  readonly onChange: (file: LandingFile) => void;
  readonly onCommit: (outcome: RangeOutcome, range: FileRange) => void;
}

export interface Landing {
  /** Looks now; resolves when everything that could be taken was. */
  settled(): Promise<void>;
  /** Ends after the range that is being stored; resolves when nothing runs any more. */
  stop(): Promise<void>;
}

/** Files at their end that are still told of; older ones are forgotten. */
const ENDED_FILES_MAX = 1_000;
const NAME_NOT_TEXT =
  'its name is not UTF-8, so that the service cannot name it either; it stays where it is. Rename it with letters that every system knows';

export async function startLanding(parts: LandingParts): Promise<Landing> {
  const landing = new WatchedLanding(parts);
  await landing.start();
  return landing;
}

/** A file that lies in the folder. */
interface Watched {
  file: LandingFile;
  found: FoundFile;
  unchangedSinceMs: number;
}

class Stopped extends Error {}

class WatchedLanding implements Landing {
  readonly #parts: LandingParts;
  readonly #folder: LandingFolder;
  /** By id, as the state store has them. */
  readonly #files = new Map<string, LandingFile>();
  readonly #watched = new Map<string, Watched>();
  /** Came to their end while a look was under way, which may have seen them still lying there. */
  readonly #justEnded = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #working: Promise<void> | undefined;
  #taking: string | undefined;
  #stopping = false;

  constructor(parts: LandingParts) {
    this.#parts = parts;
    const { dataDir, contracts, filesMax } = parts;
    const limits = filesMax === undefined ? {} : { filesMax };
    this.#folder = new LandingFolder({ dataDir, datasets: [...contracts.keys()], ...limits });
  }

  async start(): Promise<void> {
    const { config, state, telemetry, now } = this.#parts;
    await this.#folder.make();
    for (const file of await state.landingFiles()) this.#files.set(file.id, file);
    telemetry.onScrape(() => telemetry.landingLook(lookOf([...this.#files.values()], now())));
    this.#timer = setInterval(() => void this.#wake(), config.LANDING_LOOK_MS);
    this.#timer.unref();
  }

  async settled(): Promise<void> {
    // A look that is under way may have been past what has come since.
    await this.#looking;
    await this.#wake();
    await this.#working;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    await this.#looking;
    await this.#working;
  }

  /** Looks, then sees to it that somebody works; never rejects. */
  async #wake(): Promise<void> {
    if (this.#stopping) return;
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#parts.telemetry.observationFailed({ error, look: 'landing' }))
      .finally(() => {
        this.#looking = undefined;
      });
    await this.#looking;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #look(): Promise<void> {
    this.#justEnded.clear();
    const found = new Map((await this.#folder.list()).map((one) => [one.id, one]));
    for (const one of await this.#unlisted(found)) found.set(one.id, one);
    for (const one of found.values()) await this.#see(one);
    for (const id of this.#watched.keys()) if (!found.has(id) && id !== this.#taking) this.#watched.delete(id);
    for (const file of this.#files.values()) {
      if (!isEnded(file) && !found.has(file.id) && file.id !== this.#taking) {
        await this.#vanished(
          file,
          [...found.values()].some(({ path }) => path === file.path),
        );
      }
    }
  }

  /** A look ends at its limit: what it did not come to is not gone. */
  async #unlisted(found: ReadonlyMap<string, FoundFile>): Promise<readonly FoundFile[]> {
    const unlisted: FoundFile[] = [];
    for (const file of this.#files.values()) {
      if (isEnded(file) || found.has(file.id)) continue;
      const one = await this.#folder.find(file.path);
      if (one?.id === file.id) unlisted.push(one);
    }
    return unlisted;
  }

  async #see(found: FoundFile): Promise<void> {
    const nowMs = this.#parts.now();
    const watched = this.#watched.get(found.id);
    if (watched !== undefined) {
      if (watched.found.signature !== found.signature) watched.unchangedSinceMs = nowMs;
      watched.found = found;
      return;
    }
    if (this.#justEnded.has(found.id) || found.id === this.#taking) return;
    const known = this.#files.get(found.id);
    // Refused where it lies, because it cannot be moved.
    if (!found.nameIsText && known?.state === 'refused') return;
    const file = known === undefined || isEnded(known) ? newFile(found, { known, nowMs }) : known;
    this.#watched.set(found.id, { file, found, unchangedSinceMs: nowMs });
    if (file !== known) await this.#put(file);
  }

  /** It was archived just before a crash, or somebody took it away. */
  async #vanished(file: LandingFile, replaced: boolean): Promise<void> {
    const { fileId, dataset } = file;
    const movedTo = fileId === undefined ? undefined : await this.#folder.archived({ dataset, fileId });
    if (movedTo !== undefined) {
      const whole = file.counts.read === file.records;
      await this.#finish(file, whole ? { kind: 'done', counts: file.counts, movedTo } : { kind: 'skipped', movedTo });
    } else {
      await this.#end(file, { state: 'gone', error: errorOf(replaced ? fileChanged() : fileGone()) });
    }
  }

  async #work(): Promise<void> {
    for (let next = this.#ready(); next !== undefined && !this.#stopping; next = this.#ready()) {
      this.#taking = next.file.id;
      await this.#take(next);
      this.#taking = undefined;
    }
  }

  /** The one that came first, of those that rest and are not waiting for another try. */
  #ready(): Watched | undefined {
    const { config, now } = this.#parts;
    const settleMs = config.LANDING_SETTLE_MS;
    const nowMs = now();
    return [...this.#watched.values()]
      .filter(({ file }) => !isEnded(file) && (file.retryAtMs ?? 0) <= nowMs)
      .filter(({ found, unchangedSinceMs }) => nowMs - unchangedSinceMs >= settleMs || found.movedInMs > settleMs)
      .sort((one, other) => one.file.seenAtMs - other.file.seenAtMs)[0];
  }

  /** Never rejects: what cannot even be noted is told, and met again at the next look. */
  async #take(watched: Watched): Promise<void> {
    try {
      const taken = await this.#tryTake(watched).catch((error: unknown) => this.#failed(watched, error));
      if (taken !== undefined) await this.#finish(watched.file, taken);
    } catch (error) {
      this.#parts.telemetry.landingFailed({ ...named(watched.file), error });
      this.#delay(watched);
    }
  }

  async #tryTake(watched: Watched): Promise<TakenFile> {
    if (!watched.found.nameIsText) throw fileNameUnknown(NAME_NOT_TEXT);
    if (!watched.found.regular) throw fileNotRegular();
    return takeFile({ ...this.#parts, folder: this.#folder }, watched.file, {
      goOn: () => {
        if (this.#stopping) throw new Stopped();
      },
      put: async (change, plan) => {
        watched.file = { ...watched.file, ...change };
        watched.file = await this.#put(watched.file, plan);
        return watched.file;
      },
      stored: (outcome, range) => {
        this.#parts.telemetry.landingRange({ dataset: range.dataset, ...outcome.counts });
        this.#parts.onCommit(outcome, range);
      },
    });
  }

  async #failed(watched: Watched, thrown: unknown): Promise<undefined> {
    if (thrown instanceof Stopped) return;
    const { file } = watched;
    const error = asFileError(thrown);
    if (error.code === 'FILE_GONE' || error.code === 'FILE_CHANGED') {
      await this.#end(file, { state: 'gone', error: errorOf(error) });
    } else if (file.state !== 'storing' && error.status < 500 && !error.retryable) {
      await this.#refuse(watched, error);
    } else {
      const { attempts, retryAtMs } = this.#delay(watched);
      this.#parts.telemetry.landingFailed({ ...named(file), code: error.code, attempts, error: thrown });
      watched.file = await this.#put({ ...file, state: 'retrying', attempts, retryAtMs, error: errorOf(error) });
    }
  }

  #delay(watched: Watched): { readonly attempts: number; readonly retryAtMs: number } {
    const { config, now } = this.#parts;
    const attempts = watched.file.attempts + 1;
    const delayMs = Math.min(config.BACKOFF_MAX_MS, config.BACKOFF_MIN_MS * 2 ** Math.min(attempts - 1, 30));
    const retry = { attempts, retryAtMs: now() + delayMs };
    watched.file = { ...watched.file, ...retry };
    return retry;
  }

  /** The audit first: no file is put aside unaudited, whatever fails in between. */
  async #refuse({ file, found }: Watched, error: AppError): Promise<void> {
    const movedTo = found.nameIsText ? await this.#folder.refusedPath(file.path) : undefined;
    const target = movedTo ?? `landing/${file.path}`;
    await this.#audit(file, { step: 'landing.refuse', target, outcome: 'failed', error: error.code });
    if (movedTo !== undefined) await this.#folder.refuse(file.path, movedTo);
    await this.#end(file, { state: 'refused', error: errorOf(error), ...(movedTo === undefined ? {} : { movedTo }) });
  }

  async #finish(file: LandingFile, taken: TakenFile): Promise<void> {
    const { movedTo } = taken;
    switch (taken.kind) {
      case 'skipped':
        await this.#audit(file, { step: 'landing.skip', target: movedTo, outcome: 'ok', error: '' });
        await this.#end(file, { state: 'skipped', movedTo });
        return;
      case 'done': {
        const done = { ...file, counts: taken.counts };
        await this.#audit(done, { step: 'landing.archive', target: movedTo, outcome: 'ok', error: '' });
        await this.#end(done, { state: 'done', movedTo, receipt: this.#receiptOf(done) });
      }
    }
  }

  async #end(file: LandingFile, end: Partial<LandingFile> & { readonly state: LandingEnd }): Promise<void> {
    const { telemetry, now } = this.#parts;
    const { error: _before, retryAtMs: _retry, ...rest } = file;
    const ended = await this.#put({ ...rest, ...end, endedAtMs: now() });
    this.#watched.delete(file.id);
    this.#justEnded.add(file.id);
    const { read, ...counts } = ended.counts;
    telemetry.landingEnded({ ...named(ended), ...counts, records: read, state: end.state, code: ended.error?.code });
    await this.#forgetOldest();
  }

  async #forgetOldest(): Promise<void> {
    const ended = [...this.#files.values()].filter(isEnded);
    const old = ended.sort((one, other) => (one.endedAtMs ?? 0) - (other.endedAtMs ?? 0)).slice(0, -ENDED_FILES_MAX);
    if (old.length === 0) return;
    await this.#parts.state.removeLandingFiles(old.map(({ id }) => id));
    for (const { id } of old) this.#files.delete(id);
  }

  async #put(file: LandingFile, plan?: LandingPlan): Promise<LandingFile> {
    const changed = { ...file, changedAtMs: this.#parts.now() };
    await this.#parts.state.putLandingFile(changed, plan);
    this.#files.set(changed.id, changed);
    this.#parts.onChange(changed);
    return changed;
  }

  #receiptOf({ dataset, takenAtMs = 0, fileId = '', counts }: LandingFile): string {
    const { read, rejected } = counts;
    const requestId = requestIdOf(fileId, dataset);
    const facts = { dataset, receivedAtMs: takenAtMs, apiKeyId: LANDING_KEY_ID, requestId };
    return makeReceiptId({ ...facts, accepted: read - rejected, rejected }, this.#parts.signingKey);
  }

  async #audit(
    { dataset, path, counts, takenAtMs }: LandingFile,
    entry: {
      readonly step: string;
      readonly target: string;
      readonly outcome: 'ok' | 'failed';
      readonly error: string;
    },
  ): Promise<void> {
    const nowMs = this.#parts.now();
    const at = new Date(nowMs).toISOString();
    const { read, stored, rejected } = counts;
    await this.#parts.warehouse.writeAudit({
      ...entry,
      at,
      actor: LANDING_KEY_ID,
      dataset: dataset === '' ? '*' : dataset,
      source: `landing/${path}`,
      startedAt: new Date(takenAtMs ?? nowMs).toISOString(),
      endedAt: at,
      read,
      stored,
      rejected,
    });
  }
}

function isEnded({ state }: LandingFile): boolean {
  return LANDING_ENDS.includes(state);
}

/** Of one that went away and came back it is still known when its rows were taken. */
function newFile(
  { id, path, bytes }: FoundFile,
  { known, nowMs }: { readonly known: LandingFile | undefined; readonly nowMs: number },
): LandingFile {
  const taken = known?.state === 'gone' && known.takenAtMs !== undefined ? { takenAtMs: known.takenAtMs } : {};
  const counts = { read: 0, stored: 0, duplicate: 0, quarantined: 0, rejected: 0 };
  const times = { seenAtMs: nowMs, changedAtMs: nowMs };
  return { id, path, dataset: '', bytes, state: 'waiting', ...times, ...taken, counts, attempts: 0 };
}

function lookOf(files: readonly LandingFile[], nowMs: number) {
  const open = files.filter((file) => !isEnded(file));
  const oldestMs = open.reduce((oldest, { seenAtMs }) => Math.min(oldest, seenAtMs), nowMs);
  const count = (state: LandingState): number => open.filter((file) => file.state === state).length;
  return {
    waiting: count('waiting'),
    running: count('checking') + count('storing'),
    retrying: count('retrying'),
    oldestAgeSeconds: (nowMs - oldestMs) / 1000,
  };
}

function named({ id, dataset, path }: LandingFile) {
  return { id, dataset, path };
}

function errorOf({ code, publicMessage }: AppError): { readonly code: string; readonly message: string } {
  return { code, message: publicMessage };
}

function asFileError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof Error && 'syscall' in thrown) return fileUnreadable(thrown);
  return new AppError({
    code: 'INTERNAL',
    publicMessage:
      'INTERNAL: something went wrong on our side; the file stays where it is and is tried again. The log says what it was.',
    cause: thrown,
  });
}
