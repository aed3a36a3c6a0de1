import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const START = fileURLToPath(new URL('start.ts', import.meta.url));
/** libuv names its threads; they begin all together, at the first use. */
const COUNT = `import { readdirSync, readFileSync } from 'node:fs';
  import { stat } from 'node:fs/promises';
  await stat('/');
  const names = readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/comm', 'utf8').trim());
  console.log(names.filter((name) => name === 'libuv-worker').length);`;

describe('the start', () => {
  for (const { title, env, threads } of [
    { title: 'has a thread for each statement, each commit and what Node does itself', env: {}, threads: 14 },
    { title: 'has one more for each reader', env: { READERS: '5' }, threads: 17 },
    { title: 'leaves the number of threads to who sets it', env: { UV_THREADPOOL_SIZE: '3' }, threads: 3 },
    { title: 'leaves a number of readers that is none to the configuration', env: { READERS: 'many' }, threads: 4 },
  ]) {
    it(title, async () => {
      const args = ['--import', START, '--input-type=module', '-e', COUNT];
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        env: { OTEL_SDK_DISABLED: 'true', ...env },
      });
      assert.equal(Number(stdout), threads);
    });
  }
});
