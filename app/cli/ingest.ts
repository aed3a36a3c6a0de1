/** `npm run ingest -- FILE… --dataset D`: files into the landing folder, followed to their end. */
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';
import { loadDatasets } from '../datasets/registry.ts';
import { type DroppedFile, dropFile } from '../landing/drop-file.ts';
import { readName } from '../landing/landing-name.ts';
import { openService } from '../main.ts';
import { LANDING_ENDS, type LandingFile } from '../state/landing-file.ts';
import { lockHolder } from '../state/lock.ts';
import type { State } from '../state/state.ts';
import { runCommand, UsageError } from './command.ts';
import { openState } from './data-folder.ts';
import { openProgress, type Progress, summaryOf } from './ingest-progress.ts';

const HELP = `npm run ingest -- FILE… --dataset D [--format csv|ndjson]

  Puts a copy of each FILE into landing/D/ and follows it until its rows can be read. A running service takes it; without
  one the command is the service for that long. A file that was taken before adds nothing, a longer one what is new.

  FILE           .csv, .ndjson or .jsonl, each also .gz; .parquet; - reads standard input
  --dataset D    the dataset whose contract judges the rows
  --format F     of standard input; csv when it is not said

Exit codes: 0 done, 1 failed, 2 done and some rows were rejected or set apart, 64 wrong usage.`;

const EXIT_FAILED = 1;
const EXIT_REJECTED = 2;
const LOOK_MS = 100;
/** Looks between two questions whether the service still lives. */
const OWNER_LOOK_EVERY = 20;
/** A failure that may pass is waited for this often; the file stays where it is, and whoever owns the folder goes on. */
const ATTEMPTS_MAX = 3;

interface Asked {
  readonly dataset: string;
  readonly sources: readonly { readonly source: string; readonly name: string }[];
}

async function ingest(args: readonly string[]): Promise<number> {
  const { contracts } = await loadDatasets();
  const asked = await readArguments(args, [...contracts.keys()]);
  const config = readConfig();
  const dataDir = resolve(config.DATA_DIR);
  const dropped: DroppedFile[] = [];
  for (const { source, name } of asked.sources) {
    const from = source === '-' ? process.stdin : source;
    const { dataset } = asked;
    dropped.push(await dropFile({ dataDir, source: from, dataset, name, settleMs: config.LANDING_SETTLE_MS }));
  }
  const progress = openProgress(process.stderr);
  try {
    const files = await follow({ config, dataDir, dropped, progress });
    for (const file of files) process.stdout.write(`${summaryOf(file)}\n`);
    return exitCode(files);
  } finally {
    progress.close();
  }
}

async function readArguments(args: readonly string[], datasets: readonly string[]): Promise<Asked> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { dataset: { type: 'string' }, format: { type: 'string' } },
    allowPositionals: true,
  });
  const { dataset, format = 'csv' } = values;
  if (positionals.length === 0) throw new UsageError('say which files');
  if (dataset === undefined || !datasets.includes(dataset)) {
    throw new UsageError(`--dataset ${dataset ?? 'is missing'}: there are ${datasets.join(', ')}`);
  }
  if (format !== 'csv' && format !== 'ndjson') throw new UsageError('--format must be csv or ndjson');
  if (positionals.filter((one) => one === '-').length > 1) throw new UsageError('- can be given once');
  const sources: { source: string; name: string }[] = [];
  for (const source of positionals) {
    const name = source === '-' ? `stdin-${Date.now()}.${format}` : basename(source);
    const named = readName(`${dataset}/${name}`, datasets);
    if (typeof named === 'string') throw new UsageError(named);
    if (source !== '-' && !(await stat(source)).isFile()) throw new Error(`${source} is no file.`);
    sources.push({ source, name });
  }
  return { dataset, sources };
}

interface Followed {
  readonly config: Config;
  readonly dataDir: string;
  readonly dropped: readonly DroppedFile[];
  readonly progress: Progress;
}

/** Resolves with the files as they ended, or as they stand when they cannot be taken now. */
async function follow({ config, dataDir, dropped, progress }: Followed): Promise<readonly LandingFile[]> {
  if ((await lockHolder(dataDir)) === undefined) {
    const own = { HOST: '127.0.0.1', PORT: 0, METRICS_PORT: 0, SCRAPE_WAIT_MS: 0, LOG_LEVEL: 'silent' } as const;
    const service = await openService({ ...config, ...own, SAMPLE_DATA: 'off', LANDING_LOOK_MS: LOOK_MS });
    try {
      return await untilEnded(service.state, { dropped, progress, ownerLives: async () => true });
    } finally {
      await service.stop({ reason: 'the files are taken' });
    }
  }
  const state = await openState(config);
  try {
    const ownerLives = async (): Promise<boolean> => (await lockHolder(dataDir)) !== undefined;
    return await untilEnded(state, { dropped, progress, ownerLives });
  } finally {
    await state.close();
  }
}

interface Waiting extends Pick<Followed, 'dropped' | 'progress'> {
  readonly ownerLives: () => Promise<boolean>;
}

async function untilEnded(state: State, { dropped, progress, ownerLives }: Waiting): Promise<readonly LandingFile[]> {
  for (let looks = 1; ; looks += 1) {
    const all = new Map((await state.landingFiles()).map((file) => [file.id, file]));
    const files = dropped.map(({ id }) => all.get(id)).filter((file) => file !== undefined);
    progress.show(files);
    if (files.length === dropped.length && files.every(isOver)) return files;
    if (looks % OWNER_LOOK_EVERY === 0 && !(await ownerLives())) {
      throw new Error(
        'The service ended meanwhile. The files are in its landing folder: it takes them when it starts.',
      );
    }
    await pause(LOOK_MS);
  }
}

function isOver({ state, attempts }: LandingFile): boolean {
  return LANDING_ENDS.includes(state) || (state === 'retrying' && attempts >= ATTEMPTS_MAX);
}

function exitCode(files: readonly LandingFile[]): number {
  if (files.some(({ state }) => state !== 'done' && state !== 'skipped')) return EXIT_FAILED;
  return files.some(({ counts }) => counts.rejected + counts.quarantined > 0) ? EXIT_REJECTED : 0;
}

await runCommand({ help: HELP, run: ingest });
