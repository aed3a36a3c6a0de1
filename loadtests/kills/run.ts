/**
 * The kill test: no 202 lost, none doubled, whatever the process was doing when it died.
 *
 * Each run starts the real service on a folder that earlier runs left behind, sends numbered records, kills the
 * process with SIGKILL at a seeded moment or at a named point, starts it again, sends again what got no answer, waits
 * until nothing is in flight, and reads every record back.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { seededRandom } from '../seeded-random.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { type Dataset, makeOperation, numberOf, type Operation } from './numbered.ts';

const HELP = `npm run test:kills -- [--runs N] [--seed S]

  --runs N   how many kills (default 25)
  --seed S   repeats a run (default: from the clock, printed)

Exit codes: 0 nothing lost or doubled, 1 something was, 64 wrong usage.`;

/** Where the process kills itself, and at which passing at most. */
const FAULT_POINTS = [
  { name: 'after-publish', passingsMax: 40 },
  { name: 'before-commit', passingsMax: 8 },
  { name: 'after-commit', passingsMax: 8 },
  { name: 'after-commit-before-ack', passingsMax: 8 },
  { name: 'while-sealing', passingsMax: 3 },
] as const;
const RUNS_A_FOLDER = 5;
const SENDERS = 4;
const KILL_AFTER_MS_MAX = 600;
const SEND_MS_MAX = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;
const SETTLE_TIMEOUT_MS = 60_000;
const PAGE_ROWS = 10_000;

interface Tally {
  kills: number;
  sent: number;
  stored: number;
  lost: number;
  duplicated: number;
}

