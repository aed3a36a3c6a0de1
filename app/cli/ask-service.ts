/** Asks the service that owns a data folder to do a task, and waits for the outcome as long as the service lives. */
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { askTask, readTask, withdrawTask } from '../operator-tasks.ts';
import { lockHolder } from '../state/lock.ts';
import type { State } from '../state/state.ts';
import { openState } from './data-folder.ts';

export type Asked =
  /** Nobody owns the folder: the command may take it and do the work itself. */
  { readonly kind: 'no service' } | { readonly kind: 'done'; readonly outcome: unknown };

interface AskOptions {
  readonly config: Config;
  readonly dataDir: string;
  readonly task: string;
  readonly args: unknown;
  readonly onProgress?: (progress: unknown) => void;
}

const LOOK_MS = 50;
/** A service takes up a task within 0.1 s, unless it is busy with another one. */
const OWNER_LOOK_EVERY = 20;

/** Throws an Error whose message is for the person who runs the command. */
export async function askService(options: AskOptions): Promise<Asked> {
  const { config, dataDir } = options;
  if (!existsSync(dataDir) || (await lockHolder(dataDir)) === undefined) return { kind: 'no service' };
  const state = await openState(config);
  try {
    return await ask(state, options);
  } finally {
    await state.close();
  }
}

async function ask(state: State, { dataDir, task: kind, args, onProgress }: AskOptions): Promise<Asked> {
  const id = await askTask(state, { kind, args, nowMs: Date.now() });
  let shown = 'null';
  for (let looks = 1; ; looks += 1) {
    const task = await readTask(state, id);
    if (task === undefined) throw new Error('The task is gone: the state store was replaced meanwhile. Ask again.');
    const { status } = task;
    if (status.kind === 'done') return { kind: 'done', outcome: status.outcome };
    if (status.kind === 'failed') throw new Error(status.reason);
    if (status.kind === 'running' && JSON.stringify(status.progress) !== shown) {
      shown = JSON.stringify(status.progress);
      onProgress?.(status.progress);
    }
    if (looks % OWNER_LOOK_EVERY === 0 && (await lockHolder(dataDir)) === undefined) {
      if (await withdrawTask(state, id)) return { kind: 'no service' };
      throw new Error('The service ended while it was doing this. Look at its log, start it, and ask again.');
    }
    await pause(LOOK_MS);
  }
}
