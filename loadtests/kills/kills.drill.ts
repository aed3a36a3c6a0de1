/** The long kill test: 1,000 kills (KILLS=N for another number), about an hour on two cores. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const KILLS = process.env['KILLS'] ?? '1000';

const run = spawn(process.execPath, [fileURLToPath(new URL('run.ts', import.meta.url)), '--runs', KILLS], {
  stdio: 'inherit',
});
const [code] = await once(run, 'exit');
process.exitCode = Number(code ?? 1);
