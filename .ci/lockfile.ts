/**
 * Keeps package-lock.json complete on every platform.
 *
 * npm leaves an optional platform package out of the lock when the registry it asked does not have it, and then
 * `npm ci` refuses the lock ("Missing: … from lock file"). This adds an entry for each, with the version its parent
 * asks for and the platforms its name says; npm fetches it where the platform fits. Run it after every install;
 * `--check` writes nothing and exits 1 when an entry is missing or names a registry host.
 */
import { readFile, writeFile } from 'node:fs/promises';

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const DEFAULT_HOST = 'https://registry.npmjs.org/';

export function missingEntries(lock: Lock): Readonly<Record<string, LockEntry>> {
  const missing: Record<string, LockEntry> = {};
  for (const [parent, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (holds(lock, parent, name)) continue;
      const path = `node_modules/${name}`;
      missing[path] = { version, ...(entry.dev ? { dev: true } : {}), optional: true, ...platformOf(name) };
    }
  }
  return missing;
}

/** As Node resolves: beside the parent, or in any folder above it. */
function holds(lock: Lock, parent: string, name: string): boolean {
  for (let folder = parent; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (`${folder === '' ? '' : `${folder}/`}node_modules/${name}` in lock.packages) return true;
    if (folder === '') return false;
  }
}

export function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
  const words = name.slice(name.indexOf('/') + 1).split('-');
  const os = SYSTEMS.filter((system) => words.includes(system));
  const cpu = PROCESSORS.filter((processor) => words.includes(processor));
  if (os.length !== 1 || cpu.length !== 1) {
    throw new Error(`${name} does not say its platform. Add its lock entry by hand, or its word to .ci/lockfile.ts.`);
  }
  const libc = ['musl', 'gnu'].find((prefix) => words.some((word) => word.startsWith(prefix)));
  return { os, cpu, ...(libc === undefined ? {} : { libc: [libc === 'gnu' ? 'glibc' : libc] }) };
}

function foreignHosts(lock: Lock): readonly string[] {
  return Object.entries(lock.packages)
    .filter(([, entry]) => entry.resolved?.startsWith('http') && !entry.resolved.startsWith(DEFAULT_HOST))
    .map(([path]) => path);
}

async function main(): Promise<number> {
  const file = new URL('../package-lock.json', import.meta.url);
  const lock = JSON.parse(await readFile(file, 'utf8')) as Lock;
  const missing = missingEntries(lock);
  const foreign = foreignHosts(lock);
  for (const path of foreign)
    console.error(`package-lock.json: ${path} is resolved from a host that others cannot reach.`);
  if (process.argv.includes('--check')) {
    for (const path of Object.keys(missing))
      console.error(`package-lock.json: ${path} is missing. Run: node .ci/lockfile.ts`);
    return Object.keys(missing).length + foreign.length === 0 ? 0 : 1;
  }
  const packages = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1));
  await writeFile(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`);
  console.log(`package-lock.json: ${Object.keys(missing).length} optional platform packages added.`);
  return foreign.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
