/** `npm run samples -- remove`: takes the sample data out, whether the service runs or not. */
import { setTimeout as wait } from 'node:timers/promises';
import { resolve } from 'node:path';
import { readConfig } from '../config.ts';
import { openService } from '../main.ts';
import { requestRemoval, removeSamplesIfAsked } from '../samples.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import { lockHolder } from '../state/lock.ts';
import type { State } from '../state/state.ts';
import { runCommand, UsageError } from './command.ts';

const HELP = `npm run samples -- remove

  remove         takes the sample data out of DATA_DIR; a running service does it itself

Exit codes: 0 done (also when there was none), 1 failed, 64 wrong usage.`;

const LOOK_MS = 200;
const REMOVE_TIMEOUT_MS = 60_000;

async function samples(args: readonly string[]): Promise<number> {
  if (args.length !== 1 || args[0] !== 'remove') throw new UsageError('say: npm run samples -- remove');
  const config = readConfig();
  const dataDir = resolve(config.DATA_DIR);
  const state = await openLmdbState({
    dir: resolve(dataDir, 'state'),
    now: Date.now,
    idempotencyHours: config.IDEMPOTENCY_HOURS,
    processId: process.pid,
  });
  try {
    const before = await requestRemoval(state);
    if (before !== 'loaded' && before !== 'remove') {
      process.stdout.write(`There is no sample data in ${config.DATA_DIR}.\n`);
      return 0;
    }
    if ((await lockHolder(dataDir)) !== undefined) return await waitForService(state);
  } finally {
    await state.close();
  }
  const service = await openService({ ...config, PORT: 0, METRICS_PORT: 0, LOG_LEVEL: 'error', SAMPLE_DATA: 'off' });
  try {
    const rows = await removeSamplesIfAsked(service);
    process.stdout.write(`${rows ?? 0} sample rows are gone.\n`);
  } finally {
    await service.stop({ reason: 'samples removed' });
  }
  return 0;
}

async function waitForService(state: State): Promise<number> {
  for (let waitedMs = 0; waitedMs < REMOVE_TIMEOUT_MS; waitedMs += LOOK_MS) {
    if ((await state.fact('samples')) === 'removed') {
      process.stdout.write('The running service removed the sample rows.\n');
      return 0;
    }
    await wait(LOOK_MS);
  }
  process.stderr.write(
    `The running service did not remove them within ${REMOVE_TIMEOUT_MS / 1000} s; look at its log.\n`,
  );
  return 1;
}

await runCommand({ help: HELP, run: samples });
