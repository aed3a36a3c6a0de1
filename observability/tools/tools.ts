/**
 * The Go programs that prove and run things here, pinned: a folder beside this file holds a go.mod and a go.sum, and
 * each `tool` line in go.mod is a program. Built once into a cache of the user's, under the hash of both files, so a
 * second checkout builds nothing and a changed version never meets an old binary.
 *
 * A folder with one `tool` line gives its program the folder's name; with several, each has its package's last word.
 * A line `// build: -tags x` in go.mod is handed to `go build`.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runBuild } from './build.ts';

export interface Tool {
  readonly name: string;
  /** The folder with go.mod and go.sum. */
  readonly folder: string;
  /** The Go package that is built. */
  readonly program: string;
  readonly buildFlags: readonly string[];
  /** Where the binary is, or will be. */
  readonly path: string;
}

export interface ToolPlaces {
  /** Holds a folder for each wrapper module. */
  readonly folder: string;
  readonly cache: string;
}

/** What a person must mend: an unknown name, a missing Go, a build that failed. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

/** The largest (prometheus) takes 5 minutes on 2 cores; niced beside a full test run it may take three times that. */
const BUILD_TIMEOUT_MS = 20 * 60_000;
const LOCK_POLL_MS = 500;

/** `VIGIA_TOOLS_DIR` moves the cache; else the user's cache folder as XDG has it. */
export function toolsCache(environment: NodeJS.ProcessEnv = process.env): string {
  const { VIGIA_TOOLS_DIR, XDG_CACHE_HOME } = environment;
  return VIGIA_TOOLS_DIR ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'vigia', 'tools');
}

/** Path of a built program; builds it when the cache lacks it. Throws ToolError. */
export async function toolPath(
  name: string,
  { folder = import.meta.dirname, cache = toolsCache() }: Partial<ToolPlaces> = {},
): Promise<string> {
  const tools = await listTools({ folder, cache });
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool === undefined) {
    throw new ToolError(`No tool is called ${name}. There are: ${tools.map((known) => known.name).join(', ')}.`);
  }
  if (!(await exists(tool.path))) await buildOnce(tool);
  return tool.path;
}

/** Every program that the folders below `folder` pin, by name. */
export async function listTools(options: ToolPlaces): Promise<readonly Tool[]> {
  const entries = await readdir(options.folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const tools = await Promise.all(folders.sort().map((name) => toolsOf(name, options)));
  return tools.flat();
}

async function toolsOf(name: string, { folder, cache }: ToolPlaces): Promise<readonly Tool[]> {
  const module = join(folder, name);
  const goMod = await readFile(join(module, 'go.mod'), 'utf8');
  const goSum = await readFile(join(module, 'go.sum'), 'utf8');
  const key = createHash('sha256').update(goMod).update('\0').update(goSum).digest('hex').slice(0, 16);
  const buildFlags = /^\/\/ build: (.+)$/m.exec(goMod)?.[1]?.split(' ') ?? [];
  const programs = toolLines(goMod);
  return programs.map((program) => {
    const toolName = programs.length === 1 ? name : (program.split('/').at(-1) ?? name);
    return { name: toolName, folder: module, program, buildFlags, path: join(cache, key, toolName) };
  });
}

function toolLines(goMod: string): readonly string[] {
  const block = /^tool \(([^)]*)\)/m.exec(goMod)?.[1] ?? /^tool (\S+)$/m.exec(goMod)?.[1] ?? '';
  return block.split(/\s+/).filter((line) => line !== '');
}

/**
 * One process builds, the others wait for it. The lock only saves work: the binary appears by rename, whole, so also
 * two builders that both believed a lock to be dead leave the same file.
 */
async function buildOnce(tool: Tool): Promise<void> {
  await mkdir(join(tool.path, '..'), { recursive: true });
  const lock = `${tool.path}.lock`;
  const giveUpAtMs = performance.now() + BUILD_TIMEOUT_MS;
  while (!(await takeLock(lock))) {
    if (await exists(tool.path)) return;
    if (performance.now() > giveUpAtMs) {
      throw new ToolError(
        `${tool.name}: another process has been building for ${BUILD_TIMEOUT_MS / 60_000} minutes. Remove ${lock} if there is none.`,
      );
    }
    await pause(LOCK_POLL_MS);
  }
  try {
    if (await exists(tool.path)) return;
    const made = `${tool.path}.${process.pid}`;
    const { failure } = await runBuild({ ...tool, output: made, timeoutMs: BUILD_TIMEOUT_MS });
    if (failure !== null) throw new ToolError(`${tool.name}: ${failure}`);
    await rename(made, tool.path);
  } finally {
    await rm(lock, { force: true });
  }
}

/** The lock file holds its owner's process id; the lock of a process that is gone is taken over. */
async function takeLock(lock: string): Promise<boolean> {
  try {
    await using file = await open(lock, 'wx');
    await file.writeFile(String(process.pid));
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  if (!(await ownerIsGone(lock))) return false;
  await rm(lock, { force: true });
  return takeLock(lock);
}

/** A file just made has no process id in it yet; that long it has an owner. */
const LOCK_WRITTEN_WITHIN_MS = 5_000;

async function ownerIsGone(lock: string): Promise<boolean> {
  try {
    const text = await readFile(lock, 'utf8');
    if (text === '') return Date.now() - (await stat(lock)).mtimeMs > LOCK_WRITTEN_WITHIN_MS;
    process.kill(Number(text), 0);
    return false;
  } catch (error) {
    // ENOENT: released meanwhile; EPERM: alive, of another user.
    return codeOf(error) === 'ESRCH' || codeOf(error) === 'ENOENT';
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
