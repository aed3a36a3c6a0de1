/** `npm run samples -- remove`: takes the sample data out, whether the service runs or not. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, readConfig } from '../config.ts';
import type { SamplesOutcome } from '../custody-tasks.ts';
import { openService } from '../main.ts';
import { requestRemoval } from '../samples.ts';
import { askService } from './ask-service.ts';
import { runCommand, UsageError } from './command.ts';
import { openState } from './data-folder.ts';

const HELP = `npm run samples -- remove

  remove         takes the sample data out of DATA_DIR; a running service does it itself

Exit codes: 0 done (also when there was none), 1 failed, 64 wrong usage.`;

async function samples(args: readonly string[]): Promise<number> {
  if (args.length !== 1 || args[0] !== 'remove') throw new UsageError('say: npm run samples -- remove');
  const config = readConfig();
  const dataDir = resolve(config.DATA_DIR);
  const asked = await askService({ config, dataDir, task: 'samples.remove', args: {} });
  const { removed } = asked.kind === 'done' ? (asked.outcome as SamplesOutcome) : await alone(config, dataDir);
  process.stdout.write(removed ? 'The sample data is gone.\n' : `There is no sample data in ${config.DATA_DIR}.\n`);
  return 0;
}

/** This command is the service for as long as it takes: what is on the bus has to be stored before it can go. */
async function alone(config: Config, dataDir: string): Promise<SamplesOutcome> {
  if (!existsSync(dataDir) || !(await wished(config))) return { removed: false };
  const own = { HOST: '127.0.0.1', PORT: 0, METRICS_PORT: 0, SCRAPE_WAIT_MS: 0, LOG_LEVEL: 'silent' } as const;
  const service = await openService({ ...config, ...own });
  try {
    const asked = await askService({ config, dataDir, task: 'samples.remove', args: {} });
    // The start itself carries a wish out, and then the task finds nothing left to do.
    return { removed: asked.kind === 'done' };
  } finally {
    await service.stop({ reason: 'samples removed' });
  }
}

/** False when there are no samples: then no service need be opened. */
async function wished(config: Config): Promise<boolean> {
  const state = await openState(config);
  try {
    return await requestRemoval(state);
  } finally {
    await state.close();
  }
}

await runCommand({ help: HELP, run: samples });
