/** `npm run backup` beside a service that may die meanwhile. A backup is whole or is none, and the command knows which. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runServiceCommand } from '../service-command.ts';

const MANIFEST = 'vigia-backup.json';

/** Throws when the exit code and what lies there do not agree. The backup is removed. */
export async function backUp(dataDir: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'vigia-kills-backup-'));
  const target = join(folder, 'backup');
  try {
    const { code, said } = await runServiceCommand(['app/cli/backup.ts', target], { DATA_DIR: dataDir });
    const whole = existsSync(join(target, MANIFEST));
    if (whole !== (code === 0) || (code !== 0 && code !== 1))
      throw new Error(`the backup ended with ${code} and is ${whole ? 'whole' : 'not whole'}: ${said}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
