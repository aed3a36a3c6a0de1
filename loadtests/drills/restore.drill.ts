/**
 * Backups taken at seeded moments under load, by HTTP and by files, and restored (RESTORES=N, default 5): nothing that
 * was acknowledged before the backup was asked for is missing, nothing is there twice, nothing that was never sent, and
 * the loss equation is 0.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Dataset } from '../kills/numbered.ts';
import { seededRandom } from '../seeded-random.ts';
import { runServiceCommand } from '../service-command.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { readNumbers, settledEquation, settledLanding } from '../stored-records.ts';
import { ENV, Load } from './load.ts';

const RESTORES = Number(process.env['RESTORES'] ?? '5');
const SEED = 1;
/** Long enough for some seals and files; the backup comes at a seeded moment of it. */
const LOAD_MS_MAX = 5_000;

interface Found {
  readonly promised: number;
  readonly restored: number;
  readonly lost: number;
  readonly doubled: number;
  readonly strange: number;
  readonly difference: number;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const found: Found[] = [];
  for (let turn = 0; turn < RESTORES; turn += 1) {
    const folder = await mkdtemp(join(tmpdir(), 'vigia-restore-'));
    try {
      const one = await restoreOnce(folder, SEED + turn);
      console.log(`restore ${turn + 1}/${RESTORES}: ${JSON.stringify(one)}`);
      found.push(one);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  const sum = (name: keyof Found): number => found.reduce((total, one) => total + Math.abs(one[name]), 0);
  console.log(
    `restores=${RESTORES} promised=${sum('promised')} restored=${sum('restored')} lost=${sum('lost')} duplicated=${sum('doubled')} strange=${sum('strange')} difference=${sum('difference')}`,
  );
  return sum('lost') + sum('doubled') + sum('strange') + sum('difference') === 0 && sum('promised') > 0 ? 0 : 1;
}

async function restoreOnce(folder: string, seed: number): Promise<Found> {
  const backup = join(folder, 'backup');
  const load = new Load(join(folder, 'data'));
  const promised = await load.runWhile(seed, async ({ mayEnd }) => {
    await pause(seededRandom(seed)() * LOAD_MS_MAX);
    const before = load.account.snapshot();
    await requireDone(['app/cli/backup.ts', backup], load.dataDir);
    await mayEnd();
    return before;
  });
  const dataDir = join(folder, 'restored');
  await requireDone(['app/cli/restore.ts', backup], dataDir);
  return compare({ dataDir, promised, load });
}

async function requireDone(command: readonly string[], dataDir: string): Promise<void> {
  const { code, said } = await runServiceCommand(command, { DATA_DIR: dataDir });
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${said}`);
}

interface CompareOptions {
  readonly dataDir: string;
  readonly promised: ReadonlyMap<Dataset, ReadonlyMap<number, number>>;
  readonly load: Load;
}

async function compare({ dataDir, promised, load }: CompareOptions): Promise<Found> {
  const service = await startService({ dataDir, env: ENV });
  try {
    await settledLanding(service);
    const { difference } = await settledEquation(service);
    const sum = { promised: 0, restored: 0, lost: 0, doubled: 0, strange: 0 };
    for (const [dataset, before] of promised) {
      const later = load.account.snapshot().get(dataset);
      const seen = await readNumbers(service, dataset);
      for (const [number, times] of before) {
        sum.promised += times;
        sum.lost += Math.max(0, times - (seen.get(number) ?? 0));
      }
      for (const [number, times] of seen) {
        sum.restored += times;
        // What was sent and not answered before the load ended may be there, once.
        sum.doubled += Math.max(0, times - (later?.get(number) ?? 1));
        sum.strange += Number(!(number > 0 && number <= load.last));
      }
    }
    return { ...sum, difference };
  } finally {
    await stop(service);
  }
}

async function stop(service: ServiceProcess): Promise<void> {
  service.kill('SIGTERM');
  const { code } = await service.ended;
  if (code !== 0) throw new Error(`the service ended with ${code}:\n${service.output()}`);
}
