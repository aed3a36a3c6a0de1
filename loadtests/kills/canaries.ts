/**
 * Flights that are to be erased: sent twice over HTTP and once by file, then deleted, while the service may die anywhere
 * in between. Once their deletion was answered they may never come back, whatever is sent, restarted or rebuilt.
 *
 * A deletion that got no answer is asked again; what one asks that the service had begun, finds the rest.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ServiceProcess } from '../service-process.ts';
import type { Account } from './account.ts';
import type { DroppedFile, DroppedFiles } from './dropped-files.ts';
import { flightOf } from './numbered.ts';

const ANSWER_TIMEOUT_MS = 30_000;
const LOOK_MS = 20;
/** Other flights of the file, which must stay. */
const NEIGHBOURS = 40;
const ERASED = 200;
const RUNNING = 202;
const UNAVAILABLE = 503;

interface CanaryOptions {
  readonly account: Account;
  readonly files: DroppedFiles;
  readonly nextNumber: () => number;
}

export class Canaries {
  readonly #options: CanaryOptions;
  /** Sent, as far as is known, and not erased; with the file that holds it, once there is one. */
  readonly #open = new Map<number, DroppedFile | undefined>();

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  async eraseWhile(alive: () => boolean, service: ServiceProcess): Promise<void> {
    while (alive()) {
      const number = this.#options.nextNumber();
      this.#open.set(number, undefined);
      if (!(await this.#plant(number, { alive, service }))) return;
      for (const one of this.#reachable()) while (alive() && !(await this.#erase(service, one)));
    }
  }

  /** Nobody kills this process. */
  async eraseOne(service: ServiceProcess): Promise<void> {
    const number = this.#options.nextNumber();
    this.#open.set(number, undefined);
    if (!(await this.#plant(number, { alive: () => true, service })))
      throw new Error(`flight ${number} was not taken:\n${service.output()}`);
    while (!(await this.#erase(service, number))) await pause(LOOK_MS);
  }

  /** Nobody kills this process: every deletion is answered. No file may wait. */
  async eraseRest(service: ServiceProcess): Promise<void> {
    for (const number of this.#reachable()) while (!(await this.#erase(service, number))) await pause(LOOK_MS);
  }

  /** A file that waits in the landing folder is no store yet: a deletion does not look into it. */
  #reachable(): readonly number[] {
    const archived = (file: DroppedFile | undefined): boolean =>
      file === undefined || this.#options.files.archived(file) !== undefined;
    return [...this.#open].filter(([, file]) => archived(file)).map(([number]) => number);
  }

  /** False when the process died meanwhile. */
  async #plant(
    number: number,
    { alive, service }: { readonly alive: () => boolean; readonly service: ServiceProcess },
  ): Promise<boolean> {
    const { account, files, nextNumber } = this.#options;
    const url = `${service.url}/v1/datasets/flights/records`;
    const record = JSON.stringify(flightOf(number));
    const headers = { 'Content-Type': 'application/json' };
    for (let time = 0; time < 2; time += 1) {
      const status = await statusOf(url, { method: 'POST', headers, body: record });
      if (status !== 202) return false;
    }
    const neighbours = Array.from({ length: NEIGHBOURS }, nextNumber);
    const numbers = [...neighbours, number];
    const file = await files.put({ dataset: 'flights', format: 'csv', gzip: number % 2 === 0, numbers, once: true });
    this.#open.set(number, file);
    account.promiseFile('flights', neighbours);
    while (alive()) {
      if (files.archived(file) !== undefined) return true;
      await pause(LOOK_MS);
    }
    return false;
  }

  /** True when it is done; false when it goes on, or is to be asked again. */
  async #erase(service: ServiceProcess, number: number): Promise<boolean> {
    const { departed_at, origin, destination } = flightOf(number);
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ departed_at, origin, destination }))
      query.append('key', `${name}:${value}`);
    const status = await statusOf(`${service.url}/v1/datasets/flights/records?${query}`, { method: 'DELETE' });
    if (status === ERASED) {
      this.#open.delete(number);
      this.#options.account.erased(number);
      return true;
    }
    if (status === undefined || status === RUNNING || status === UNAVAILABLE) return false;
    throw new Error(`DELETE answered ${status}:\n${service.output()}`);
  }
}

/** Undefined when the connection broke. */
async function statusOf(url: string, request: RequestInit): Promise<number | undefined> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    await response.text();
    return response.status;
  } catch {
    return undefined;
  }
}
