/** A real Prometheus with a history, for comparisons and tests: samples become blocks, and a server on a port of its own reads them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { toolPath } from '../../observability/tools/tools.ts';

export interface History {
  /** `metric{label="value"}`. */
  readonly series: string;
  /** [Unix seconds, value], rising. */
  readonly points: readonly (readonly [number, number])[];
}

export interface SeededPrometheus extends AsyncDisposable {
  readonly url: string;
}

/** Samples as blocks, or blocks that are there already: `write` puts them into the data folder. */
export async function startPrometheus(
  histories: readonly History[] | { readonly write: (folder: string) => Promise<void> },
): Promise<SeededPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'slo-prometheus-'));
  const data = join(folder, 'data');
  if ('write' in histories) await histories.write(data);
  else await writeBlocks(histories, { folder, data });
  await writeFile(join(folder, 'prometheus.yml'), 'global: {}\n');
  const server = spawn(
    await toolPath('prometheus'),
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${data}`,
      '--storage.tsdb.retention.time=10y',
      '--web.listen-address=127.0.0.1:0',
      '--log.level=info',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const url = await listening(server);
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function writeBlocks(
  histories: readonly History[],
  { data, folder }: { readonly data: string; readonly folder: string },
): Promise<void> {
  const file = join(folder, 'history.txt');
  await pipeline(openMetrics(histories), createWriteStream(file));
  const parameters = ['tsdb', 'create-blocks-from', 'openmetrics', '--quiet', file, data];
  await promisify(execFile)(await toolPath('promtool'), parameters);
}

/** Resolves when the server said its address and that it is ready; rejects with its words when it ends before. */
async function listening(server: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const address = /msg="Listening on".*address=(\S+)/.exec(said)?.[1];
      if (address !== undefined && said.includes('Server is ready')) resolve(`http://${address}`);
    });
    server.once('exit', () => reject(new Error(`Prometheus ended: ${said.slice(-2000)}`)));
  });
}

/** Grouped by metric, as the format asks; a series at a time, because two thousand of them fill half a gigabyte. */
function* openMetrics(histories: readonly History[]): Generator<string> {
  for (const [metric, group] of Map.groupBy(histories, ({ series }) => series.split('{')[0] ?? series)) {
    yield `# TYPE ${metric} unknown\n`;
    for (const { points, series } of group) {
      yield points.map(([seconds, value]) => `${series} ${value} ${seconds}\n`).join('');
    }
  }
  yield '# EOF\n';
}
