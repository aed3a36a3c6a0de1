/** Resident memory of a process, as the kernel tells it. */
import { readFile } from 'node:fs/promises';

const LOOK_MS = 50;
const KIB = 1_024;
const MIB = 1_024 * KIB;
const MEGABYTE = 1e6;

export async function residentMib(pid: number): Promise<number> {
  return (await residentBytes(pid)) / MIB;
}

/** How far it rose above what it was before, in MB, looked at every 50 ms. */
export async function growthWhile<T>(
  pid: number,
  act: () => Promise<T>,
): Promise<{ readonly done: T; readonly growthMb: number }> {
  const before = await residentBytes(pid);
  let most = before;
  const look = async (): Promise<void> => {
    most = Math.max(most, await residentBytes(pid));
  };
  let failure: unknown;
  const timer = setInterval(() => {
    look().catch((error: unknown) => {
      failure = error;
    });
  }, LOOK_MS);
  try {
    const done = await act();
    if (failure !== undefined) throw failure;
    await look();
    return { done, growthMb: (most - before) / MEGABYTE };
  } finally {
    clearInterval(timer);
  }
}

async function residentBytes(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * KIB;
}
