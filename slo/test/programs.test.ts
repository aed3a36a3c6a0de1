import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toolPath } from '../../observability/tools/tools.ts';
import { SLO_PLACES } from '../load.ts';

/** Programs are built on the first run. */
const BUILD_MS_MAX = 20 * 60_000;
const run = promisify(execFile);

describe('other programs read what is here', function () {
  this.timeout(BUILD_MS_MAX);

  it('oslo finds every specification valid OpenSLO', async () => {
    const files = globSync(['objectives/*.yaml', 'windows/*.yaml', 'services.yaml'], { cwd: SLO_PLACES.folder });
    assert.ok(files.length >= 9);
    const oslo = await toolPath('oslo');
    const parameters = files.flatMap((file) => ['-f', join(SLO_PLACES.folder, file)]);
    const { stderr, stdout } = await run(oslo, ['validate', ...parameters]);
    assert.match(stdout + stderr, /Valid!/);
  });

  it('oslo refuses what is no OpenSLO, so that its consent means something', async () => {
    const oslo = await toolPath('oslo');
    const wrong = join(SLO_PLACES.folder, 'test', 'bad', 'target-refused.yaml');
    await assert.rejects(run(oslo, ['validate', '-f', wrong]), /target/);
  });

  it('promtool accepts every generated rule, and lints none of them', async () => {
    const promtool = await toolPath('promtool');
    const files = globSync('generated/prometheus/*.yaml', { cwd: SLO_PLACES.folder });
    assert.ok(files.length >= 7);
    const paths = files.map((file) => join(SLO_PLACES.folder, file));
    const { stdout } = await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', ...paths]);
    assert.equal(stdout.match(/SUCCESS/g)?.length, files.length);
  });
});
