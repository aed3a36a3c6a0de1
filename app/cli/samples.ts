/** `npm run samples -- remove`: takes the sample data out, whether the service runs or not. */
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { resolve } from 'node:path';
import { type Config, readConfig } from '../config.ts';
import { openService } from '../main.ts';
import { requestRemoval } from '../samples.ts';
import { openLmdbState } from '../state/lmdb-state.ts';
import { lockHolder } from '../state/lock.ts';
import type { State } from '../state/state.ts';
import { runCommand, UsageError } from './command.ts';

const HELP = `npm run samples -- remove

  remove         takes the sample data out of DATA_DIR; a running service does it itself

Exit codes: 0 done (also when there was none), 1 failed, 64 wrong usage.`;

const LOOK_MS = 50;
const REMOVE_TIMEOUT_MS = 60_000;

async function samples(args: readonly string[]): Promise<number> {
  if (args.length !== 1 || args[0] !== 'remove') throw new UsageError('say: npm run samples -- remove');
  const config = readConfig();
  const dataDir = resolve(config.DATA_DIR);
  switch (await ask(config, dataDir)) {
    case 'nothing there':
      process.stdout.write(`There is no sample data in ${config.DATA_DIR}.\n`);
      return 0;
    case 'a service did it':
      return done(true);
    case 'a service did not do it':
      return done(false);
    case 'no service': {
      // This command is the service for as long as it takes.
      const own = { HOST: '127.0.0.1', PORT: 0, METRICS_PORT: 0, SCRAPE_WAIT_MS: 0, LOG_LEVEL: 'silent' } as const;
      const service = await openService({ ...config, ...own });
      try {
        return done(await untilRemoved(service.state));
      } finally {
        await service.stop({ reason: 'samples removed' });
      }
    }
  }
}

async function ask(config: Config, dataDir: string) {
  if (!existsSync(dataDir)) return 'nothing there';
  const state = await openLmdbState({
    dir: resolve(dataDir, 'state'),
    now: Date.now,
    idempotencyHours: config.IDEMPOTENCY_HOURS,
    processId: process.pid,
  });
  try {
    if (!(await requestRemoval(state))) return 'nothing there';
    if ((await lockHolder(dataDir)) === undefined) return 'no service';
    return (await untilRemoved(state)) ? 'a service did it' : 'a service did not do it';
  } finally {
    await state.close();
  }
}

async function untilRemoved(state: State): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < REMOVE_TIMEOUT_MS; waitedMs += LOOK_MS) {
    // Asked again at each look: a load that ends at the same moment may have written over it.
    if (!(await requestRemoval(state))) return true;
    await wait(LOOK_MS);
  }
  return false;
}

function done(removed: boolean): number {
  if (removed) process.stdout.write('The sample data is gone.\n');
  else {
    const limit = `${REMOVE_TIMEOUT_MS / 1000} s`;
    process.stderr.write(
      `Not done within ${limit}. The service goes on trying while it runs; its log says what is wrong.\n`,
    );
  }
  return removed ? 0 : 1;
}

await runCommand({ help: HELP, run: samples });
