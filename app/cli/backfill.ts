/** `npm run backfill`: makes the stored rows of some event days again out of bronze. */
import { parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';
import type { BackfillArgs } from '../custody-tasks.ts';
import { DATA_FORMAT, readFormat, restoreUnfinished } from '../data-format.ts';
import { loadDatasets, type Registry } from '../datasets/registry.ts';
import { counted } from '../doctor.ts';
import { openStores, quietTelemetry } from '../open-stores.ts';
import { lockDataDir } from '../state/lock.ts';
import type { Backfilled } from '../warehouse/duckdb-backfill.ts';
import { askService } from './ask-service.ts';
import { runCommand, UsageError } from './command.ts';
import { presentDataDir } from './data-folder.ts';
import { progressLines } from './progress-lines.ts';

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
  const dataDir = presentDataDir(config);
  const answer = await askService({ config, dataDir, task: 'backfill', args: asked, onProgress: show });
  const done =
    answer.kind === 'done' ? (answer.outcome as Backfilled) : await alone({ config, dataDir, registry, asked });
  process.stdout.write(
    `${asked.dataset}: ${counted(done.rows, 'row', 'rows')} of ${counted(done.days, 'day', 'days')} made again out of bronze\n`,
  );
  if (done.left === 0) return 0;
  process.stderr.write(
    `${counted(done.left, 'row is', 'rows are')} in no bronze file yet and stayed as before. Start the service, which seals them, and run this again.\n`,
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
    if (!isDay(day)) throw new UsageError(`${day} is not a day; write 2024-05-04`);
  }
  if (from >= to) throw new UsageError(`--from ${from} is not before --to ${to}, which is not included`);
  return { dataset, from, to };
}

/** The 30th of February parses, as the 1st of March. */
function isDay(text: string): boolean {
  const atMs = DAY.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text);
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
    if (found.kind === 'unfinished') throw restoreUnfinished(dataDir);
    if (found.kind !== 'format' || found.format !== DATA_FORMAT) {
      throw new Error(
        `${dataDir} (DATA_DIR) is not in data format ${DATA_FORMAT}. Start the service on it once, then run this again.`,
      );
    }
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const telemetry = quietTelemetry({ say, tell });
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

const tell = progressLines();

function show(progress: unknown): void {
  if (progress === null) return;
  const { days, daysOfAll, rows } = progress as Backfilled;
  tell(`${days} of ${daysOfAll} days, ${rows} rows so far`);
}

await runCommand({ help: HELP, run: backfill });
