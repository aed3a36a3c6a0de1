import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openService, type Service } from '../main.ts';
import { runScript } from './command-process.contract.ts';

describe('npm run keys', () => {
  let dataDir: string;
  let service: Service;

  before(async function () {
    this.timeout(30_000);
    dataDir = await mkdtemp(join(tmpdir(), 'vigia-keys-'));
    const settings = { PORT: '0', METRICS_PORT: '0', SAMPLE_DATA: 'off', LOG_LEVEL: 'silent' };
    service = await openService(readConfig({ ...settings, DATA_DIR: dataDir }));
  });

  after(async () => {
    await service.stop({ reason: 'the test is over' });
    await rm(dataDir, { recursive: true });
  });

  const keys = (...args: string[]) => runScript('keys', args, { DATA_DIR: dataDir });
  const status = async (key?: string): Promise<number> => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
    return (await fetch(new URL('/v1/datasets', service.url), { headers })).status;
  };

  it('makes, lists and revokes while the service runs, which asks for a key from the first one on', async function () {
    this.timeout(20_000);
    assert.equal(await status(), 200);
    const made = await keys('add', '--scope', 'read', '--dataset', 'flights', '--label', 'the dashboard');
    assert.equal(made.code, 0);
    assert.match(made.stdout, /^vg_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\n$/);
    assert.match(made.stderr, /shown once/);
    const key = made.stdout.trim();
    const [, id = '', secret = ''] = /^vg_([0-9a-f]+)_(.+)$/.exec(key) ?? [];
    assert.deepEqual([await status(), await status(key)], [401, 200]);

    const listed = await keys('list');
    assert.equal(listed.code, 0);
    assert.match(listed.stdout, new RegExp(`^${id}  read  flights  \\S+  active  the dashboard\\n$`));
    assert.ok(!listed.stdout.includes(secret));

    const revoked = await keys('revoke', id);
    assert.deepEqual(revoked, { code: 0, stdout: `${id} is revoked.\n`, stderr: '' });
    assert.deepEqual([await status(), await status(key)], [401, 401]);
    assert.match((await keys('list')).stdout, / {2}revoked \d{4}-\d\d-\d\dT/);
  });

  it('is audited: who made and revoked which key, when, for what, and never the secret', async function () {
    this.timeout(20_000);
    const admin = (await keys('add', '--scope', 'admin')).stdout.trim();
    const made = (await keys('add', '--scope', 'read,write', '--dataset', 'flights', '--label', 'private words'))
      .stdout;
    const [, id = '', secret = ''] = /^vg_([0-9a-f]+)_(.+)$/m.exec(made) ?? [];
    await keys('revoke', id);
    const audit = async (): Promise<string> => {
      const url = new URL('/v1/audit?dataset=flights&limit=2', service.url);
      return (await fetch(url, { headers: { authorization: `Bearer ${admin}` } })).text();
    };
    const told = await audit();
    const { data } = JSON.parse(told) as { readonly data: readonly Readonly<Record<string, unknown>>[] };
    const of = { actor: userInfo().username, source: 'scopes read,write; datasets flights', target: id };
    assert.deepEqual(
      data.map(({ step, actor, source, target }) => ({ step, actor, source, target })),
      [
        { step: 'key.revoke', ...of },
        { step: 'key.add', ...of },
      ],
    );
    const kept = await service.state.apiKey(id);
    assert.deepEqual(
      data.map(({ at }) => Date.parse(String(at))),
      [kept?.revokedAtMs, kept?.createdAtMs],
    );
    for (const hidden of [secret, kept?.secretHash ?? '?', 'private words']) assert.ok(!told.includes(hidden));
    assert.equal(await audit(), told);
  });

  it('ends with 1 and says so when the key to revoke is not there', async () => {
    const { code, stderr } = await keys('revoke', '0123456789abcdef');
    assert.equal(code, 1);
    assert.equal(stderr, 'There is no key 0123456789abcdef; npm run keys -- list shows them.\n');
  });

  it('looks at a folder that is not there without making it', async () => {
    const none = join(dataDir, 'none');
    for (const args of [['list'], ['revoke', '0123456789abcdef']]) {
      const { code, stderr } = await runScript('keys', args, { DATA_DIR: none });
      assert.deepEqual([code, stderr], [1, `There is no data folder at ${none} (DATA_DIR).\n`]);
    }
    assert.ok(!existsSync(none));
  }).timeout(10_000);

  const WRONG: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^a command is missing\n/],
    [['grant'], /^there is no command grant\n/],
    [['add'], /^--scope is missing: choose of read, write, quarantine, load, admin\n/],
    [['add', '--scope', 'root'], /^--scope root: choose of /],
    [
      ['add', '--scope', 'read', '--dataset', 'tides'],
      /^--dataset tides: there are articles, book_sales, flights, trips\n/,
    ],
    [['add', '--all'], /--all/],
    [['revoke'], /^say which: npm run keys -- revoke ID\n/],
    [['list', 'all'], /^all: list takes nothing\n/],
    [['revoke', 'one', 'two'], /^two: that is too much\n/],
  ];
  for (const [args, message] of WRONG) {
    it(`takes "${args.join(' ')}" as wrong usage: 64, the reason and the help, and no key is made`, async function () {
      this.timeout(10_000);
      const { code, stdout, stderr } = await keys(...args);
      assert.deepEqual([code, stdout], [64, '']);
      assert.match(stderr, message);
      assert.match(stderr, /npm run keys -- COMMAND/);
    });
  }

  it('explains itself', async () => {
    const { code, stdout } = await keys('--help');
    assert.equal(code, 0);
    for (const word of ['add', 'list', 'revoke', 'Exit codes']) assert.ok(stdout.includes(word), word);
  });
});
