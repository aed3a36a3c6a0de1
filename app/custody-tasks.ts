/** What commands may ask of the running service, with the parts that do it. */
import { setTimeout as pause } from 'node:timers/promises';
import { writeBackup } from './backup.ts';
import type { Bus } from './bus/bus.ts';
import type { Config } from './config.ts';
import { DATA_FORMAT } from './data-format.ts';
import { examineStores } from './doctor.ts';
import type { Equation } from './equation.ts';
import { type TaskHandler, type TaskHandlers, TaskError, reasonOf } from './operator-tasks.ts';
import { requestRemoval, type SampleRemoval, samplesState } from './samples.ts';
import type { State } from './state/state.ts';
import { VERSION } from './version.ts';
import type { Backfilled } from './warehouse/duckdb-backfill.ts';
import type { EmbeddedWarehouse } from './warehouse/embedded-warehouse.ts';

export interface CustodyParts {
  readonly config: Config;
  readonly dataDir: string;
  readonly now: () => number;
  /** Moves into bronze what waits, entries of the audit included. */
  readonly sealAll: () => Promise<void>;
  readonly bus: Bus;
  readonly embedded: EmbeddedWarehouse;
  readonly state: State;
  readonly sampleRemoval: Pick<SampleRemoval, 'look'>;
  readonly equation: () => Promise<Equation>;
  readonly faultPoint: (name: string) => void;
}

export interface BackupOutcome {
  readonly files: number;
  readonly bytes: number;
  readonly startedAt: string;
  /** Why something could not be sealed before; what it is, is on the copied bus. */
  readonly unsealed?: string;
}

export function custodyTasks(parts: CustodyParts): TaskHandlers {
  return new Map<string, TaskHandler>([
    ['backup', backupTask(parts)],
    ['doctor', doctorTask(parts)],
    ['backfill', backfillTask(parts)],
    ['samples.remove', samplesTask(parts)],
  ]);
}

function backupTask(parts: CustodyParts): TaskHandler {
  const { config, dataDir, now, sealAll, faultPoint } = parts;
  return {
    // The half that is there is in the way of the other.
    interrupted: 'fail',
    run: async (args, { tell, signal }): Promise<BackupOutcome> => {
      const { target } = args as { readonly target?: unknown };
      if (typeof target !== 'string') throw new TaskError('A backup needs a folder to write to.');
      const unsealed = await sealAll().then(() => undefined, reasonOf);
      const { files, startedAt } = await writeBackup({
        dataDir,
        target,
        dataFormat: DATA_FORMAT,
        version: VERSION,
        landingSettleMs: config.LANDING_SETTLE_MS,
        now,
        tell,
        signal,
        faultPoint,
      });
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      return { files: files.length, bytes, startedAt, ...(unsealed === undefined ? {} : { unsealed }) };
    },
  };
}

function doctorTask({ dataDir, bus, embedded, state, equation }: CustodyParts): TaskHandler {
  return {
    interrupted: 'fail',
    run: () => examineStores({ dataDir, bus, warehouse: embedded, state, equation }),
  };
}

export interface BackfillArgs {
  readonly dataset: string;
  /** Event days, `YYYY-MM-DD`: from ≤ day < to. */
  readonly from: string;
  readonly to: string;
}

function backfillTask({ embedded, sealAll }: CustodyParts): TaskHandler {
  return {
    interrupted: 'again',
    run: async (args, { tell, signal }): Promise<Backfilled> => {
      // What is in no bronze file yet could not be made again.
      await sealAll();
      return embedded.backfill({ ...(args as BackfillArgs), tell, signal });
    },
  };
}

export interface SamplesOutcome {
  /** False when there were none. */
  readonly removed: boolean;
}

const SAMPLES_LOOK_MS = 50;
/** A load that was cut off is stored first: seconds. */
const SAMPLES_TIMEOUT_MS = 60_000;

/** The wish itself is a fact of its own, which the next start carries out, too. */
function samplesTask({ state, sampleRemoval, now }: CustodyParts): TaskHandler {
  return {
    interrupted: 'again',
    run: async (_args, { signal }): Promise<SamplesOutcome> => {
      if (!(await requestRemoval(state))) return { removed: false };
      const deadlineMs = now() + SAMPLES_TIMEOUT_MS;
      while (now() < deadlineMs) {
        await sampleRemoval.look();
        if ((await samplesState(state)) === 'removed') return { removed: true };
        signal.throwIfAborted();
        await pause(SAMPLES_LOOK_MS);
      }
      throw new TaskError(
        `Not done within ${SAMPLES_TIMEOUT_MS / 1000} s. The service goes on trying while it runs; its log says what is wrong.`,
      );
    },
  };
}
