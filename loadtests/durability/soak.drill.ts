/**
 * The long look at custody: records flow for SOAK_MINUTES (default 30) and the loss equation is taken every second. It
 * must be 0 every time, nothing may be overdue, and at the end every record is there once.
 *
 * Memory is told, not judged: how much a soak may grow is the benchmark's to say (loadtests/bench).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { residentMib } from '../resident-memory.ts';
import { type ServiceProcess, startService } from '../service-process.ts';
import { equationOf } from '../stored-records.ts';
import { type Answered, custodyOf, sendFlight } from './sender.ts';

const MINUTE_MS = 60_000;
const LOOK_MS = 1_000;
/** Far below what two cores can take: this is about time, not load. */
const REQUESTS_PER_LOOK = 40;

process.exitCode = await main();

async function main(): Promise<number> {
  const minutes = Number(process.env['SOAK_MINUTES'] ?? '30');
  const dataDir = await mkdtemp(join(tmpdir(), 'vigia-soak-'));
  const service = await startService({ dataDir, env: { OTEL_SDK_DISABLED: 'true', LOG_LEVEL: 'info' } });
  try {
    return await soak(service, minutes);
  } finally {
    service.kill('SIGTERM');
    await service.ended;
    await rm(dataDir, { recursive: true });
  }
}

async function soak(service: ServiceProcess, minutes: number): Promise<number> {
  const sent: Answered[] = [];
  const faults: string[] = [];
  const memoryMib: number[] = [];
  const endMs = performance.now() + minutes * MINUTE_MS;
  let looks = 0;
  while (performance.now() < endMs) {
    const nextMs = performance.now() + LOOK_MS;
    const numbers = Array.from({ length: REQUESTS_PER_LOOK }, (_, at) => sent.length + at + 1);
    const [equation, ...answers] = await Promise.all([
      equationOf(service),
      ...numbers.map((number) => sendFlight(service, number)),
    ]);
    sent.push(...answers);
    looks += 1;
    memoryMib.push(await residentMib(service.pid));
    if (equation.difference !== 0 || equation.overdue !== 0) faults.push(JSON.stringify(equation));
    await pause(Math.max(0, nextMs - performance.now()));
  }
  const { equation, lost, doubled, strange } = await custodyOf(service, sent);
  const refused = sent.filter(({ status }) => status !== 202).length;
  for (const fault of faults) console.error(fault);
  console.log(
    `minutes=${minutes} looks=${looks} sent=${sent.length} stored=${equation.stored} refused=${refused} lost=${lost.length} duplicated=${doubled.length} not_zero=${faults.length} rss_mib=${memoryMib.at(0)?.toFixed(0)}..${memoryMib.at(-1)?.toFixed(0)}`,
  );
  const held = faults.length + lost.length + doubled.length + strange.length + refused === 0;
  return held && equation.difference === 0 && equation.stored === sent.length ? 0 : 1;
}
