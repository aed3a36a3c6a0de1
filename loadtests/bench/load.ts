/**
 * A closed load: a fixed number of connections, each with its next request as soon as its answer is there, until a
 * fixed number of requests is answered. The same code drives the service and its baseline, so what the generator
 * itself costs is on both sides. Requests are made before the clock starts.
 */
import autocannon from 'autocannon';

export interface LoadRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  /** How many are sent in all; a list that is shorter is gone through again by each connection. */
  readonly amount: number;
  readonly requests: readonly LoadRequest[];
  /** Any other status fails the benchmark. */
  readonly status: number;
}

export interface LoadResult {
  readonly seconds: number;
  readonly perSecond: number;
  /** Share of one core that this process used meanwhile: near 1 it is the generator that is measured. */
  readonly generatorCores: number;
}

const REQUEST_TIMEOUT_SECONDS = 30;

/** Throws when a request failed or was answered with another status. */
export async function sendLoad({ url, connections, amount, requests, status }: LoadOptions): Promise<LoadResult> {
  let startedAt = 0;
  let endedAt = 0;
  let cpuBefore = process.cpuUsage();
  let cpu = cpuBefore;
  let client = 0;
  const ended = Promise.withResolvers<autocannon.Result>();
  const running = autocannon(
    {
      url,
      connections,
      amount,
      timeout: REQUEST_TIMEOUT_SECONDS,
      setupClient: (one) => {
        one.setRequests(share(requests, client, connections));
        client += 1;
      },
    },
    (error: unknown, result) => (error ? ended.reject(error) : ended.resolve(result)),
  );
  running.once('start', () => {
    startedAt = performance.now();
    cpuBefore = process.cpuUsage();
  });
  let answered = 0;
  running.on('response', () => {
    answered += 1;
    if (answered < amount) return;
    endedAt = performance.now();
    cpu = process.cpuUsage(cpuBefore);
  });
  const result = await ended.promise;
  const good = result.statusCodeStats?.[`${status}`]?.count ?? 0;
  if (good !== amount || result.errors > 0 || result.timeouts > 0) {
    throw new Error(
      `${url}: of ${amount} requests ${good} were answered ${status}; ${JSON.stringify(result.statusCodeStats)}, ${result.errors} errors, ${result.timeouts} timeouts`,
    );
  }
  const seconds = (endedAt - startedAt) / 1000;
  return { seconds, perSecond: amount / seconds, generatorCores: (cpu.user + cpu.system) / 1e6 / seconds };
}

/** Every connection gets requests of its own, in turn, so that together they send the list once. */
function share(requests: readonly LoadRequest[], client: number, connections: number): autocannon.Request[] {
  const own = requests.length < connections ? requests : requests.filter((_, at) => at % connections === client);
  return own.map(({ method, path, headers, body }) => ({
    method,
    path,
    headers: { ...headers },
    ...(body === undefined ? {} : { body }),
  }));
}
