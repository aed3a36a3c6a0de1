/** A service on a folder of its own, with numbered records that come in over HTTP and by files, and their account. */
import { setTimeout as pause } from 'node:timers/promises';
import { Account } from '../kills/account.ts';
import { DroppedFiles } from '../kills/dropped-files.ts';
import { Senders } from '../kills/senders.ts';
import { seededRandom } from '../seeded-random.ts';
import { startService } from '../service-process.ts';

const DROP_EVERY_MS = 200;
export const ENV = {
  OTEL_SDK_DISABLED: 'true',
  QUEUE_TIME_TARGET_MS: '10000',
  SEAL_INTERVAL_MS: '500',
  LANDING_LOOK_MS: '20',
  LANDING_SETTLE_MS: '0',
  LANDING_RANGE_ROWS_MAX: '150',
};

export class Load {
  readonly dataDir: string;
  readonly account: Account;
  readonly #senders: Senders;
  readonly #files: DroppedFiles;
  #numbers = 0;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
    this.account = new Account({ sent: 0, stored: 0, lost: 0, duplicated: 0 });
    this.#senders = new Senders({ account: this.account, nextNumber: () => this.#next() });
    this.#files = new DroppedFiles(dataDir);
  }

  /** Of what was sent, answered or not. */
  get last(): number {
    return this.#numbers;
  }

  /** Records and files come in until `act` says that they may end. */
  async runWhile<T>(seed: number, act: (load: { readonly mayEnd: () => Promise<void> }) => Promise<T>): Promise<T> {
    const service = await startService({ dataDir: this.dataDir, env: ENV });
    let loading = true;
    const load = Promise.all([
      this.#senders.sendWhile(() => loading, { service, seed }),
      this.#dropWhile(() => loading, seed),
    ]);
    const mayEnd = async (): Promise<void> => {
      loading = false;
      await load;
    };
    try {
      return await act({ mayEnd });
    } finally {
      loading = false;
      await load;
      service.kill('SIGKILL');
      await service.ended;
    }
  }

  async #dropWhile(loading: () => boolean, seed: number): Promise<void> {
    const random = seededRandom(seed);
    while (loading()) {
      const options = { random, nextNumber: () => this.#next(), knownFlights: this.account.flights };
      const { dataset, numbers } = await this.#files.drop(options);
      this.account.promiseFile(dataset, numbers);
      await pause(DROP_EVERY_MS);
    }
  }

  #next(): number {
    this.#numbers += 1;
    return this.#numbers;
  }
}
