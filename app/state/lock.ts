/**
 * One service for one data folder: a second is refused with the first one's pid, a lock whose process is gone is taken.
 *
 * Node has no flock, so the lock is a file. It is made whole before it gets its name (`link` fails when the name is
 * taken), so that nobody ever reads half of one. It holds pid and start time, because after a reboot or a long while the
 * pid may be somebody else's. A stale lock is moved aside under a name of its own and looked at again: of two processes
 * that found it stale only one can move it, and a fresh lock moved by mistake is put back. While it lies aside it
 * counts all the same: who claims the free name looks aside after that, and gives the claim back when it finds a living
 * owner there. So the owner keeps the folder whichever of the others is quicker.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface DataDirLock {
  release(): Promise<void>;
}

interface Owner {
  readonly pid: number;
  /** Ticks since boot at which the process began, with the boot's id; empty where /proc is missing. */
  readonly startedAt: string;
  readonly nonce: string;
}

/** Another start within the same moment is the only way to lose a try. */
const TRIES_MAX = 10;
const LOCK_FILE = 'vigia.lock';
const ASIDE = `${LOCK_FILE}.stale.`;

export interface LockOptions {
  /** Tests only: lets others act at the moments where they could be in each other's way. */
  readonly faultPoint?: (name: 'stale-found' | 'moved-aside') => Promise<void>;
}

export async function lockDataDir(dir: string, options: LockOptions = {}): Promise<DataDirLock> {
  await mkdir(dir, { recursive: true });
  const file = path.join(dir, LOCK_FILE);
  const nonce = randomBytes(8).toString('hex');
  const own: Owner = { pid: process.pid, startedAt: (await startOf(process.pid)) ?? '', nonce };
  let aside: Owner | undefined;
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const claimed = await claim(file, own);
    aside = await livingAside(dir, own);
    if (claimed && aside === undefined) return { release: () => release(dir, own) };
    // Who lies aside may be giving a claim back, too: a few more looks, or both would go away with nothing.
    if (claimed) await release(dir, own);
    if (aside !== undefined) continue;
    const owner = await readOwner(file);
    if (owner && (await isAlive(owner))) throw new Error(refusal(dir, owner));
    if (owner) await remove(file, owner, options);
  }
  if (aside !== undefined) throw new Error(refusal(dir, aside));
  throw new Error(`${file} changed hands ${TRIES_MAX} times while it was waited for. Start one service at a time.`);
}

/** The pid of the service that owns the folder now; undefined when none does. */
export async function lockHolder(dir: string): Promise<number | undefined> {
  const owner = await readOwner(path.join(dir, LOCK_FILE));
  if (owner !== undefined && (await isAlive(owner))) return owner.pid;
  return (await livingAside(dir))?.pid;
}

/** Another owner whose lock was moved by mistake and is not put back yet. What dead owners left there is removed. */
async function livingAside(dir: string, own?: Owner): Promise<Owner | undefined> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith(ASIDE)) continue;
    const owner = await readOwner(path.join(dir, name));
    if (owner !== undefined && owner.nonce === own?.nonce) continue;
    if (owner !== undefined && (await isAlive(owner))) return owner;
    // The name is one lock's alone and its owner is gone: this can take nobody's.
    await removeFile(path.join(dir, name));
  }
  return undefined;
}

async function claim(file: string, own: Owner): Promise<boolean> {
  const draft = `${file}.${own.nonce}`;
  await writeFile(draft, JSON.stringify(own), { flag: 'wx' });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

async function readOwner(file: string): Promise<Owner | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return parseOwner(text) ?? { pid: 0, startedAt: '', nonce: text };
}

/** A file that is no lock of ours belongs to no process: it counts as stale. */
function parseOwner(text: string): Owner | undefined {
  try {
    const { pid, startedAt, nonce } = JSON.parse(text) as Partial<Owner>;
    return typeof pid === 'number' && typeof startedAt === 'string' && typeof nonce === 'string'
      ? { pid, startedAt, nonce }
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A read followed by an unlink could hit a lock that came in between; a move can be looked at and undone. */
async function remove(file: string, expected: Owner, { faultPoint }: LockOptions = {}): Promise<void> {
  const aside = path.join(path.dirname(file), `${ASIDE}${randomBytes(8).toString('hex')}`);
  await faultPoint?.('stale-found');
  try {
    await rename(file, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  await faultPoint?.('moved-aside');
  const moved = await readOwner(aside);
  if (moved === undefined || moved.nonce === expected.nonce || (await putBack(aside, file))) await removeFile(aside);
}

/**
 * Somebody took the stale lock between our look and our move: theirs counts. When a third has claimed the name
 * meanwhile it stays where it is, and the third, who looks aside, gives the name back.
 */
async function putBack(aside: string, file: string): Promise<boolean> {
  try {
    await link(aside, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    // Its owner has released it meanwhile.
    if (codeOf(error) === 'ENOENT') return true;
    throw error;
  }
}

async function release(dir: string, own: Owner): Promise<void> {
  const file = path.join(dir, LOCK_FILE);
  if ((await readOwner(file))?.nonce === own.nonce) await remove(file, own);
  for (const name of await readdir(dir)) {
    const aside = path.join(dir, name);
    if (name.startsWith(ASIDE) && (await readOwner(aside))?.nonce === own.nonce) await removeFile(aside);
  }
}

/** Somebody else may have removed it first. */
async function removeFile(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

async function isAlive({ pid, startedAt }: Owner): Promise<boolean> {
  if (pid <= 0) return false;
  const now = await startOf(pid);
  if (now !== undefined && startedAt !== '') return now === startedAt;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is another user's.
    return codeOf(error) !== 'ESRCH';
  }
}

/** `undefined` where there is no /proc or no such process. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const [stat, boot] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    ]);
    // Field 22, counted after the command, which may hold blanks and parentheses; man 5 proc.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return ticks === undefined ? undefined : `${boot.trim()}:${ticks}`;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return undefined;
    throw error;
  }
}

function refusal(dir: string, owner: Owner): string {
  return `${dir} is in use by process ${owner.pid}. Stop it (kill ${owner.pid}) or set another DATA_DIR.`;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
