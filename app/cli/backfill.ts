/** `npm run backfill`: makes the stored rows of some event days again out of bronze. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';
import type { BackfillArgs } from '../custody-tasks.ts';
import { DATA_FORMAT, readFormat } from '../data-format.ts';
import { loadDatasets, type Registry } from '../datasets/registry.ts';
import { openStores, quietTelemetry } from '../open-stores.ts';
import { lockDataDir } from '../state/lock.ts';
import type { Backfilled } from '../warehouse/duckdb-backfill.ts';
import { askService } from './ask-service.ts';
import { runCommand, UsageError } from './command.ts';

const HELP = `npm run backfill -- --dataset NAME --from DAY --to DAY

  Makes the stored rows of these event days (YYYY-MM-DD, from <= day < to) again out of bronze: derived fields are
  computed as the contract does now. A few days a transaction; which rows there are does not change; cursors and cached
  answers end. A running service does it itself and goes on serving.

Exit codes: 0 done, 1 failed, 2 done but some rows are in no bronze file yet and stayed as they were, 64 wrong usage.`;

const EXIT_LEFT = 2;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

async function backfill(args: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...args], options: { dataset: text, from: text, to: text } });
  const registry = await loadDatasets();
  const asked = judged(values, registry);
  const config = readConfig();
  const dataDir = resolve(config.DATA_DIR);
  if (!existsSync(dataDir)) throw new Error(`There is no data folder at ${dataDir} (DATA_DIR).`);
  const answer = await askService({ config, dataDir, task: 'backfill', args: asked, onProgress: show });
  const done =
    answer.kind === 'done' ? (answer.outcome as Backfilled) : await alone({ config, dataDir, registry, asked });
  process.stdout.write(`${asked.dataset}: ${done.rows} rows of ${done.days} days made again out of bronze\n`);
  if (done.left === 0) return 0;
  process.stderr.write(
    `${done.left} rows are in no bronze file yet and stayed as they were. Start the service, which seals them, and run this again.\n`,
  );
  return EXIT_LEFT;
}

type Given = { readonly [Name in keyof BackfillArgs]?: string | undefined };

function judged({ dataset, from, to }: Given, { contracts }: Registry): BackfillArgs {
  if (dataset === undefined || from === undefined || to === undefined) {
    throw new UsageError('say: npm run backfill -- --dataset NAME --from DAY --to DAY');
  }
  if (!contracts.has(dataset)) {
    throw new UsageError(`--dataset ${dataset}: there are ${[...contracts.keys()].join(', ')}`);
  }
  for (const day of [from, to]) {
    if (!DAY.test(day) || Number.isNaN(Date.parse(day))) throw new UsageError(`${day} is not a day; write 2024-05-04`);
  }
  if (from >= to) throw new UsageError(`--from ${from} is not before --to ${to}, which is not included`);
  return { dataset, from, to };
}

interface AloneOptions {
  readonly config: Config;
  readonly dataDir: string;
  readonly registry: Registry;
  readonly asked: BackfillArgs;
}

async function alone({ config, dataDir, registry, asked }: AloneOptions): Promise<Backfilled> {
  const lock = await lockDataDir(dataDir);
  try {
    const found = await readFormat(dataDir);
    if (found.kind !== 'format' || found.format !== DATA_FORMAT) {
      throw new Error(
        `${dataDir} (DATA_DIR) is not in data format ${DATA_FORMAT}. Start the service on it once, then run this again.`,
      );
    }
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const telemetry = quietTelemetry(say);
    const onBroken = (): void => say('The warehouse cannot be trusted any more: run npm run warehouse:rebuild.');
    const opening = { config, registry, dataDir, telemetry, now: Date.now, onBroken, faultPoint: () => undefined };
    const { bus, state, warehouse } = await openStores(opening);
    try {
      return await warehouse.backfill({ ...asked, tell: show });
    } finally {
      await warehouse.close();
      await bus.close();
      await state.close();
    }
  } finally {
    await lock.release();
  }
}

let lastShownAtMs = 0;
const SHOW_EVERY_MS = 1_000;

function show(progress: unknown): void {
  if (progress === null || Date.now() - lastShownAtMs < SHOW_EVERY_MS) return;
  lastShownAtMs = Date.now();
  const { days, daysOfAll, rows } = progress as Backfilled;
  process.stderr.write(`${days} of ${daysOfAll} days, ${rows} rows\n`);
}

await runCommand({ help: HELP, run: backfill });
