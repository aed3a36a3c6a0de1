/** The inhibition that is shipped, in a real Alertmanager: which of the alerts that fire at once are kept from people. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { toolPath } from '../../observability/tools/tools.ts';

type Labels = Readonly<Record<string, string>>;
interface Shown {
  readonly labels: Labels;
  readonly status: { readonly state: 'active' | 'suppressed' | 'unprocessed' };
}

const ROUTE = 'route: { receiver: nobody, group_by: [slo] }\nreceivers: [{ name: nobody }]\n';
const SEVERITY: Labels = { fast: 'page', medium: 'page', slow: 'ticket', drain: 'ticket' };
const burn = (slo: string, tier: string, more: Labels = {}): Labels => ({
  ...{ alertname: 'SLOBurn', service: 'api', slo, tier, severity: SEVERITY[tier] ?? '' },
  ...more,
});
const other = (alertname: string, slo: string, severity: string, more: Labels = {}): Labels => ({
  ...{ alertname, service: 'api', slo, severity },
  ...more,
});
/** Suppressed answers are given as soon as Alertmanager has put the alerts beside each other. */
const SETTLED_WITHIN_MS = 8_000;

describe('the shipped inhibition, in Alertmanager', function () {
  this.timeout(20_000);
  let folder: string;
  let process: ChildProcess;
  let url: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vigia-alertmanager-'));
    const inhibition = await readFile('slo/generated/alertmanager-inhibition.yaml', 'utf8');
    await writeFile(join(folder, 'config.yaml'), ROUTE + inhibition);
    const flags = [
      `--config.file=${join(folder, 'config.yaml')}`,
      `--storage.path=${join(folder, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
      '--cluster.listen-address=',
    ];
    process = spawn(await toolPath('alertmanager'), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    url = await listening(process);
  });
  after(async () => {
    if (process.exitCode === null) {
      const ended = once(process, 'exit');
      process.kill();
      await ended;
    }
    await rm(folder, { recursive: true });
  });

  it('leaves one voice for each objective and group, and every voice that says something else', async () => {
    const heard: readonly Labels[] = [
      burn('api-latency', 'fast'),
      burn('api-availability', 'medium'),
      burn('pipeline-freshness', 'slow', { dataset: 'trips' }),
      burn('pipeline-freshness', 'fast', { dataset: 'flights' }),
      other('SLOExpectationMissed', 'pipeline-freshness', 'ticket', { dataset: 'flights' }),
      other('SLONoData', 'ingest-availability', 'page'),
      other('SLONoData', 'api-latency', 'ticket'),
      other('CollectorDown', '', 'ticket'),
    ];
    const silenced: readonly Labels[] = [
      burn('api-latency', 'medium'),
      burn('api-latency', 'slow'),
      burn('api-latency', 'drain'),
      burn('api-availability', 'drain'),
      other('SLOTrafficCollapse', 'ingest-availability', 'ticket'),
      burn('ingest-availability', 'slow'),
      burn('pipeline-freshness', 'drain', { dataset: 'trips' }),
    ];
    const posted = await fetch(`${url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([...heard, ...silenced].map((labels) => ({ labels }))),
    });
    assert.equal(posted.status, 200, await posted.text());
    const wanted = silenced.map(text).sort();
    const deadlineMs = performance.now() + SETTLED_WITHIN_MS;
    let found: readonly string[] = [];
    do found = await suppressed(url, heard.length + silenced.length);
    while (found.join() !== wanted.join() && performance.now() < deadlineMs);
    assert.deepEqual(found, wanted);
  });
});

async function suppressed(url: string, total: number): Promise<readonly string[]> {
  const all = (await (await fetch(`${url}/api/v2/alerts`)).json()) as readonly Shown[];
  assert.equal(all.length, total);
  return all
    .filter(({ status }) => status.state === 'suppressed')
    .map(({ labels }) => text(labels))
    .sort();
}

/** Labels in one order; empty ones are none, to Alertmanager too. */
function text(labels: Labels): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== '');
  return JSON.stringify(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The address it says it listens on; what it says before that is why it did not. */
async function listening(process: ChildProcess): Promise<string> {
  assert.ok(process.stderr !== null);
  const said: string[] = [];
  const lines = createInterface({ input: process.stderr });
  for await (const line of lines) {
    said.push(line);
    const address = /msg="Listening on" address=(\S+)/.exec(line)?.[1];
    if (address === undefined) continue;
    // Goes on reading: a full pipe would stop the process.
    process.stderr.resume();
    return `http://${address}`;
  }
  throw new Error(said.join('\n'));
}
