import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { environmentExample, withSettings } from './config.generate.ts';
import { ConfigError, readConfig, SETTINGS } from './config.ts';

const refuses = (env: Record<string, string>, message: RegExp): void => {
  assert.throws(
    () => readConfig(env),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    },
  );
};

describe('the settings', () => {
  it('stand without any variable set, as the names that others rely on promise', () => {
    const config = readConfig({});
    assert.equal(config.PORT, 8080);
    assert.equal(config.HOST, '127.0.0.1');
    assert.equal(config.METRICS_PORT, 9464);
    assert.equal(config.DATA_DIR, './data');
    assert.equal(config.SAMPLE_DATA, 'on');
    assert.deepEqual([config.BUS, config.WAREHOUSE, config.STATE], ['embedded', 'embedded', 'embedded']);
    assert.equal(config.ROLE, 'all');
    assert.equal(config.OBJECTIVES_FILE, 'slo/generated/objectives.json');
    assert.equal(config.SCRAPE_WAIT_MS, 0);
    assert.equal(config.RECORD_BYTES_MAX, 1_048_576);
    assert.equal(config.BODY_BYTES_MAX, 33_554_432);
    assert.equal(config.ROWS_PER_REQUEST_MAX, 10_000);
    assert.equal(config.JSON_DEPTH_MAX, 32);
  });

  it('take an empty variable as unset', () => {
    assert.equal(readConfig({ PORT: '' }).PORT, 8080);
  });

  it('read numbers, choices and lists', () => {
    const config = readConfig({ PORT: '0', LOG_LEVEL: 'warn', PUBLIC_HOSTS: ' a.example, ,b.example ' });
    assert.equal(config.PORT, 0);
    assert.equal(config.LOG_LEVEL, 'warn');
    assert.deepEqual(config.PUBLIC_HOSTS, ['a.example', 'b.example']);
  });

  it('refuse a value by naming the variable, the value and what is allowed', () => {
    refuses({ PORT: '65536' }, /^PORT=65536 is not a whole number from 0 to 65535\.$/);
    refuses({ PORT: '-1' }, /^PORT=-1 /);
    refuses({ PORT: 'http' }, /^PORT=http /);
    refuses({ PORT: '80.5' }, /^PORT=80\.5 /);
    refuses({ BUS: 'kafka' }, /^BUS=kafka is not one of embedded, pubsub\.$/);
  });

  it('refuse combinations that cannot work, saying which', () => {
    refuses({ FAULT_POINT: 'before-commit' }, /FAULT_POINT is for tests/);
    refuses({ ROLE: 'api' }, /ROLE=api needs BUS=pubsub and WAREHOUSE=bigquery/);
    refuses({ BACKOFF_MIN_MS: '2000', BACKOFF_MAX_MS: '1000' }, /BACKOFF_MAX_MS is below BACKOFF_MIN_MS/);
    refuses({ RECORD_BYTES_MAX: '2048', BODY_BYTES_MAX: '1024' }, /RECORD_BYTES_MAX is above BODY_BYTES_MAX/);
  });

  it('take a fault point in tests alone', () => {
    assert.equal(readConfig({ FAULT_POINT: 'before-commit', NODE_ENV: 'test' }).FAULT_POINT, 'before-commit');
  });

  it('have a default that their own rule accepts, a unit and one sentence each', () => {
    for (const [name, setting] of Object.entries(SETTINGS)) {
      assert.doesNotThrow(() => setting.parse(setting.default, name), name);
      assert.notEqual(setting.unit, '', name);
      assert.match(setting.about, /\.$/, name);
    }
  });
});

describe('.env.example', () => {
  it('is what the settings make', async () => {
    const file = fileURLToPath(new URL('../.env.example', import.meta.url));
    assert.equal(await readFile(file, 'utf8'), environmentExample());
  });

  it('passes its own check on the command line', async () => {
    const generator = fileURLToPath(new URL('./config.generate.ts', import.meta.url));
    await promisify(execFile)(process.execPath, [generator, '--check']);
  });

  it('names every setting but those of tests, each with its default', () => {
    const named = [...environmentExample().matchAll(/^# ([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
    const expected = Object.entries(SETTINGS).filter(([name]) => name !== 'FAULT_POINT' && name !== 'NODE_ENV');
    assert.deepEqual(
      named,
      expected.map(([name, setting]) => [name, setting.default]),
    );
  });
});

describe("the README's table of settings", () => {
  const readme = new URL('../README.md', import.meta.url);

  it('is what the settings make', async () => {
    const text = await readFile(readme, 'utf8');
    assert.equal(text, withSettings(text));
  });

  it('has a row for each setting but those of tests', async () => {
    const named = [...(await readFile(readme, 'utf8')).matchAll(/^\| `([A-Z_]+)` \| .* \|$/gm)].map(([, name]) => name);
    assert.deepEqual(named, Object.keys(SETTINGS).slice(0, -2));
  });

  it('needs its markers', () => {
    assert.throws(() => withSettings('# Vigía'), /lacks the markers/);
  });
});
