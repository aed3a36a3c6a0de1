import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isAsPrinted, readExamples, runExamples } from './readme-examples.ts';
import { type ServiceProcess, startService } from './service-process.ts';

const ROOT = new URL('../', import.meta.url);
/** What a newcomer is promised on 2 cores. */
const START_MS = 5_000;
/** `/proc/PID/stat` counts processor time in these (USER_HZ, the same on every Linux). */
const TICKS_PER_SECOND = 100;

/** A reader's seconds of waiting are longer than these. A file is written within a tenth of a second. */
const NO_WAITING = { CACHE_AGE_MAX_MS: '0', LANDING_LOOK_MS: '50', LANDING_SETTLE_MS: '100' };

/** A reader waits until what was sent is readable and files are taken; here it is until nothing is in flight, or lands. */
const PRELUDE = `sleep() {
  until [ -z "$(ls -A data/landing/trips)" ]; do :; done
  until ! curl -s localhost:8080/v1/landing | grep -qE '"state":"(waiting|checking|storing|retrying)"'; do :; done
  until curl -s localhost:8080/v1/datasets | grep -qE '"equation":\\{[^}]*"inFlight":0,[^}]*\\}\\}$|"code":"KEY_MISSING"'; do :; done
}`;

describe('the README', () => {
  let service: ServiceProcess | undefined;
  /** Of this test alone; where a reader has `data` and `/tmp`. */
  let folder: string;
  let dataDir: string;
  let started: { readonly tookMs: number; readonly processorMs: number };
  let text: string;

  before(async function () {
    this.timeout(60_000);
    text = await readFile(new URL('README.md', ROOT), 'utf8');
    folder = await mkdtemp(join(tmpdir(), 'vigia-readme-'));
    dataDir = join(folder, 'data');
    const begin = performance.now();
    service = await startService({ dataDir, env: { SAMPLE_DATA: 'on', ...NO_WAITING } });
    started = { tookMs: performance.now() - begin, processorMs: await processorMs(service.pid) };
  });

  after(() => stop());

  /** Also when the start failed. */
  async function stop(): Promise<void> {
    service?.kill('SIGTERM');
    await service?.ended;
    await rm(folder, { recursive: true });
  }

  it('promises a start on a new folder within 5 s, which it takes', () => {
    const { tookMs, processorMs } = started;
    console.log(`      listening, samples readable: ${seconds(tookMs)} s, of them ${seconds(processorMs)} s at work`);
    // On a machine that others keep busy the clock says how busy they are; the work it takes is ours.
    const busy = (loadavg()[0] ?? 0) > availableParallelism();
    assert.ok((busy ? processorMs : tookMs) < START_MS, JSON.stringify({ ...started, busy }));
  });

  it('has examples that answer as printed, in their order', async function () {
    this.timeout(150_000);
    assert.ok(service !== undefined);
    const { port } = new URL(service.url);
    const { port: metricsPort } = new URL(service.metricsUrl);
    const here = (shell: string): string =>
      shell
        .replaceAll('localhost:8080', `localhost:${port}`)
        .replaceAll('localhost:9464', `localhost:${metricsPort}`)
        .replaceAll('/tmp/', `${folder}/`)
        .replaceAll(/(?<!\/)\bdata\/(?=landing|archive)/g, `${dataDir}/`);
    const examples = readExamples(text).map(({ command, output }) => ({
      command: here(command),
      output: here(output),
    }));
    assert.ok(examples.length > 30, `${examples.length} examples`);
    const { PATH, HOME } = process.env;
    const outputs = await runExamples(examples, {
      cwd: fileURLToPath(ROOT),
      env: { PATH, HOME, DATA_DIR: dataDir, LANG: 'C.UTF-8' },
      prelude: here(PRELUDE),
    });
    const wrong = examples.flatMap(({ command, output }, index) => {
      const got = outputs[index] ?? 'nothing: the shell ended before it';
      return isAsPrinted(got, output) ? [] : [`$ ${command}\nprinted:  ${output}\nanswered: ${got}`];
    });
    // What the service warned of says why.
    const warnings = service
      .output()
      .split('\n')
      .filter((line) => /"level":[456]0/.test(line));
    assert.equal(wrong.join('\n\n'), '', [...wrong, ...warnings].join('\n\n'));
  });

  it('shows every route of the OpenAPI document with a command', async () => {
    const document = (await (await fetch(new URL('/openapi.json', service?.url))).json()) as {
      readonly paths: Readonly<Record<string, unknown>>;
    };
    const commands = readExamples(text).map(({ command }) => command);
    const missing = Object.keys(document.paths).filter((path) => {
      const written = path.replace('/v1/receipts/{id}', '$receipt').replace(/\{[a-z]+\}/g, '[a-z_]+');
      const pattern = new RegExp(`localhost:8080${written.replace('$', '\\$')}(?=[?'"\\s]|$)`);
      return !commands.some((command) => pattern.test(command));
    });
    // The Swagger page is for a browser; docs.test.ts fetches all of it.
    assert.deepEqual(missing, ['/docs']);
  });
});

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

/** User and system time of a process so far: fields 14 and 15, counted after the name, which may hold spaces. */
async function processorMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1000;
}

describe('an example of the README', () => {
  it('is a command, which may go on over lines, with the output under it', () => {
    const markdown =
      '```console\n$ a \\\n  b |\n  c\none\ntwo\n$ d\n```\n\n```sh\n$ not this\n```\n```console\n$ e\n```\n';
    assert.deepEqual(readExamples(markdown), [
      { command: 'a \\\n  b |\n  c', output: 'one\ntwo' },
      { command: 'd', output: '' },
      { command: 'e', output: '' },
    ]);
  });

  it('differs from an answer by as little as one character, but for what … stands for', () => {
    assert.ok(isAsPrinted('{"id":"4f","n":1}', '{"id":"…","n":1}'));
    assert.ok(!isAsPrinted('{"id":"4f","n":2}', '{"id":"…","n":1}'));
    assert.ok(!isAsPrinted('{"id":"","n":1}', '{"id":"…","n":1}'));
    assert.ok(!isAsPrinted('{"id":"4f","more":"x","n":1}', '{"id":"…","n":1}'));
    assert.ok(!isAsPrinted('302', '30.'));
  });
});
