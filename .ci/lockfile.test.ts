import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { missingEntries, platformOf } from './lockfile.ts';

describe('the lock file', () => {
  it('holds every optional platform package, so that npm ci works on every platform', async () => {
    const lock = JSON.parse(await readFile(new URL('../package-lock.json', import.meta.url), 'utf8'));
    assert.deepEqual(missingEntries(lock), {});
  });

  it('is told which entries are missing, with version, platform and whether they are for development', () => {
    const lock = {
      packages: {
        'node_modules/tool': {
          dev: true,
          optionalDependencies: { '@tool/cli-darwin-arm64': '2.0.0', '@tool/cli-linux-x64': '2.0.0' },
        },
        'node_modules/@tool/cli-linux-x64': { version: '2.0.0' },
      },
    };
    assert.deepEqual(missingEntries(lock), {
      'node_modules/@tool/cli-darwin-arm64': {
        version: '2.0.0',
        dev: true,
        optional: true,
        os: ['darwin'],
        cpu: ['arm64'],
      },
    });
  });

  it('finds an optional package that is kept beside or above its parent', () => {
    const parent = { optionalDependencies: { 'b-linux-x64': '1.0.0' } };
    const beside = { 'node_modules/a': parent, 'node_modules/a/node_modules/b-linux-x64': {} };
    const above = { 'node_modules/c/node_modules/a': parent, 'node_modules/b-linux-x64': {} };
    assert.deepEqual(missingEntries({ packages: beside }), {});
    assert.deepEqual(missingEntries({ packages: above }), {});
  });

  it('reads the platform out of a package name, and refuses one that does not say it', () => {
    assert.deepEqual(platformOf('@tool/binding-linux-arm-musleabihf'), { os: ['linux'], cpu: ['arm'], libc: ['musl'] });
    assert.deepEqual(platformOf('@tool/binding-linux-x64-gnu'), { os: ['linux'], cpu: ['x64'], libc: ['glibc'] });
    assert.deepEqual(platformOf('@tool/tool-win32-ia32-msvc'), { os: ['win32'], cpu: ['ia32'] });
    assert.throws(() => platformOf('@tool/extra'), /@tool\/extra does not say its platform/);
  });
});
