import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBuild } from './build.ts';
import { listTools, ToolError, toolPath, toolsCache } from './tools.ts';

/** A wrapper module whose program is its own: builds without the network. */
async function smallModule(folder: string, name: string, says = 'hello'): Promise<void> {
  await mkdir(join(folder, name, 'speak'), { recursive: true });
  await writeFile(join(folder, name, 'go.mod'), `module example/${name}\n\ngo 1.24\n\ntool example/${name}/speak\n`);
  await writeFile(join(folder, name, 'go.sum'), '');
  const source = `package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("${says}") }\n`;
  await writeFile(join(folder, name, 'speak', 'main.go'), source);
}

describe('pinned programs', function () {
  this.timeout(120_000);
  let root: string;
  let folder: string;
  let cache: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'vigia-tools-'));
    folder = join(root, 'modules');
    cache = join(root, 'cache');
    await mkdir(folder);
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  it('builds a program once, also when two processes ask for it at the same time', async () => {
    await smallModule(folder, 'speaker');
    const ask = `import { toolPath } from ${JSON.stringify(join(import.meta.dirname, 'tools.ts'))};
      console.log(await toolPath('speaker', ${JSON.stringify({ folder, cache })}));`;
    const asked = [1, 2].map(() => outputOf(process.execPath, ['--input-type=module', '-e', ask]));
    const [first, second] = await Promise.all(asked);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.stdout, second.stdout);
    const builds = [first, second].filter(({ stderr }) => stderr.includes('building speaker'));
    assert.equal(builds.length, 1, `${first.stderr}${second.stderr}`);
    const path = first.stdout.trim();
    assert.equal((await outputOf(path, [])).stdout, 'hello');
    assert.deepEqual(await readdir(join(path, '..')), ['speaker'], 'neither lock nor half-made file stays');
  });

  it('takes over the lock of a process that is gone', async () => {
    await smallModule(folder, 'speaker');
    const [tool] = await listTools({ folder, cache });
    assert.ok(tool !== undefined);
    await mkdir(join(tool.path, '..'), { recursive: true });
    const gone = spawn(process.execPath, ['-e', '']);
    await once(gone, 'close');
    await writeFile(`${tool.path}.lock`, String(gone.pid));
    assert.equal(await toolPath('speaker', { folder, cache }), tool.path);
    assert.ok((await stat(tool.path)).isFile());
  });

  it('keeps binaries of different pins apart', async () => {
    await smallModule(folder, 'speaker');
    const [before] = await listTools({ folder, cache });
    await writeFile(join(folder, 'speaker', 'go.sum'), 'example/x v1.0.0 h1:0\n');
    const [after] = await listTools({ folder, cache });
    assert.notEqual(before?.path, after?.path);
  });

  it('names the folder, or the package where a module has several programs, and hands build flags on', async () => {
    await mkdir(join(folder, 'pair'));
    const goMod =
      'module x\n// build: -tags slicelabels\ngo 1.24\ntool (\n\texample.org/a/cmd/one\n\texample.org/a/cmd/two\n)\n';
    await writeFile(join(folder, 'pair', 'go.mod'), goMod);
    await writeFile(join(folder, 'pair', 'go.sum'), '');
    const tools = await listTools({ folder, cache });
    assert.deepEqual(
      tools.map(({ name, program, buildFlags }) => ({ name, program, buildFlags })),
      [
        { name: 'one', program: 'example.org/a/cmd/one', buildFlags: ['-tags', 'slicelabels'] },
        { name: 'two', program: 'example.org/a/cmd/two', buildFlags: ['-tags', 'slicelabels'] },
      ],
    );
  });

  it('says which programs there are when asked for another', async () => {
    await smallModule(folder, 'speaker');
    await assert.rejects(toolPath('speeker', { folder, cache }), (error) => {
      assert.ok(error instanceof ToolError);
      assert.equal(error.message, 'No tool is called speeker. There are: speaker.');
      return true;
    });
  });

  it('gives the command that installs Go where there is none', async () => {
    await smallModule(folder, 'speaker');
    const [tool] = await listTools({ folder, cache });
    assert.ok(tool !== undefined);
    const built = await runBuild({
      ...tool,
      output: join(root, 'speaker'),
      timeoutMs: 10_000,
      searchPath: '/usr/bin:/bin',
    });
    assert.match(built.failure ?? '', /^Go is missing\. Install: curl -fsSL https:\/\/go\.dev\/dl\/go1\./);
  });

  it('tells what the compiler said, and leaves no lock, when a build fails', async () => {
    await smallModule(folder, 'speaker');
    await writeFile(join(folder, 'speaker', 'speak', 'main.go'), 'package main\n\nfunc main() { nonsense() }\n');
    await assert.rejects(
      toolPath('speaker', { folder, cache }),
      /speaker: go build ended with exit code 1:\n.*\n.*undefined: nonsense/,
    );
    const [tool] = await listTools({ folder, cache });
    assert.deepEqual(await readdir(join(tool?.path ?? '', '..')), []);
  });

  it('keeps the cache where VIGIA_TOOLS_DIR says, else in the cache folder of the user', () => {
    assert.equal(toolsCache({ VIGIA_TOOLS_DIR: '/a' }), '/a');
    assert.equal(toolsCache({ XDG_CACHE_HOME: '/b' }), '/b/vigia/tools');
    assert.match(toolsCache({}), /\/\.cache\/vigia\/tools$/);
  });

  it('pins every program by a committed checksum', async () => {
    const tools = await listTools({ folder: import.meta.dirname, cache });
    assert.ok(tools.some((tool) => tool.name === 'promtool'));
    for (const tool of tools) assert.match(await readFile(join(tool.folder, 'go.sum'), 'utf8'), / h1:/, tool.name);
  });
});

async function outputOf(
  program: string,
  parameters: readonly string[],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, stderr);
  return { stdout, stderr };
}
