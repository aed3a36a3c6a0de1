import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SLO_PLACES } from '../load.ts';

const CLI = join(SLO_PLACES.folder, 'cli.ts');
/** The promise: what is compiled on every change must not be felt. The process itself takes some 0.3 s of it. */
const COMPILE_SECONDS_MAX = 1;

describe('npm run slo', function () {
  this.timeout(30_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vigia-slo-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('finds in the repository what the objectives make', async () => {
    const { code, stderr } = await slo('check');
    assert.equal(code, 0, stderr);
  });

  it('compiles all objectives to the same files every time', async () => {
    const first = await slo('compile', '--out', folder);
    assert.match(first.stdout, /^slo: 7 objectives, \d+ files, [1-9]\d* changed\.$/m);
    const again = await slo('compile', '--out', folder);
    assert.match(again.stdout, /^slo: 7 objectives, \d+ files, 0 changed\.$/m);
    assert.equal((await slo('check', '--out', folder)).code, 0);
  });

  it('tells of drift with the lines, and exit code 2; compile mends it and removes what is stale', async () => {
    await slo('compile', '--out', folder);
    const rules = join(folder, 'prometheus', 'api-latency.yaml');
    const before = await readFile(rules, 'utf8');
    await writeFile(rules, before.replace('> 0.144', '> 0.155'));
    await writeFile(join(folder, 'prometheus', 'gone.yaml'), 'groups: []\n');
    const { code, stderr } = await slo('check', '--out', folder);
    assert.equal(code, 2);
    assert.match(stderr, /^slo\/generated\/prometheus\/api-latency\.yaml:\d+\n-.* > 0\.155\n\+.* > 0\.144$/m);
    assert.match(stderr, /^slo\/generated\/prometheus\/gone\.yaml:1\n-groups: \[\]/m);
    assert.match(stderr, /2 generated files are not what the objectives make\. Run: npm run slo -- compile/);
    const mended = await slo('compile', '--out', folder);
    assert.match(mended.stdout, /^removed prometheus\/gone\.yaml$/m);
    assert.equal(await readFile(rules, 'utf8'), before);
  });

  it('compiles other windows on request, and refuses those that are wrong by file and line', async () => {
    const windows = join(folder, 'windows.yaml');
    const shipped = await readFile(join(SLO_PLACES.folder, 'windows', '30d.yaml'), 'utf8');
    await writeFile(windows, shipped.replace('threshold: 14.4', 'threshold: 10'));
    assert.equal((await slo('compile', '--windows', windows, '--out', folder)).code, 0);
    assert.match(await readFile(join(folder, 'prometheus', 'api-availability.yaml'), 'utf8'), / > 0\.01$/m);
    await appendFile(windows, '---\napiVersion: openslo/v1\nkind: AlertPolicies\n');
    const { code, stderr } = await slo('compile', '--windows', windows, '--out', folder);
    assert.equal(code, 1);
    assert.match(stderr, /windows\.yaml:\d+: "AlertPolicies" is not a kind of OpenSLO v1\./);
    assert.match(stderr, /1 problem; nothing was compiled\.$/m);
  });

  it('answers a wrong call with the usage and 64', async () => {
    for (const parameters of [[], ['compiel'], ['check', '--loud']]) {
      const { code, stderr } = await slo(...parameters);
      assert.equal(code, 64, parameters.join(' '));
      assert.match(stderr, /Usage: npm run slo -- /);
    }
    assert.equal((await slo('--help')).code, 0);
  });

  it('compiles all objectives within a second', async () => {
    const started = process.hrtime.bigint();
    const { compiled } = await import('../compiled.ts');
    const { emitAll } = await import('../compiler/emit/emitters.ts');
    const sound = await compiled({ nowSeconds: null, quiet: true });
    assert.ok(sound !== undefined);
    assert.ok(emitAll(sound).length >= 10);
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    assert.ok(seconds <= COMPILE_SECONDS_MAX, `${seconds} s`);
  });
});

async function slo(
  ...parameters: readonly string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [CLI, ...parameters], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}