interface Folder {
  readonly dataDir: string;
  /** Answered 202, ever. */
  readonly acknowledged: Map<Dataset, Set<number>>;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { runs: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const runs = Number(values.runs ?? 25);
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
  if (!Number.isInteger(runs) || runs < 1 || !Number.isInteger(seed)) {
    process.stderr.write(`${HELP}\n`);
    return 64;
  }
  const random = seededRandom(seed);
  const tally: Tally = { kills: 0, sent: 0, stored: 0, lost: 0, duplicated: 0 };
  let number = 0;
  const nextNumber = (): number => {
    number += 1;
    return number;
  };
  for (let run = 0; run < runs; ) {
    const folder = await makeFolder();
    try {
      for (let inFolder = 0; inFolder < RUNS_A_FOLDER && run < runs; inFolder += 1, run += 1) {
        const how = await killOnce({ folder, random, nextNumber, tally });
        process.stdout.write(`run ${run + 1}/${runs}: ${how}\n`);
      }
      await settleFolder(folder, tally);
    } finally {
      await rm(folder.dataDir, { recursive: true, force: true });
    }
  }
  const { kills, sent, stored, lost, duplicated } = tally;
  process.stdout.write(
    `kills=${kills} sent=${sent} stored=${stored} lost=${lost} duplicated=${duplicated} seed=${seed}\n`,
  );
  return lost === 0 && duplicated === 0 && kills === runs && stored === sent ? 0 : 1;
}

async function makeFolder(): Promise<Folder> {
  const dataDir = await mkdtemp(join(tmpdir(), 'vigia-kills-'));
  return {
    dataDir,
    acknowledged: new Map([
      ['flights', new Set()],
      ['trips', new Set()],
    ]),
  };
}

const ENV = {
  NODE_ENV: 'test',
  SEAL_INTERVAL_MS: '150',
  BATCH_WAIT_MS: '10',
  BACKOFF_MIN_MS: '50',
  OTEL_SDK_DISABLED: 'true',
};

interface KillOptions {
  readonly folder: Folder;
  readonly random: () => number;
  readonly nextNumber: () => number;
  readonly tally: Tally;
}

/** Sends until the process is dead, then starts it again and sends what got no answer. Returns how it died. */
async function killOnce({ folder, random, nextNumber, tally }: KillOptions): Promise<string> {
  const point = random() < 0.5 ? FAULT_POINTS[Math.floor(random() * FAULT_POINTS.length)] : undefined;
  const faultPoint = point === undefined ? '' : `${point.name}:${1 + Math.floor(random() * point.passingsMax)}`;
  const service = await startService({ dataDir: folder.dataDir, env: { ...ENV, FAULT_POINT: faultPoint } });
  const unanswered: Operation[] = [];
  let alive = true;
  const ended = service.ended.then((how) => {
    alive = false;
    return how;
  });
  const killAfterMs = point === undefined ? random() * KILL_AFTER_MS_MAX : SEND_MS_MAX;
  const timer = setTimeout(() => service.kill('SIGKILL'), killAfterMs);
  const send = async (): Promise<void> => {
    while (alive) {
      const operation = makeOperation({ random, nextNumber });
      tally.sent += operation.numbers.length;
      if (await acknowledged(service, operation)) acknowledge(folder, operation);
      else unanswered.push(operation);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, send));
  clearTimeout(timer);
  const { signal } = await ended;
  if (signal !== 'SIGKILL') throw new Error(`the service ended by itself (${signal}):\n${service.output()}`);
  tally.kills += 1;
  await sendAgain(folder, unanswered);
  return `${faultPoint === '' ? `${Math.round(killAfterMs)} ms` : faultPoint}, ${unanswered.length} unanswered`;
}

async function sendAgain(folder: Folder, operations: readonly Operation[]): Promise<void> {
  const service = await startService({ dataDir: folder.dataDir, env: ENV });
  for (const operation of operations) {
    if (!(await acknowledged(service, operation))) throw new Error(`no 202 after the restart:\n${service.output()}`);
    acknowledge(folder, operation);
  }
  service.kill('SIGKILL');
  await service.ended;
}

function acknowledge(folder: Folder, { dataset, numbers }: Operation): void {
  for (const number of numbers) folder.acknowledged.get(dataset)?.add(number);
}

/** True for 202; false when the connection broke. Anything else is a failure of the test. */
async function acknowledged(service: ServiceProcess, operation: Operation): Promise<boolean> {
  const headers: Record<string, string> = { 'Content-Type': operation.contentType };
  if (operation.idempotencyKey !== undefined) headers['Idempotency-Key'] = operation.idempotencyKey;
  let response: Response;
  try {
    const url = `${service.url}/v1/datasets/${operation.dataset}/records`;
    response = await fetch(url, {
      method: 'POST',
      headers,
      body: operation.body,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    await response.text();
  } catch {
    return false;
  }
  if (response.status !== 202) throw new Error(`POST answered ${response.status}:\n${service.output()}`);
  return true;
}

/** Starts once more, waits until nothing is in flight, checks the equation and reads everything back. */
async function settleFolder(folder: Folder, tally: Tally): Promise<void> {
  const service = await startService({ dataDir: folder.dataDir, env: ENV });
  await settled(service);
  for (const [dataset, numbers] of folder.acknowledged) {
    const seen = await readBack(service, dataset);
    for (const number of numbers) {
      const times = seen.get(number) ?? 0;
      if (times === 0) tally.lost += 1;
      else tally.stored += 1;
      seen.delete(number);
      tally.duplicated += Math.max(0, times - 1);
    }
    // What is stored but was never acknowledged was not sent by anybody.
    if (seen.size > 0) throw new Error(`${seen.size} records of ${dataset} came from nowhere`);
  }
  service.kill('SIGTERM');
  const { code } = await service.ended;
  if (code !== 0) throw new Error(`the stop ended with ${code}:\n${service.output()}`);
}

async function settled(service: ServiceProcess): Promise<void> {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const response = await fetch(`${service.url}/v1/datasets`);
    const { equation } = (await response.json()) as {
      equation: { inFlight: number; deadLettered: number; difference: number };
    };
    if (equation.difference !== 0 || equation.deadLettered !== 0)
      throw new Error(`the equation does not hold: ${JSON.stringify(equation)}`);
    if (equation.inFlight === 0) return;
  }
  throw new Error(`still in flight after ${SETTLE_TIMEOUT_MS} ms:\n${service.output()}`);
}

/** Number → how often it is stored. */
async function readBack(service: ServiceProcess, dataset: Dataset): Promise<Map<number, number>> {
  const seen = new Map<number, number>();
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_ROWS), ...(cursor === null ? {} : { cursor }) });
    const response = await fetch(`${service.url}/v1/datasets/${dataset}/records?${query}`, {
      headers: { 'Cache-Control': 'no-cache' },
    });
    if (response.status !== 200) throw new Error(`GET records answered ${response.status}: ${await response.text()}`);
    const page = (await response.json()) as { data: Record<string, unknown>[]; nextCursor: string | null };
    for (const record of page.data) {
      const number = numberOf(dataset, record);
      seen.set(number, (seen.get(number) ?? 0) + 1);
    }
    cursor = page.nextCursor;
  } while (cursor !== null);
  return seen;
}

process.exitCode = await main();
