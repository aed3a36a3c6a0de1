/**
 * Work that a command asks of the service that owns the data folder: asked, done and answered through the state store.
 *
 * A data folder has one owner, so a command beside a running service cannot open bus and warehouse itself; the state
 * store several processes may open. The tasks are one fact, changed as one by whoever writes. The service does one task
 * after another. What a process left unfinished when it died is begun again or failed, as the task's handler says.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError } from './errors.ts';
import type { State } from './state/state.ts';

export interface OperatorTask {
  readonly id: string;
  readonly kind: string;
  /** JSON. */
  readonly args: unknown;
  readonly askedAtMs: number;
  readonly status: TaskStatus;
}

export type TaskStatus =
  | { readonly kind: 'asked' }
  /** `runner` names one run of one service. */
  | { readonly kind: 'running'; readonly runner: string; readonly progress: unknown }
  | { readonly kind: 'done'; readonly endedAtMs: number; readonly outcome: unknown }
  | { readonly kind: 'failed'; readonly endedAtMs: number; readonly reason: string };

export interface TaskContext {
  /** What a person who waits may see; JSON. Kept now and then, the newest only. */
  readonly tell: (progress: unknown) => void;
  /** Aborted when the service stops: end soon, by throwing. */
  readonly signal: AbortSignal;
}

export interface TaskHandler {
  /** What becomes of a task whose process died: done again from the start, or told as failed. */
  readonly interrupted: 'again' | 'fail';
  /** Returns the outcome, JSON. Throws TaskError or AppError with a message for the person who asked. */
  readonly run: (args: unknown, context: TaskContext) => Promise<unknown>;
}

export type TaskHandlers = ReadonlyMap<string, TaskHandler>;

/** The message is for the person who asked. */
export class TaskError extends Error {}

const FACT = 'operator-tasks';
/** A person asks for one or two at a time; more is a loop gone wrong. */
const UNFINISHED_MAX = 16;
const FINISHED_KEPT_MAX = 16;
const LOOK_MS = 50;
const PROGRESS_EVERY_MS = 100;

/** Returns the task's id. Throws TaskError when too many wait. */
export async function askTask(
  state: State,
  task: { readonly kind: string; readonly args: unknown; readonly nowMs: number },
): Promise<string> {
  const id = randomBytes(8).toString('hex');
  const { kind, args, nowMs } = task;
  await state.changeFact(FACT, (before) => {
    const tasks = tasksOf(before);
    const unfinished = tasks.filter(isUnfinished).length;
    if (unfinished >= UNFINISHED_MAX) {
      throw new TaskError(`${unfinished} tasks wait already, limit is ${UNFINISHED_MAX}. Wait until some are done.`);
    }
    return [...tasks, { id, kind, args, askedAtMs: nowMs, status: { kind: 'asked' } } satisfies OperatorTask];
  });
  return id;
}

export async function readTask(state: State, id: string): Promise<OperatorTask | undefined> {
  return tasksOf(await state.fact(FACT)).find((task) => task.id === id);
}

/** Takes back what nobody has begun. False when it has been begun or is over. */
export async function withdrawTask(state: State, id: string): Promise<boolean> {
  let withdrawn = false;
  await state.changeFact(FACT, (before) =>
    tasksOf(before).filter((task) => {
      const mine = task.id === id && task.status.kind === 'asked';
      withdrawn ||= mine;
      return !mine;
    }),
  );
  return withdrawn;
}

/** For a restored folder: nobody waits for what was asked of another one. */
export async function forgetTasks(state: State): Promise<void> {
  await state.changeFact(FACT, () => []);
}

interface WatchParts {
  readonly state: State;
  readonly now: () => number;
  /** Told of each task when it is over, and of a store that cannot be asked. */
  readonly ended: (task: { readonly kind: string; readonly durationMs: number; readonly error?: unknown }) => void;
  readonly failed: (error: unknown) => void;
}

/** Looks for tasks and does them, one after another. `stop` resolves when the one under way has ended. */
export function watchTasks(parts: WatchParts, handlers: TaskHandlers): { stop(): Promise<void> } {
  const runner = randomBytes(8).toString('hex');
  const stopping = new AbortController();
  let look: Promise<void> | undefined;
  const timer = setInterval(() => {
    look ??= doWaiting({ parts, handlers, runner, signal: stopping.signal })
      .catch(parts.failed)
      .finally(() => {
        look = undefined;
      });
  }, LOOK_MS);
  timer.unref();
  return {
    stop: async () => {
      clearInterval(timer);
      stopping.abort(new TaskError('The service stopped meanwhile. Ask again when it runs.'));
      await look;
    },
  };
}

interface Running {
  readonly parts: WatchParts;
  readonly handlers: TaskHandlers;
  readonly runner: string;
  readonly signal: AbortSignal;
}

