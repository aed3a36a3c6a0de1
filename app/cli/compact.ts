/** `npm run compact`: rids the stores of what their free pages hold, while no service runs. */
import { type Compacted, compactStores } from '../compaction.ts';
import { readConfig } from '../config.ts';
import { readFormat, refuseNewer, restoreUnfinished } from '../data-format.ts';
import { bytesText } from '../doctor.ts';
import { lockDataDir } from '../state/lock.ts';
import { runCommand, UsageError } from './command.ts';
import { presentDataDir } from './data-folder.ts';

const HELP = `npm run compact

  Copies bus, state and warehouse in DATA_DIR without their free pages, which hold bytes of what was deleted or erased,
  and puts the copies in their place. The service must not run; it does the same itself at its first start after an
  erasure. It needs room for a second copy of the largest of them. Cut off, it is done again.

Exit codes: 0 done, 1 failed, 2 done, but databases that were set aside still hold what they held, 64 wrong usage.`;

const EXIT_FINDINGS = 2;

async function compact(args: readonly string[]): Promise<number> {
  if (args.length > 0) throw new UsageError(`${args.join(' ')}: this command takes no arguments.`);
  const config = readConfig();
  const dataDir = presentDataDir(config);
  const lock = await lockDataDir(dataDir);
  try {
    const format = await readFormat(dataDir);
    if (format.kind === 'unfinished') throw restoreUnfinished(dataDir);
    if (format.kind === 'new') throw new Error(`There is nothing to compact in ${dataDir} (DATA_DIR).`);
    refuseNewer(dataDir, format);
    const compacted = await compactStores({ config, dataDir, now: Date.now, faultPoint: () => undefined });
    process.stdout.write(textOf(compacted));
    return compacted.setAside.length === 0 ? 0 : EXIT_FINDINGS;
  } finally {
    await lock.release();
  }
}

function textOf({ bytesBefore, bytesAfter, setAside }: Compacted): string {
  const lines = [`${bytesText(bytesBefore)} became ${bytesText(bytesAfter)}; what was deleted is in none of them.`];
  for (const name of setAside) lines.push(`${name} was set aside earlier and holds what it held: delete it.`);
  return `${lines.join('\n')}\n`;
}

await runCommand({ help: HELP, run: compact });