async function doWaiting(running: Running): Promise<void> {
  for (;;) {
    const task = await takeTask(running);
    if (task === undefined) return;
    await doTask(running, task);
  }
}

/** The oldest that waits, or that a dead process left and that may be done again. */
async function takeTask({ parts, handlers, runner, signal }: Running): Promise<OperatorTask | undefined> {
  if (signal.aborted) return undefined;
  // A look costs a read, and a write only when there is something to do.
  const waits = ({ status }: OperatorTask): boolean =>
    status.kind === 'asked' || (status.kind === 'running' && status.runner !== runner);
  if (!tasksOf(await parts.state.fact(FACT)).some(waits)) return undefined;
  let taken: OperatorTask | undefined;
  await parts.state.changeFact(FACT, (before) =>
    kept(
      tasksOf(before).map((task) => {
        if (!waits(task)) return task;
        if (task.status.kind === 'running' && handlers.get(task.kind)?.interrupted !== 'again') {
          const reason = 'The service ended while it was doing this. Look at its log, then ask again.';
          return withStatus(task, { kind: 'failed', endedAtMs: parts.now(), reason });
        }
        if (taken !== undefined) return task;
        taken = withStatus(task, { kind: 'running', runner, progress: null });
        return taken;
      }),
    ),
  );
  return taken;
}

async function doTask({ parts, handlers, runner, signal }: Running, task: OperatorTask): Promise<void> {
  const startedAtMs = parts.now();
  const handler = handlers.get(task.kind);
  const progress = new Progress((value) => setStatus(parts.state, task, { kind: 'running', runner, progress: value }));
  try {
    if (handler === undefined) throw new TaskError(`The running service knows no task named ${task.kind}.`);
    // A stop may have come since it was taken.
    signal.throwIfAborted();
    const outcome = await handler.run(task.args, { tell: (value) => progress.tell(value), signal });
    await progress.end();
    await setStatus(parts.state, task, { kind: 'done', endedAtMs: parts.now(), outcome });
    parts.ended({ kind: task.kind, durationMs: parts.now() - startedAtMs });
  } catch (error) {
    await progress.end();
    parts.ended({ kind: task.kind, durationMs: parts.now() - startedAtMs, error });
    // It stays as it is, running by a service that is gone, and the next one begins it again.
    if (signal.aborted && handler?.interrupted === 'again') return;
    await setStatus(parts.state, task, { kind: 'failed', endedAtMs: parts.now(), reason: reasonOf(error) });
  }
}

/** Writes one value after another and never two at once; what is told meanwhile replaces what waits. */
class Progress {
  readonly #write: (value: unknown) => Promise<void>;
  #waiting: { readonly value: unknown } | undefined;
  #writing: Promise<void> | undefined;
  #failure: unknown;

  constructor(write: (value: unknown) => Promise<void>) {
    this.#write = write;
  }

  tell(value: unknown): void {
    this.#waiting = { value };
    this.#writing ??= this.#drain();
  }

  /** Throws what writing failed with: the store that holds the progress will hold the outcome, too. */
  async end(): Promise<void> {
    this.#waiting = undefined;
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #drain(): Promise<void> {
    try {
      for (let next = this.#waiting; next !== undefined; next = this.#waiting) {
        this.#waiting = undefined;
        await this.#write(next.value);
        await pause(PROGRESS_EVERY_MS);
      }
    } catch (error) {
      this.#failure = error;
    } finally {
      this.#writing = undefined;
    }
  }
}

async function setStatus(state: State, { id }: OperatorTask, status: TaskStatus): Promise<void> {
  await state.changeFact(FACT, (before) =>
    kept(tasksOf(before).map((task) => (task.id === id ? withStatus(task, status) : task))),
  );
}

function withStatus(task: OperatorTask, status: TaskStatus): OperatorTask {
  return { ...task, status };
}

function isUnfinished({ status }: OperatorTask): boolean {
  return status.kind === 'asked' || status.kind === 'running';
}

function kept(tasks: readonly OperatorTask[]): readonly OperatorTask[] {
  const finished = tasks.filter((task) => !isUnfinished(task));
  const old = new Set(finished.slice(0, Math.max(0, finished.length - FINISHED_KEPT_MAX)));
  return tasks.filter((task) => !old.has(task));
}

function tasksOf(fact: unknown): readonly OperatorTask[] {
  return (fact ?? []) as readonly OperatorTask[];
}

/** A text that nobody wrote for people may quote a record: then only what kind of error it was. */
export function reasonOf(error: unknown): string {
  if (error instanceof AppError)
    return error.detail === undefined ? error.publicMessage : `${error.publicMessage} (${error.detail})`;
  if (error instanceof TaskError) return error.message;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.message;
  return `An unexpected ${error instanceof Error ? error.name : typeof error}; the service's log has more.`;
}
